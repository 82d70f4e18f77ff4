import { Database, type Statement } from "bun:sqlite";
import { AsyncLocalStorage } from "node:async_hooks";
import { closeSync, fdatasync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { drizzle } from "drizzle-orm/bun-sqlite";
import { defineTables } from "../tables.ts";
import type { Db, Dialect, Failures } from "./dialect.ts";
import { causedByStorage, isBusy } from "./sqlite-errors.ts";
import { sqliteKit } from "./sqlite-kit.ts";
import { sqliteMigrations } from "./sqlite-migrations.ts";

export type SqliteOptions = {
  readonly file: string;
  readonly synchronous: "full" | "normal";
  /** How long whoever writes waits for another process that does, in milliseconds; without it about ten seconds. */
  readonly patience?: number;
};

const usualPatience = 9_750;
/** How long opening waits at most, in milliseconds. */
const openingPatience = 5_000;
/** What one attempt to begin a transaction takes with the pause behind it, on average, in milliseconds. */
const attemptTakes = 13;
/** How long one attempt holds up this process, in milliseconds. Longer waits are spent outside SQLite, so that requests go on being answered. */
const attemptTimeout = 1;

/** Work that shares one commit: enough to make it cheap, and few enough that other processes get their turn. */
const mostInOneCommit = 64;

/** How large the log beside the file stays, in bytes. */
const largestLog = 16 * 1024 ** 2;

/** Returns once whatever has been written to an open file is on the disk. */
export type ToDisk = (file: number) => Promise<void>;
const syncData: ToDisk = (file) =>
  new Promise((resolve, reject) => fdatasync(file, (error) => (error ? reject(error) : resolve())));

type Waiting = {
  readonly work: (db: Db) => Promise<unknown>;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * One file: a connection that only reads, with a companion that holds a lock for it, and one writer behind a queue. Transactions are begun and
 * ended by hand, because the driver's own `transaction()` commits at the first await of an async function.
 */
export function openSqlite(options: SqliteOptions, failures: Failures, toDisk: ToDisk = syncData): Dialect {
  const { file, patience = usualPatience } = options;
  const attempts = Math.ceil(patience / attemptTakes);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  // Made here, so that nobody else can read it even for a moment; the files beside it take over its mode.
  closeSync(openSync(file, "a", 0o600));

  const connect = (...pragmas: string[]): Database => {
    const db = new Database(file, { create: false, readwrite: true });
    // First of all: without it six processes that open the file at once fail in two of three cases.
    db.run(`PRAGMA busy_timeout = ${Math.min(openingPatience, patience)}`);
    for (const pragma of pragmas) db.run(`PRAGMA ${pragma}`);
    return withStatements(db);
  };

  const writer = connect(
    // Means something only before the first table; and later it would wait for whoever writes just then.
    ...(sizeOf(file) === 0 ? ["auto_vacuum = INCREMENTAL"] : []),
    "journal_mode = WAL",
    // What SQLite itself makes durable are the checkpoints. A commit is made so below, where nobody else waits for it.
    "synchronous = NORMAL",
    // What a long reading made of the log is given back when it begins anew.
    `journal_size_limit = ${largestLog}`,
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "cell_size_check = ON",
    // The pages as they were before a savepoint stay in memory. Else they go to a file in /var/tmp as soon as they
    // are 64 KiB, which is a few entries of the audit trail: more system calls than all that is written for good.
    "temp_store = MEMORY",
    `busy_timeout = ${attemptTimeout}`,
  );
  const reader = connect("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 268435456", "query_only = ON");
  // The file's own counter, in memory that all its processes share. Asked for on the reader, as commits of a
  // connection's own do not count for it.
  const versionQuery = reader.query<{ data_version: number }, []>("PRAGMA data_version");
  const companion = connect("query_only = ON");
  let asked = 0;
  let turn: NodeJS.Immediate | undefined;
  const endTurn = (): void => {
    clearImmediate(turn);
    asked = 0;
    if (companion.inTransaction) companion.prepare("COMMIT").run();
  };
  // To ask takes a lock of the file and gives it back, two system calls, unless another connection of this process has
  // it: then SQLite only counts. So where many ask in one turn of the event loop, one keeps it for them to its end.
  const version = (): number => {
    asked++;
    if (asked === 1) turn = setImmediate(endTurn);
    if (asked === 2) for (const step of ["BEGIN", "SELECT 1 FROM sqlite_schema LIMIT 1"]) companion.prepare(step).get();
    return versionQuery.get()!.data_version;
  };
  const writing = drizzle({ client: writer }) as unknown as Db;

  const translate = (error: unknown): unknown =>
    isBusy(error) ? failures.busy(error) : causedByStorage(error) ? failures.unavailable(error) : error;

  const run = (text: string): void => void writer.prepare(text).run();

  const isDurable = options.synchronous === "full";
  let log: number | undefined;
  const openLog = (): number => {
    try {
      return openSync(`${file}-wal`, "r+");
    } catch (error) {
      throw failures.unavailable(error);
    }
  };
  let lost: Error | undefined;
  /**
   * Brings what has been committed to the disk. SQLite would do the same in each commit, were it told to; but there all
   * requests stand still for as long as the disk takes, and then until this thread is given its core back.
   */
  const endure = async (open: number): Promise<void> => {
    try {
      await toDisk(open);
    } catch (error) {
      // The system may have dropped what it could not write down: to ask once more would only seem to succeed.
      lost = failures.unavailable(error);
      throw lost;
    }
  };

  const inside = new AsyncLocalStorage<true>();
  const queue: Waiting[] = [];
  let draining: Promise<void> | undefined;

  const begin = async (): Promise<void> => {
    for (let attempt = 1; ; attempt++) {
      try {
        run("BEGIN IMMEDIATE");
        return;
      } catch (error) {
        if (!isBusy(error) || attempt === attempts) throw error;
        // Uneven steps, so that processes that wait for the same writer do not come back at the same moment.
        await new Promise((resolve) => setTimeout(resolve, 1 + ((attempt * 7 + process.pid) % 23)));
      }
    }
  };

  const takeBack = (): void => {
    try {
      if (writer.inTransaction) run("ROLLBACK");
    } catch {
      // A file that fails at this too is seen by the next BEGIN: whoever waits behind must not wait for ever.
    }
  };

  /** Runs one piece of work, and says how to settle its promise once everything has been committed. */
  const attempt = async ({ work, resolve, reject }: Waiting): Promise<() => void> => {
    run("SAVEPOINT work");
    try {
      const answer = await inside.run(true, work, writing);
      run("RELEASE work");
      return () => resolve(answer);
    } catch (error) {
      // Where the file itself failed, SQLite has taken everything back already: nobody's work is there any more.
      if (!writer.inTransaction) throw error;
      for (const end of ["ROLLBACK TO work", "RELEASE work"]) run(end);
      return () => reject(translate(error));
    }
  };

  /**
   * Whatever waits shares one commit, which is what costs: each piece of work is taken back alone where it fails,
   * and none is answered before the commit is durable. What comes meanwhile waits for the next one.
   */
  const drain = async (): Promise<void> => {
    for (;;) {
      // One turn of the event loop: what other requests ask for in the same moment shares the commit.
      await new Promise((turn) => setImmediate(turn));
      if (queue.length === 0) break;
      const batch = queue.splice(0, mostInOneCommit);
      try {
        if (lost) throw lost;
        await begin();
        // It is there as soon as anything has begun, and the same file until the last connection is closed.
        if (isDurable) log ??= openLog();
        const settle: Array<() => void> = [];
        for (const one of batch) settle.push(await attempt(one));
        run("COMMIT");
        if (log !== undefined) await endure(log);
        for (const each of settle) each();
      } catch (error) {
        takeBack();
        for (const { reject } of batch) reject(translate(error));
      }
    }
    draining = undefined;
  };

  const write = <T>(work: (db: Db) => Promise<T>): Promise<T> => {
    if (inside.getStore()) throw new Error("a write inside a write: hand on `tx` instead of opening another");
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    queue.push({ work, resolve: resolve as Waiting["resolve"], reject });
    draining ??= drain();
    return promise;
  };

  const numberOf = (pragma: string): number =>
    Object.values(reader.query<Record<string, number>, []>(`PRAGMA ${pragma}`).get() ?? {})[0] ?? 0;

  return {
    name: "sqlite",
    tables: defineTables(sqliteKit),
    read: drizzle({ client: reader }) as unknown as Db,
    write,
    writeAlone: write,
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
    lock: (name) => Promise.resolve(lockFile(`${file}-lock-${name}`)),
    version,
    size: () => Promise.resolve(["", "-wal", "-shm"].reduce((sum, end) => sum + sizeOf(file + end), 0)),
    slack: async () => {
      const incremental = 2;
      return {
        free: numberOf("freelist_count"),
        total: numberOf("page_count"),
        returnable: numberOf("auto_vacuum") === incremental,
      };
    },
    giveBack: async (pages) =>
      await write(async () => {
        writer.run(`PRAGMA incremental_vacuum(${pages})`);
      }),
    flatten: async () => {
      await draining;
      endTurn();
      writer.run("PRAGMA wal_checkpoint(TRUNCATE)");
    },
    migrations: sqliteMigrations(file, failures),
    close: async () => {
      await draining;
      endTurn();
      companion.close();
      reader.close();
      writer.close();
      if (log !== undefined) closeSync(log);
    },
  };
}

/** As many different statements as are kept; those of a list have one for each length of it. */
const mostStatements = 300;

/**
 * The same connection, which keeps its statements by their text: the same few come again and again, and to make one
 * takes as long as to run it.
 */
function withStatements(db: Database): Database {
  const statements = new Map<string, Statement>();
  const make = db.prepare.bind(db);
  const prepare = (text: string): Statement => {
    const known = statements.get(text);
    if (known) return known;
    const statement = make(text);
    if (statements.size >= mostStatements) statements.clear();
    statements.set(text, statement);
    return statement;
  };
  const close = db.close.bind(db);
  return Object.assign(db, {
    prepare: prepare as Database["prepare"],
    close: () => {
      // A connection lives on for as long as any of its statements does.
      for (const statement of statements.values()) statement.finalize();
      close();
    },
  });
}

/** A look into a file that is there: makes nothing, and waits for nobody longer than a blink. */
export function peekIntoSqlite(file: string): Pick<Dialect, "tables" | "read" | "close"> {
  const db = new Database(file, { readonly: true });
  for (const pragma of ["busy_timeout = 50", "trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"]) {
    db.run(`PRAGMA ${pragma}`);
  }
  const read = drizzle({ client: db }) as unknown as Db;
  return { tables: defineTables(sqliteKit), read, close: () => Promise.resolve(db.close()) };
}

/**
 * SQLite's exclusive lock of an empty database: a lock of the operating system, which frees it when its holder dies.
 * Bun has no other face for such locks. `undefined` where another process holds it.
 */
export function lockFile(path: string): (() => void) | undefined {
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
