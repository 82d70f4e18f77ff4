import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { anonymous, type Client } from "../../src/core/actors.ts";
import type { Core } from "../../src/core/core.ts";
import type { Credentials } from "../../src/core/credentials.ts";
import { type Presented, rememberDevice } from "../../src/core/known-devices.ts";
import { login, signOut } from "../../src/core/login.ts";
import { codeOf, firefox, goodPassword, openTestCore, registerAda, type TestCore } from "../support/core.ts";

const minute = 60_000;
const wrong = "not the password at all";
const email = "ada@example.com";
const secret = "the-first-secret-of-this-server".repeat(2);
const stranger: Client = { ...firefox, ip: "203.0.113.5" };

let core: TestCore;
let id: string;
beforeEach(async () => {
  core = await openTestCore({ RATE_LIMITS: "on", SECRET_KEY: secret });
  id = (await registerAda(core)).user.id;
});
afterEach(() => core.close());

type Try = {
  readonly name?: string;
  readonly password?: string;
  readonly from?: Client;
  readonly presented?: Partial<Presented>;
  readonly at?: Core;
};

const tryOnce = ({ name = email, password = wrong, from = firefox, presented, at = core }: Try): Promise<Credentials> =>
  login(at, anonymous(from), {
    identifier: name,
    password,
    credential: "session",
    ...(presented && { presented: { handles: [], ...presented } }),
  });
const outcome = async (one: Try): Promise<string> => (await codeOf(tryOnce(one))) ?? "signed in";
const right = async (presented: Partial<Presented>, name = email): Promise<string> =>
  await outcome({ name, password: goodPassword, presented });
const lockOut = async (): Promise<void> => {
  for (let done = 0; done < 10; done++) await outcome({ from: stranger });
  expect(await outcome({ password: goodPassword })).toBe("rate_limited");
};
const sessionTokenOf = async (name: string): Promise<string> => {
  const given = await tryOnce({ name, password: goodPassword });
  if (given.credential !== "session") throw new Error("asked for a session token");
  return given.sessionToken;
};

describe("LI-2 an account that strangers have locked", () => {
  test("opens to a browser that its owner has signed in with before, at any server and under a newer secret", async () => {
    const device = rememberDevice(core, id, undefined);
    await lockOut();
    expect(await right({ device })).toBe("signed in");
    const newer = await core.again({ SECRET_KEY: `${"another-secret-of-this-server".repeat(2)} ${secret}` });
    expect(await outcome({ at: newer, password: goodPassword, presented: { device } })).toBe("signed in");
    await newer.store.close();
  });

  test("opens to whoever has a live session of its owner, and to no ended one", async () => {
    const token = await sessionTokenOf(email);
    await lockOut();
    expect(await right({ handles: ["nonsense", token] })).toBe("signed in");
    await signOut(core, anonymous(firefox), [token]);
    expect(await right({ handles: [token] })).toBe("rate_limited");
  });

  test("stays closed to another account's device and session", async () => {
    const other = (await registerAda(core, "eve@example.com")).user.id;
    const device = rememberDevice(core, other, undefined);
    const handles = [await sessionTokenOf("eve@example.com")];
    await lockOut();
    expect(await right({ device, handles })).toBe("rate_limited");
    expect(await right({ device, handles }, "eve@example.com")).toBe("signed in");
  });

  test("stays closed to whatever is forged", async () => {
    const device = rememberDevice(core, id, undefined);
    const another = rememberDevice(core, id, undefined);
    await lockOut();
    const [form, own, signature] = device.split(".");
    const forged = [
      `${form}.${another.split(".")[1]}.${signature}`,
      `${form}.${own}.${"A".repeat(43)}`,
      `${device}A`,
      `${form}.${own}`,
      `dv2.${own}.${signature}`,
      "",
    ];
    for (const one of forged) expect([one, await right({ device: one })]).toEqual([one, "rate_limited"]);
  });
});

describe("LI-2 a known device", () => {
  test("has as many tries as the account, its own, and spends none of the account's", async () => {
    const presented = { device: rememberDevice(core, id, undefined) };
    for (let done = 0; done < 10; done++) expect(await outcome({ presented })).toBe("invalid_credentials");
    expect(await right(presented)).toBe("rate_limited");
    expect(await right({ device: rememberDevice(core, id, undefined) })).toBe("signed in");
    for (let done = 0; done < 10; done++) expect(await outcome({})).toBe("invalid_credentials");
    core.clock.advance(15 * minute);
    expect(await right(presented)).toBe("signed in");
  });

  test("of 40 tries at once is given ten, over two servers", async () => {
    const presented = { device: rememberDevice(core, id, undefined) };
    const other = await core.again();
    const all = await Promise.all(
      Array.from({ length: 40 }, (_, at) =>
        outcome({ presented, at: at % 2 === 0 ? core : other, from: { ...firefox, ip: `192.0.2.${at}` } }),
      ),
    );
    expect(all.filter((one) => one === "invalid_credentials")).toHaveLength(10);
    expect(all.filter((one) => one === "rate_limited")).toHaveLength(30);
    await other.store.close();
  });

  test("is counted with its address all the same", async () => {
    const at = await core.again({ RATE_LIMIT_SIGN_IN_ADDRESS: "3/15m" });
    const presented = { device: rememberDevice(core, id, undefined) };
    for (let done = 0; done < 3; done++) await outcome({ at, presented });
    const refusal = await tryOnce({ at, presented }).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: "rate_limited", allowance: { limit: "sign_in_address" } });
    await at.store.close();
  });

  test("of somebody else changes nothing for a name that nobody has", async () => {
    const presented = { device: rememberDevice(core, id, undefined), handles: [await sessionTokenOf(email)] };
    const name = "nobody@example.com";
    for (let done = 0; done < 10; done++) expect(await outcome({ name, presented })).toBe("invalid_credentials");
    const refusal = await tryOnce({ name, presented }).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: "rate_limited", allowance: { limit: "sign_in_account" } });
  });

  test("keeps its proof for the same user, and gets another one for another", async () => {
    const device = rememberDevice(core, id, undefined);
    expect(rememberDevice(core, id, device)).toBe(device);
    const other = (await registerAda(core, "eve@example.com")).user.id;
    expect(rememberDevice(core, other, device)).not.toBe(device);
    expect(device).toMatch(/^dv1\.[\w-]{22}\.[\w-]{43}$/);
  });
});
