import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { anonymous, type Client } from "../../src/core/actors.ts";
import { rememberDevice } from "../../src/core/known-devices.ts";
import { listCounts, resetCounts } from "../../src/core/limit-counts.ts";
import { login } from "../../src/core/login.ts";
import { forgotPassword } from "../../src/core/users/new-passwords.ts";
import { codeOf, firefox, goodPassword, openTestCore, registerAda, root, type TestCore } from "../support/core.ts";

const minute = 60_000;
const ada = "ada@example.com";
const eve = "eve@example.com";

let core: TestCore;
let id: string;
beforeEach(async () => {
  core = await openTestCore({ RATE_LIMITS: "on" });
  id = (await registerAda(core)).user.id;
  await registerAda(core, eve);
});
afterEach(() => core.close());

const from = (ip: string): Client => ({ ...firefox, ip });
const signIn = (
  name: string,
  password: string,
  { client = firefox, device }: { client?: Client; device?: string } = {},
) =>
  codeOf(
    login(core, anonymous(client), {
      identifier: name,
      password,
      credential: "session",
      presented: { device, handles: [] },
    }),
  );
const tryWrong = async (name: string, times: number, how: Parameters<typeof signIn>[2] = {}) => {
  for (let done = 0; done < times; done++) await signIn(name, "not the password at all", how);
};
const shown = async (target: string, only?: Parameters<typeof listCounts>[2]) =>
  (await listCounts(core, target, only)).map(({ limit, together, spent, most }) => [limit, together, spent, most]);

describe("what is counted", () => {
  test("of a user is shown by id and address, and of an address by any of its /64", async () => {
    const device = rememberDevice(core, id, undefined);
    await tryWrong(ada, 3);
    await tryWrong(ada, 2, { client: from("2001:db8::1") });
    await tryWrong(ada, 4, { device });
    await forgotPassword(core, anonymous(firefox), ada);
    const ofAda = [
      ["sign_in_account", null, 5, 10],
      ["sign_in_device", device.split(".")[1]!, 4, 10],
      ["sign_in_pair", "192.0.2.7", 3, 10],
      ["sign_in_pair", "2001:db8:0:0::/64", 2, 10],
      ["mail_account", null, 1, 5],
    ];
    expect(await shown(id)).toEqual(ofAda);
    expect(await shown("ADA@example.com")).toEqual(ofAda);
    expect(await shown(ada, "mail_account")).toEqual(ofAda.slice(-1));
    expect(await shown("2001:db8:0:0:ffff::9")).toEqual([["sign_in_address", null, 2, 100]]);
    expect(await shown(firefox.ip!)).toEqual([
      ["sign_in_address", null, 7, 100],
      ["mail_address", null, 1, 50],
    ]);
    const [first] = await listCounts(core, ada);
    expect(first?.endsAt).toEqual(new Date(core.clock.now().getTime() + 15 * minute));
  });

  test("of a window that is over, of a right password and of somebody else is not shown", async () => {
    expect(await signIn(ada, goodPassword)).toBeUndefined();
    await tryWrong(eve, 2);
    expect(await shown(ada)).toEqual([]);
    core.clock.advance(15 * minute);
    expect(await shown(eve)).toEqual([]);
    expect(await codeOf(listCounts(core, "nobody@example.com"))).toBe("not_found");
  });
});

describe("LI-1 a reset", () => {
  test("of a user lets in who was locked out, and nobody else", async () => {
    await tryWrong(ada, 10);
    await tryWrong(eve, 10);
    expect((await resetCounts(core, root, ada)).map(({ limit }) => limit)).toEqual(["sign_in_account", "sign_in_pair"]);
    expect(await signIn(ada, goodPassword)).toBeUndefined();
    expect(await signIn(eve, goodPassword)).toBe("rate_limited");
    expect(await shown(firefox.ip!)).toEqual([["sign_in_address", null, 20, 100]]);
  });

  test("of an address unlocks no account", async () => {
    await tryWrong(ada, 10);
    expect(await resetCounts(core, root, firefox.ip!)).toHaveLength(1);
    expect(await shown(firefox.ip!)).toEqual([]);
    expect(await signIn(ada, goodPassword)).toBe("rate_limited");
  });

  test("of one limit leaves the others", async () => {
    await tryWrong(ada, 10);
    await resetCounts(core, root, ada, "sign_in_account");
    expect(await shown(ada)).toEqual([["sign_in_pair", "192.0.2.7", 10, 10]]);
    expect(await signIn(ada, goodPassword)).toBe("rate_limited");
    expect(await signIn(ada, goodPassword, { client: from("192.0.2.8") })).toBeUndefined();
  });

  test("is recorded with its limits, and only where something was counted", async () => {
    const events = () => core.store.auditEvents.page({ action: "limit.reset" }, 9);
    await resetCounts(core, root, ada);
    expect(await events()).toEqual([]);
    await tryWrong(ada, 1);
    await resetCounts(core, root, ada);
    await resetCounts(core, root, firefox.ip!);
    expect(await events()).toMatchObject([
      { userId: null, actor: "root@test", particulars: { limits: "sign_in_address", address: "192.0.2.7" } },
      { userId: id, actor: "root@test", particulars: { limits: "sign_in_account sign_in_pair" } },
    ]);
  });
});
