import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Core } from "../../src/core/core.ts";
import {
  addPermissions,
  createRole,
  deleteRole,
  getRole,
  grantRole,
  keepAnAdmin,
  removePermissions,
  requireAuthorityOver,
  revokeRole,
  updateRole,
} from "../../src/core/roles.ts";
import { createUser, deleteUser, disableUser, getUser } from "../../src/core/users.ts";
import { codeOf, openTestCore, registerAda, root, type TestCore, visitor } from "../support/core.ts";
import { dialect } from "../support/database.ts";
import { actorWith } from "../support/roles.ts";
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

const actor = (may: "admin" | readonly string[]) => actorWith(core, may);
const permissionsOf = async (name: string) => (await getRole(core, name)).permissions;
const rolesOf = async (id: string) => (await getUser(core, id)).roles;

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
