import { and, asc, gt, inArray, isNotNull, isNull, type SQL, sql } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import type { Tables, User } from "./tables.ts";
import type { NewUser } from "./users.ts";

export type NewMember = { readonly user: NewUser; readonly roles: readonly string[] };
export type StoredMember = { readonly user: User; readonly roles: readonly string[] };
export type BatchFilter = { readonly role?: string; readonly active?: boolean };
/** Which of the names of a batch somebody has. A deleted user who can be restored still has an id. */
export type Held = {
  readonly ids: ReadonlySet<string>;
  readonly emailKeys: ReadonlySet<string>;
  readonly usernameKeys: ReadonlySet<string>;
};

/** Users by the hundred: as many queries for a batch as for one. */
export const userBatchReaders = (db: Db, { users, userRoles, tombstones }: Tables) => {
  const matching = ({ role, active }: BatchFilter): SQL | undefined =>
    and(
      active === undefined ? undefined : active ? isNull(users.disabledAt) : isNotNull(users.disabledAt),
      role === undefined
        ? undefined
        : sql`exists (select 1 from ${userRoles} where ${userRoles.userId} = ${users.id} and ${userRoles.role} = ${role})`,
    );

  return {
    held: async (batch: readonly NewUser[]): Promise<Held> => {
      const ids = batch.map(({ id }) => id);
      const emailKeys = batch.map(({ emailKey }) => emailKey);
      const usernameKeys = batch.flatMap(({ usernameKey }) => usernameKey ?? []);
      const of = async (from: typeof users | typeof tombstones) =>
        (await db.select({ id: from.id }).from(from).where(inArray(from.id, ids))).map(({ id }) => id);
      const emails = await db.select({ key: users.emailKey }).from(users).where(inArray(users.emailKey, emailKeys));
      const usernames = await db
        .select({ key: users.usernameKey })
        .from(users)
        .where(inArray(users.usernameKey, usernameKeys));
      return {
        ids: new Set([...(await of(users)), ...(await of(tombstones))]),
        emailKeys: new Set(emails.map(({ key }) => key)),
        usernameKeys: new Set(usernames.flatMap(({ key }) => key ?? [])),
      };
    },
    count: async (filter: BatchFilter): Promise<number> => await db.$count(users, matching(filter)),
    /** The sealed hashes alone, in the order of the ids of their owners. */
    hashes: async (limit: number, after?: string): Promise<Array<Pick<User, "id" | "passwordHash">>> =>
      await db
        .select({ id: users.id, passwordHash: users.passwordHash })
        .from(users)
        .where(after === undefined ? undefined : gt(users.id, after))
        .orderBy(asc(users.id))
        .limit(limit),
    /** In the order of their ids, from after `after`. */
    page: async (filter: BatchFilter, limit: number, after?: string): Promise<StoredMember[]> => {
      const found = await db
        .select()
        .from(users)
        .where(and(matching(filter), after === undefined ? undefined : gt(users.id, after)))
        .orderBy(asc(users.id))
        .limit(limit);
      const ids = found.map(({ id }) => id);
      const held = await db
        .select({ userId: userRoles.userId, role: userRoles.role })
        .from(userRoles)
        .where(inArray(userRoles.userId, ids))
        .orderBy(asc(userRoles.role));
      const rolesOf = Map.groupBy(held, ({ userId }) => userId);
      return found.map((user) => ({ user, roles: (rolesOf.get(user.id) ?? []).map(({ role }) => role) }));
    },
  };
};

export const userBatchWriters = (db: Db, { users, userRoles }: Tables) => ({
  /** Answers the ids of those who were inserted: not of whoever has a name that is taken. */
  insert: async (batch: readonly NewMember[], grantedAt: Date): Promise<ReadonlySet<string>> => {
    const inserted = await db
      .insert(users)
      .values(batch.map(({ user }) => user))
      .onConflictDoNothing()
      .returning({ id: users.id });
    const ids = new Set(inserted.map(({ id }) => id));
    const grants = batch
      .filter(({ user }) => ids.has(user.id))
      .flatMap(({ user, roles }) => roles.map((role) => ({ userId: user.id, role, grantedAt })));
    if (grants.length > 0) await db.insert(userRoles).values(grants);
    return ids;
  },
});
