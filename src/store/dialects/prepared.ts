/**
 * A query that is prepared once. SQLite keeps the statement; Postgres wants a name for it, and drizzle's types
 * for SQLite, which are the types of the store, know of none.
 */
export const prepared = <Query>(name: string, query: { prepare(): Query }): Query =>
  (query as { prepare(name: string): Query }).prepare(name);
