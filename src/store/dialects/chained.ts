import { is, type SQL, type SQLWrapper, sql } from "drizzle-orm";
import { BaseSQLiteDatabase } from "drizzle-orm/sqlite-core";
import type { Db } from "./dialect.ts";
import { givenText, prepared } from "./prepared.ts";

type Given = Record<string, unknown>;
type Prepared<Rows> = { execute(given?: Given): Promise<Rows> };
type Change = SQLWrapper & { prepare(): Prepared<unknown> };

/**
 * A change of one row, and what belongs to it where it was made: a reading of things as they were before it, and a
 * second change. Postgres is told all of it as one statement, and so in one round trip and without a transaction
 * around it. SQLite takes no change inside a reading, and has no round trips: there one follows the other, and the
 * caller brings the transaction.
 * @param chain.first returns the key that the others go by as `key`
 */
export function chained<Row>(
  name: string,
  db: Db,
  chain: {
    readonly first: Change;
    readonly reading: (db: Pick<Db, "select">, key: SQL) => { prepare(): Prepared<Row[]> };
    readonly second: (key: SQL) => Change;
  },
): { execute(given: Given): Promise<Row[]> } {
  if (!is(db, BaseSQLiteDatabase)) return asOne(name, db, chain);
  const key = givenText("key");
  const first = prepared(`${name}.first`, chain.first);
  const reading = prepared(`${name}.reading`, chain.reading(db, key));
  const second = prepared(`${name}.second`, chain.second(key));
  return {
    async execute(given) {
      const [changed] = (await first.execute(given)) as ReadonlyArray<{ readonly key: string }>;
      if (!changed) return [];
      const withKey = { ...given, key: changed.key };
      const rows = await reading.execute(withKey);
      await second.execute(withKey);
      return rows;
    },
  };
}

const asOne: typeof chained = (name, db, { first, reading, second }) => {
  const key = sql`(select key from changed)`;
  // drizzle's types for SQLite, which are the types of the store, know of no change in a WITH.
  const change = (alias: string, query: SQLWrapper) => db.$with(alias).as(query as never);
  const withChanges = db.with(change("changed", first), change("second", second(key)));
  return prepared(name, reading(withChanges as Pick<Db, "select">, key));
};
