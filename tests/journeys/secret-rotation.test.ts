/** TK-7: the server secret is rotated under load and under kill -9. `KILLS=100` makes it a longer one. */
import { afterAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createUser, deleteUser } from "../../src/core/users.ts";
import type { SessionToken, Tokens } from "../support/client.ts";
import { authctl } from "../support/command.ts";
import { contentsOf, expectKept, expectSound, expectTidy } from "../support/contents.ts";
import { goodPassword, root } from "../support/core.ts";
import { copyOf, type FreshDatabase, type Place, rawSql } from "../support/database.ts";
import { again, killAgainAndAgain, killsOr, patienceFor } from "../support/kills.ts";
import { besides, newEmail, signIn, signInForSession, signUp, statusOfMe } from "../support/people.ts";
import { goOn, goOnAndOn, moveIn, type Resident } from "../support/residents.ts";
import { startServer, type TestServer } from "../support/server.ts";

const rounds = killsOr(4);
const rotation = ["secret", "rotate", "--pause", "1ms", "--batch-size", "5"];

const server = await startServer();
afterAll(server.end);

const run = async (...words: string[]) => {
  const ran = await authctl(server.env, words);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  return ran.stdout;
};

/** Somebody who is signed in twice, and stays so. */
class Person {
  readonly email = newEmail("rotation");
  #tokens!: Tokens;
  #session!: SessionToken;
  used = 0;

  async begin(): Promise<this> {
    await signUp(server, this.email);
    this.#tokens = await signIn(server, this);
    this.#session = await signInForSession(server, this);
    return this;
  }

  /** Whatever people do; fails where anything is refused. */
  async use(): Promise<void> {
    const answer = await server.post<Tokens>("/api/v1/auth/refresh", { refresh_token: this.#tokens.refresh_token });
    expect(answer.status, answer.text).toBe(200);
    this.#tokens = answer.body;
    expect(await statusOfMe(server, this.#tokens.access_token)).toBe(200);
    expect(await statusOfMe(server, this.#session.session_token)).toBe(200);
    await signIn(server, this);
    this.used += 1;
  }
}

type Version = { readonly version: string; readonly state: string; readonly accepted: boolean };
const versions = async (): Promise<Version[]> => JSON.parse(await run("secret", "status", "--json"));
const inState = async (state: string) => (await versions()).filter((one) => one.state === state);

const people = await Promise.all(Array.from({ length: 4 }, () => new Person().begin()));
const deleted = newEmail("deleted");
await signUp(server, deleted);

test("a rotation at a running server refuses nobody anything", async () => {
  const ended = new AbortController();
  const using = people.map(async (person) => {
    while (!ended.signal.aborted) await person.use();
  });
  await run("user", "delete", deleted, "--yes");
  await run("secret", "rotate");
  await run("secret", "rotate");
  ended.abort();
  await Promise.all(using);
  expect(people.every(({ used }) => used > 2)).toBe(true);
  expect(await inState("active")).toHaveLength(1);
  expect(await inState("retiring")).toHaveLength(2);
  const verified = await authctl(server.env, ["secret", "verify", "--json"]);
  expect(verified.code).toBe(5);
  const { examined } = JSON.parse(verified.stdout) as { examined: Array<{ older: number; unopened: number }> };
  expect(examined.every(({ older, unopened }) => older + unopened === 0)).toBe(true);
  await run("user", "restore", deleted);
  await signIn(server, { email: deleted });
}, 60_000);

const ending: Array<() => Promise<unknown>> = [];
afterAll(async () => {
  for (const end of ending) await end();
});

/** What is sealed or signed by another secret afterwards. */
const renewed = new Set(["passwordHash", "privateJwk", "content", "auditKey", "secretVersion"]);
const actions = ["secret.added", "secret.rotated", "secret.resealed"];

/** A database with enough in it that is sealed, and somebody who is signed in there. */
async function sealedHome() {
  const home = await startServer();
  ending.push(home.end);
  const resident = await moveIn(home);
  await besides(home, async (core) => {
    for (let made = 0; made < 120; made++)
      await createUser(core, root, { email: newEmail("sealed"), password: goodPassword });
    for (let made = 0; made < 20; made++) {
      const { user } = await createUser(core, root, { email: newEmail("deleted"), password: goodPassword });
      await deleteUser(core, root, user.id);
    }
  });
  await home.stop();
  return { home, resident };
}

/** The rest is sealed anew, nothing needs the older secret but who is signed in by it, and that is taken. */
async function endRotation(place: Place, round: number): Promise<void> {
  const words = ["secret", "rotate", ...(round % 2 === 0 ? ["--resume"] : [])];
  const ended = await again({ env: place.env, words });
  expect(ended.code, ended.stderr).toBe(0);
  const { stdout } = await authctl(place.env, ["secret", "verify", "--json"]);
  const { examined } = JSON.parse(stdout) as { examined: Array<{ older: number; unopened: number }> };
  expect(examined.reduce((sum, { older, unopened }) => sum + older + unopened, 0)).toBe(0);
  const states = await rawSql(place, "SELECT state, count(*) AS number FROM server_secrets GROUP BY state");
  const numbers = new Map(states.map(({ state, number }) => [state, Number(number)]));
  expect([numbers.get("active"), numbers.get("next")]).toEqual([1, undefined]);
}

test(
  "kill -9 of a rotation, with the server down: the next one goes on, nothing is lost, and nobody is signed out",
  async () => {
    const { home, resident } = await sealedHome();
    const before = await contentsOf(home, renewed);
    const kept = ({ env }: Place) => readFileSync(join(env["DATA_DIR"]!, "secret.key"), "utf8");
    const [first] = kept(home).split("\n");
    let place: FreshDatabase;
    await killAgainAndAgain({
      name: "secret rotate",
      rounds: Math.ceil(rounds / 2),
      prepare: async () => {
        place = await copyOf(home);
        return { env: place.env, words: rotation };
      },
      check: async (round) => {
        // Whole, whenever it was: what was there before is there, and at most one more.
        expect(kept(place)).toMatch(/^([\w+/]{64}\n){1,2}$/);
        expect(kept(place)).toEndWith(`${first}\n`);
        await endRotation(place, round);
        expectKept(before, await contentsOf(place, renewed), { changed: ["serverSecrets"], actions });
        const started = await startServer(place.env, place);
        try {
          await goOn(started, resident);
        } finally {
          await started.stop();
        }
        await expectSound(place);
        expectTidy(place);
        await place.drop();
      },
    });
  },
  patienceFor(rounds),
);

test(
  "kill -9 of a rotation at a running server: the next one goes on, and nobody is refused anything meanwhile",
  async () => {
    const { home, resident } = await sealedHome();
    let one: TestServer;
    let stay: () => Promise<Resident>;
    await killAgainAndAgain({
      name: "secret rotate beside a server",
      rounds: Math.ceil(rounds / 2),
      prepare: async () => {
        const place = await copyOf(home);
        one = await startServer(place.env, place);
        ending.push(one.end);
        stay = goOnAndOn(one, resident);
        return { env: place.env, words: rotation };
      },
      check: async (round) => {
        await endRotation(one, round);
        const held = await goOn(one, await stay());
        await one.restart();
        await goOn(one, held);
        await one.stop();
        await expectSound(one);
        expectTidy(one);
        await ending.pop()?.();
      },
    });
  },
  patienceFor(rounds),
);

test("two rotations at once end with one secret that writes", async () => {
  const ran = await Promise.all(Array.from({ length: 3 }, () => authctl(server.env, ["secret", "rotate"])));
  expect(ran.map(({ code }) => code).filter((code) => code !== 0 && code !== 75)).toEqual([]);
  expect(ran.some(({ code }) => code === 0)).toBe(true);
  expect(await inState("active")).toHaveLength(1);
  await Promise.all(people.map((person) => person.use()));
}, 60_000);
