import { and, asc, eq, inArray, lte, min, ne, sql } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import { prepared } from "./dialects/prepared.ts";
import type { SigningAlgorithm, SigningKey, Tables } from "./tables.ts";

export type NewSigningKey = Tables["signingKeys"]["$inferInsert"];

export const signingKeyReaders = (db: Db, { signingKeys }: Tables) => {
  const activeKidQuery = prepared(
    "signing-keys.activeKid",
    db
      .select({ kid: signingKeys.kid })
      .from(signingKeys)
      .where(and(eq(signingKeys.algorithm, sql.placeholder("algorithm")), eq(signingKeys.state, "active"))),
  );

  return {
    activeKid: async (algorithm: SigningAlgorithm): Promise<string | undefined> =>
      (await activeKidQuery.execute({ algorithm }))[0]?.kid,
    /** Every key that is not retired, oldest first. */
    current: async (): Promise<SigningKey[]> =>
      await db
        .select()
        .from(signingKeys)
        .where(ne(signingKeys.state, "retired"))
        .orderBy(asc(signingKeys.publishedAt), asc(signingKeys.kid)),
    all: async (): Promise<SigningKey[]> =>
      await db.select().from(signingKeys).orderBy(asc(signingKeys.publishedAt), asc(signingKeys.kid)),
  };
};

export const signingKeyWriters = (db: Db, { signingKeys }: Tables) => ({
  /**
   * Lets only one transaction at a time decide about the keys of an algorithm: what is read after this still
   * holds at the commit. On SQLite there is only one writer anyway; on Postgres the oldest of them is locked.
   */
  claim: async (algorithm: SigningAlgorithm): Promise<void> => {
    const oldest = db
      .select({ kid: min(signingKeys.kid) })
      .from(signingKeys)
      .where(eq(signingKeys.algorithm, algorithm));
    await db.update(signingKeys).set({ algorithm }).where(inArray(signingKeys.kid, oldest));
  },
  /** `false` where there is a key of this state and algorithm already. */
  insert: async (key: NewSigningKey): Promise<boolean> =>
    (await db.insert(signingKeys).values(key).onConflictDoNothing().returning({ kid: signingKeys.kid })).length === 1,
  /** Stops the active key of an algorithm from signing; it verifies until `retiresAt`. */
  deactivate: async (algorithm: SigningAlgorithm, retiresAt: Date): Promise<void> => {
    await db
      .update(signingKeys)
      .set({ state: "retiring", retiresAt })
      .where(and(eq(signingKeys.algorithm, algorithm), eq(signingKeys.state, "active")));
  },
  activate: async (kid: string, activatedAt: Date): Promise<boolean> =>
    (
      await db
        .update(signingKeys)
        .set({ state: "active", activatedAt })
        .where(and(eq(signingKeys.kid, kid), eq(signingKeys.state, "next")))
        .returning({ kid: signingKeys.kid })
    ).length === 1,
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
