import type { Store, Tx } from "../store/store.ts";
import type { Role } from "../store/tables.ts";
import type { Grants } from "./access-tokens.ts";
import type { Actor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { fail, type InputError } from "./errors.ts";
import { unprintable } from "./identifiers.ts";
import { beyond, type OwnPermission, permittedBy, readPermissions } from "./permissions.ts";
import { isAlive } from "./standings.ts";
import { requireRecentProof } from "./step-up.ts";

export const adminRole = "admin";
/** Given at registration. */
export const defaultRole = "user";
/** Nobody can delete them. What `admin` permits cannot be changed either: it is what keeps a server administrable. */
export const builtInRoles: readonly string[] = [adminRole, defaultRole, "guest"];

/** What a user may do now: the names of the roles, and everything that they permit. */
export async function grantsOf(tx: Pick<Store, "roles">, userId: string): Promise<Grants> {
  const held = await tx.roles.heldBy(userId);
  return {
    roles: held.map((role) => role.name),
    permissions: allOf(held.map((role) => role.permissions)),
  };
}

/** What several roles permit together. */
export const allOf = (permissions: ReadonlyArray<readonly string[]>): string[] =>
  [...new Set(permissions.flat())].toSorted();

/** What an actor may do: an operator has the shell of the machine, and so everything. Read anew (rule AZ-3). */
export async function permissionsOf(tx: Pick<Store, "roles">, by: Actor): Promise<readonly string[]> {
  if (by.kind === "anonymous") return [];
  return by.kind === "user" ? (await grantsOf(tx, by.userId)).permissions : ["*"];
}

/** Fails with `forbidden` where the actor may not do this. */
export async function requirePermission(core: Core, by: Actor, permission: OwnPermission): Promise<void> {
  if (permittedBy(await permissionsOf(core.store, by), permission) === undefined) {
    fail("forbidden", { detail: `This needs the permission ${permission}; ask an operator for a role that holds it.` });
  }
}

/**
 * What an actor may do, and still may at the commit. From here on nobody else changes who may do what: whoever was
 * demoted before this holds no more, whoever was disabled or signed out fails with `unauthenticated`, and whoever is
 * to be waits for this to end. One row stands for all of it, and it is the first that a write claims, so that no two
 * ever wait for each other.
 */
async function claimAuthority(core: Core, tx: Tx, by: Actor): Promise<readonly string[]> {
  await tx.users.claimRole(adminRole);
  if (by.kind === "user") {
    const standing = await tx.sessions.standing(by.session.id);
    if (!standing || !isAlive(standing.session, standing.user, core.clock.now())) return fail("unauthenticated");
  }
  return await permissionsOf(tx, by);
}

/** Nobody gives, takes or touches more than they hold (rule AZ-2). */
function requireAll(held: readonly string[], needed: readonly string[]): void {
  if (beyond(held, needed).length > 0) {
    fail("forbidden", { detail: "This is about permissions that you do not hold yourself. Ask somebody who does." });
  }
}

/**
 * Fails with `forbidden` unless the actor holds every permission that the user holds: to be called before anything
 * that changes somebody else's account, and before the write claims anything else. Holds in any race.
 */
export async function requireAuthorityOver(core: Core, tx: Tx, by: Actor, userId: string): Promise<void> {
  if (by.kind === "operator" || by.kind === "job" || (by.kind === "user" && by.userId === userId)) return;
  const held = await claimAuthority(core, tx, by);
  requireAll(held, (await grantsOf(tx, userId)).permissions);
}

/**
 * Fails with `forbidden` unless the actor holds every permission of these roles, with `not_found` where there is no
 * such role: to be called before somebody is made who holds them, and before the write claims anything else.
 */
export async function requireAuthorityToGive(core: Core, tx: Tx, by: Actor, roles: readonly string[]): Promise<void> {
  const held = await claimAuthority(core, tx, by);
  for (const name of roles) {
    const role = await tx.roles.byName(name);
    if (!role) {
      const known = (await tx.roles.names()).join(", ");
      return fail("not_found", { detail: `One of these roles does not exist; there are ${known}.` });
    }
    requireAll(held, role.permissions);
  }
  if (roles.some((name) => name !== defaultRole)) await requireRecentProof(core, tx, by);
}

export type RoleContent = { readonly description: string; readonly permissions: readonly string[] };

const nameShape = /^[a-z][a-z0-9_-]{1,31}$/;
const longestDescription = 200;

export const listRoles = async (core: Core): Promise<Role[]> => await core.store.roles.all();

export const getRole = async (core: Core, name: string): Promise<Role> =>
  (await core.store.roles.byName(name)) ?? failUnknown();

export const countHolders = async (core: Core, name: string): Promise<number> =>
  await core.store.roles.countHolders(name);

/** Makes a role. Fails with `role_exists`, `validation_failed`, and `forbidden` where it would hold more than the actor. */
export async function createRole(core: Core, by: Actor, name: string, content: Partial<RoleContent>): Promise<Role> {
  const errors: InputError[] = [];
  if (!nameShape.test(name)) {
    errors.push({
      path: "name",
      message: "A name has 2 to 32 small letters, digits, hyphens or underscores, and begins with a letter.",
    });
  }
  const read = readContent(content, errors);
  const now = core.clock.now();
  const role = { name, description: "", permissions: [], createdAt: now, updatedAt: now, ...read };
  return await core.store.write(async (tx) => {
    requireAll(await claimAuthority(core, tx, by), ["roles:write", ...role.permissions]);
    await requireRecentProof(core, tx, by);
    if (!(await tx.roles.insert(role))) return fail("role_exists");
    await record(core, tx, by, {
      action: "role.created",
      particulars: { role: name, permissions: role.permissions.join(" ") },
    });
    return role;
  });
}

/** Changes what a role is for and what it permits; what is missing stays. Counts with the next request of its holders. */
export async function updateRole(core: Core, by: Actor, name: string, content: Partial<RoleContent>): Promise<Role> {
  const read = readContent(content);
  return await changeRole(core, by, name, () => read);
}

export async function addPermissions(core: Core, by: Actor, name: string, added: readonly string[]): Promise<Role> {
  const { permissions = [] } = readContent({ permissions: added });
  return await changeRole(core, by, name, (role) =>
    readContent({ permissions: [...role.permissions, ...permissions] }),
  );
}

/** Those that the role does not hold change nothing. */
export async function removePermissions(
  core: Core,
  by: Actor,
  name: string,
  removed: readonly string[],
): Promise<Role> {
  return await changeRole(core, by, name, (role) => ({
    permissions: role.permissions.filter((one) => !removed.includes(one)),
  }));
}

/** Decided under the claim, so that of parallel changes none is lost. Where nothing changes, nothing happens. */
async function changeRole(
  core: Core,
  by: Actor,
  name: string,
  change: (role: Role) => Partial<RoleContent>,
): Promise<Role> {
  return await core.store.write(async (tx) => {
    const held = await claimAuthority(core, tx, by);
    const before = (await tx.roles.byName(name)) ?? failUnknown();
    if (name === adminRole) return fail("role_built_in");
    const { description, permissions } = { ...before, ...change(before) };
    requireAll(held, ["roles:write", ...before.permissions, ...permissions]);
    await requireRecentProof(core, tx, by);
    const added = permissions.filter((one) => !before.permissions.includes(one));
    const removed = before.permissions.filter((one) => !permissions.includes(one));
    if (added.length + removed.length === 0 && description === before.description) return before;
    const updatedAt = core.clock.now();
    await tx.roles.update(name, { description, permissions, updatedAt });
    const particulars = { role: name, added: added.join(" "), removed: removed.join(" ") };
    await record(core, tx, by, { action: "role.updated", particulars });
    return { ...before, description, permissions, updatedAt };
  });
}

/** Deletes a role, and so takes it from everybody who holds it; answers how many that were. Fails with `role_built_in`. */
export async function deleteRole(core: Core, by: Actor, name: string): Promise<number> {
  return await core.store.write(async (tx) => {
    const held = await claimAuthority(core, tx, by);
    const role = (await tx.roles.byName(name)) ?? failUnknown();
    if (builtInRoles.includes(name)) return fail("role_built_in");
    requireAll(held, ["roles:write", ...role.permissions]);
    await requireRecentProof(core, tx, by);
    const holders = await tx.roles.delete(name);
    await record(core, tx, by, { action: "role.deleted", particulars: { role: name, holders } });
    return holders;
  });
}

/** Checks what was given, all of it at once. */
function readContent(content: Partial<RoleContent>, errors: InputError[] = []): Partial<RoleContent> {
  const description = content.description?.trim();
  if (description !== undefined) {
    if (description.length > longestDescription || !description.isWellFormed() || unprintable.test(description)) {
      errors.push({
        path: "description",
        message: `A description is one line of at most ${longestDescription} characters.`,
      });
    }
  }
  const permissions = content.permissions && readPermissions(content.permissions, errors);
  if (errors.length > 0) fail("validation_failed", { errors });
  return { ...(description !== undefined && { description }), ...(permissions && { permissions }) };
}

/** Whether anybody can administer. */
export const hasActiveAdmin = async (core: Core): Promise<boolean> =>
  (await core.store.users.countActive(adminRole)) > 0;

/**
 * Gives a role. Nothing happens where the user holds it already; answers whether something did. Fails with
 * `forbidden` where the role or the user holds more than the actor.
 */
export async function grantRole(core: Core, by: Actor, userId: string, role: string): Promise<boolean> {
  return await core.store.write((tx) => giveRole(core, tx, by, userId, role));
}

/** The step of `grantRole`: before the write claims anything else. */
export async function giveRole(core: Core, tx: Tx, by: Actor, userId: string, role: string): Promise<boolean> {
  await requireGrant(core, tx, by, userId, role);
  const granted = await tx.users.grantRole(userId, role, core.clock.now());
  if (granted) {
    await tx.users.claim(userId);
    await record(core, tx, by, { action: "user.role_granted", userId, particulars: { role } });
  }
  return granted;
}

/**
 * Takes a role away. Nothing happens where the user does not hold it. Fails with `last_admin` where nobody would be
 * left to administer, with `forbidden` where the role or the user holds more than the actor.
 */
export async function revokeRole(core: Core, by: Actor, userId: string, role: string): Promise<boolean> {
  return await core.store.write(async (tx) => {
    await requireGrant(core, tx, by, userId, role);
    if (role === adminRole) await keepAnAdmin(tx, userId);
    const revoked = await tx.users.revokeRole(userId, role);
    if (revoked) {
      await tx.users.claim(userId);
      await record(core, tx, by, { action: "user.role_revoked", userId, particulars: { role } });
    }
    return revoked;
  });
}

/** Whether the actor may give this role to this user, or take it away. */
async function requireGrant(core: Core, tx: Tx, by: Actor, userId: string, name: string): Promise<void> {
  const held = await claimAuthority(core, tx, by);
  const role = await tx.roles.byName(name);
  if (!role) return failUnknown();
  if (!(await tx.users.byId(userId))) return fail("not_found");
  const theirs = (await grantsOf(tx, userId)).permissions;
  requireAll(held, ["roles:write", ...role.permissions, ...theirs]);
  await requireRecentProof(core, tx, by);
}

/**
 * Fails with `last_admin` where this user is the only active admin: to be called before anything that would
 * make the user less than that. Holds in any race, because it claims the role first.
 */
export async function keepAnAdmin(tx: Tx, userId: string): Promise<void> {
  await tx.users.claimRole(adminRole);
  const user = await tx.users.byId(userId);
  const counts = user && user.disabledAt === null && (await tx.users.rolesOf(userId)).includes(adminRole);
  if (counts && (await tx.users.countActive(adminRole)) <= 1) fail("last_admin");
}

function failUnknown(): never {
  return fail("not_found", { detail: "No role has this name; `authctl role list` and GET /api/v1/roles show them." });
}
