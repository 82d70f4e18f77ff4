import { and, asc, desc, eq, gt, lte, type SQL, sql } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import { expiryReaders } from "./expiry.ts";
import type { Tables, Tombstone } from "./tables.ts";

export const tombstoneReaders = (db: Db, { tombstones }: Tables) => {
  /** The newest: a name may have been deleted more than once. */
  const newest = async (condition: SQL, since: Date): Promise<Tombstone | undefined> => {
    const [tombstone] = await db
      .select()
      .from(tombstones)
      .where(and(condition, gt(tombstones.deletedAt, since)))
      .orderBy(desc(tombstones.deletedAt), desc(tombstones.id))
      .limit(1);
    return tombstone;
  };
  return {
    /** Of a user who was deleted after `since`. */
    byId: async (id: string, since: Date) => await newest(eq(tombstones.id, id), since),
    byEmailKey: async (key: string, since: Date) => await newest(eq(tombstones.emailKey, key), since),
    byUsernameKey: async (key: string, since: Date) => await newest(eq(tombstones.usernameKey, key), since),
    /** Those who were deleted after `since`, in the order of that, from behind `after`. */
    page: async (since: Date, limit: number, after?: Tombstone): Promise<Tombstone[]> => {
      const row = sql`(${tombstones.deletedAt}, ${tombstones.id})`;
      const behind = after && sql`${row} > (${sql.param(after.deletedAt, tombstones.deletedAt)}, ${after.id})`;
      return await db
        .select()
        .from(tombstones)
        .where(and(gt(tombstones.deletedAt, since), behind))
        .orderBy(asc(tombstones.deletedAt), asc(tombstones.id))
        .limit(limit);
    },
    /** How many were deleted after `since`. */
    countSince: async (since: Date): Promise<number> => await db.$count(tombstones, gt(tombstones.deletedAt, since)),
    /** Who was deleted before then, the longest ago first. */
    oldest: async (before: Date): Promise<Tombstone | undefined> => {
      const [tombstone] = await db
        .select()
        .from(tombstones)
        .where(lte(tombstones.deletedAt, before))
        .orderBy(asc(tombstones.deletedAt))
        .limit(1);
      return tombstone;
    },
    ...expiryReaders(db, { table: tombstones, key: tombstones.id, end: tombstones.deletedAt }),
  };
};

export const tombstoneWriters = (db: Db, { tombstones }: Tables) => ({
  insert: async (tombstone: Tombstone): Promise<void> => {
    await db.insert(tombstones).values(tombstone);
  },
  /** Of any number who want it at once, one takes it away. `false` where it is gone already. */
  remove: async (id: string): Promise<boolean> =>
    (await db.delete(tombstones).where(eq(tombstones.id, id)).returning({ id: tombstones.id })).length === 1,
});
