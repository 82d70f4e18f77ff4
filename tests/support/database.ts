import { Database } from "bun:sqlite";
import { join } from "node:path";

export type Row = Readonly<Record<string, unknown>>;

/** Every row of every table, as a thief of the file would read it. */
export function dump(directory: string): Readonly<Record<string, readonly Row[]>> {
  return withDatabase(directory, (db) => {
    const names = db
      .query<{ name: string }, []>("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
      .all();
    return Object.fromEntries(names.map(({ name }) => [name, db.query<Row, []>(`SELECT * FROM "${name}"`).all()]));
  });
}

/** Every text that stands in the database, once. */
export const textsOf = (directory: string): string[] => [
  ...new Set(
    Object.values(dump(directory))
      .flat()
      .flatMap((row) => Object.values(row))
      .filter((value) => typeof value === "string"),
  ),
];

/** Works on the file behind the server's back. */
export function withDatabase<T>(directory: string, work: (db: Database) => T): T {
  const db = new Database(join(directory, "auth.db"));
  try {
    db.run("PRAGMA busy_timeout = 5000");
    return work(db);
  } finally {
    db.close();
  }
}
