import type { Tx } from "../store/store.ts";
import type { Grants } from "./access-tokens.ts";
import type { Actor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import { beyond, type OwnPermission, permittedBy } from "./permissions.ts";

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

/** Fails with `forbidden` where this user may do what the actor may not: nobody acts on who is above them. */
export async function requireAuthorityOver(_core: Core, tx: Tx, by: Actor, userId: string): Promise<void> {
  if (by.kind === "user" && by.userId === userId) return;
  const { permissions } = await grantsOf(tx, userId);
  if (beyond(await permissionsOf(tx, by), permissions).length > 0) {
    fail("forbidden", { detail: "This user may do more than you. Ask somebody who may do as much." });
  }
}

/** Whether anybody can administer. */
export const hasActiveAdmin = async (core: Core): Promise<boolean> =>
  (await core.store.users.countActive(adminRole)) > 0;

/** Gives a role. Nothing happens where the user holds it already; answers whether something did. */
export async function grantRole(core: Core, by: Actor, userId: string, role: string): Promise<boolean> {
  return await core.store.write(async (tx) => {
    if (!(await tx.users.byId(userId)) || !(await tx.roles.names()).includes(role)) return fail("not_found");
    return await giveRole(core, tx, by, userId, role);
  });
}

/** The step of `grantRole`, for a user who is known to exist. */
export async function giveRole(core: Core, tx: Tx, by: Actor, userId: string, role: string): Promise<boolean> {
  const granted = await tx.users.grantRole(userId, role, core.clock.now());
  if (granted) await record(core, tx, by, { action: "user.role_granted", userId, particulars: { role } });
  return granted;
}

/** Takes a role away. Fails with `last_admin` where nobody would be left to administer. */
export async function revokeRole(core: Core, by: Actor, userId: string, role: string): Promise<boolean> {
  return await core.store.write(async (tx) => {
    if (!(await tx.users.byId(userId))) return fail("not_found");
    if (role === adminRole) await keepAnAdmin(tx, userId);
    const revoked = await tx.users.revokeRole(userId, role);
    if (revoked) await record(core, tx, by, { action: "user.role_revoked", userId, particulars: { role } });
    return revoked;
  });
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
