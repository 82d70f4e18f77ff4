import { and, eq, gt } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import { expiryReaders, expiryWriters } from "./expiry.ts";
import type { Challenge, ChallengePurpose, Tables } from "./tables.ts";

const expiring = (table: Tables["challenges"]) => ({ table, key: table.secretHash, end: table.expiresAt });

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
  ...expiryReaders(db, expiring(challenges)),
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
  ...expiryWriters(db, expiring(challenges)),
});
