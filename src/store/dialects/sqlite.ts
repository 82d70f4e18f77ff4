import { Database } from "bun:sqlite";
import { AsyncLocalStorage } from "node:async_hooks";
import { closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { drizzle } from "drizzle-orm/bun-sqlite";
import { defineTables } from "../tables.ts";
import type { Db, Dialect, Failures } from "./dialect.ts";
import { causedByStorage, isBusy } from "./sqlite-errors.ts";
import { sqliteKit } from "./sqlite-kit.ts";
import { sqliteMigrations } from "./sqlite-migrations.ts";

export type SqliteOptions = { readonly file: string; readonly synchronous: "full" | "normal" };

/** Attempts to begin a transaction while another process writes: about ten seconds in all. */
const attempts = 300;
/** How long one attempt holds up this process, in milliseconds. Longer waits are spent outside SQLite, so that requests go on being read. */
const attemptTimeout = 20;

/**
 * One file, two connections: one that only reads, and one writer behind a queue. Transactions are begun and
 * ended by hand, because the driver's own `transaction()` commits at the first await of an async function.
 */
export function openSqlite(options: SqliteOptions, failures: Failures): Dialect {
  const { file } = options;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  // Made here, so that nobody else can read it even for a moment; the files beside it take over its mode.
  closeSync(openSync(file, "a", 0o600));

  const connect = (...pragmas: string[]): Database => {
    const db = new Database(file, { create: false, readwrite: true });
    // First of all: without it six processes that open the file at once fail in two of three cases.
    db.run("PRAGMA busy_timeout = 5000");
    for (const pragma of pragmas) db.run(`PRAGMA ${pragma}`);
    return db;
  };

  const writer = connect(
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    `synchronous = ${options.synchronous}`,
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "cell_size_check = ON",
    `busy_timeout = ${attemptTimeout}`,
  );
  const reader = connect("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 268435456", "query_only = ON");
  const writing = drizzle({ client: writer }) as unknown as Db;

  const translate = (error: unknown): unknown => (causedByStorage(error) ? failures.unavailable(error) : error);

  const inside = new AsyncLocalStorage<true>();
  let tail: Promise<unknown> = Promise.resolve();

  const begin = async (): Promise<void> => {
    for (let attempt = 1; ; attempt++) {
      try {
        writer.run("BEGIN IMMEDIATE");
        return;
      } catch (error) {
        if (!isBusy(error) || attempt === attempts) throw error;
        // Uneven steps, so that processes that wait for the same writer do not come back at the same moment.
        await new Promise((resolve) => setTimeout(resolve, 1 + ((attempt * 7 + process.pid) % 23)));
      }
    }
  };

  const transact = async <T>(work: (db: Db) => Promise<T>): Promise<T> => {
    try {
      await begin();
      const answer = await inside.run(true, work, writing);
      writer.run("COMMIT");
      return answer;
    } catch (error) {
      if (writer.inTransaction) writer.run("ROLLBACK");
      throw translate(error);
    }
  };

  return {
    name: "sqlite",
    tables: defineTables(sqliteKit),
    read: drizzle({ client: reader }) as unknown as Db,
    write: (work) => {
      if (inside.getStore()) throw new Error("a write inside a write: hand on `tx` instead of opening another");
      const done = tail.then(() => transact(work));
      tail = done.catch(() => {});
      return done;
    },
    snapshot: async (work) => {
      // A connection of its own: on the shared one every other reading would be of the same moment.
      const db = connect("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON");
      try {
        db.run("BEGIN");
        return await work(drizzle({ client: db }) as unknown as Db);
      } catch (error) {
        throw translate(error);
      } finally {
        if (db.inTransaction) db.run("ROLLBACK");
        db.close();
      }
    },
    translate,
    lock: (name) => Promise.resolve(lockBeside(file, name)),
    size: () => Promise.resolve(["", "-wal", "-shm"].reduce((sum, end) => sum + sizeOf(file + end), 0)),
    migrations: sqliteMigrations(file, failures),
    close: async () => {
      await tail;
      reader.close();
      writer.close();
    },
  };
}

/**
 * SQLite's exclusive lock of an empty database beside the real one: a lock of the operating system, which
 * frees it when its holder dies. Bun has no other face for such locks.
 */
function lockBeside(file: string, name: string): (() => void) | undefined {
  const path = `${file}-lock-${name}`;
  closeSync(openSync(path, "a", 0o600));
  const db = new Database(path, { create: false, readwrite: true });
  try {
    db.run("BEGIN EXCLUSIVE");
  } catch (error) {
    db.close();
    if (isBusy(error)) return undefined;
    throw error;
  }
  return () => {
    db.run("ROLLBACK");
    db.close();
  };
}

const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;
