import { and, asc, eq, gt, isNotNull, isNull, lte, or } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import type { Ban, Tables } from "./tables.ts";

export const banReaders = (db: Db, { bans }: Tables) => ({
  /** Those that count, in the order of their networks. */
  inForce: async (now: Date): Promise<Ban[]> =>
    await db
      .select()
      .from(bans)
      .where(or(isNull(bans.expiresAt), gt(bans.expiresAt, now)))
      .orderBy(asc(bans.network)),
});

export const banWriters = (db: Db, { bans }: Tables) => ({
  /** Takes the place of the one that the network had. */
  put: async (ban: Ban): Promise<void> => {
    await db.insert(bans).values(ban).onConflictDoUpdate({ target: bans.network, set: ban });
  },
  remove: async (network: string): Promise<boolean> =>
    (await db.delete(bans).where(eq(bans.network, network)).returning({ network: bans.network })).length === 1,
  removeExpired: async (now: Date): Promise<void> => {
    await db.delete(bans).where(and(isNotNull(bans.expiresAt), lte(bans.expiresAt, now)));
  },
});
