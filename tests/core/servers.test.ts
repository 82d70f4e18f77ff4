import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { addBan } from "../../src/core/bans.ts";
import { beat, callServers, leave, liveServers, type Presence, startHeartbeat } from "../../src/core/servers.ts";
import { replaceSigningKeys } from "../../src/core/signing-keys/retirement.ts";
import { currentKeys } from "../../src/core/signing-keys.ts";
import { openTestCore, root, type TestCore } from "../support/core.ts";
import { until } from "../support/until.ts";

describe("servers on one database", () => {
  let operator: TestCore;
  let cores: TestCore[];
  const presences: Presence[] = ["one", "two"].map((id) => ({
    id,
    host: "test",
    version: "1",
    startedAt: new Date(0),
  }));

  /** Time passes while somebody waits, as it does outside of tests. */
  const passing = async <T>(work: Promise<T>): Promise<T> => {
    let over = false;
    void work.finally(() => (over = true)).catch(() => {});
    await until("the answers", () => {
      operator.clock.advance(50);
      return over;
    });
    return await work;
  };

  beforeAll(async () => {
    operator = await openTestCore();
    cores = [await operator.again(), await operator.again()];
    for (const [at, core] of cores.entries()) await beat(core, presences[at]!);
  });
  afterAll(async () => {
    for (const core of cores) await core.close();
    await operator.close();
  });

  test("say that they live, which keys they serve and which secrets they take", async () => {
    const { verifying } = await currentKeys(operator);
    const live = await liveServers(operator);
    expect(live.map(({ id }) => id)).toEqual(["one", "two"]);
    for (const one of live) {
      expect(one.keys?.split(" ")).toEqual([...verifying.keys()]);
      expect(one.secrets).toBe(operator.keyring.secrets[0].version);
    }
  });

  test("read anew what they keep when they are called, and say so", async () => {
    const hearts = cores.map((core, at) => startHeartbeat(core, presences[at]!));
    const { activated } = await replaceSigningKeys(operator, root);
    await addBan(operator, root, "192.0.2.0/24", undefined);
    const { heard, silent, took } = await passing(callServers(operator, { timeout: 5_000 }));
    expect(silent).toEqual([]);
    expect(heard.map(({ id }) => id).toSorted()).toEqual(["one", "two"]);
    expect(took).toBeLessThanOrEqual(2_000);
    for (const core of cores) {
      expect(core.keyCache.keys?.signing.kid).toBe(activated);
      expect(core.bans.has("192.0.2.1")).toBe(true);
    }
    for (const heart of hearts) heart.stop();
  });

  test("are named where they stay silent", async () => {
    const heart = startHeartbeat(cores[0]!, presences[0]!);
    const { heard, silent, took } = await passing(callServers(operator, { timeout: 5_000 }));
    expect(heard.map(({ id }) => id)).toEqual(["one"]);
    expect(silent.map(({ id, host }) => ({ id, host }))).toEqual([{ id: "two", host: "test" }]);
    expect(took).toBe(5_000);
    heart.stop();
  });

  test("are not waited for once they have left, or have not been heard of for half a minute", async () => {
    await leave(cores[1]!, "two");
    const heart = startHeartbeat(cores[0]!, presences[0]!);
    expect(await passing(callServers(operator, { timeout: 5_000 }))).toMatchObject({ silent: [] });
    heart.stop();
    operator.clock.advance(30_000);
    expect(await liveServers(operator)).toEqual([]);
    expect(await callServers(operator, { timeout: 5_000 })).toEqual({ heard: [], silent: [], took: 0 });
  });

  test("go on saying so after the database has been away, and tell of it once", async () => {
    const [core] = cores as [TestCore];
    const broken = { fails: true };
    const called: typeof core.store.servers.called = async (id) => {
      if (broken.fails) throw new Error("away");
      return await core.store.servers.called(id);
    };
    const store = { ...core.store, servers: { ...core.store.servers, called } };
    const heart = startHeartbeat({ ...core, store }, presences[0]!);
    const told = () => core.lines.filter(({ event }) => event === "heartbeat_failed").length;
    for (let turn = 0; turn < 3; turn++) {
      operator.clock.advance(1_000);
      await until("the next look", () => operator.clock.pending > 0);
    }
    await until("a line in the log", () => told() > 0);
    expect(told()).toBe(1);
    broken.fails = false;
    await until("a sign of life", async () => {
      operator.clock.advance(1_000);
      return (await liveServers(operator)).length === 1;
    });
    heart.stop();
  });
});
