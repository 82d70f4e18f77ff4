import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type Caretaker, startCaretaker } from "../../src/core/caretaker.ts";
import { listJobs } from "../../src/core/jobs.ts";
import { login } from "../../src/core/login.ts";
import { codeOf, goodPassword, openTestCore, registerAda, type TestCore, visitor } from "../support/core.ts";
import { until } from "../support/until.ts";
import { counted } from "../support/watched.ts";

const minute = 60_000;
const day = 24 * 60 * minute;

let core: TestCore;
const running: Caretaker[] = [];
beforeEach(async () => {
  core = await openTestCore();
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
  await core.close();
});

const start = (where: TestCore): void => void running.push(startCaretaker(where));
const successOf = async (name: string) => (await core.store.jobs.all()).find((one) => one.name === name);
const failureOf = async (name: string) => (await core.store.jobs.failures()).find((one) => one.name === name);

/** Lets time pass until something has come about. */
const passing = (what: string, holds: () => Promise<boolean>) =>
  until(what, async () => {
    core.clock.advance(1_000);
    return await holds();
  });

describe("a server that sees to the upkeep", () => {
  test("does what is due by itself, and again when it is due again", async () => {
    await registerAda(core);
    const input = { identifier: "ada@example.com", password: goodPassword, credential: "session" } as const;
    const { session } = (await login(core, visitor, input)).standing;
    start(core);
    await passing("the first round", async () => (await core.store.jobs.all()).length === 3);
    expect((await core.store.jobs.all()).map(({ name }) => name)).toEqual(["audit-purge", "key-rotation", "purge"]);
    expect(await core.store.sessions.byId(session.id)).toBeDefined();
    const first = (await successOf("purge"))!.succeededAt;
    core.clock.advance(day);
    await passing("the next round", async () => (await core.store.sessions.byId(session.id)) === undefined);
    await passing("its end", async () => (await successOf("purge"))!.succeededAt > first);
    expect((await core.store.auditEvents.page({ action: "purge.done" }, 9)).map(({ actor }) => actor)).toEqual([
      "purge",
    ]);
  });

  test("does nothing before it is due", async () => {
    start(core);
    await passing("the first round", async () => (await successOf("key-rotation")) !== undefined);
    const first = await core.store.jobs.all();
    const { calls, core: seen } = counted(core);
    start(seen);
    const looks = () => calls.filter((call) => call === "jobs.all").length;
    await passing("five looks", () => Promise.resolve(looks() >= 5));
    const later = await core.store.jobs.all();
    const timeOf = (all: typeof first, name: string) => all.find((one) => one.name === name)?.succeededAt;
    for (const name of ["key-rotation", "audit-purge"]) expect(timeOf(later, name)).toEqual(timeOf(first, name));
  });

  test("leaves to another what another does, however many there are", async () => {
    const others = [await core.again(), await core.again()];
    const release = await core.store.lock("purge");
    for (const one of [core, ...others]) start(one);
    await passing("the other jobs", async () => (await core.store.jobs.all()).length === 2);
    expect(await successOf("purge")).toBeUndefined();
    await release?.();
    await passing("the purge", async () => (await successOf("purge")) !== undefined);
    const lines = [core, ...others].flatMap((one) => one.lines);
    expect(lines.filter(({ event }) => event === "job_failed")).toEqual([]);
    await Promise.all(running.splice(0).map((one) => one.stop()));
    for (const one of others) await one.close();
  });

  test("tells of a failure in the log and to the operator, and tries again after a while", async () => {
    let isBroken = true;
    let tries = 0;
    const broken: TestCore = {
      ...core,
      store: {
        ...core.store,
        write: (work) =>
          core.store.write((tx) =>
            work({
              ...tx,
              tries: {
                ...tx.tries,
                purge: async (...given) => {
                  tries++;
                  if (isBroken) throw new Error("the disk is full");
                  return await tx.tries.purge(...given);
                },
              },
            }),
          ),
      },
    };
    start(broken);
    await passing("the failure", async () => (await failureOf("purge")) !== undefined);
    expect(await failureOf("purge")).toMatchObject({ problem: "internal_error" });
    await until("the line", () => core.lines.some(({ event }) => event === "job_failed"));
    expect(core.lines.find(({ event }) => event === "job_failed")).toMatchObject({
      level: "error",
      fields: { job: "purge", problem: "internal_error" },
    });
    const [purge] = await listJobs(core);
    expect(purge).toMatchObject({ name: "purge", success: undefined, dueAt: undefined });
    expect(purge?.failure?.problem).toBe("internal_error");
    const failedAt = core.clock.now().getTime();
    isBroken = false;
    await passing("the next try", async () => (await successOf("purge")) !== undefined);
    expect(tries).toBe(2);
    expect((await successOf("purge"))!.succeededAt.getTime() - failedAt).toBeGreaterThan(4 * minute);
    const [healed] = await listJobs(core);
    expect(healed?.failure).toBeUndefined();
    expect(healed?.dueAt).toEqual(new Date((await successOf("purge"))!.succeededAt.getTime() + 15 * minute));
  });

  test("stops at once where nothing is under way, and leaves no lock behind", async () => {
    start(core);
    await running[0]!.stop();
    core.clock.advance(10 * minute);
    expect(await core.store.jobs.all()).toEqual([]);
    expect(await codeOf(core.store.lock("purge").then((release) => release?.()))).toBeUndefined();
  });
});
