import { and, asc, eq, getTableColumns, gt, or, type SQL } from "drizzle-orm";
import type { SQLiteTable } from "drizzle-orm/sqlite-core";
import type { Db } from "./dialects/dialect.ts";
import type { Tables } from "./tables.ts";

/** The tables that make up a database wherever it is; the servers that run on it stay where they are. */
export type Content = Exclude<keyof Tables, "servers">;

/** A row of any table, as the domain knows it: times, numbers and JSON are the same values on both dialects. */
export type Row = Readonly<Record<string, unknown>>;

/**
 * Every table with its primary key, so that none can be forgotten when one is added. In the order in which they
 * can be filled: the keys first, because a server that starts on a database that is being filled then waits for
 * them instead of making its own, and whatever is referred to before what refers to it.
 */
const primaryKeys: { readonly [N in Content]: ReadonlyArray<keyof Tables[N]["$inferSelect"]> } = {
  signingKeys: ["kid"],
  serverSecrets: ["version"],
  roles: ["name"],
  users: ["id"],
  tombstones: ["id"],
  userRoles: ["userId", "role"],
  sessions: ["id"],
  refreshFamilies: ["id"],
  challenges: ["userId", "purpose"],
  mails: ["id"],
  auditEvents: ["id"],
  auditHeads: ["name"],
  jobs: ["name"],
  jobFailures: ["name"],
  tries: ["key"],
  bans: ["network"],
};

const contents = Object.keys(primaryKeys) as Content[];

/** A whole database, table by table, whatever its rows mean. */
export const contentReaders = (db: Db, tables: Tables) => ({
  /** How many rows each table has, in the order in which they can be filled. */
  counts: async (): Promise<Array<{ table: Content; rows: number }>> => {
    const counted: Array<{ table: Content; rows: number }> = [];
    for (const table of contents) counted.push({ table, rows: await db.$count(tables[table]) });
    return counted;
  },
  /** In the order of the primary key, from after the row `after`. */
  page: async (name: Content, limit: number, after?: Row): Promise<Row[]> => {
    const table: SQLiteTable = tables[name];
    const columns = getTableColumns(table);
    const key = primaryKeys[name].map((part) => ({ part, column: columns[part]! }));
    // (a, b) > (x, y), spelled so that each value is written as its own column wants it.
    const behind = key.map(({ part, column }, at): SQL | undefined =>
      and(...key.slice(0, at).map((one) => eq(one.column, after?.[one.part])), gt(column, after?.[part])),
    );
    return await db
      .select()
      .from(table)
      .where(after && or(...behind))
      .orderBy(...key.map(({ column }) => asc(column)))
      .limit(limit);
  },
});

export const contentWriters = (db: Db, tables: Tables) => ({
  insert: async (name: Content, rows: readonly Row[]): Promise<void> => {
    const table: SQLiteTable = tables[name];
    await db.insert(table).values([...rows]);
  },
  /** Rows as JSON has them, where a time is a text. Fails where one has not exactly the columns of the table. */
  insertJson: async (name: Content, records: readonly Row[]): Promise<void> => {
    const columns = Object.entries(getTableColumns(tables[name]));
    const rows = records.map((record) => {
      const isWhole = columns.every(([key]) => key in record) && Object.keys(record).length === columns.length;
      if (!isWhole) throw new Error(`a row of ${name} has other columns than its table`);
      return Object.fromEntries(
        columns.map(([key, { dataType }]) => {
          const value = record[key];
          return [key, dataType === "date" && typeof value === "string" ? new Date(value) : value];
        }),
      );
    });
    const table: SQLiteTable = tables[name];
    await db.insert(table).values(rows);
  },
  clear: async (name: Content): Promise<void> => {
    await db.delete(tables[name]);
  },
});
