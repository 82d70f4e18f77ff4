import { and, eq, isNull, lt, lte, or, sql } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import { givenRow, prepared } from "./dialects/prepared.ts";
import type { RefreshFamily, Tables } from "./tables.ts";

export const refreshFamilyReaders = (db: Db, { refreshFamilies }: Tables) => {
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
    /** Moves a family on from `generation`, in one conditional statement. `false` where another request was faster. */
    advance: async (id: string, generation: number, at: Date): Promise<boolean> =>
      (await advanceQuery.execute({ id, generation, at })).length === 1,
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
