/** Migrations of the test's own, and what a database looks like after them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Failures, Migrations } from "../../src/store/dialects/dialect.ts";
import { postgresMigrations } from "../../src/store/dialects/postgres-migrations.ts";
import { sqliteMigrations } from "../../src/store/dialects/sqlite-migrations.ts";
import { dialect, type Place, type Row, rawSql } from "./database.ts";

const failures: Failures = {
  unavailable: (cause) => new Error("unavailable", { cause }),
  busy: (cause) => new Error("busy", { cause }),
  unreachable: (message) => new Error(message),
  misconfigured: (message) => new Error(message),
  irreversible: (migration) => new Error(`irreversible ${migration}`),
  altered: (migration) => new Error(`altered ${migration}`),
};

const folders: string[] = [];

/** A folder of migrations: `{ "0001_more": "CREATE TABLE …", "0001_more.down": "DROP TABLE …" }`. */
export function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "authctl-migrations-"));
  folders.push(folder);
  for (const [name, sql] of Object.entries(files)) writeFileSync(join(folder, `${name}.sql`), sql);
  return folder;
}

/** To be called after the last test that `folderOf` made one for. */
export function removeFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** What `authctl migrate` does, with the migrations of another folder. */
export function migrationsOf({ env }: Place, folder?: string): Migrations {
  const { DATABASE_URL, DATA_DIR } = env;
  if (!DATABASE_URL) return sqliteMigrations(join(DATA_DIR!, "auth.db"), failures, folder);
  return postgresMigrations({ connectionString: DATABASE_URL }, "public", failures, (error) => error, folder);
}

/** Every table, column, index and constraint. */
export const schemaOf = async (place: Place): Promise<readonly Row[]> => await rawSql(place, schemaQueries[dialect]);

const schemaQueries = {
  sqlite: "SELECT name, sql FROM sqlite_master ORDER BY name",
  postgres: `
    SELECT table_name || '.' || column_name AS name, concat_ws(' ', data_type, datetime_precision, is_nullable, column_default) AS sql
      FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    ORDER BY name, sql`,
};

/** A statement that never ends. */
export const endless = {
  sqlite: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
  postgres: "SELECT pg_sleep(1000)",
}[dialect];

// `bun migrations.ts FOLDER` is a process that migrates.
if (import.meta.main) {
  const [folder] = process.argv.slice(2);
  await migrationsOf({ env: process.env as Record<string, string> }, folder).up(new Date());
}
