import * as pg from "drizzle-orm/pg-core";
import type { Kit } from "./sqlite-kit.ts";

/**
 * How a column is spelled on Postgres. The cast is the one place where the two dialects are declared equal:
 * the columns hold the same TypeScript values, and queries keep to what both understand.
 */
export const postgresKit = {
  table: pg.pgTable,
  index: pg.index,
  uniqueIndex: pg.uniqueIndex,
  primaryKey: pg.primaryKey,
  text: (name: string) => pg.text(name),
  key: pg.customType<{ data: string }>({ dataType: () => 'text COLLATE "C"' }),
  word: (name: string) => pg.text(name),
  flag: (name: string) => pg.boolean(name),
  count: (name: string) => pg.integer(name),
  place: (name: string) => pg.bigint(name, { mode: "number" }),
  // Milliseconds, as on SQLite: a cursor made from a finer time would skip rows.
  instant: (name: string) => pg.timestamp(name, { withTimezone: true, precision: 3, mode: "date" }),
  json: (name: string) => pg.jsonb(name),
} as unknown as Kit;
