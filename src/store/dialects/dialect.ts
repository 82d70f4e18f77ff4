import type { BaseSQLiteDatabase } from "drizzle-orm/sqlite-core";
import type { Tables } from "../tables.ts";

/** What queries are written against. Typed as asynchronous, so that none can be written that works on SQLite alone. */
export type Db = BaseSQLiteDatabase<"async", unknown>;

export type MigrationState = "applied" | "pending" | "altered" | "ahead" | "unknown";

export type Migration = {
  readonly id: string;
  /** `altered`: the file differs from what was applied. `ahead`: applied by a newer version, and no trouble to this one. `unknown`: applied by a newer version, and in the way. */
  readonly state: MigrationState;
  readonly appliedAt: Date | null;
};

/** What a migration does while another process holds the lock. */
export type Waiting = {
  /** Is told who holds it, and since when. */
  readonly onWait?: (holder: string) => void;
  /** Ends the waiting with its reason. */
  readonly interrupted?: AbortSignal;
};

export type Migrations = {
  status(): Promise<Migration[]>;
  /**
   * Applies what is pending, all or nothing, up to `to`. Waits a minute for another process that migrates or writes,
   * after telling who it is. Answers what was applied.
   */
  up(now: Date, to?: string, waiting?: Waiting): Promise<string[]>;
  /** Takes back the last `steps`, all or nothing. Answers what was taken back. */
  down(steps: number, waiting?: Waiting): Promise<string[]>;
};

/** A lock of one job over all processes. It ends with its holder, however that dies. */
export type Release = () => void | Promise<void>;

/** Connections of a pool, and how many wait for one. */
export type Connections = { readonly idle: number; readonly used: number; readonly waiting: number };

/** What of a file holds nothing any more. */
export type Slack = {
  /** In pages. */
  readonly free: number;
  /** In pages, the free ones with the others. */
  readonly total: number;
  /** Whether it can be given back to the file system without a copy of the whole file. */
  readonly returnable: boolean;
};

/** One database behind the store: the seam between the two dialects. */
export type Dialect = {
  readonly name: "sqlite" | "postgres";
  readonly tables: Tables;
  /** For reading, outside of any transaction. */
  readonly read: Db;
  /** One transaction. Rolled back where `work` throws. Refused inside another one. */
  write<T>(work: (db: Db) => Promise<T>): Promise<T>;
  /** A change that is one statement, and so a transaction of its own. Refused inside of one. */
  writeAlone<T>(work: (db: Db) => Promise<T>): Promise<T>;
  /** One transaction that only reads, all of it as it was at its beginning. Holds up nobody who writes. */
  snapshot<T>(work: (db: Db) => Promise<T>): Promise<T>;
  /** The database's own trouble as the failure `unavailable`; anything else as it came. */
  translate(error: unknown): unknown;
  /** `undefined` where another process holds the lock. */
  lock(name: string): Promise<Release | undefined>;
  /** The time of its machine; left out where that is this one. */
  readonly now?: () => Promise<Date>;
  /** Left out where there is no pool. */
  readonly connections?: () => Connections;
  /**
   * Another number as soon as anybody has committed anything. Left out where it takes a round trip to know: a reading
   * is as cheap then.
   */
  readonly version?: () => number;
  /** In bytes, with everything that belongs to it. */
  size(): Promise<number>;
  /** `undefined` where the database sees to that by itself. */
  slack(): Promise<Slack | undefined>;
  /** Gives at most so many free pages back to the file system, in one transaction. */
  giveBack(pages: number): Promise<void>;
  /** Brings all that was written to where it stays, and empties the log of it, unless somebody is reading there. */
  flatten(): Promise<void>;
  readonly migrations: Migrations;
  close(): Promise<void>;
};

/** Reasons that no query can be blamed for. Built by the core, which owns the catalogue of failures. */
export type Failures = {
  unavailable(cause: unknown): Error;
  /** Another process writes, and has done so for longer than anyone waits. */
  busy(cause: unknown): Error;
  /** The database cannot be reached when it is opened; `message` is a sentence for the operator. */
  unreachable(message: string, cause: unknown): Error;
  /** The address of the database is wrong; `message` goes on after its name. */
  misconfigured(message: string, cause?: unknown): Error;
  irreversible(migration: string): Error;
  altered(migration: string): Error;
};
