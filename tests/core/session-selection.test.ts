import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { countSelected, pagesOfSelected } from "../../src/core/session-selection.ts";
import { startSession } from "../../src/core/sessions.ts";
import { codeOf, firefox, openTestCore, registerAda, type TestCore } from "../support/core.ts";

const addresses = [
  "192.0.2.7",
  "192.0.2.8",
  "192.0.3.7",
  "::ffff:192.0.2.9",
  "2001:db8::1",
  "2001:db8:0:1::1",
  "2001:db9::1",
  null,
];

describe("sessions are selected by where they were last used from:", () => {
  let core: TestCore;
  beforeAll(async () => {
    core = await openTestCore();
    const { user: ada } = await registerAda(core);
    const { user: bob } = await registerAda(core, "bob@example.com");
    const users = await Promise.all([ada, bob].map(({ id }) => core.store.users.byId(id)));
    await core.store.write(async (tx) => {
      for (const [at, ip] of addresses.entries()) {
        core.clock.advance(1);
        await startSession(core, tx, { ...firefox, ip }, users[at % 2]!, "session");
      }
    });
  });
  afterAll(() => core.close());

  test.each([
    ["192.0.2.7", ["192.0.2.7"]],
    ["192.0.2.9", ["::ffff:192.0.2.9"]],
    ["::ffff:192.0.2.7", ["192.0.2.7"]],
    ["192.0.2.0/24", ["192.0.2.7", "192.0.2.8", "::ffff:192.0.2.9"]],
    ["192.0.2.7/32", ["192.0.2.7"]],
    ["192.0.0.0/16", ["192.0.2.7", "192.0.2.8", "192.0.3.7", "::ffff:192.0.2.9"]],
    ["2001:DB8:0:0::1", ["2001:db8::1"]],
    ["2001:db8::/64", ["2001:db8::1"]],
    ["2001:db8::/32", ["2001:db8::1", "2001:db8:0:1::1"]],
    ["203.0.113.0/24", []],
  ])("%s", async (from, expected) => {
    const found: Array<string | null> = [];
    for await (const page of pagesOfSelected(core, { from })) found.push(...page.map(({ session }) => session.ip));
    expect(found).toEqual(expected);
    const users = new Set(expected.map((ip) => addresses.indexOf(ip) % 2)).size;
    expect(await countSelected(core, { from })).toEqual({ sessions: expected.length, users });
  });

  test("all of them, where nothing is said of it", async () => {
    expect(await countSelected(core, {})).toEqual({ sessions: addresses.length, users: 2 });
  });

  test.each(["", "x", "192.0.2", "192.0.2.0/33", "192.0.2.0/x", "fe80::1%eth0", "::/0", "' OR 1=1 --"])(
    "never by what is no network: %s",
    async (from) => {
      expect(await codeOf(countSelected(core, { from }))).toBe("validation_failed");
      expect(await codeOf(pagesOfSelected(core, { from }).next())).toBe("validation_failed");
    },
  );
});
