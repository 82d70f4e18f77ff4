import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { anonymous, type UserActor } from "../../src/core/actors.ts";
import type { Core } from "../../src/core/core.ts";
import { login } from "../../src/core/login.ts";
import {
  addPermissions,
  createRole,
  deleteRole,
  grantRole,
  listRoles,
  revokeRole,
  updateRole,
} from "../../src/core/roles.ts";
import { authenticate, signOutEverywhere } from "../../src/core/sessions.ts";
import { proveAgain } from "../../src/core/step-up.ts";
import { requestEmailChange } from "../../src/core/users/addresses.ts";
import { changePassword } from "../../src/core/users/new-passwords.ts";
import {
  createUser,
  deleteOwnAccount,
  deleteUser,
  disableUser,
  getUser,
  updateOwnAccount,
  updateUser,
} from "../../src/core/users.ts";
import { codeOf, firefox, goodPassword, openTestCore, registerAda, root, type TestCore } from "../support/core.ts";

const minute = 60_000;
const tenMinutes = 10 * minute;
const admin = "admin@example.com";
const wrong = "not the password at all";

let core: TestCore;
let by: UserActor;
let other: string;
beforeEach(() => open());
afterEach(() => core.close());

async function open(env: Record<string, string> = {}): Promise<void> {
  core = await openTestCore(env);
  const { user } = await registerAda(core, admin);
  await grantRole(core, root, user.id, "admin");
  await createRole(core, root, "reader", { permissions: ["users:read"] });
  other = (await registerAda(core, "other@example.com")).user.id;
  by = await signedIn();
}

async function signedIn(password = goodPassword): Promise<UserActor> {
  const given = await login(core, anonymous(firefox), { identifier: admin, password, credential: "session" });
  if (given.credential !== "session") throw new Error("asked for a session token");
  return (await authenticate(core, given.sessionToken, firefox)).by;
}

/** Every act that wants a recent proof, on its own. */
const sensitive: ReadonlyArray<readonly [name: string, act: (on: Core) => Promise<unknown>]> = [
  ["grants a role", (on) => grantRole(on, by, other, "reader")],
  ["takes a role", (on) => revokeRole(on, by, other, "user")],
  ["makes a role", (on) => createRole(on, by, "made", { permissions: [] })],
  ["changes a role", (on) => updateRole(on, by, "reader", { permissions: ["audit:read"] })],
  ["adds to a role", (on) => addPermissions(on, by, "reader", ["audit:read"])],
  ["deletes a role", (on) => deleteRole(on, by, "reader")],
  ["makes a user of a role", (on) => createUser(on, by, { email: "new@example.com", roles: ["admin"] })],
  ["changes an address", (on) => updateUser(on, by, other, { email: "moved@example.com" })],
  [
    "changes the own address without the password",
    (on) => updateUser(on, by, by.userId, { email: "moved@example.com" }),
  ],
  ["deletes a user", (on) => deleteUser(on, by, other)],
  ["deletes the own account without the password", (on) => deleteUser(on, by, by.userId)],
];

const everything = async () => ({
  roles: (await listRoles(core)).map(({ name, permissions }) => [name, permissions]),
  other: await getUser(core, other),
  own: (await getUser(core, by.userId)).user.email,
});

describe("AZ-4 a user who", () => {
  test.each(sensitive)("%s wants to have proved the password within ten minutes", async (name, act) => {
    // So that it is the proof alone that is missing.
    if (name.startsWith("deletes the own")) await grantRole(core, root, other, "admin");
    const before = await everything();
    core.clock.advance(tenMinutes + 1);
    expect(await codeOf(act(core))).toBe("step_up_required");
    expect(await everything()).toEqual(before);
    await proveAgain(core, by, goodPassword);
    core.clock.advance(tenMinutes);
    expect(await codeOf(act(core))).toBeUndefined();
  });

  test.each(sensitive)("%s needs no proof where STEP_UP_TTL is 0", async (name, act) => {
    const lax = await core.again({ STEP_UP_TTL: "0" });
    if (name.startsWith("deletes the own")) await grantRole(core, root, other, "admin");
    core.clock.advance(tenMinutes + 1);
    expect(await codeOf(act(lax))).toBeUndefined();
    await lax.store.close();
  });

  test("does anything else goes on without", async () => {
    core.clock.advance(tenMinutes + 1);
    const acts = [
      () => updateUser(core, by, other, { fullName: "Other", email: "OTHER@example.com" }),
      () => updateOwnAccount(core, by, { fullName: "Own" }),
      () => createUser(core, by, { email: "plain@example.com" }),
      () => disableUser(core, by, other),
      () => requestEmailChange(core, by, "own@example.com", goodPassword),
      () => changePassword(core, by, goodPassword, "another good long phrase"),
    ];
    for (const act of acts) expect(await codeOf(act())).toBeUndefined();
    await grantRole(core, root, (await createUser(core, root, { email: "third@example.com" })).user.id, "admin");
    const own = await signedIn("another good long phrase");
    core.clock.advance(tenMinutes + 1);
    expect(await codeOf(deleteOwnAccount(core, own, "another good long phrase"))).toBeUndefined();
  });

  test("may not do it anyway is told that, and not to prove anything", async () => {
    await grantRole(core, root, other, "admin");
    await revokeRole(core, root, by.userId, "admin");
    core.clock.advance(tenMinutes + 1);
    expect(await codeOf(grantRole(core, by, other, "reader"))).toBe("forbidden");
    expect(await codeOf(deleteUser(core, by, other))).toBe("forbidden");
  });

  test("acts by a clock that was set back proves nothing by it", async () => {
    core.clock.advance(-(tenMinutes + 1));
    expect(await codeOf(grantRole(core, by, other, "reader"))).toBe("step_up_required");
  });
});

test("AZ-4 an operator proves nothing", async () => {
  core.clock.advance(tenMinutes + 1);
  expect(await codeOf(grantRole(core, root, other, "reader"))).toBeUndefined();
  expect(await codeOf(deleteUser(core, root, other))).toBeUndefined();
});

describe("the proof", () => {
  test("is of one session, and is recorded", async () => {
    const second = await signedIn();
    core.clock.advance(tenMinutes + 1);
    await proveAgain(core, second, goodPassword);
    expect(await codeOf(grantRole(core, by, other, "reader"))).toBe("step_up_required");
    expect(await codeOf(grantRole(core, second, other, "reader"))).toBeUndefined();
    const [event] = await core.store.auditEvents.page({ action: "session.proved" }, 1);
    expect(event).toMatchObject({ actor: by.userId, userId: by.userId, sessionId: second.session.id });
  });

  test("is no wrong password, nor that of a session that has ended", async () => {
    core.clock.advance(tenMinutes + 1);
    expect(await codeOf(proveAgain(core, by, wrong))).toBe("invalid_credentials");
    expect(await codeOf(grantRole(core, by, other, "reader"))).toBe("step_up_required");
    await signOutEverywhere(core, root, by.userId);
    expect(await codeOf(proveAgain(core, by, goodPassword))).toBe("unauthenticated");
    expect(await codeOf(grantRole(core, by, other, "reader"))).toBe("unauthenticated");
  });

  test("LI-0 is limited as every other try, over 40 at once", async () => {
    await core.close();
    await open({ RATE_LIMITS: "on" });
    core.clock.advance(tenMinutes + 1);
    const all = await Promise.all(Array.from({ length: 40 }, () => codeOf(proveAgain(core, by, wrong))));
    expect(all.filter((code) => code === "invalid_credentials")).toHaveLength(10);
    expect(all.filter((code) => code === "rate_limited")).toHaveLength(30);
    expect(await codeOf(proveAgain(core, by, goodPassword))).toBe("rate_limited");
  });
});
