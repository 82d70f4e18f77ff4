import * as sqlite from "drizzle-orm/sqlite-core";

/** How a column is spelled on SQLite. These types are the types of the whole store. */
export const sqliteKit = {
  table: sqlite.sqliteTable,
  index: sqlite.index,
  uniqueIndex: sqlite.uniqueIndex,
  primaryKey: sqlite.primaryKey,
  text: (name: string) => sqlite.text(name),
  /** A text that is looked for by its beginning, and sorted by: compared byte by byte, whatever language the database speaks. */
  key: (name: string) => sqlite.text(name),
  word: <const T extends string>(name: string, _words: readonly T[]) => sqlite.text(name).$type<T>(),
  flag: (name: string) => sqlite.integer(name, { mode: "boolean" }),
  count: (name: string) => sqlite.integer(name),
  /** For what is counted through all the years that a server runs. */
  place: (name: string) => sqlite.integer(name),
  instant: (name: string) => sqlite.integer(name, { mode: "timestamp_ms" }),
  json: <T>(name: string) => sqlite.text(name, { mode: "json" }).$type<T>(),
};

export type Kit = typeof sqliteKit;
