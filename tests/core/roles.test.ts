import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Core } from "../../src/core/core.ts";
import { explainPermission } from "../../src/core/permissions.ts";
import {
  addPermissions,
  createRole,
  deleteRole,
  getRole,
  grantRole,
  grantsOf,
  listRoles,
  removePermissions,
  requirePermission,
  revokeRole,
  updateRole,
} from "../../src/core/roles.ts";
import { createUser, disableUser, getUser } from "../../src/core/users.ts";
import { codeOf, openTestCore, registerAda, root, type TestCore } from "../support/core.ts";
import { actorWith } from "../support/roles.ts";

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
    const by = await actorWith(core, []);
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
    await actorWith(core, "admin");
    await disableUser(core, root, id);
    expect(await explain("users:read")).toEqual({
      allowed: false,
      because: "The user is disabled, and may do nothing.",
    });
  });
});
