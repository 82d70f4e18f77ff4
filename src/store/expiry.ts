/** What every table with an end has in common: how much of it is past that end, and its removal in batches. */
import { and, asc, gte, inArray, lte, type SQL } from "drizzle-orm";
import type { SQLiteColumn, SQLiteTable } from "drizzle-orm/sqlite-core";
import type { Db } from "./dialects/dialect.ts";
import { strides } from "./strides.ts";

/** Where it stands when something ends; an index has to begin with `end`. */
export type Expiring = {
  readonly table: SQLiteTable;
  readonly key: SQLiteColumn;
  readonly end: SQLiteColumn;
  /** Only rows of which this is true have an end at all. */
  readonly among?: SQL;
};

/** How many rows went, and the latest end among them: where the next batch may begin to look. */
export type Batch = { readonly removed: number; readonly reached: Date | undefined };

const endedBy = ({ end, among }: Expiring, before: Date): SQL | undefined => and(among, lte(end, before));

export const expiryReaders = (db: Db, expiring: Expiring) => {
  const { table, end } = expiring;
  return {
    /** When the first of those ended that had by `before`. As quick where there are many. */
    oldestExpired: async (before: Date): Promise<Date | undefined> => {
      const [row] = await db
        .select({ at: end })
        .from(table)
        .where(endedBy(expiring, before))
        .orderBy(asc(end))
        .limit(1);
      return row?.at as Date | undefined;
    },
    /** How many had ended by `before`. Walks along all of them. */
    countExpired: async (before: Date): Promise<number> => {
      let counted = 0;
      for await (const some of strides(db, table, end, endedBy(expiring, before))) {
        counted += await db.$count(table, some);
      }
      return counted;
    },
  };
};

export const expiryWriters = (db: Db, expiring: Expiring) => {
  const { table, key, end } = expiring;
  return {
    /**
     * Deletes at most `limit` rows that had ended by `before`, the oldest first, with whatever belongs to them.
     * `from` is what the batch before has reached: Postgres keeps what was deleted in the index for a while, and
     * would walk past all of it again.
     */
    purge: async (before: Date, limit: number, from?: Date): Promise<Batch> => {
      const ended = and(endedBy(expiring, before), from && gte(end, from));
      const doomed = db.select({ key }).from(table).where(ended).orderBy(asc(end)).limit(limit);
      // Said again outside: on Postgres one that was given a later end a moment ago is looked at anew by this alone.
      const gone = await db
        .delete(table)
        .where(and(inArray(key, doomed), ended))
        .returning({ end });
      const ends = gone.map((row) => (row.end as Date).getTime());
      return { removed: gone.length, reached: gone.length > 0 ? new Date(Math.max(...ends)) : from };
    },
  };
};
