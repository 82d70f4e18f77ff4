/** TK-7: the server secret is rotated under load and under kill -9. `CRASH_ROUNDS` and `CRASH_SEED` make it a longer one. */
import { afterAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { seededChance, wholeFrom } from "../support/chance.ts";
import type { SessionToken, Tokens } from "../support/client.ts";
import { authctl } from "../support/command.ts";
import { newEmail, signIn, signInForSession, signUp, statusOfMe } from "../support/people.ts";
import { startServer } from "../support/server.ts";
import { until } from "../support/until.ts";

const rounds = wholeFrom("CRASH_ROUNDS", 12);
const seed = wholeFrom("CRASH_SEED", 20_260_101);
const program = join(import.meta.dir, "../../cli/authctl.ts");

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

test(
  `kill -9 in ${rounds} rotations, with the server up and down: the next one goes on, and nobody is signed out`,
  async () => {
    const chance = seededChance(seed);
    const kept = (): string => readFileSync(join(server.directory, "secret.key"), "utf8").trim();
    // How long a whole one takes on this machine: each round is killed at some moment of it.
    const timed = async (): Promise<number> => {
      const begun = performance.now();
      await run("secret", "rotate", "--pause", "1ms");
      return performance.now() - begun;
    };
    const whileUp = await timed();
    await server.stop();
    const whileDown = await timed();
    await server.restart();
    let killed = 0;
    for (let round = 0; round < rounds; round++) {
      const isUp = round % 3 === 0;
      if (!isUp) await server.stop();
      const before = kept().split("\n");
      const child = Bun.spawn([process.execPath, "--no-env-file", program, "secret", "rotate", "--pause", "1ms"], {
        cwd: server.directory,
        env: { PATH: process.env["PATH"] ?? "", ...server.env },
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
      });
      await Bun.sleep(((isUp ? whileUp : whileDown) * chance.below(1_000)) / 1_000);
      child.kill("SIGKILL");
      if ((await child.exited) !== 0) killed += 1;
      // Whole, whenever it was: what was there before is there, and at most one more.
      expect(kept().split("\n").slice(-before.length)).toEqual(before);
      expect(kept().split("\n").length - before.length).toBeLessThanOrEqual(1);
      if (!isUp) await server.restart();
      await Promise.all(people.map((person) => person.use()));
    }
    await until("the last rotation", async () => {
      const { code, stderr } = await authctl(server.env, ["secret", "rotate", "--resume"]);
      // The database may not have noticed yet that the last one is dead.
      expect([0, 75], stderr).toContain(code);
      return code === 0;
    });
    await Promise.all(people.map((person) => person.use()));
    const all = await versions();
    expect(all.filter(({ state }) => state === "active")).toHaveLength(1);
    expect(all.filter(({ state }) => state === "next")).toEqual([]);
    expect(all.every(({ accepted }) => accepted)).toBe(true);
    expect(killed).toBeGreaterThan(rounds / 3);
    await run("audit", "verify");
    await server.restart();
    await Promise.all(people.map((person) => person.use()));
  },
  30_000 + rounds * 10_000,
);

test("two rotations at once end with one secret that writes", async () => {
  const ran = await Promise.all(Array.from({ length: 3 }, () => authctl(server.env, ["secret", "rotate"])));
  expect(ran.map(({ code }) => code).filter((code) => code !== 0 && code !== 75)).toEqual([]);
  expect(ran.some(({ code }) => code === 0)).toBe(true);
  expect(await inState("active")).toHaveLength(1);
  await Promise.all(people.map((person) => person.use()));
}, 60_000);
