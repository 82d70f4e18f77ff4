/** A long walk in steps of which each is short, so that no statement takes longer than a database allows. */
import { and, asc, gt, lte, type SQL } from "drizzle-orm";
import type { SQLiteColumn, SQLiteTable } from "drizzle-orm/sqlite-core";
import type { Db } from "./dialects/dialect.ts";

/** Rows of one step. */
const stride = 100_000;

/** Conditions of which every row that is `among` meets exactly one. An index has to begin with `column`. */
export async function* strides(
  db: Db,
  table: SQLiteTable,
  column: SQLiteColumn,
  among?: SQL,
): AsyncGenerator<SQL | undefined> {
  for (let after: SQL | undefined; ; ) {
    const [last] = await db
      .select({ place: column })
      .from(table)
      .where(and(among, after))
      .orderBy(asc(column))
      .limit(1)
      .offset(stride - 1);
    yield and(among, after, last && lte(column, last.place));
    if (!last) return;
    after = gt(column, last.place);
  }
}
