import { getTableColumns, type SQL, sql, type Table } from "drizzle-orm";
import type { SQLiteColumn } from "drizzle-orm/sqlite-core";

/**
 * A query that is prepared once: when it is first asked, as a start asks few of them. SQLite keeps the statement;
 * Postgres wants a name for it, and drizzle's types for SQLite, which are the types of the store, know of none.
 */
export function prepared<Query extends { execute(values?: Record<string, unknown>): unknown }>(
  name: string,
  query: { prepare(): Query },
): Pick<Query, "execute"> {
  let ready: Query | undefined;
  return {
    execute: (values) => {
      ready ??= (query as { prepare(name: string): Query }).prepare(name);
      return ready.execute(values);
    },
  };
}

/**
 * A text that comes with each execution, for queries over several tables. Not the bare placeholder: SQLite looks at
 * the value of one while it plans, and so plans a join anew for each value, which takes six times as long as the
 * query itself.
 */
export const givenText = (name: string): SQL => sql`cast(${sql.placeholder(name)} as text)`;

/** The same of whatever a column holds. */
export const givenFor = (column: SQLiteColumn, name: string): SQL =>
  sql`cast(${sql.param(sql.placeholder(name), column)} as ${sql.raw(column.getSQLType())})`;

/** Whether a column is what comes with an execution, where nothing is the same as nothing. */
export const isGiven = (column: SQLiteColumn, name: string): SQL =>
  sql`${column} is not distinct from ${givenText(name)}`;

/** Each column of a table as it comes with each execution: what is to be inserted by a prepared query. */
export const givenRow = <T extends Table>(table: T): Record<keyof T["$inferInsert"], SQL> =>
  Object.fromEntries(
    Object.entries(getTableColumns(table)).map(([name, column]) => [
      name,
      // drizzle asks a column to write nothing down, too.
      sql`${sql.param(sql.placeholder(name), { mapToDriverValue: (value: unknown) => (value === null ? null : column.mapToDriverValue(value)) })}`,
    ]),
    // One member for each column, by its own name
  ) as Record<keyof T["$inferInsert"], SQL>;
