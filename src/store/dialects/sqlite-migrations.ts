import { Database } from "bun:sqlite";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import type { Failures, Migrations, Waiting } from "./dialect.ts";
import { type Applied, compare, lastOf, type MigrationFile, pendingOf, readMigrationFiles } from "./migration-files.ts";
import { isBusy } from "./sqlite-errors.ts";

/** Attempts to begin while another process migrates: about a minute in all. */
const attempts = 600;
/** How long one attempt takes, and the pause before the next one, in milliseconds. */
const pause = 50;

/**
 * Migrates on a connection of its own. Foreign keys are off while tables are rebuilt (a DROP TABLE would
 * cascade; the pragma does nothing inside a transaction, so it comes before) and checked before the commit.
 */
export function sqliteMigrations(file: string, failures: Failures, folder?: string): Migrations {
  const files = readMigrationFiles("sqlite", folder);
  const note = `${file}-migrating`;

  const history = (db: Database): Applied[] => {
    if (!db.query("SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'").get()) return [];
    const rows = db
      .query<{ id: string; sha256: string; applied_at: number; additive: number }, []>(
        "SELECT * FROM schema_migrations ORDER BY id",
      )
      .all();
    return rows.map(({ id, sha256, applied_at, additive }) => ({
      id,
      sha256,
      appliedAt: new Date(applied_at),
      additive: additive === 1,
    }));
  };

  const open = async <T>(work: (db: Database) => T | Promise<T>): Promise<T> => {
    const db = new Database(file, { create: false, readwrite: true });
    try {
      db.run(`PRAGMA busy_timeout = ${pause}`);
      return await work(db);
    } finally {
      db.close();
    }
  };

  const holder = (): string =>
    existsSync(note) ? `${readFileSync(note, "utf8")}, which migrates` : `another process, which writes to ${file}`;

  const begin = async (db: Database, { onWait, interrupted }: Waiting): Promise<void> => {
    for (let attempt = 1; ; attempt++) {
      try {
        db.run("BEGIN IMMEDIATE");
        return;
      } catch (error) {
        if (!isBusy(error) || attempt === attempts) throw error;
        if (attempt === 1) onWait?.(holder());
        interrupted?.throwIfAborted();
        // Outside of SQLite, so that what was just said is also written.
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  };

  const isDone = (db: Database, choose: (applied: readonly Applied[]) => readonly MigrationFile[]): boolean => {
    try {
      return choose(history(db)).length === 0;
    } catch (error) {
      if (isBusy(error)) return false;
      throw error;
    }
  };

  /** What a run that was killed has noted. Where somebody writes, it may be theirs. */
  const tidyUp = (db: Database): void => {
    if (!existsSync(note)) return;
    try {
      db.run("BEGIN IMMEDIATE");
      rmSync(note, { force: true });
      db.run("ROLLBACK");
    } catch (error) {
      if (!isBusy(error)) throw error;
    }
  };

  const migrate = <M extends MigrationFile>(
    waiting: Waiting,
    choose: (applied: readonly Applied[]) => M[],
    apply: (db: Database, one: M) => void,
  ): Promise<string[]> =>
    open(async (db) => {
      // Whoever has nothing to do waits for nobody.
      if (isDone(db, choose)) {
        tidyUp(db);
        return [];
      }
      db.run("PRAGMA foreign_keys = OFF");
      await begin(db, waiting);
      // While nobody else can have written one, so that it is nobody else's; and a run that is killed here has it to do again.
      const unnote = (): void => rmSync(note, { force: true });
      try {
        db.run(
          "CREATE TABLE IF NOT EXISTS schema_migrations (id TEXT PRIMARY KEY NOT NULL, sha256 TEXT NOT NULL, applied_at INTEGER NOT NULL, additive INTEGER NOT NULL)",
        );
        const chosen = choose(history(db));
        if (chosen.length > 0) {
          const clock = db.query<{ now: string }, []>("SELECT strftime('%Y-%m-%dT%H:%M:%SZ') AS now").get();
          writeFileSync(note, `process ${process.pid} on ${hostname()} since ${clock?.now}`, { mode: 0o600 });
        }
        for (const one of chosen) apply(db, one);
        const broken = db.query("PRAGMA foreign_key_check").all();
        if (broken.length > 0) throw new Error(`the migration leaves ${broken.length} rows that refer to nothing`);
        unnote();
        db.run("COMMIT");
        return chosen.map((one) => one.id);
      } catch (error) {
        if (db.inTransaction) {
          unnote();
          db.run("ROLLBACK");
        }
        throw error;
      }
    });

  return {
    status: () => open((db) => compare(files, history(db))),
    up: (now, to, waiting = {}) =>
      migrate(
        waiting,
        (applied) => pendingOf(files, applied, failures, to),
        (db, one) => {
          for (const statement of one.up) db.run(statement);
          const row = [one.id, one.sha256, now.getTime(), Number(one.additive)];
          db.run("INSERT INTO schema_migrations VALUES (?, ?, ?, ?)", row);
        },
      ),
    down: (steps, waiting = {}) =>
      migrate(
        waiting,
        (applied) => lastOf(files, applied, failures, steps),
        (db, one) => {
          for (const statement of one.down) db.run(statement);
          db.run("DELETE FROM schema_migrations WHERE id = ?", [one.id]);
        },
      ),
  };
}
