import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { login } from "../../src/core/login.ts";
import { refresh } from "../../src/core/refresh-tokens.ts";
import { grantRole, revokeRole } from "../../src/core/roles.ts";
import { authenticate } from "../../src/core/sessions.ts";
import { seedAdmin } from "../../src/core/users/admins.ts";
import { changePassword } from "../../src/core/users/new-passwords.ts";
import { register } from "../../src/core/users/registration.ts";
import {
  createUser,
  deleteOwnAccount,
  deleteUser,
  disableUser,
  enableUser,
  findUser,
  getUser,
  updateUser,
} from "../../src/core/users.ts";
import {
  codeOf,
  firefox,
  goodPassword,
  openTestCore,
  registerAda,
  root,
  type TestCore,
  visitor,
} from "../support/core.ts";
import { dump } from "../support/database.ts";

const betterPassword = "another good long phrase";

let core: TestCore;
/** The same data in another process, as it were. */
let other: TestCore;
beforeEach(async () => {
  core = await openTestCore();
  other = await core.again();
});
afterEach(async () => {
  await other.store.close();
  await core.close();
});

const twenty = <T>(work: (at: number, where: TestCore) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: 20 }, (_, at) => work(at, at % 2 === 0 ? core : other)));

async function signIn(password = goodPassword, where = core) {
  const given = await login(where, visitor, { identifier: "ada@example.com", password, credential: "tokens" });
  if (given.credential !== "tokens") throw new Error("asked for tokens");
  return given;
}

const actionsOf = async (userId: string) =>
  (await core.store.auditEvents.page({ userId }, 200)).map((event) => event.action);

describe("races for a name", () => {
  test("of 20 parallel registrations of one address one wins, however it is spelled", async () => {
    const codes = await twenty((at, where) => {
      const email = at % 3 === 0 ? "ADA@example.com" : "ada@Example.COM";
      return codeOf(register(where, visitor, { email, password: goodPassword }));
    });
    expect(codes.filter((code) => code === undefined)).toHaveLength(1);
    expect(codes.filter((code) => code === "email_taken")).toHaveLength(19);
    const { users, user_roles } = await dump(core);
    expect([users, user_roles].map((rows) => rows?.length)).toEqual([1, 1]);
  });

  test("of 20 parallel registrations of one user name one wins", async () => {
    const codes = await twenty((at, where) =>
      codeOf(register(where, visitor, { email: `ada${at}@example.com`, username: "ada.l", password: goodPassword })),
    );
    expect(codes.filter((code) => code === undefined)).toHaveLength(1);
    expect(codes.filter((code) => code === "username_taken")).toHaveLength(19);
  });

  test("of 20 users who take one user name at once one gets it", async () => {
    const members = await twenty((at, where) => registerAda(where, `ada${at}@example.com`));
    const codes = await twenty((at, where) =>
      codeOf(updateUser(where, root, members[at]!.user.id, { username: "ada.l" })),
    );
    expect(codes.filter((code) => code === undefined)).toHaveLength(1);
    expect(codes.filter((code) => code === "username_taken")).toHaveLength(19);
  });

  test("20 parallel seeds of one admin make one", async () => {
    const seed = { email: "root@example.com", password: () => Promise.resolve(goodPassword) };
    const seeded = await twenty((_, where) => seedAdmin(where, root, seed));
    expect(seeded.map(({ outcome }) => outcome).toSorted()).toEqual(["created", ...Array(19).fill("unchanged")]);
    expect(await core.store.users.countActive("admin")).toBe(1);
    expect((await seedAdmin(core, root, seed)).outcome).toBe("unchanged");
  });
});

describe("SE-3 races against signing in", () => {
  test("disabling: no sign-in that was under way is good for anything afterwards", async () => {
    const { user } = await registerAda(core);
    const racing = twenty((_, where) => signIn(goodPassword, where).catch(() => undefined));
    await disableUser(other, root, user.id);
    const late = await racing;
    for (const given of late) {
      if (!given) continue;
      expect(await codeOf(authenticate(core, given.accessToken, firefox))).toBe("unauthenticated");
      expect(await codeOf(refresh(core, visitor, given.refreshToken))).toBe("unauthenticated");
    }
    expect(await codeOf(signIn())).toBe("invalid_credentials");
    await enableUser(core, root, user.id);
    for (const given of late) {
      if (given) expect(await codeOf(authenticate(core, given.accessToken, firefox))).toBe("unauthenticated");
    }
  });

  test("deleting: no sign-in that was under way leaves a session behind", async () => {
    const { user } = await registerAda(core);
    const racing = twenty((_, where) => codeOf(signIn(goodPassword, where)));
    await deleteUser(other, root, user.id);
    for (const code of await racing) expect([undefined, "invalid_credentials"]).toContain(code);
    const left = await dump(core);
    for (const table of ["sessions", "refresh_families", "user_roles"]) expect(left[table]).toEqual([]);
  });

  test("PW-8 a new password: a sign-in with the old one that was under way is good for nothing", async () => {
    await registerAda(core);
    const asking = await signIn();
    const { by } = await authenticate(core, asking.accessToken, firefox);
    const racing = twenty((_, where) => signIn(goodPassword, where).catch(() => undefined));
    await changePassword(core, by, goodPassword, betterPassword);
    for (const given of await racing) {
      if (given) expect(await codeOf(authenticate(core, given.accessToken, firefox))).toBe("unauthenticated");
    }
    expect(await codeOf(authenticate(core, asking.accessToken, firefox))).toBeUndefined();
  });

  test("of 20 changes of one password at once one is done, and the last session that asked lives", async () => {
    await registerAda(core);
    const { by } = await authenticate(core, (await signIn()).accessToken, firefox);
    const codes = await twenty((at, where) =>
      codeOf(changePassword(where, by, goodPassword, `${betterPassword} ${at}`)),
    );
    expect(codes.filter((code) => code === undefined)).toHaveLength(1);
    expect(await codeOf(signIn(`${betterPassword} ${codes.indexOf(undefined)}`))).toBeUndefined();
  });
});

describe("AZ-2 the last admin stays", () => {
  const twoAdmins = async () => {
    const both = [await registerAda(core, "one@example.com"), await registerAda(core, "two@example.com")] as const;
    for (const { user } of both) await grantRole(core, root, user.id, "admin");
    return both.map(({ user }) => user.id) as [string, string];
  };
  const ways = {
    deleting: (where: TestCore, id: string) => deleteUser(where, root, id),
    disabling: (where: TestCore, id: string) => disableUser(where, root, id),
    demoting: (where: TestCore, id: string) => revokeRole(where, root, id, "admin"),
  };

  test.each([
    ["deleting", "deleting"],
    ["disabling", "disabling"],
    ["demoting", "demoting"],
    ["deleting", "demoting"],
    ["disabling", "deleting"],
    ["demoting", "disabling"],
  ] as const)("when %s the one races with %s the other", async (first, second) => {
    const [one, two] = await twoAdmins();
    const codes = await twenty((at, where) =>
      codeOf(at % 2 === 0 ? ways[first](where, one) : ways[second](where, two)),
    );
    expect(codes).toContain("last_admin");
    expect(await core.store.users.countActive("admin")).toBe(1);
  });

  test("alone, whatever is tried", async () => {
    const { user } = await seedAdmin(core, root, {
      email: "root@example.com",
      password: () => Promise.resolve(goodPassword),
    });
    for (const way of Object.values(ways)) expect(await codeOf(way(core, user.id))).toBe("last_admin");
    const disabled = await registerAda(core);
    await grantRole(core, root, disabled.user.id, "admin");
    await disableUser(core, root, disabled.user.id);
    for (const way of Object.values(ways)) expect(await codeOf(way(core, user.id))).toBe("last_admin");
    // One who is disabled is no active admin, and may be removed.
    await deleteUser(core, root, disabled.user.id);
  });

  test("a role that nobody knows is given to nobody", async () => {
    const { user } = await registerAda(core);
    expect(await codeOf(grantRole(core, root, user.id, "owner"))).toBe("not_found");
    expect(await codeOf(createUser(core, root, { email: "x@example.com", roles: ["owner"] }))).toBe("not_found");
    expect(await core.store.users.byEmailKey("x@example.com")).toBeUndefined();
  });
});

describe("an account", () => {
  test("is found by id, address and user name", async () => {
    const { user } = await register(core, visitor, {
      email: "Ada@example.com",
      username: "Ada.L",
      password: goodPassword,
    });
    for (const name of [user.id, "ada@EXAMPLE.com", "ada.l"])
      expect((await findUser(core, name)).user.id).toBe(user.id);
    for (const name of ["nobody", "nobody@example.com", ""])
      expect(await codeOf(findUser(core, name))).toBe("not_found");
  });

  test("that changes its address is verified no more, unless it is the same in other letters", async () => {
    const { user } = await createUser(core, root, { email: "ada@example.com", emailVerified: true });
    await updateUser(core, root, user.id, { email: "ADA@example.com" });
    expect((await getUser(core, user.id)).user).toMatchObject({
      email: "ADA@example.com",
      emailVerifiedAt: expect.any(Date),
    });
    await updateUser(core, root, user.id, { email: "ada@example.org" });
    expect((await getUser(core, user.id)).user.emailVerifiedAt).toBeNull();
  });

  test("that is deleted for good is gone from every table but the audit trail, which names no person", async () => {
    await core.close();
    core = await openTestCore({ TOMBSTONE_TTL: "0" });
    const { user } = await register(core, visitor, {
      email: "ada@example.com",
      fullName: "Ada Lovelace",
      password: goodPassword,
    });
    const { by } = await authenticate(core, (await signIn()).accessToken, firefox);
    await deleteOwnAccount(core, by, goodPassword);
    // The outbox still has to tell who it was, and forgets it then.
    const { audit_events: events, mails: _, ...rest } = await dump(core);
    expect(JSON.stringify(rest)).not.toContain(user.id);
    expect(JSON.stringify(events)).not.toMatch(/Lovelace|ada@example|Firefox|192\.0\.2\.7/);
    expect(await actionsOf(user.id)).toEqual(["user.deleted", "login.succeeded", "user.registered"]);
  });

  test("that is disabled or enabled again is left as it is, and nothing is recorded twice", async () => {
    const { user } = await registerAda(core);
    for (let again = 0; again < 2; again++) await disableUser(core, root, user.id);
    for (let again = 0; again < 2; again++) await enableUser(core, root, user.id);
    const actions = await actionsOf(user.id);
    for (const action of ["user.disabled", "user.enabled"])
      expect(actions.filter((one) => one === action)).toHaveLength(1);
  });
});
