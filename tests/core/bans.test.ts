import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { addBan, liftBan, listBans, parseNetwork } from "../../src/core/bans.ts";
import { codeOf, openTestCore, root, type TestCore } from "../support/core.ts";

describe("a network", () => {
  test.each([
    ["192.0.2.7", "192.0.2.7/32"],
    ["192.0.2.7/24", "192.0.2.0/24"],
    ["192.0.2.255/25", "192.0.2.128/25"],
    ["10.255.255.255/9", "10.128.0.0/9"],
    ["::ffff:192.0.2.7", "192.0.2.7/32"],
    ["2001:DB8:0:1:2:3:4:5", "2001:db8:0:1::/64"],
    ["2001:db8:abcd::/33", "2001:db8:8000::/33"],
    ["2001:db8::1/128", "2001:db8::1/128"],
    ["::1/128", "::1/128"],
  ])("that is written %s is %s", (written, network) => {
    expect(parseNetwork(written)).toBe(network);
    expect(parseNetwork(network)).toBe(network);
  });

  test.each(["", "eve", "eve@example.com", "192.0.2.7/33", "192.0.2.7/0", "2001:db8::/129", "192.0.2.7/24/1", "1.2.3"])(
    "is not %s",
    (written) => {
      expect(parseNetwork(written)).toBeUndefined();
    },
  );
});

describe("bans", () => {
  let core: TestCore;
  beforeEach(async () => {
    core = await openTestCore();
  });
  afterEach(() => core.close());

  const networks = async () => (await listBans(core)).map(({ network }) => network);

  test("refuse the addresses of their networks, in any spelling, and no other", async () => {
    await addBan(core, root, "192.0.2.0/25", undefined);
    await addBan(core, root, "2001:db8::1", undefined);
    const refused = ["192.0.2.0", "192.0.2.127", "::ffff:192.0.2.5", "2001:db8::ffff", "2001:DB8:0:0::2"];
    const taken = ["192.0.2.128", "192.0.3.1", "2001:db8:0:1::1", "::1", "no address"];
    for (const ip of refused) expect([ip, await core.bans.has(ip)]).toEqual([ip, true]);
    for (const ip of taken) expect([ip, await core.bans.has(ip)]).toEqual([ip, false]);
  });

  test("count at another server within five seconds, and so does their end", async () => {
    const other = await core.again();
    expect(await other.bans.has("192.0.2.7")).toBe(false);
    await addBan(core, root, "192.0.2.7", undefined);
    core.clock.advance(5_000);
    expect(await other.bans.has("192.0.2.7")).toBe(true);
    await liftBan(core, root, "192.0.2.7/32");
    core.clock.advance(5_000);
    expect(await other.bans.has("192.0.2.7")).toBe(false);
    await other.close();
  });

  test("end by themselves, are replaced by a later one, and leave no row behind", async () => {
    await addBan(core, root, "192.0.2.7", 60_000);
    await addBan(core, root, "198.51.100.0/24", 120_000);
    await addBan(core, root, "192.0.2.7", 90_000);
    core.clock.advance(60_000);
    expect(await networks()).toEqual(["192.0.2.7/32", "198.51.100.0/24"]);
    core.clock.advance(30_000);
    expect(await networks()).toEqual(["198.51.100.0/24"]);
    await addBan(core, root, "203.0.113.1", undefined);
    const { counts } = core.store.contents;
    expect((await counts()).find(({ table }) => table === "bans")?.rows).toBe(2);
  });

  test("go on where the database does not answer, as they were last read", async () => {
    await addBan(core, root, "192.0.2.7", undefined);
    const other = await core.again();
    expect(await other.bans.has("192.0.2.7")).toBe(true);
    await other.store.close();
    core.clock.advance(5_000);
    expect(await other.bans.has("192.0.2.7")).toBe(true);
    expect(other.lines.map(({ event }) => event)).toContain("bans_not_read");
  });

  test("that are none cannot be lifted, and what is no network cannot be banned", async () => {
    expect(await codeOf(liftBan(core, root, "192.0.2.7"))).toBe("not_found");
    expect(await codeOf(addBan(core, root, "eve", undefined))).toBe("validation_failed");
  });
});
