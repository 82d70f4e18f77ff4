/** Two servers, the command line and cron on one Postgres. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from "jose";
import { jwksMaxAge } from "../../src/core/signing-keys.ts";
import { openCore } from "../../src/open.ts";
import { Balancer } from "../support/balancer.ts";
import { person, sessionsOf } from "../support/cli.ts";
import type { Tokens, WireUser } from "../support/client.ts";
import { createTestClock } from "../support/clock.ts";
import { authctl } from "../support/command.ts";
import { newTokens, statusOfMe } from "../support/people.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { until } from "../support/until.ts";

const SECRET_KEY = "Zk3vQ0b7uXy1sT5wR9pL2mN8cJ4hG6fD";

/** Another service that verifies tokens by itself, and keeps the keys as long as it may. */
class Verifier {
  #keys: ReturnType<typeof createLocalJWKSet> | undefined;
  #fetchedAt = 0;
  #now = 0;

  constructor(readonly servers: readonly TestServer[]) {}

  pass(seconds: number): void {
    this.#now += seconds;
  }

  /** Fails where the key is unknown to it: it does not look again before its time. */
  async accept(token: string): Promise<void> {
    if (!this.#keys || this.#now - this.#fetchedAt >= jwksMaxAge) {
      const one = this.servers[this.#now % this.servers.length]!;
      this.#keys = createLocalJWKSet((await one.get<JSONWebKeySet>("/.well-known/jwks.json")).body);
      this.#fetchedAt = this.#now;
    }
    await jwtVerify(token, this.#keys, { issuer: "http://localhost:8000", typ: "at+jwt" });
  }
}

describe("two servers on one database", () => {
  let postgres: PostgresServer;
  let database: string;
  let env: Readonly<Record<string, string>>;
  let one: TestServer;
  let other: TestServer;
  const both = (): TestServer[] => [one, other];

  const run = async (...words: string[]) => {
    const ran = await authctl(env, words);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    return ran.stdout;
  };
  const refreshAt = async (server: TestServer, { refresh_token }: Tokens): Promise<Tokens> => {
    const answer = await server.post<Tokens>("/api/v1/auth/refresh", { refresh_token });
    expect(answer.status, answer.text).toBe(200);
    return answer.body;
  };
  const kidOf = ({ access_token }: Tokens) => decodeProtectedHeader(access_token).kid;

  beforeAll(async () => {
    postgres = await startPostgres();
    database = await postgres.createDatabase();
    env = { DATABASE_URL: postgres.urlOf(database), DATA_DIR: postgres.directory, SECRET_KEY };
    await run("migrate", "up");
    const { DATABASE_URL = "" } = env;
    // Both start for the first time at once.
    [one, other] = await Promise.all([
      startServer({ DATABASE_URL, SECRET_KEY }),
      startServer({ DATABASE_URL, SECRET_KEY }),
    ]);
  });
  afterAll(async () => {
    await Promise.all([one?.end(), other?.end()]);
    await postgres?.end();
  });

  test("a session that one begins counts at the other, and dies there with the next request", async () => {
    for (const [here, there] of [
      [one, other],
      [other, one],
    ] as const) {
      const tokens = await newTokens(here);
      expect(await statusOfMe(there, tokens.access_token)).toBe(200);
      const next = await refreshAt(there, tokens);
      expect((await refreshAt(here, tokens)).refresh_token).toBe(next.refresh_token);
      expect((await here.post("/api/v1/auth/logout", undefined, { bearer: next.access_token })).status).toBe(204);
      expect(await statusOfMe(there, next.access_token)).toBe(401);
      expect((await there.post("/api/v1/auth/refresh", { refresh_token: next.refresh_token })).status).toBe(401);
    }
  });

  test("what an operator does counts at both with the next request", async () => {
    const tokens = await newTokens(one);
    const isAdmin = async () =>
      await Promise.all(
        both().map(
          async (server) =>
            (await server.get<WireUser>("/api/v1/users/me", { bearer: tokens.access_token })).body.is_admin,
        ),
      );
    expect(await isAdmin()).toEqual([false, false]);
    // Somebody else has to be left who is an admin.
    await run("admin", "seed", "--email", "root@example.com", "--generate");
    await run("admin", "grant", tokens.user.email);
    expect(await isAdmin()).toEqual([true, true]);
    await run("admin", "revoke", tokens.user.email, "--yes");
    expect(await isAdmin()).toEqual([false, false]);
    await run("session", "revoke", tokens.session_id, "--yes");
    for (const server of both()) expect(await statusOfMe(server, tokens.access_token)).toBe(401);
  });

  test("a key that has leaked is replaced at both without a restart: what either signs from then on counts at both", async () => {
    let tokens = await newTokens(one);
    for (let rotation = 0; rotation < 3; rotation++) {
      const old = tokens.access_token;
      const answer = JSON.parse(await run("key", "rotate", "--now", "--yes", "--json"));
      expect(answer).toMatchObject({ servers_heard: 2, servers_silent: [] });
      const { activated } = answer;
      for (const server of both()) expect(await statusOfMe(server, old)).toBe(401);
      for (const server of both()) {
        tokens = await refreshAt(server, tokens);
        expect(kidOf(tokens)).toBe(activated);
        for (const asked of both()) expect(await statusOfMe(asked, tokens.access_token)).toBe(200);
      }
      await new Verifier(both()).accept(tokens.access_token);
    }
  });

  test("keys rotate in their time under load: no token is refused, neither by a server nor by who keeps the keys", async () => {
    const verifiers = [new Verifier(both()), new Verifier(both().toReversed())];
    const issued: Tokens[] = [];
    let over = false;
    const refused: string[] = [];
    const isOver = () => over;
    const use = async (tokens: Tokens): Promise<void> => {
      for (const server of both()) {
        const status = await statusOfMe(server, tokens.access_token);
        if (status !== 200) refused.push(`${status} for ${kidOf(tokens)}`);
      }
      for (const verifier of verifiers)
        await verifier.accept(tokens.access_token).catch((error: Error) => refused.push(error.message));
    };
    const crowd = both().map(async (server) => {
      let tokens = await newTokens(server);
      for (let turn = 0; !isOver(); turn++) {
        tokens = await refreshAt(both()[turn % 2]!, tokens);
        issued.push(tokens);
        await use(tokens);
      }
    });
    const nextKid = async () =>
      (await postgres.sql<{ kid: string }>(database, "SELECT kid FROM signing_keys WHERE state = 'next'"))[0]!.kid;
    for (let rotation = 0; rotation < 2; rotation++) {
      const kid = await nextKid();
      await until("both publish the next key", async () => {
        const published = await Promise.all(both().map((server) => server.get("/.well-known/jwks.json")));
        return published.every(({ text }) => text.includes(kid));
      });
      // As if ten minutes had passed, for the key and for those who keep it.
      await postgres.sql(database, "UPDATE signing_keys SET published_at = published_at - interval '10 minutes'");
      for (const verifier of verifiers) verifier.pass(600 + rotation);
      expect(JSON.parse(await run("key", "rotate", "--json"))).toMatchObject({ activated: kid });
      await until("both sign with it", () => issued.slice(-2).every((tokens) => kidOf(tokens) === kid));
    }
    over = true;
    await Promise.all(crowd);
    // Those that the keys of before signed, too.
    await Promise.all([issued[0]!, issued[Math.floor(issued.length / 2)]!].map(use));
    expect(refused).toEqual([]);
    expect(new Set(issued.map(kidOf)).size).toBe(3);
  }, 60_000);

  test("of 20 purges at once one runs", async () => {
    const core = await openCore({
      env: { ...env, ARGON2_MEMORY_KIB: "8", ARGON2_TIME_COST: "1", LOG_LEVEL: "silent" },
      cwd: postgres.directory,
      purpose: "command",
      clock: createTestClock(new Date("2026-01-01T00:00:00Z")),
    });
    await person(core, "expired@example.com");
    await sessionsOf(core, "expired@example.com", 3);
    await core.close();

    const words = ["cli/authctl.ts", "token", "purge", "--batch-size", "1", "--pause", "1h"];
    const children = Array.from({ length: 20 }, () =>
      Bun.spawn([process.execPath, "--no-env-file", ...words], {
        cwd: `${import.meta.dir}/../..`,
        env: { PATH: process.env["PATH"] ?? "", ...env },
        stdout: "ignore",
        stderr: "ignore",
      }),
    );
    await until("19 have ended", () => children.filter(({ exitCode }) => exitCode !== null).length === 19, 30_000);
    for (const child of children) child.kill("SIGTERM");
    const codes = await Promise.all(children.map(({ exited }) => exited));
    expect(codes.filter((code) => code === 75)).toHaveLength(19);
    expect(codes.filter((code) => code === 143)).toHaveLength(1);
    await run("token", "purge");
  }, 60_000);

  test("a rolling restart under load: not one request fails", async () => {
    await using balancer = new Balancer(both().map(({ url }) => Number(new URL(url).port)));
    const failed: string[] = [];
    let answered = 0;
    let over = false;
    const isOver = () => over;
    const people = await Promise.all(Array.from({ length: 12 }, (_, at) => newTokens(both()[at % 2]!)));
    const crowd = people.map(async (given) => {
      let tokens = given;
      while (!isOver()) {
        try {
          const refreshed = await balancer.send({
            method: "POST",
            path: "/api/v1/auth/refresh",
            body: { refresh_token: tokens.refresh_token },
          });
          if (refreshed.status !== 200) throw new Error(refreshed.text);
          tokens = JSON.parse(refreshed.text) as Tokens;
          const me = await balancer.send({ method: "GET", path: "/api/v1/users/me", bearer: tokens.access_token });
          if (me.status !== 200) throw new Error(me.text);
          answered += 2;
        } catch (error) {
          failed.push(String(error));
          return;
        }
      }
    });
    for (const server of both()) {
      await server.restart();
      await until("it is ready again", async () => (await server.get("/readyz")).status === 200);
      // Until it has its share of the requests again.
      const before = answered;
      await until("requests go on", () => answered > before + 100);
    }
    over = true;
    await Promise.all(crowd);
    console.log(`many servers: ${answered} requests answered through a rolling restart, ${failed.length} failed`);
    expect(failed).toEqual([]);
  }, 60_000);
});
