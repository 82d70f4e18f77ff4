import { AsyncLocalStorage } from "node:async_hooks";
import { drizzle } from "drizzle-orm/node-postgres";
import pg from "pg";
import { defineTables } from "../tables.ts";
import type { Db, Dialect, Failures, Release } from "./dialect.ts";
import { negotiated, type PostgresOptions } from "./postgres-connection.ts";
import { causedByServer, isConflict, isLocked, isSilence } from "./postgres-errors.ts";
import { postgresKit } from "./postgres-kit.ts";
import { postgresMigrations } from "./postgres-migrations.ts";
import { createTurnstile } from "./turnstile.ts";

/** How often a transaction is begun anew because another one was in the way. */
const attempts = 5;

/** How long a write waits for its turn, in milliseconds: as long as a read for a connection. */
const turnPatience = 5_000;
/** How long closing waits for the server, in milliseconds. */
const farewell = 2_000;
/** Who reads everything may take long, and waits in between for what it does with it. */
const beginSnapshot =
  "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

/** A pool of connections. A write is one transaction of its own connection. */
export async function openPostgres(options: PostgresOptions, failures: Failures): Promise<Dialect> {
  const translate = (error: unknown): unknown =>
    isLocked(error) ? failures.busy(error) : causedByServer(error) ? failures.unavailable(error) : error;
  const config = await negotiated(options, failures);
  const pool = new pg.Pool({ ...config, max: options.maxConnections });
  // Writes wait for the locks of each other, and must not wait with every connection in their hands: some are for reads alone.
  const writers = createTurnstile(options.maxConnections - Math.ceil(options.maxConnections / 4), {
    patience: turnPatience,
    late: () => failures.unavailable(new Error("no turn to write")),
  });
  // Without these two a backend that dies ends this process, by an error that nobody listens to.
  pool.on("error", () => {});
  pool.on("connect", (client) => client.on("error", () => {}));

  // Queries are prepared once for each connection, and a connection serves many transactions.
  const known = new WeakMap<pg.PoolClient, Db>();
  const dbOf = (client: pg.PoolClient): Db => {
    const db = known.get(client) ?? (drizzle({ client }) as unknown as Db);
    known.set(client, db);
    return db;
  };

  const read = drizzle({ client: pool }) as unknown as Db;
  const inside = new AsyncLocalStorage<true>();

  const transact = async <T>(work: (db: Db) => Promise<T>, begin = "BEGIN"): Promise<T> => {
    const client = await pool.connect();
    let broken: Error | undefined;
    try {
      await client.query(begin);
      const answer = await work(dbOf(client));
      await client.query("COMMIT");
      return answer;
    } catch (error) {
      // Where even this fails the connection is of no more use; whether a commit came through nobody knows.
      if (isSilence(error)) broken = new Error("silent");
      else {
        await client.query("ROLLBACK").catch((failed: Error) => {
          broken = failed;
        });
      }
      throw error;
    } finally {
      client.release(broken);
    }
  };

  const inTurn = async <T>(work: () => Promise<T>): Promise<T> => {
    if (inside.getStore()) throw new Error("a write inside a write: hand on `tx` instead of opening another");
    await writers.enter();
    try {
      return await work();
    } finally {
      writers.leave();
    }
  };

  const write = async <T>(work: () => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await inTurn(work);
      } catch (error) {
        if (!isConflict(error) || attempt === attempts) throw translate(error);
        // Uneven steps, so that those who met do not meet again.
        await new Promise((resolve) => setTimeout(resolve, attempt * 3 + ((attempt * 7 + process.pid) % 11)));
      }
    }
  };

  const telling = <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      throw translate(error);
    });

  /** A lock of the connection: it ends with it, and so with the process. */
  const lock = async (name: string): Promise<Release | undefined> => {
    const key = [`authctl:${options.schema}:${name}`];
    const client = await pool.connect();
    try {
      const { rows } = await client.query<{ held: boolean }>(
        "SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS held",
        key,
      );
      if (!rows[0]?.held) {
        client.release();
        return undefined;
      }
    } catch (error) {
      client.release(true);
      throw error;
    }
    return async () => {
      // Where this fails the connection is closed, and the lock is gone with it.
      const freed = client.query("SELECT pg_advisory_unlock(hashtextextended($1, 0))", key);
      await freed.then(
        () => client.release(),
        () => client.release(true),
      );
    };
  };

  return {
    name: "postgres",
    tables: defineTables(postgresKit),
    read,
    write: (work) => write(() => transact((db) => inside.run(true, work, db))),
    writeAlone: (work) => write(() => work(read)),
    snapshot: (work) => telling(transact(work, beginSnapshot)),
    translate,
    lock: (name) => telling(lock(name)),
    now: async () => {
      const { rows } = await telling(pool.query<{ now: Date }>("SELECT clock_timestamp() AS now"));
      return rows[0]!.now;
    },
    connections: () => ({
      idle: pool.idleCount,
      used: pool.totalCount - pool.idleCount,
      waiting: pool.waitingCount + writers.waiting,
    }),
    size: async () => {
      const { rows } = await telling(
        pool.query<{ bytes: string }>("SELECT pg_database_size(current_database())::text AS bytes"),
      );
      return Number(rows[0]?.bytes ?? 0);
    },
    // Its own vacuum makes room for what comes; a file that is large stays so.
    slack: () => Promise.resolve(undefined),
    giveBack: () => Promise.resolve(),
    flatten: () => Promise.resolve(),
    migrations: postgresMigrations(config, options.schema, failures, translate),
    close: async () => {
      // A server that has gone silent says no good-bye, and must not keep this process.
      const { promise: over, resolve } = Promise.withResolvers<void>();
      const deadline = setTimeout(resolve, farewell);
      await Promise.race([pool.end(), over]);
      clearTimeout(deadline);
    },
  };
}
