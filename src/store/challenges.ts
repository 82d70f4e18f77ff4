import { and, asc, count, eq, gt, inArray, lte } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import type { Challenge, ChallengePurpose, Tables } from "./tables.ts";

export const challengeReaders = (db: Db, { challenges }: Tables) => ({
  /** One that can still be used. Does not use it. */
  bySecret: async (purpose: ChallengePurpose, secretHash: string, now: Date): Promise<Challenge | undefined> => {
    const [row] = await db
      .select()
      .from(challenges)
      .where(
        and(eq(challenges.secretHash, secretHash), eq(challenges.purpose, purpose), gt(challenges.expiresAt, now)),
      );
    return row;
  },
  /** How many have expired before then, and when the oldest of them did. */
  expired: async (before: Date): Promise<{ number: number; oldest: Date | null }> => {
    const ended = lte(challenges.expiresAt, before);
    const [row] = await db.select({ number: count() }).from(challenges).where(ended);
    const [oldest] = await db
      .select({ at: challenges.expiresAt })
      .from(challenges)
      .where(ended)
      .orderBy(asc(challenges.expiresAt))
      .limit(1);
    return { number: row?.number ?? 0, oldest: oldest?.at ?? null };
  },
});

export const challengeWriters = (db: Db, { challenges }: Tables) => ({
  /** Takes the place of the one of this purpose that the user had. */
  put: async (challenge: Challenge): Promise<void> => {
    await db
      .insert(challenges)
      .values(challenge)
      .onConflictDoUpdate({ target: [challenges.userId, challenges.purpose], set: challenge });
  },
  /** Of any number of parallel uses one gets the challenge: the row goes with the first. */
  consume: async (purpose: ChallengePurpose, secretHash: string, now: Date): Promise<Challenge | undefined> => {
    const [row] = await db
      .delete(challenges)
      .where(and(eq(challenges.secretHash, secretHash), eq(challenges.purpose, purpose), gt(challenges.expiresAt, now)))
      .returning();
    return row;
  },
  /** Spends all that a user has. */
  spendAll: async (userId: string): Promise<void> => {
    await db.delete(challenges).where(eq(challenges.userId, userId));
  },
  /** Answers how many rows went. */
  purge: async (before: Date, limit: number): Promise<number> => {
    const expired = db
      .select({ secretHash: challenges.secretHash })
      .from(challenges)
      .where(lte(challenges.expiresAt, before))
      .orderBy(asc(challenges.expiresAt))
      .limit(limit);
    return (
      await db
        .delete(challenges)
        .where(inArray(challenges.secretHash, expired))
        .returning({ userId: challenges.userId })
    ).length;
  },
});
