import { and, asc, eq, inArray, lte, min, ne, sql } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import type { SigningKey, Tables } from "./tables.ts";

export type NewSigningKey = Tables["signingKeys"]["$inferInsert"];

export const signingKeyReaders = (db: Db, { signingKeys }: Tables) => ({
  /** Every key that is not retired, oldest first. */
  current: async (): Promise<SigningKey[]> =>
    await db
      .select()
      .from(signingKeys)
      .where(ne(signingKeys.state, "retired"))
      .orderBy(asc(signingKeys.publishedAt), asc(signingKeys.kid)),
  all: async (): Promise<SigningKey[]> =>
    await db.select().from(signingKeys).orderBy(asc(signingKeys.publishedAt), asc(signingKeys.kid)),
});

export const signingKeyWriters = (db: Db, { signingKeys }: Tables) => ({
  /**
   * Lets only one transaction at a time decide about the keys: what is read after this still holds at the commit.
   * On SQLite there is only one writer anyway; on Postgres the oldest key is locked.
   */
  claim: async (): Promise<void> => {
    const oldest = db.select({ kid: min(signingKeys.kid) }).from(signingKeys);
    await db
      .update(signingKeys)
      .set({ state: sql`${signingKeys.state}` })
      .where(inArray(signingKeys.kid, oldest));
  },
  /** `false` where there is a key of this state and algorithm already. */
  insert: async (key: NewSigningKey): Promise<boolean> =>
    (await db.insert(signingKeys).values(key).onConflictDoNothing().returning({ kid: signingKeys.kid })).length === 1,
  /** Stops an active key from signing; it verifies until `retiresAt`. */
  deactivate: async (kid: string, retiresAt: Date): Promise<void> => {
    await db
      .update(signingKeys)
      .set({ state: "retiring", retiresAt })
      .where(and(eq(signingKeys.kid, kid), eq(signingKeys.state, "active")));
  },
  activate: async (kid: string, activatedAt: Date): Promise<boolean> =>
    (
      await db
        .update(signingKeys)
        .set({ state: "active", activatedAt })
        .where(and(eq(signingKeys.kid, kid), eq(signingKeys.state, "next")))
        .returning({ kid: signingKeys.kid })
    ).length === 1,
  /** Lets an active key sign tokens that live for so long. `false` where it signs no more. */
  lengthen: async (kid: string, longestLife: number): Promise<boolean> =>
    (
      await db
        .update(signingKeys)
        .set({ longestLife: sql`case when longest_life < ${longestLife} then ${longestLife} else longest_life end` })
        .where(and(eq(signingKeys.kid, kid), eq(signingKeys.state, "active")))
        .returning({ kid: signingKeys.kid })
    ).length === 1,
  /** Retires keys whatever they do now, and erases their private parts. Answers the ids of those that were not retired yet. */
  retire: async (kids: readonly string[], now: Date): Promise<string[]> =>
    (
      await db
        .update(signingKeys)
        .set({ state: "retired", retiredAt: now, privateJwk: null })
        .where(and(inArray(signingKeys.kid, [...kids]), ne(signingKeys.state, "retired")))
        .returning({ kid: signingKeys.kid })
    ).map((row) => row.kid),
  /** Retires every key whose last token has expired, and erases its private part. Answers their ids. */
  retireExpired: async (now: Date): Promise<string[]> =>
    (
      await db
        .update(signingKeys)
        .set({ state: "retired", retiredAt: now, privateJwk: null })
        .where(and(eq(signingKeys.state, "retiring"), lte(signingKeys.retiresAt, now)))
        .returning({ kid: signingKeys.kid })
    ).map((row) => row.kid),
});
