import pg from "pg";
import type { Failures, Migrations, Waiting } from "./dialect.ts";
import { type Applied, compare, lastOf, type MigrationFile, pendingOf, readMigrationFiles } from "./migration-files.ts";

/** How long one migrating process waits for another, in milliseconds. */
const patience = 60_000;

/**
 * A server that is busy with a long statement looks after its client now and then: one that was killed holds the
 * lock no longer than this. Not every server can do it.
 */
const noticeDeath = "SET client_connection_check_interval = '1s'";

const quoted = (identifier: string): string => `"${identifier.replaceAll('"', '""')}"`;

/** Migrates on a connection of its own, in one transaction, under a lock that ends with it. */
export function postgresMigrations(
  config: pg.ClientConfig,
  schema: string,
  failures: Failures,
  translate: (error: unknown) => unknown,
  folder?: string,
): Migrations {
  const files = readMigrationFiles("postgres", folder);
  const lockKey = `authctl:${schema}:migrate`;

  const connected = async <T>(work: (client: pg.Client) => Promise<T>): Promise<T> => {
    // A migration may take its time; what waits for it is told by the lock.
    const client = new pg.Client({
      ...config,
      statement_timeout: 0,
      query_timeout: 0,
      lock_timeout: patience,
      application_name: "authctl migrate",
    });
    client.on("error", () => {});
    try {
      await client.connect();
      await client.query(noticeDeath).catch(() => {});
      return await work(client);
    } catch (error) {
      throw translate(error);
    } finally {
      await client.end().catch(() => {});
    }
  };

  const history = async (client: pg.Client): Promise<Applied[]> => {
    const { rows: tables } = await client.query(
      "SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = 'schema_migrations'",
      [schema],
    );
    if (tables.length === 0) return [];
    const { rows } = await client.query<{ id: string; sha256: string; applied_at: Date; additive: boolean }>(
      "SELECT id, sha256, applied_at, additive FROM schema_migrations ORDER BY id",
    );
    return rows.map(({ id, sha256, applied_at, additive }) => ({ id, sha256, appliedAt: applied_at, additive }));
  };

  /** Who migrates now, for whoever waits. */
  const holder = async (client: pg.Client): Promise<string | undefined> => {
    const { rows } = await client.query<{ who: string; since: Date }>(
      `SELECT a.usename || ' (' || coalesce(host(a.client_addr), 'local') || ', process ' || a.pid || ')' AS who, a.xact_start AS since
         FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = 'authctl migrate' AND a.pid <> pg_backend_pid()
        LIMIT 1`,
    );
    return rows[0] && `${rows[0].who} since ${rows[0].since.toISOString()}, which migrates`;
  };

  const migrate = <M extends MigrationFile>(
    waiting: Waiting,
    choose: (applied: readonly Applied[]) => M[],
    apply: (client: pg.Client, one: M) => Promise<void>,
  ): Promise<string[]> =>
    connected(async (client) => {
      // Whoever has nothing to do waits for nobody.
      if (choose(await history(client)).length === 0) return [];
      await client.query("BEGIN");
      try {
        await takeLock(client, waiting);
        await client.query(`CREATE SCHEMA IF NOT EXISTS ${quoted(schema)}`);
        await client.query(
          "CREATE TABLE IF NOT EXISTS schema_migrations (id text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamp (3) with time zone NOT NULL, additive boolean NOT NULL)",
        );
        const chosen = choose(await history(client));
        for (const one of chosen) await apply(client, one);
        await client.query("COMMIT");
        return chosen.map((one) => one.id);
      } catch (error) {
        await client.query("ROLLBACK").catch(() => {});
        throw error;
      }
    });

  /** Held until the transaction ends, and so freed when this process dies. */
  const takeLock = async (client: pg.Client, { onWait, interrupted }: Waiting): Promise<void> => {
    const { rows } = await client.query<{ held: boolean }>(
      "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS held",
      [lockKey],
    );
    if (rows[0]?.held) return;
    onWait?.((await holder(client)) ?? "another process, which migrates");
    // The server goes on waiting for the lock until the connection ends.
    const giveUp = (): void => void client.end().catch(() => {});
    interrupted?.throwIfAborted();
    interrupted?.addEventListener("abort", giveUp, { once: true });
    try {
      await client.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [lockKey]);
    } catch (error) {
      interrupted?.throwIfAborted();
      throw error;
    } finally {
      interrupted?.removeEventListener("abort", giveUp);
    }
  };

  return {
    status: () => connected(async (client) => compare(files, await history(client))),
    up: (now, to, waiting = {}) =>
      migrate(
        waiting,
        (applied) => pendingOf(files, applied, failures, to),
        async (client, one) => {
          for (const statement of one.up) await client.query(statement);
          const row = [one.id, one.sha256, now, one.additive];
          await client.query("INSERT INTO schema_migrations VALUES ($1, $2, $3, $4)", row);
        },
      ),
    down: (steps, waiting = {}) =>
      migrate(
        waiting,
        (applied) => lastOf(files, applied, failures, steps),
        async (client, one) => {
          for (const statement of one.down) await client.query(statement);
          await client.query("DELETE FROM schema_migrations WHERE id = $1", [one.id]);
        },
      ),
  };
}
