/**
 * Promise 3 and TK-6: whoever verifies by the published keys, and keeps them for as long as their headers let it,
 * never meets a token that it cannot verify. `KEY_ROTATIONS=1000` makes it a longer one, and `KILLS=100` the
 * one of the kills.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from "jose";
import { beat, callServers, startHeartbeat } from "../../src/core/servers.ts";
import { replaceSigningKeys } from "../../src/core/signing-keys/retirement.ts";
import { rotateIfDue, rotateSigningKey } from "../../src/core/signing-keys/rotation.ts";
import { createApp } from "../../src/http/app.ts";
import { wholeFrom } from "../support/chance.ts";
import { createClient, type HttpClient, type Tokens } from "../support/client.ts";
import type { TestClock } from "../support/clock.ts";
import { expectSound } from "../support/contents.ts";
import { openTestCore, root, type TestCore } from "../support/core.ts";
import { dialect, rawSql } from "../support/database.ts";
import { again, killAgainAndAgain, killsOr, patienceFor } from "../support/kills.ts";
import { besides, newTokens, statusOfMe } from "../support/people.ts";
import { goOn, goOnAndOn, moveIn, type Resident, renew } from "../support/residents.ts";
import { startServer } from "../support/server.ts";

const rotations = wholeFrom("KEY_ROTATIONS", 100);
const kills = killsOr(3);
const second = 1000;

const kidOf = (token: string) => decodeProtectedHeader(token).kid;

/** Real HTTP by the clock of the test: a server with its heart, on the database of `core`. */
async function serve(core: TestCore, id: string) {
  const health = () => Promise.resolve({ ok: true, checks: [] });
  const app = createApp(core, { version: "0", health, isDraining: () => false, reusePort: false });
  app.listen({ hostname: "127.0.0.1", port: 0 });
  const presence = { id, host: id, version: "0", startedAt: core.clock.now() };
  await beat(core, presence);
  const heart = startHeartbeat(core, presence);
  return {
    core,
    ...createClient(() => `http://127.0.0.1:${app.server?.port}`),
    async end() {
      heart.stop();
      await app.stop(true);
      await core.close();
    },
  };
}

/** Another service: it asks for the keys where what it has is out of date, and at no other time. */
class Verifier {
  #keys: ReturnType<typeof createLocalJWKSet> | undefined;
  #until = 0;

  constructor(
    readonly servers: () => readonly HttpClient[],
    readonly clock: Pick<TestClock, "now">,
  ) {}

  async accept(token: string): Promise<void> {
    const now = this.clock.now().getTime();
    if (!this.#keys || now >= this.#until) {
      const servers = this.servers();
      const server = servers[Math.floor(now / second) % servers.length]!;
      const { body, headers } = await server.get<JSONWebKeySet>("/.well-known/jwks.json");
      this.#keys = createLocalJWKSet(body);
      this.#until = now + Number(/max-age=(\d+)/.exec(headers.get("cache-control")!)![1]) * second;
    }
    await jwtVerify(token, this.#keys, { issuer: "http://localhost:8000", typ: "at+jwt", currentDate: new Date(now) });
  }
}

const ending: Array<() => Promise<unknown>> = [];
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
});

describe("under load, with time that is moved", () => {
  /** Two servers, two who verify, three who sign in: all of them at once, in slices of 95 seconds. */
  async function town(env: Record<string, string>) {
    const home = await openTestCore(env);
    ending.push(() => home.close());
    const servers = [await serve(await home.again(), "one"), await serve(await home.again(), "two")];
    ending.push(() => Promise.all(servers.map((server) => server.end())));
    const { clock } = home;
    // One looks up the keys at the other server than the other one.
    const verifiers = [new Verifier(() => servers, clock), new Verifier(() => servers.toReversed(), clock)];
    const people = await Promise.all([0, 1, 2].map(async (at) => [await newTokens(servers[at % 2]!)]));
    const refused: string[] = [];
    const kids = new Set<string>();
    let accepted = 0;

    const use = async ({ access_token }: Tokens): Promise<void> => {
      kids.add(kidOf(access_token)!);
      for (const server of servers) {
        const status = await statusOfMe(server, access_token);
        if (status === 200) accepted++;
        else refused.push(`${status} for ${kidOf(access_token)}`);
      }
      for (const verifier of verifiers) {
        await verifier.accept(access_token).then(
          () => accepted++,
          (error: Error) => refused.push(error.message),
        );
      }
    };
    /** What everybody does at the same time as `beside`. */
    const slice = async (turn: number, beside: Promise<unknown>): Promise<void> => {
      const acts = people.map(async (given, at) => {
        const server = servers[(turn + at) % 2]!;
        const last = given.at(-1)!;
        const answer = await server.post<Tokens>("/api/v1/auth/refresh", { refresh_token: last.refresh_token });
        expect(answer.status, answer.text).toBe(200);
        given.push(answer.body);
        // The newest, and one from some minutes ago that still lives.
        for (const tokens of new Set([answer.body, given.at(-5) ?? given[0]!])) await use(tokens);
        given.splice(0, given.length - 5);
      });
      await Promise.all([...acts, beside]);
      clock.advance(95 * second);
    };
    /** Stops a server and starts it with other settings. */
    const restart = async (at: number, changed: Record<string, string>): Promise<void> => {
      await servers[at]!.end();
      servers[at] = await serve(await home.again(changed), `restarted-${at}`);
    };
    return { home, servers, slice, restart, refused, kids, accepted: () => accepted };
  }

  test(
    `${rotations} rotations: no token is refused, by whoever keeps the keys for as long as it may`,
    async () => {
      const { servers, slice, refused, kids, accepted } = await town({ KEY_ROTATION: "1m" });
      let done = 0;
      const cron = async (turn: number) => {
        const { activated } = await rotateIfDue(servers[turn % 2]!.core, root);
        if (activated) done++;
      };
      const isOver = () => done >= rotations;
      for (let turn = 0; !isOver(); turn++) await slice(turn, cron(turn));
      await slice(0, Promise.resolve());
      console.log(`keys: ${done} rotations, ${accepted()} tokens accepted, ${refused.length} refused`);
      expect(refused).toEqual([]);
      expect(kids.size).toBe(rotations + 1);
    },
    60_000 + rotations * 2_000,
  );

  test("from one algorithm to the next, one server restarted after the other, with one command: no token is refused", async () => {
    const { servers, slice, restart, refused, kids } = await town({ KEY_ROTATION: "0" });
    let turn = 0;
    const slices = async (number: number) => {
      for (let more = 0; more < number; more++) await slice(turn++, Promise.resolve());
    };
    const seen: string[] = [];
    await slices(1);
    for (const algorithm of ["EdDSA", "RS256", "ES256"] as const) {
      for (const at of [0, 1]) {
        await restart(at, { TOKEN_ALGORITHM: algorithm });
        await slices(1);
      }
      expect([...kids].slice(1)).toEqual(seen);
      let over = false;
      const rotation = rotateSigningKey(servers[turn % 2]!.core, root).finally(() => (over = true));
      const isOver = () => over;
      while (!isOver()) await slices(1);
      const { algorithm: now, activated } = await rotation;
      expect(now).toBe(algorithm);
      seen.push(activated);
      await slices(3);
    }
    expect(refused).toEqual([]);
    expect([...kids].slice(1)).toEqual(seen);
  }, 60_000);

  test("after a leak, who keeps the old keys for as long as it may refuses new tokens no longer than that", async () => {
    const { home, servers, refused, slice } = await town({ KEY_ROTATION: "0" });
    const verifier = new Verifier(() => servers, home.clock);
    await verifier.accept((await newTokens(servers[0]!)).access_token);
    await replaceSigningKeys(home, root);
    home.clock.advance(5 * second);
    const { access_token } = await newTokens(servers[0]!);
    expect(await statusOfMe(servers[1]!, access_token)).toBe(200);
    expect(await verifier.accept(access_token).catch(({ code }) => code)).toBe("ERR_JWKS_NO_MATCHING_KEY");
    home.clock.advance(295 * second);
    await verifier.accept(access_token);
    await slice(0, Promise.resolve());
    // Those that were given out before, and only those.
    expect(refused.every((what) => what.startsWith("401") || what.includes("no applicable key"))).toBe(true);
  });
});

const ways = [
  { flags: [], isLeak: false },
  { flags: ["--if-due"], isLeak: false },
  { flags: ["--now", "--yes"], isLeak: true },
] as const;

test.each(ways)(
  "kill -9 of a rotation: the next one goes on, nobody is signed out, no token is refused, no key is stranded: %j",
  async ({ flags, isLeak }) => {
    const server = await startServer({ KEY_ROTATION: "1ms" });
    ending.push(server.end);
    const earlier = dialect === "sqlite" ? "published_at - 600000" : "published_at - interval '10 minutes'";
    const call = { env: server.env, words: ["key", "rotate", ...flags] };
    const keysIn = async (state: string) =>
      (await rawSql(server, `SELECT kid FROM signing_keys WHERE state = '${state}'`)).map(({ kid }) => String(kid));
    let [resident, before] = [await moveIn(server), ""];
    let verifier: Verifier;
    let stay: (() => Promise<Resident>) | undefined;
    await killAgainAndAgain({
      name: call.words.join(" "),
      rounds: Math.ceil(kills / ways.length),
      prepare: async () => {
        // As though ten minutes had passed: whoever keeps the keys for as long as they may has asked for them anew.
        await rawSql(server, `UPDATE signing_keys SET published_at = ${earlier}`);
        verifier = new Verifier(() => [server], { now: () => new Date() });
        await verifier.accept(resident.tokens.access_token);
        before = (await keysIn("active"))[0]!;
        if (!isLeak) stay = goOnAndOn(server, resident, (token) => verifier.accept(token));
        return call;
      },
      check: async () => {
        expect([await keysIn("active"), await keysIn("next")].map(({ length }) => length)).toEqual([1, 1]);
        // One that is only due does not go on with another that was killed when it was done.
        const ended = await again(flags[0] === "--if-due" ? { ...call, words: ["key", "rotate"] } : call);
        expect(ended, ended.stderr).toMatchObject({ code: 0 });
        const [active] = await keysIn("active");
        expect(active).not.toBe(before);
        expect(await keysIn("next")).toHaveLength(1);
        const stranded = "state = 'retiring' AND retires_at IS NULL OR state <> 'retired' AND private_jwk IS NULL";
        expect(await rawSql(server, `SELECT kid FROM signing_keys WHERE ${stranded}`)).toEqual([]);
        await besides(server, (core) => callServers(core, { timeout: 10_000 }));
        if (stay) resident = await goOn(server, await stay(), (token) => verifier.accept(token));
        else {
          expect(await statusOfMe(server, resident.tokens.access_token)).toBe(401);
          resident = await renew(server, resident);
        }
        expect(kidOf(resident.tokens.access_token)).toBe(active);
      },
    });
    await expectSound(server);
  },
  patienceFor(kills),
);
