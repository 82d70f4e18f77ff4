import { describe, expect, test } from "bun:test";
import type { Core } from "../../src/core/core.ts";
import { type Check, healthOf } from "../../src/core/health.ts";
import { openTestCore, type TestCore } from "../support/core.ts";
import { dialect, rawSql } from "../support/database.ts";
import { counted } from "../support/watched.ts";

const server = { id: "one", host: "test", version: "1", startedAt: new Date(0) };

const failing = ({ checks }: { readonly checks: readonly Check[] }): string[] =>
  checks.filter(({ ok }) => !ok).map(({ name }) => name);

/** What comes of asking once the last answers are good no more. */
async function later(core: TestCore, health: ReturnType<typeof healthOf>) {
  core.clock.advance(30_000);
  return await health();
}

describe("a server is healthy", () => {
  test("where it can write, its tables are right, and it has a key", async () => {
    const core = await openTestCore();
    expect(await healthOf(core, server)()).toEqual({
      ok: true,
      checks: (["database", "schema", "signing_key"] as const).map((name) => ({ name, ok: true, latency: 0, age: 0 })),
    });
    await core.close();
  });

  test("no longer where its tables are gone back to an older version, and again where they are back", async () => {
    const core = await openTestCore();
    const health = healthOf(core, server);
    await health();
    await core.store.migrations.down(1);
    // The last migration made what a server says of itself, and what is known of a key. SQLite takes the quoted name
    // of a column that is not there for a text.
    const broken = ["database", "schema", ...(dialect === "postgres" ? ["signing_key"] : [])];
    expect(failing(await later(core, health))).toEqual(broken);
    await core.store.migrations.up(core.clock.now());
    // What was wrong is looked at again after a second.
    core.clock.advance(1_000);
    expect(await health()).toMatchObject({ ok: true });
    await core.close();
  });

  test("no longer where there is no key to sign with", async () => {
    const core = await openTestCore();
    const health = healthOf(core, server);
    await health();
    await rawSql(core, "UPDATE signing_keys SET state = 'retired'");
    const { ok, checks } = await later(core, health);
    expect([ok, failing({ checks })]).toEqual([false, ["signing_key"]]);
    await core.close();
  });

  test("no longer where nothing can be written", async () => {
    const core = await openTestCore();
    const broken: Core = { ...core, store: { ...core.store, write: () => Promise.reject(new Error("disk full")) } };
    const { ok, checks } = await healthOf(broken, server)();
    expect([ok, failing({ checks })]).toEqual([false, ["database"]]);
    expect(core.lines.map(({ event, fields }) => [event, fields["check"]])).toContainEqual([
      "health_check_failed",
      "database",
    ]);
    await core.close();
  });

  test("even where Redis is away, which it says", async () => {
    const core = await openTestCore();
    const without: Core = { ...core, pingRedis: () => Promise.reject(new Error("away")) };
    const { ok, checks } = await healthOf(without, server)();
    expect([ok, failing({ checks })]).toEqual([true, ["redis"]]);
    await core.close();
  });
});

describe("asking", () => {
  test("a hundred times at once, and again within a second, costs one write", async () => {
    const core = await openTestCore();
    const { core: seen, calls } = counted(core);
    const health = healthOf(seen, server);
    const beats = () => calls.filter((call) => call === "servers.beat").length;
    await Promise.all(Array.from({ length: 100 }, health));
    core.clock.advance(999);
    await health();
    expect(beats()).toBe(1);
    core.clock.advance(1);
    await Promise.all(Array.from({ length: 100 }, health));
    expect(beats()).toBe(2);
    await core.close();
  });

  test("costs nothing just after a start, which has proven everything but what it can do without", async () => {
    const core = await openTestCore();
    const { core: seen, calls } = counted(core);
    let pings = 0;
    const pingRedis = async () => void pings++;
    const health = healthOf({ ...seen, pingRedis }, server, core.clock.now());
    core.clock.advance(999);
    const { ok, checks } = await health();
    expect([ok, calls, pings]).toEqual([true, [], 1]);
    expect(checks.map(({ name, age }) => [name, age])).toContainEqual(["database", 999]);
    core.clock.advance(1);
    await health();
    expect(calls).toContain("servers.beat");
    await core.close();
  });

  test("tells how long each part took, and how long ago that was", async () => {
    const core = await openTestCore();
    const pingRedis = async () => core.clock.advance(40);
    const health = healthOf({ ...core, pingRedis }, server);
    await health();
    core.clock.advance(700);
    expect((await health()).checks.find(({ name }) => name === "redis")).toEqual({
      name: "redis",
      ok: true,
      latency: 40,
      age: 740,
    });
    await core.close();
  });

  test("looks anew where the clock was set back", async () => {
    const core = await openTestCore();
    const { core: seen, calls } = counted(core);
    let back = 0;
    const clock = { ...core.clock, now: () => new Date(core.clock.now().getTime() - back) };
    const health = healthOf({ ...seen, clock }, server);
    await health();
    back = 3_600_000;
    expect(await health()).toMatchObject({ ok: true });
    expect(calls.filter((call) => call === "servers.beat")).toHaveLength(2);
    await core.close();
  });
});
