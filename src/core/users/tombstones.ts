/** Who was deleted: kept for a while, so that a user can be restored, and then removed with all that tells of the person. */
import type { Tx } from "../../store/store.ts";
import type { Tombstone, User } from "../../store/tables.ts";
import type { Actor } from "../actors.ts";
import { eraseAuditOf, record } from "../audit.ts";
import type { Core } from "../core.ts";
import { fail } from "../errors.ts";
import { identifierKey } from "../identifiers.ts";

/** Keeps what is needed to restore a user who has just been deleted; where nothing is to be kept, removes what is left of the person. */
export async function bury(core: Core, tx: Tx, user: User, roles: readonly string[]): Promise<void> {
  const { epoch: _epoch, revision: _revision, updatedAt: _updatedAt, ...person } = user;
  if (core.settings.TOMBSTONE_TTL === 0) {
    await tx.mails.forget(user.id);
    await eraseAuditOf(core, tx, user.id, Number.MAX_SAFE_INTEGER);
  } else await tx.tombstones.insert({ ...person, roles, deletedAt: core.clock.now() });
}

/** Who was deleted after this can be restored. */
const restorableSince = (core: Core): Date => new Date(core.clock.now().getTime() - core.settings.TOMBSTONE_TTL);

/** Until when somebody can be restored. */
export const restorableUntil = (core: Core, { deletedAt }: Tombstone): Date =>
  new Date(deletedAt.getTime() + core.settings.TOMBSTONE_TTL);

/** Who can be restored, in the order of the deletion, to the end. */
export async function* pagesOfTombstones(core: Core): AsyncGenerator<Tombstone[]> {
  for (let after: Tombstone | undefined; ; ) {
    const page = await core.store.tombstones.page(restorableSince(core), 200, after);
    if (page.length > 0) yield page;
    after = page.at(-1);
    if (page.length < 200) return;
  }
}

/** Somebody who was deleted, by id, address or user name; the newest of several. */
export async function findTombstone(core: Core, reference: string): Promise<Tombstone> {
  const since = restorableSince(core);
  const key = identifierKey(reference);
  return (
    (await core.store.tombstones.byId(reference, since)) ??
    (key &&
      ("emailKey" in key
        ? await core.store.tombstones.byEmailKey(key.emailKey, since)
        : await core.store.tombstones.byUsernameKey(key.usernameKey, since))) ??
    fail("not_found", {
      detail: "Nobody of this id, address or user name can be restored; `authctl user list --deleted` shows who can.",
    })
  );
}

export type Restored = { readonly userId: string; readonly missingRoles: readonly string[] };

/**
 * Brings a deleted user back, as they were: the password too, but no session. Roles that there are no longer are left
 * out. Fails with `email_taken` or `username_taken` where somebody else has the name by now.
 */
export async function restoreUser(core: Core, by: Actor, tombstone: Tombstone): Promise<Restored> {
  const { roles, deletedAt: _, ...person } = tombstone;
  return await core.store.write(async (tx) => {
    const now = core.clock.now();
    if (!(await tx.tombstones.remove(person.id))) return fail("not_found");
    if (!(await tx.users.insert({ ...person, updatedAt: now }))) {
      const holder = await tx.users.byEmailKey(person.emailKey);
      const [code, name] = holder ? (["email_taken", "address"] as const) : (["username_taken", "user name"] as const);
      return fail(code, {
        detail: `Another user has the ${name} by now. Change theirs with \`authctl user update\`, then restore this one.`,
      });
    }
    const known = await tx.roles.names();
    const missingRoles = roles.filter((role) => !known.includes(role));
    for (const role of roles) if (known.includes(role)) await tx.users.grantRole(person.id, role, now);
    await record(core, tx, by, {
      action: "user.restored",
      userId: person.id,
      particulars: { roles_left_out: missingRoles.length },
    });
    return { userId: person.id, missingRoles };
  });
}

/** Who was deleted by then can no longer be restored at `before`. */
export const tombstonesBefore = (core: Core, before: Date): Date =>
  new Date(before.getTime() - core.settings.TOMBSTONE_TTL);

/**
 * Removes who could no longer be restored at `before`, and where they came from out of the audit trail, which stays.
 * Writes at most `limit` rows: a person whose trail is longer than that goes with a later call.
 */
export async function purgePeople(core: Core, tx: Tx, by: Actor, before: Date, limit: number) {
  const deletedBefore = tombstonesBefore(core, before);
  let left = limit;
  let removed = 0;
  for (; left > 0; left--) {
    const person = await tx.tombstones.oldest(deletedBefore);
    if (!person) break;
    left -= await eraseAuditOf(core, tx, person.id, left);
    if (left === 0) break;
    if (!(await tx.tombstones.remove(person.id))) continue;
    await tx.mails.forget(person.id);
    await record(core, tx, by, { action: "user.purged", userId: person.id });
    removed++;
  }
  return { removed, done: left > 0 };
}
