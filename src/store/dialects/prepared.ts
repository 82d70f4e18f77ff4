import { type SQL, sql } from "drizzle-orm";

/**
 * A query that is prepared once. SQLite keeps the statement; Postgres wants a name for it, and drizzle's types
 * for SQLite, which are the types of the store, know of none.
 */
export const prepared = <Query>(name: string, query: { prepare(): Query }): Query =>
  (query as { prepare(name: string): Query }).prepare(name);

/**
 * A text that comes with each execution, for queries over several tables. Not the bare placeholder: SQLite looks at
 * the value of one while it plans, and so plans a join anew for each value, which takes six times as long as the
 * query itself.
 */
export const givenText = (name: string): SQL => sql`cast(${sql.placeholder(name)} as text)`;
