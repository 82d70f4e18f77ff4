import type { Tx } from "../store/store.ts";
import type { Grants } from "./access-tokens.ts";
import type { Actor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import { beyond, type OwnPermission, permittedBy } from "./permissions.ts";
import { isAlive } from "./standings.ts";

export const adminRole = "admin";
/** Given at registration. */
export const defaultRole = "user";

/** What a user may do now: the names of the roles, and everything that they permit. */
export async function grantsOf(tx: Pick<Tx, "roles">, userId: string): Promise<Grants> {
  const held = await tx.roles.heldBy(userId);
  return {
    roles: held.map((role) => role.name),
    permissions: [...new Set(held.flatMap((role) => role.permissions))].toSorted(),
  };
}

/** What an actor may do: an operator has the shell of the machine, and so everything. Read anew (rule AZ-3). */
export async function permissionsOf(tx: Pick<Tx, "roles">, by: Actor): Promise<readonly string[]> {
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
 * What an actor may do, and still may at the commit. From here on nobody else changes who may do what: whoever
 * was demoted, disabled or deleted before this has no authority, and whoever is to be has to wait for this to end.
 * One row stands for all of it, and it is the first that a write claims, so that no two ever wait for each other.
 */
async function claimAuthority(core: Core, tx: Tx, by: Actor): Promise<readonly string[]> {
  await tx.users.claimRole(adminRole);
  if (by.kind === "user") {
    const standing = await tx.sessions.standing(by.session.id);
    if (!standing || !isAlive(standing.session, standing.user, core.clock.now())) return [];
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
  if (!role || !(await tx.users.byId(userId))) return fail("not_found");
  const theirs = (await grantsOf(tx, userId)).permissions;
  return requireAll(held, ["roles:write", ...role.permissions, ...theirs]);
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
