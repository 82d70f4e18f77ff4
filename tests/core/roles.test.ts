import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { UserActor } from "../../src/core/actors.ts";
import type { Core } from "../../src/core/core.ts";
import { login } from "../../src/core/login.ts";
import { explainPermission } from "../../src/core/permissions.ts";
import {
  addPermissions,
  createRole,
  deleteRole,
  getRole,
  grantRole,
  grantsOf,
  keepAnAdmin,
  listRoles,
  removePermissions,
  requireAuthorityOver,
  requirePermission,
  revokeRole,
  updateRole,
} from "../../src/core/roles.ts";
import { authenticate } from "../../src/core/sessions.ts";
import { createUser, deleteUser, disableUser, getUser } from "../../src/core/users.ts";
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
import { dialect } from "../support/database.ts";
import { watched } from "../support/watched.ts";

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

let people = 0;
const newUser = async () => (await registerAda(core, `ada${++people}@example.com`)).user;

/** A new user who holds `admin`, or a role with these permissions; signed in. */
async function actor(may: "admin" | readonly string[]): Promise<UserActor> {
  const { id, email } = await newUser();
  if (may === "admin") await grantRole(core, root, id, "admin");
  else {
    const { name } = await createRole(core, root, `role-${people}`, { permissions: may });
    await grantRole(core, root, id, name);
  }
  const given = await login(core, visitor, { identifier: email, password: goodPassword, credential: "session" });
  if (given.credential !== "session") throw new Error("asked for a session");
  return (await authenticate(core, given.sessionToken, firefox)).by;
}

const permissionsOf = async (name: string) => (await getRole(core, name)).permissions;
const rolesOf = async (id: string) => (await getUser(core, id)).roles;
const events = async (action: string) =>
  (await core.store.auditEvents.page({}, 500)).filter((event) => event.action === action);

describe("a role", () => {
  test("is one of three until others are made", async () => {
    expect((await listRoles(core)).map(({ name, permissions }) => [name, permissions])).toEqual([
      ["admin", ["*"]],
      ["guest", []],
      ["user", []],
    ]);
  });

  test("holds each permission once, in order, and is as it was made", async () => {
    const permissions = ["users:read", "billing:refund", "users:read", "*"];
    await createRole(core, root, "support", { description: "  Helps people ", permissions });
    expect(await getRole(core, "support")).toMatchObject({
      name: "support",
      description: "Helps people",
      permissions: ["*", "billing:refund", "users:read"],
    });
    expect(await events("role.created")).toMatchObject([
      { actor: "root@test", particulars: { role: "support", permissions: "* billing:refund users:read" } },
    ]);
  });

  test.each(["", "a", "1a", "Admin", "a b", "-a", "ä1", "a".repeat(33), "a\n", "a/b", "__proto__", "a:b"])(
    "cannot be called %p",
    async (name) => {
      expect(await codeOf(createRole(core, root, name, {}))).toBe("validation_failed");
    },
  );

  test("tells of everything that does not fit, at once", async () => {
    const made = createRole(core, root, "X", { description: "a\u202eb", permissions: ["users:read", "Users", "*:*"] });
    const error = await made.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "validation_failed",
      errors: [{ path: "name" }, { path: "description" }, { path: "permissions.1" }, { path: "permissions.2" }],
    });
    expect(await listRoles(core)).toHaveLength(3);
  });

  test("holds at most a hundred permissions, however they come", async () => {
    const many = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => `app:v${from + at}`);
    await createRole(core, root, "support", { permissions: many(0, 99) });
    expect(await codeOf(addPermissions(core, root, "support", many(99, 101)))).toBe("validation_failed");
    await addPermissions(core, root, "support", many(50, 100));
    expect(await permissionsOf("support")).toHaveLength(100);
    expect(await codeOf(updateRole(core, root, "support", { permissions: many(0, 101) }))).toBe("validation_failed");
  });

  test("of 20 that are made at once under one name one is made", async () => {
    const codes = await twenty((at, where) => codeOf(createRole(where, root, "support", { description: `${at}` })));
    expect(codes.filter((code) => code === undefined)).toHaveLength(1);
    expect(codes.filter((code) => code === "role_exists")).toHaveLength(19);
    expect((await getRole(core, "support")).description).toBe(`${codes.indexOf(undefined)}`);
    expect(await events("role.created")).toHaveLength(1);
  });

  test("loses none of 20 permissions that are added at once, nor keeps one of 20 that are taken at once", async () => {
    const all = Array.from({ length: 20 }, (_, at) => `app:v${at}`);
    await createRole(core, root, "support", {});
    await twenty((at, where) => addPermissions(where, root, "support", [all[at]!]));
    expect(await permissionsOf("support")).toEqual(all.toSorted());
    await twenty((at, where) => removePermissions(where, root, "support", [all[at]!]));
    expect(await permissionsOf("support")).toEqual([]);
    expect(await events("role.updated")).toHaveLength(40);
  });

  test("that is changed to what it is leaves no trace", async () => {
    await createRole(core, root, "support", { description: "Helps", permissions: ["users:read"] });
    const before = await getRole(core, "support");
    core.clock.advance(1000);
    await updateRole(core, root, "support", { description: "Helps", permissions: ["users:read"] });
    await addPermissions(core, root, "support", ["users:read"]);
    await removePermissions(core, root, "support", ["users:write"]);
    expect(await getRole(core, "support")).toEqual(before);
    expect(await events("role.updated")).toEqual([]);
  });

  test("tells the audit trail what was added and what was taken", async () => {
    await createRole(core, root, "support", { permissions: ["users:read", "users:write"] });
    await updateRole(core, root, "support", { permissions: ["users:read", "billing:read"] });
    expect(await events("role.updated")).toMatchObject([
      { particulars: { role: "support", added: "billing:read", removed: "users:write" } },
    ]);
  });

  test("that is built in stays; admin as it is, the others may permit something else", async () => {
    for (const name of ["admin", "user", "guest"])
      expect(await codeOf(deleteRole(core, root, name))).toBe("role_built_in");
    expect(await codeOf(updateRole(core, root, "admin", { permissions: [] }))).toBe("role_built_in");
    expect(await codeOf(updateRole(core, root, "admin", { description: "x" }))).toBe("role_built_in");
    expect(await codeOf(removePermissions(core, root, "admin", ["*"]))).toBe("role_built_in");
    await updateRole(core, root, "guest", { description: "May look", permissions: ["shop:look"] });
    expect(await getRole(core, "guest")).toMatchObject({ description: "May look", permissions: ["shop:look"] });
    expect(await permissionsOf("admin")).toEqual(["*"]);
  });

  test("that is deleted is taken from its holders, whose revisions move on, and from nobody else", async () => {
    await createRole(core, root, "support", { permissions: ["users:read"] });
    const [one, two, without] = [await newUser(), await newUser(), await newUser()];
    for (const { id } of [one, two]) await grantRole(core, root, id, "support");
    const before = (await getUser(core, one.id)).user.revision;
    expect(await deleteRole(core, root, "support")).toBe(2);
    for (const { id } of [one, two, without]) expect(await rolesOf(id)).toEqual(["user"]);
    expect((await getUser(core, one.id)).user.revision).toBe(before + 1);
    expect((await getUser(core, without.id)).user.revision).toBe(without.revision);
    expect(await events("role.deleted")).toMatchObject([{ particulars: { role: "support", holders: 2 } }]);
    expect(await codeOf(deleteRole(core, root, "support"))).toBe("not_found");
    expect(await codeOf(grantRole(core, root, one.id, "support"))).toBe("not_found");
  });

  test("that is deleted while 20 are given it is held by nobody, and every answer is a plain one", async () => {
    await createRole(core, root, "support", {});
    const users = await twenty(newUser);
    const [deleted, ...codes] = await Promise.all([
      codeOf(deleteRole(other, root, "support")),
      ...users.map(({ id }, at) => codeOf(grantRole(at % 2 === 0 ? core : other, root, id, "support"))),
      codeOf(createUser(core, root, { email: "grace@example.com", roles: ["support"] })),
    ]);
    expect(deleted).toBeUndefined();
    for (const code of codes) expect([undefined, "not_found"]).toContain(code);
    for (const { id } of users) expect(await rolesOf(id)).toEqual(["user"]);
  });
});

describe("giving and taking a role", () => {
  test("happens once, and moves the user's revision on once", async () => {
    const { id, revision } = await newUser();
    await createRole(core, root, "support", {});
    expect((await twenty((_, where) => grantRole(where, root, id, "support"))).filter(Boolean)).toHaveLength(1);
    expect((await getUser(core, id)).user.revision).toBe(revision + 1);
    expect((await twenty((_, where) => revokeRole(where, root, id, "support"))).filter(Boolean)).toHaveLength(1);
    expect((await getUser(core, id)).user.revision).toBe(revision + 2);
    expect(await events("user.role_granted")).toHaveLength(1);
    expect(await events("user.role_revoked")).toHaveLength(1);
  });

  test("of a role or a user that nobody knows is not found", async () => {
    const { id } = await newUser();
    for (const act of [grantRole, revokeRole]) {
      expect(await codeOf(act(core, root, id, "owner"))).toBe("not_found");
      expect(await codeOf(act(core, root, "nobody", "user"))).toBe("not_found");
    }
  });

  test("counts at once", async () => {
    const by = await actor([]);
    expect(await codeOf(requirePermission(core, by, "users:read"))).toBe("forbidden");
    await createRole(core, root, "support", { permissions: ["users:*"] });
    await grantRole(other, root, by.userId, "support");
    expect(await codeOf(requirePermission(core, by, "users:read"))).toBeUndefined();
    await updateRole(other, root, "support", { permissions: ["sessions:read"] });
    expect(await codeOf(requirePermission(core, by, "users:read"))).toBe("forbidden");
    await addPermissions(other, root, "support", ["users:read"]);
    expect(await codeOf(requirePermission(core, by, "users:read"))).toBeUndefined();
    await deleteRole(other, root, "support");
    expect(await codeOf(requirePermission(core, by, "users:read"))).toBe("forbidden");
  });
});

describe("AZ-2 nobody grants what they do not hold", () => {
  beforeEach(async () => {
    await createRole(core, root, "reader", { permissions: ["users:read"] });
    await createRole(core, root, "helper", { permissions: ["users:*"] });
  });

  test("an admin may do all of it, an operator too", async () => {
    for (const by of [await actor("admin"), root]) {
      const { id } = await newUser();
      await createRole(core, by, "owner", { permissions: ["*"] });
      await grantRole(core, by, id, "owner");
      await revokeRole(core, by, id, "owner");
      await deleteRole(core, by, "owner");
    }
  });

  test("who may change roles gives what they hold, and no more", async () => {
    const by = await actor(["roles:write", "users:read"]);
    const { id } = await newUser();
    expect(await codeOf(grantRole(core, by, id, "reader"))).toBeUndefined();
    expect(await codeOf(revokeRole(core, by, id, "reader"))).toBeUndefined();
    for (const role of ["helper", "admin"]) {
      expect(await codeOf(grantRole(core, by, id, role))).toBe("forbidden");
      expect(await codeOf(grantRole(core, by, by.userId, role))).toBe("forbidden");
    }
    expect(await codeOf(createUser(core, by, { email: "x@example.com", roles: ["helper"] }))).toBe("forbidden");
    expect(await rolesOf(id)).toEqual(["user"]);
    expect(await core.store.users.byEmailKey("x@example.com")).toBeUndefined();
  });

  test("who may not change roles gives nothing, not even a role that permits nothing", async () => {
    const by = await actor(["users:*", "roles:read"]);
    const { id } = await newUser();
    const acts = [
      grantRole(core, by, id, "guest"),
      revokeRole(core, by, id, "user"),
      createRole(core, by, "mine", {}),
      updateRole(core, by, "guest", { description: "x" }),
      deleteRole(core, by, "reader"),
    ];
    expect(await Promise.all(acts.map(codeOf))).toEqual(acts.map(() => "forbidden"));
  });

  test("a role cannot be made, changed or deleted across what its maker holds", async () => {
    const by = await actor(["roles:write", "users:read"]);
    expect(await codeOf(createRole(core, by, "mine", { permissions: ["users:read", "users:write"] }))).toBe(
      "forbidden",
    );
    expect(await codeOf(createRole(core, by, "mine", { permissions: ["users:*"] }))).toBe("forbidden");
    expect(await codeOf(createRole(core, by, "mine", { permissions: ["users:read"] }))).toBeUndefined();
    expect(await codeOf(addPermissions(core, by, "mine", ["*"]))).toBe("forbidden");
    // Neither by putting something in, nor by taking out what others gave.
    expect(await codeOf(updateRole(core, by, "helper", { permissions: [] }))).toBe("forbidden");
    expect(await codeOf(updateRole(core, by, "helper", { description: "mine" }))).toBe("forbidden");
    expect(await codeOf(removePermissions(core, by, "helper", ["users:*"]))).toBe("forbidden");
    expect(await codeOf(deleteRole(core, by, "helper"))).toBe("forbidden");
    expect(await permissionsOf("mine")).toEqual(["users:read"]);
    expect(await permissionsOf("helper")).toEqual(["users:*"]);
    expect(await codeOf(deleteRole(core, by, "mine"))).toBeUndefined();
  });

  test("the roles of somebody who holds more are out of reach", async () => {
    const by = await actor(["roles:write", "users:read"]);
    const above = await actor(["roles:write", "billing:refund"]);
    await grantRole(core, root, above.userId, "reader");
    expect(await codeOf(revokeRole(core, by, above.userId, "reader"))).toBe("forbidden");
    expect(await codeOf(grantRole(core, by, above.userId, "guest"))).toBe("forbidden");
    expect(await rolesOf(above.userId)).toContain("reader");
  });

  test("authority over somebody is to hold all that they hold; over oneself everybody has it", async () => {
    const over = (by: Parameters<typeof requireAuthorityOver>[2], id: string) =>
      codeOf(core.store.write((tx) => requireAuthorityOver(core, tx, by, id)));
    const [admin, helper, reader] = [await actor("admin"), await actor(["users:*"]), await actor(["users:read"])];
    const nobody = await actor([]);
    const all = [admin, helper, reader, nobody];
    const seen = await Promise.all(
      all.map((by) => Promise.all(all.map(async ({ userId }) => !(await over(by, userId))))),
    );
    expect(seen).toEqual([
      [true, true, true, true],
      [false, true, true, true],
      [false, false, true, true],
      [false, false, false, true],
    ]);
    expect(await over(root, admin.userId)).toBeUndefined();
    expect(await over(visitor, admin.userId)).toBe("forbidden");
  });

  test("whoever was disabled, deleted or signed out meanwhile has no authority left", async () => {
    const { id } = await newUser();
    const [disabled, deleted, ended] = [await actor("admin"), await actor("admin"), await actor("admin")];
    await actor("admin");
    await disableUser(core, root, disabled.userId);
    await deleteUser(core, root, deleted.userId);
    await core.store.write((tx) => tx.sessions.revoke([ended.session.id], core.clock.now(), "logout"));
    for (const by of [disabled, deleted, ended]) {
      expect(await codeOf(grantRole(core, by, id, "guest"))).toBe("unauthenticated");
      expect(await codeOf(createRole(core, by, "mine", {}))).toBe("unauthenticated");
      const over = core.store.write((tx) => requireAuthorityOver(core, tx, by, id));
      expect(await codeOf(over)).toBe("unauthenticated");
    }
  });
});

describe("AZ-2 races for authority", () => {
  /** The same core, whose writes wait behind the taking of a role until `go`. */
  const pausing = (at: Core, reached: () => void, go: Promise<void>): Core => ({
    ...at,
    store: {
      ...at.store,
      write: (work) =>
        at.store.write((tx) =>
          work({
            ...tx,
            users: {
              ...tx.users,
              revokeRole: async (...given) => {
                const revoked = await tx.users.revokeRole(...given);
                reached();
                await go;
                return revoked;
              },
            },
          }),
        ),
    },
  });

  test("a demotion that is under way is waited for, and what was asked meanwhile is refused", async () => {
    await actor("admin");
    const by = await actor("admin");
    const { id } = await newUser();
    const reached = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const demotion = revokeRole(pausing(core, reached.resolve, go.promise), root, by.userId, "admin");
    await reached.promise;
    // On SQLite one write waits for another before it begins, on Postgres where it claims.
    const meeting = dialect === "sqlite" ? "write" : "users.claimRole";
    const at = watched(core, (call) => call === meeting && go.resolve());
    expect(await codeOf(grantRole(at, by, id, "admin"))).toBe("forbidden");
    await demotion;
    expect(await rolesOf(id)).toEqual(["user"]);
  });

  test("what a demoted admin gave in 20 parallel requests was given before the demotion was acknowledged", async () => {
    await actor("admin");
    const by = await actor("admin");
    const users = await twenty(newUser);
    let demoted = false;
    const late: boolean[] = [];
    const grants = users.map(async ({ id }, at) => {
      const where = at % 2 === 0 ? core : other;
      const store: Core["store"] = {
        ...where.store,
        write: (work) =>
          where.store.write(async (tx) => {
            const answer = await work(tx);
            late.push(demoted);
            return answer;
          }),
      };
      return await codeOf(grantRole({ ...where, store }, by, id, "admin"));
    });
    await revokeRole(other, root, by.userId, "admin");
    demoted = true;
    const codes = await Promise.all(grants);
    expect(late).not.toContain(true);
    for (const code of codes) expect([undefined, "forbidden"]).toContain(code);
  });

  test("of two admins who demote each other in 20 parallel requests one is left", async () => {
    const both = [await actor("admin"), await actor("admin")] as const;
    const codes = await twenty((at, where) =>
      codeOf(revokeRole(where, both[at % 2]!, both[(at + 1) % 2]!.userId, "admin")),
    );
    expect(await core.store.users.countActive("admin")).toBe(1);
    for (const code of codes) expect([undefined, "forbidden", "last_admin"]).toContain(code);
  });

  test("disabling and demoting two admins at once leaves one of them", async () => {
    const [one, two] = [await actor("admin"), await actor("admin")];
    await twenty((at, where) =>
      codeOf(at % 2 === 0 ? disableUser(where, two, one.userId) : revokeRole(where, one, two.userId, "admin")),
    );
    expect(await core.store.users.countActive("admin")).toBe(1);
    expect(await codeOf(core.store.write((tx) => keepAnAdmin(tx, one.userId)))).toBe(
      (await rolesOf(two.userId)).includes("admin") ? undefined : "last_admin",
    );
  });
});

describe("what a user may do", () => {
  test("is everything that any of the roles permits, once and in order", async () => {
    const { id } = await newUser();
    await createRole(core, root, "one", { permissions: ["users:read", "billing:read"] });
    await createRole(core, root, "two", { permissions: ["users:read", "app:use"] });
    for (const role of ["two", "one"]) await grantRole(core, root, id, role);
    expect(await grantsOf(core.store, id)).toEqual({
      roles: ["one", "two", "user"],
      permissions: ["app:use", "billing:read", "users:read"],
    });
  });

  test("is explained by the roles that permit it, or by what is missing", async () => {
    const { id } = await newUser();
    const explain = async (permission: string, where: Core = core) =>
      await explainPermission(where, (await getUser(core, id)).user, permission);
    expect(await explain("users:read")).toEqual({
      allowed: false,
      because: "None of the user's roles permits it: user. These would: admin (*).",
    });
    await createRole(core, root, "support", { permissions: ["users:*"] });
    await createRole(core, root, "reader", { permissions: ["users:read"] });
    for (const role of ["support", "reader"]) await grantRole(core, root, id, role);
    expect(await explain("users:read")).toEqual({
      allowed: true,
      because: "Permitted by the role reader (users:read) and the role support (users:*).",
    });
    const strict = { ...core, settings: { ...core.settings, REQUIRE_EMAIL_VERIFICATION: true } };
    expect(await explain("users:read", strict)).toMatchObject({
      allowed: false,
      because: expect.stringContaining("REQUIRE_EMAIL_VERIFICATION"),
    });
    for (const role of ["support", "reader", "user"]) await revokeRole(core, root, id, role);
    expect((await explain("users:write")).because).toBe(
      "The user holds no role. These would: admin (*), support (users:*).",
    );
    await grantRole(core, root, id, "admin");
    await actor("admin");
    await disableUser(core, root, id);
    expect(await explain("users:read")).toEqual({
      allowed: false,
      because: "The user is disabled, and may do nothing.",
    });
  });
});
