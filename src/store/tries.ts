import { and, asc, eq, gt, lt, or, sql } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import { givenRow, prepared } from "./dialects/prepared.ts";
import { expiryReaders, expiryWriters } from "./expiry.ts";
import type { Tables } from "./tables.ts";

export type Tries = Tables["tries"]["$inferSelect"];

/** Whatever the collation of the database says of order. */
const begins = ({ key }: Tables["tries"], prefix: string) =>
  sql`substr(${key}, 1, ${sql.raw(String(prefix.length))}) = ${prefix}`;

const expiring = (table: Tables["tries"]) => ({ table, key: table.key, end: table.endsAt });

export const tryReaders = (db: Db, { tries }: Tables) => ({
  byKey: async (key: string): Promise<Tries | undefined> =>
    (await db.select().from(tries).where(eq(tries.key, key)))[0],
  /** Those whose key begins so. */
  beginning: async (prefix: string): Promise<Tries[]> =>
    await db.select().from(tries).where(begins(tries, prefix)).orderBy(asc(tries.key)),
  ...expiryReaders(db, expiring(tries)),
});

export const tryWriters = (db: Db, { tries }: Tables) => {
  const over = sql`${tries.endsAt} <= ${sql.param(sql.placeholder("now"), tries.endsAt)}`;
  const reserveQuery = prepared(
    "tries.reserve",
    db
      .insert(tries)
      .values(givenRow(tries))
      .onConflictDoUpdate({
        target: tries.key,
        set: {
          spent: sql`case when ${over} then 1 else ${tries.spent} + 1 end`,
          endsAt: sql`case when ${over} then excluded.ends_at else ${tries.endsAt} end`,
        },
        setWhere: sql`${or(over, lt(tries.spent, sql.placeholder("most")))}`,
      })
      .returning({ endsAt: tries.endsAt }),
  );
  const giveBackQuery = prepared(
    "tries.giveBack",
    db
      .update(tries)
      .set({ spent: sql`${tries.spent} - 1` })
      .where(
        and(
          eq(tries.key, sql.placeholder("key")),
          eq(tries.endsAt, sql.param(sql.placeholder("endsAt"), tries.endsAt)),
          gt(tries.spent, 0),
        ),
      ),
  );

  return {
    /**
     * Counts one more try, in one conditional statement: whoever comes at the same time finds it counted. A window
     * that is over counts from zero. Answers when the window ends; `undefined` where `most` are spent already.
     */
    reserve: async (key: string, most: number, now: Date, endsAt: Date): Promise<Date | undefined> =>
      (await reserveQuery.execute({ key, spent: 1, most, now, endsAt }))[0]?.endsAt,
    /** Takes a try back into the window that it was counted in; where that one is over, there is nothing to take back. */
    giveBack: async (key: string, endsAt: Date): Promise<void> => {
      await giveBackQuery.execute({ key, endsAt });
    },
    forget: async (key: string): Promise<void> => {
      await db.delete(tries).where(eq(tries.key, key));
    },
    /** Forgets every key that begins so. */
    forgetAll: async (prefix: string): Promise<void> => {
      await db.delete(tries).where(begins(tries, prefix));
    },
    ...expiryWriters(db, expiring(tries)),
  };
};
