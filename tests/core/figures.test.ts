import { describe, expect, test } from "bun:test";
import { DomainError } from "../../src/core/errors.ts";
import { figuresOf } from "../../src/core/figures.ts";
import { login } from "../../src/core/login.ts";
import { signOutEverywhere } from "../../src/core/sessions.ts";
import { disableUser } from "../../src/core/users.ts";
import { goodPassword, openTestCore, registerAda, root, type TestCore, visitor } from "../support/core.ts";
import { counted, watched } from "../support/watched.ts";

const signIn = async (core: TestCore, identifier: string, times = 1): Promise<void> => {
  for (let time = 0; time < times; time++) {
    await login(core, visitor, { identifier, password: goodPassword, credential: "session" });
  }
};

/** As one who asks for the first time, so that nothing is remembered. */
const now = async (core: TestCore) => (await figuresOf(core)())!;

describe("the figures", () => {
  test("count the sessions that a check would let in, and no others", async () => {
    const core = await openTestCore({ SESSION_IDLE_TTL: "1h" });
    const { user: ada } = await registerAda(core);
    const { user: bob } = await registerAda(core, "bob@example.com");
    const { user: eve } = await registerAda(core, "eve@example.com");
    for (const { email } of [ada, bob, eve]) await signIn(core, email, 3);
    expect((await now(core)).sessionsAlive).toBe(9);
    await signOutEverywhere(core, root, ada.id);
    await disableUser(core, root, bob.id);
    expect((await now(core)).sessionsAlive).toBe(3);
    core.clock.advance(3_600_001);
    expect((await now(core)).sessionsAlive).toBe(0);
    await core.close();
  });

  test("count mails by their state", async () => {
    const core = await openTestCore();
    expect((await now(core)).mails).toEqual([]);
    await core.store.write(async (tx) => {
      const at = core.clock.now();
      for (const state of ["queued", "queued", "dead"] as const) {
        await tx.mails.insert({ id: core.random.id(at), kind: "welcome", state, dueAt: at, createdAt: at });
      }
    });
    const { mails } = await now(core);
    expect(mails.toSorted((one, other) => other.number - one.number)).toEqual([
      { state: "queued", number: 2 },
      { state: "dead", number: 1 },
    ]);
    await core.close();
  });

  test("are read once for all who ask within fifteen seconds, however many those are", async () => {
    const core = await openTestCore();
    const { core: seen, calls } = counted(core);
    const figures = figuresOf(seen);
    const readings = () => calls.filter((call) => call === "sessions.countAlive").length;
    await Promise.all(Array.from({ length: 50 }, figures));
    core.clock.advance(14_999);
    await figures();
    expect(readings()).toBe(1);
    core.clock.advance(1);
    await Promise.all(Array.from({ length: 50 }, figures));
    expect(readings()).toBe(2);
    await core.close();
  });

  test("that took long are kept for two hundred times as long", async () => {
    const core = await openTestCore();
    let readings = 0;
    const slow = watched(core, (call) => {
      if (call !== "sessions.countAlive") return;
      readings++;
      core.clock.advance(500);
    });
    const figures = figuresOf(slow);
    await figures();
    core.clock.advance(99_000);
    await figures();
    expect(readings).toBe(1);
    core.clock.advance(1_000);
    await figures();
    expect(readings).toBe(2);
    await core.close();
  });

  test("are none while the database is away, and there again afterwards", async () => {
    const core = await openTestCore();
    let isAway = true;
    const figures = figuresOf(
      watched(core, () => {
        if (isAway) throw new DomainError("unavailable");
      }),
    );
    expect(await figures()).toBeUndefined();
    expect(core.lines.map(({ event }) => event)).toContain("figures_not_read");
    isAway = false;
    core.clock.advance(15_000);
    expect(await figures()).toMatchObject({ sessionsAlive: 0 });
    await core.close();
  });

  test("are read anew where the clock is set back", async () => {
    const core = await openTestCore();
    const { core: seen, calls } = counted(core);
    let back = 0;
    const figures = figuresOf({
      ...seen,
      clock: { ...core.clock, now: () => new Date(core.clock.now().getTime() - back) },
    });
    await figures();
    back = 86_400_000;
    await figures();
    expect(calls.filter((call) => call === "sessions.countAlive")).toHaveLength(2);
    await core.close();
  });
});
