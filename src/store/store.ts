import { auditEventReaders, auditEventWriters } from "./audit-events.ts";
import { auditHeadReaders, auditHeadWriters } from "./audit-heads.ts";
import { banReaders, banWriters } from "./bans.ts";
import { challengeReaders, challengeWriters } from "./challenges.ts";
import { contentReaders, contentWriters } from "./contents.ts";
import type { Connections, Db, Dialect, Migrations, Release, Slack } from "./dialects/dialect.ts";
import { jobReaders, jobWriters } from "./jobs.ts";
import { mailReaders, mailWriters } from "./mails.ts";
import {
  type Rotation,
  refreshFamilyReaders,
  refreshFamilyRotation,
  refreshFamilyWriters,
} from "./refresh-families.ts";
import { roleReaders, roleWriters } from "./roles.ts";
import { sealedTextReaders, sealedTextWriters } from "./sealed-texts.ts";
import { serverSecretReaders, serverSecretWriters } from "./server-secrets.ts";
import { serverReaders, serverWriters } from "./servers.ts";
import { sessionGatherer, sessionReaders, sessionWriters } from "./sessions.ts";
import { signingKeyReaders, signingKeyWriters } from "./signing-keys.ts";
import type { Tables } from "./tables.ts";
import { tombstoneReaders, tombstoneWriters } from "./tombstones.ts";
import { tryReaders, tryWriters } from "./tries.ts";
import { userBatchReaders, userBatchWriters } from "./user-batches.ts";
import { userListReaders } from "./user-lists.ts";
import { userReaders, userWriters } from "./users.ts";

/** Whatever can be read of a database. */
export const readersOf = (db: Db, tables: Tables) => ({
  users: { ...userReaders(db, tables), ...userListReaders(db, tables) },
  userBatches: userBatchReaders(db, tables),
  tombstones: tombstoneReaders(db, tables),
  roles: roleReaders(db, tables),
  sessions: sessionReaders(db, tables),
  refreshFamilies: refreshFamilyReaders(db, tables),
  challenges: challengeReaders(db, tables),
  mails: mailReaders(db, tables),
  signingKeys: signingKeyReaders(db, tables),
  auditEvents: auditEventReaders(db, tables),
  auditHeads: auditHeadReaders(db, tables),
  tries: tryReaders(db, tables),
  bans: banReaders(db, tables),
  jobs: jobReaders(db, tables),
  servers: serverReaders(db, tables),
  serverSecrets: serverSecretReaders(db, tables),
  sealedTexts: sealedTextReaders(db, tables),
  contents: contentReaders(db, tables),
});

const writersOf = (db: Db, tables: Tables) => {
  const readers = readersOf(db, tables);
  return {
    users: { ...readers.users, ...userWriters(db, tables) },
    roles: { ...readers.roles, ...roleWriters(db, tables) },
    userBatches: { ...readers.userBatches, ...userBatchWriters(db, tables) },
    tombstones: { ...readers.tombstones, ...tombstoneWriters(db, tables) },
    sessions: { ...readers.sessions, ...sessionWriters(db, tables) },
    refreshFamilies: { ...readers.refreshFamilies, ...refreshFamilyWriters(db, tables) },
    challenges: { ...readers.challenges, ...challengeWriters(db, tables) },
    mails: { ...readers.mails, ...mailWriters(db, tables) },
    signingKeys: { ...readers.signingKeys, ...signingKeyWriters(db, tables) },
    auditEvents: { ...readers.auditEvents, ...auditEventWriters(db, tables) },
    auditHeads: { ...readers.auditHeads, ...auditHeadWriters(db, tables) },
    tries: { ...readers.tries, ...tryWriters(db, tables) },
    bans: { ...readers.bans, ...banWriters(db, tables) },
    jobs: { ...readers.jobs, ...jobWriters(db, tables) },
    servers: { ...readers.servers, ...serverWriters(db, tables) },
    serverSecrets: { ...readers.serverSecrets, ...serverSecretWriters(db, tables) },
    sealedTexts: { ...readers.sealedTexts, ...sealedTextWriters(db, tables) },
    contents: { ...readers.contents, ...contentWriters(db, tables) },
  };
};

/** What a write is given: every reader and every writer, inside one transaction. */
export type Tx = ReturnType<typeof writersOf>;

export type Readers = ReturnType<typeof readersOf>;

/** Changes that are one statement, and so need no transaction around them. */
const loneWritersOf = (dialect: Dialect, watch: Watch) => {
  const known = new WeakMap<Db, ReturnType<typeof refreshFamilyRotation>>();
  const rotation = (db: Db) => {
    const one = known.get(db) ?? refreshFamilyRotation(db, dialect.tables);
    known.set(db, one);
    return one;
  };
  const rotate = (given: Rotation) => {
    const since = watch.now();
    const work = dialect.writeAlone((db) => rotation(db).rotate(given));
    return watched(watch, "write", since, work);
  };
  return { refreshFamilies: { rotate } };
};
/** What needs no transaction around it. */
type Lone = Readers & ReturnType<typeof loneWritersOf>;

export type Store = Lone & {
  /**
   * One transaction: a throw takes everything back. What `work` has read may be another's to change until it
   * commits: it decides by what a conditional statement answers, or claims what it reads about. It may be begun
   * anew where another transaction was in the way. Inside, await nothing but `tx`. A verdict that must stick is
   * returned and thrown afterwards.
   */
  write<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** Everything that `work` reads is of one moment, however long it takes and whatever is written meanwhile. */
  snapshot<T>(work: (readers: Readers) => Promise<T>): Promise<T>;
  /** A lock of one job over all processes; `undefined` where another one holds it. */
  lock(name: string): Promise<Release | undefined>;
  /**
   * Another number as soon as anybody has committed anything; what was read while it was the same is still so.
   * `undefined` where that cannot be known more cheaply than by reading.
   */
  version(): number | undefined;
  /** In bytes. */
  size(): Promise<number>;
  /** What of the file holds nothing any more; `undefined` where the database sees to that by itself. */
  slack(): Promise<Slack | undefined>;
  /** Gives at most so many free pages back to the file system, in one short transaction. */
  giveBack(pages: number): Promise<void>;
  /** Empties the log beside the file, unless somebody is reading there. */
  flatten(): Promise<void>;
  /** What this process has of its pool; `undefined` where there is none. */
  connections(): Connections | undefined;
  readonly migrations: Migrations;
  close(): Promise<void>;
};

/** Is told how each reading and each transaction went, and since when by its own clock it had been under way. */
export type Watch = {
  now(): number;
  over(kind: "read" | "write", since: number, failure?: unknown): void;
};

const unwatched: Watch = { now: () => 0, over: () => {} };

/** The store on one database. The schema must be there: a query is prepared when it is first asked, and kept. */
export function createStore(dialect: Dialect, watch = unwatched): Store {
  const { tables } = dialect;
  // SQLite has one writing connection for good; Postgres brings another one for each transaction.
  const prepared = new WeakMap<Db, Tx>();
  const writers = (db: Db): Tx => {
    const known = prepared.get(db) ?? writersOf(db, tables);
    prepared.set(db, known);
    return known;
  };
  const readers = readersOf(dialect.read, tables);
  // Where nobody can be spared the round trip, it is at least shared.
  const sessions = dialect.version
    ? readers.sessions
    : { ...readers.sessions, ...sessionGatherer(dialect.read, tables) };
  const read = translated({ ...readers, sessions }, dialect, watch);
  return {
    ...read,
    refreshFamilies: { ...read.refreshFamilies, ...loneWritersOf(dialect, watch).refreshFamilies },
    write: (work) => {
      const since = watch.now();
      return watched(
        watch,
        "write",
        since,
        dialect.write((db) => work(writers(db))),
      );
    },
    snapshot: (work) => dialect.snapshot((db) => work(readersOf(db, tables))),
    lock: (name) => dialect.lock(name),
    version: () => dialect.version?.(),
    size: () => dialect.size(),
    slack: () => dialect.slack(),
    giveBack: (pages) => dialect.giveBack(pages),
    flatten: () => dialect.flatten(),
    connections: () => dialect.connections?.(),
    migrations: dialect.migrations,
    close: () => dialect.close(),
  };
}

type Method = (...given: never[]) => Promise<unknown>;

/** Lets every reader tell the database's own trouble as `unavailable`; inside a write the transaction does it. */
function translated<R extends Record<string, Record<string, Method>>>(readers: R, dialect: Dialect, watch: Watch): R {
  const guard =
    (method: Method): Method =>
    (...given) => {
      const since = watch.now();
      return watched(watch, "read", since, method(...given), (error) => dialect.translate(error));
    };
  return Object.fromEntries(
    Object.entries(readers).map(([noun, methods]) => [
      noun,
      Object.fromEntries(Object.entries(methods).map(([name, method]) => [name, guard(method)])),
    ]),
  ) as R;
}

/** Passes on what comes of `work`, after the watch was told. */
function watched<T>(
  watch: Watch,
  kind: "read" | "write",
  since: number,
  work: Promise<T>,
  failureOf: Dialect["translate"] = (error) => error,
): Promise<T> {
  return work.then(
    (answer) => {
      watch.over(kind, since);
      return answer;
    },
    (error: unknown) => {
      const failure = failureOf(error);
      watch.over(kind, since, failure);
      throw failure;
    },
  );
}
