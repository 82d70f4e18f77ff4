import { and, asc, eq, gt, isNotNull, isNull, lte, or } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import type { Ban, Tables } from "./tables.ts";

const endedBy = ({ expiresAt }: Tables["bans"], before: Date) => and(isNotNull(expiresAt), lte(expiresAt, before));

export const banReaders = (db: Db, { bans }: Tables) => ({
  /** Those that count, in the order of their networks. */
  inForce: async (now: Date): Promise<Ban[]> =>
    await db
      .select()
      .from(bans)
      .where(or(isNull(bans.expiresAt), gt(bans.expiresAt, now)))
      .orderBy(asc(bans.network)),
  /** Those that count no more, in the order of their ends. */
  expired: async (before: Date): Promise<Ban[]> =>
    await db.select().from(bans).where(endedBy(bans, before)).orderBy(asc(bans.expiresAt)),
});

export const banWriters = (db: Db, { bans }: Tables) => ({
  /** Takes the place of the one that the network had. */
  put: async (ban: Ban): Promise<void> => {
    await db.insert(bans).values(ban).onConflictDoUpdate({ target: bans.network, set: ban });
  },
  remove: async (network: string): Promise<boolean> =>
    (await db.delete(bans).where(eq(bans.network, network)).returning({ network: bans.network })).length === 1,
  /** Answers how many. */
  removeExpired: async (before: Date): Promise<number> =>
    (await db.delete(bans).where(endedBy(bans, before)).returning({ network: bans.network })).length,
});
