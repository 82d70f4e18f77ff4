import { and, count, eq, isNull, lt, lte, max, or, sql } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import { givenRow, prepared } from "./dialects/prepared.ts";
import { aliveAt, isSignedBy, type SignedBy } from "./sessions.ts";
import type { RefreshFamily, Tables } from "./tables.ts";

export const refreshFamilyReaders = (db: Db, { refreshFamilies, sessions, users }: Tables) => {
  const byIdQuery = prepared(
    "refresh-families.byId",
    db
      .select()
      .from(refreshFamilies)
      .where(eq(refreshFamilies.id, sql.placeholder("id"))),
  );

  return {
    byId: async (id: string): Promise<RefreshFamily | undefined> => (await byIdQuery.execute({ id }))[0],
    count: async (): Promise<number> => await db.$count(refreshFamilies),
    /** Those of live sessions that may still come back with a token that this secret made, and when the last of them ends. */
    needing: async (secret: SignedBy, at: Date): Promise<{ number: number; last: Date | null }> => {
      const [row] = await db
        .select({ number: count(), last: max(sessions.expiresAt) })
        .from(refreshFamilies)
        .innerJoin(sessions, eq(sessions.id, refreshFamilies.sessionId))
        .innerJoin(users, eq(users.id, sessions.userId))
        .where(and(isSignedBy(refreshFamilies.secretVersion, secret), aliveAt(at, { sessions, users })));
      return row ?? { number: 0, last: null };
    },
    ofSession: async (sessionId: string): Promise<RefreshFamily[]> =>
      await db.select().from(refreshFamilies).where(eq(refreshFamilies.sessionId, sessionId)),
  };
};

export const refreshFamilyWriters = (db: Db, { refreshFamilies }: Tables) => {
  const advanceQuery = prepared(
    "refresh-families.advance",
    db
      .update(refreshFamilies)
      .set({
        generation: sql`${refreshFamilies.generation} + 1`,
        rotatedAt: sql`${sql.param(sql.placeholder("at"), refreshFamilies.rotatedAt)}`,
        retries: 0,
        secretVersion: sql`${sql.placeholder("secretVersion")}`,
      })
      .where(
        and(
          eq(refreshFamilies.id, sql.placeholder("id")),
          eq(refreshFamilies.generation, sql.placeholder("generation")),
        ),
      )
      .returning({ id: refreshFamilies.id }),
  );

  const insertQuery = prepared("refresh-families.insert", db.insert(refreshFamilies).values(givenRow(refreshFamilies)));

  return {
    insert: async (family: RefreshFamily): Promise<void> => {
      await insertQuery.execute(family);
    },
    /**
     * Moves a family on from `generation`, whose token the secret of `secretVersion` made, in one conditional
     * statement. `false` where another request was faster.
     */
    advance: async (id: string, generation: number, at: Date, secretVersion: string): Promise<boolean> =>
      (await advanceQuery.execute({ id, generation, at, secretVersion })).length === 1,
    /** Counts one more retry of the generation before the current one. `false` where there were `most` already, or where it has moved on. */
    countRetry: async (id: string, generation: number, most: number): Promise<boolean> =>
      (
        await db
          .update(refreshFamilies)
          .set({ retries: sql`${refreshFamilies.retries} + 1` })
          .where(
            and(
              eq(refreshFamilies.id, id),
              eq(refreshFamilies.generation, generation + 1),
              lt(refreshFamilies.retries, most),
            ),
          )
          .returning({ id: refreshFamilies.id })
      ).length === 1,
    /** Uses up the one late retry. `false` where the last one was after `notSince`, or where the family has moved on. */
    countLateRetry: async (id: string, generation: number, at: Date, notSince: Date): Promise<boolean> =>
      (
        await db
          .update(refreshFamilies)
          .set({ lateRetriedAt: at })
          .where(
            and(
              eq(refreshFamilies.id, id),
              eq(refreshFamilies.generation, generation + 1),
              or(isNull(refreshFamilies.lateRetriedAt), lte(refreshFamilies.lateRetriedAt, notSince)),
            ),
          )
          .returning({ id: refreshFamilies.id })
      ).length === 1,
  };
};
