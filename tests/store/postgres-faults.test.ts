import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { type SQL, sql } from "drizzle-orm";
import type { Db, Dialect, Failures } from "../../src/store/dialects/dialect.ts";
import { openPostgres } from "../../src/store/dialects/postgres.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";

const failures: Failures = {
  busy: () => new Error("busy"),
  unavailable: () => new Error("unavailable"),
  unreachable: (message) => new Error(message),
  misconfigured: (message) => new Error(message),
  irreversible: (migration) => new Error(migration),
  altered: (migration) => new Error(migration),
};

/** What the store's queries never need: a statement as a text. */
const run = async <R = Record<string, unknown>>(db: Db, statement: SQL): Promise<R[]> =>
  (await (db as unknown as { execute(one: SQL): Promise<{ rows: R[] }> }).execute(statement)).rows;

/** What `ask` answers, asked again for some seconds while that is nothing. */
async function soon<T>(ask: () => Promise<T | undefined>): Promise<T | undefined> {
  for (let asked = 1; asked < 100; asked++) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await Bun.sleep(50);
  }
  return undefined;
}

describe("a transaction on Postgres", () => {
  let postgres: PostgresServer;
  let database: string;
  let dialect: Dialect;
  const values = async () =>
    (await postgres.sql<{ value: number }>(database, "SELECT value FROM counters ORDER BY id")).map(
      ({ value }) => value,
    );

  beforeAll(async () => {
    postgres = await startPostgres();
    database = await postgres.createDatabase();
    await postgres.sql(database, "CREATE TABLE counters (id int PRIMARY KEY, value int NOT NULL)");
    dialect = await openPostgres({ url: postgres.urlOf(database), schema: "public", maxConnections: 4 }, failures);
  });
  beforeEach(() => postgres.sql(database, "TRUNCATE counters; INSERT INTO counters VALUES (1, 0), (2, 0)"));
  afterAll(async () => {
    await dialect?.close();
    await postgres?.end();
  });

  test("has a time for each statement, each lock, and each pause", async () => {
    const shown = (name: string) => dialect.write((db) => run(db, sql.raw(`SHOW ${name}`)));
    expect(await shown("statement_timeout")).toEqual([{ statement_timeout: "10s" }]);
    expect(await shown("lock_timeout")).toEqual([{ lock_timeout: "5s" }]);
    expect(await shown("idle_in_transaction_session_timeout")).toEqual([
      { idle_in_transaction_session_timeout: "10s" },
    ]);
  });

  test("whose backend is killed half way leaves nothing, fails as unavailable, and is not missed by the next one", async () => {
    const work = dialect.write(async (db) => {
      await run(db, sql`UPDATE counters SET value = 7 WHERE id = 1`);
      const [own] = await run<{ pid: number }>(db, sql`SELECT pg_backend_pid() AS pid`);
      await postgres.sql(database, "SELECT pg_terminate_backend($1)", [own?.pid]);
      await run(db, sql`UPDATE counters SET value = 7 WHERE id = 2`);
    });
    expect(await work.catch((error: Error) => error.message)).toBe("unavailable");
    expect(await values()).toEqual([0, 0]);
    await dialect.write((db) => run(db, sql`UPDATE counters SET value = 1`));
    expect(await values()).toEqual([1, 1]);
  });

  test("that deadlocks with another one is begun anew: both are done", async () => {
    let attempts = 0;
    // Until both have their first row, which is what makes the second a deadlock.
    const met = Promise.withResolvers<void>();
    let waiting = 0;
    const inOrder = (first: number, second: number) =>
      dialect.write(async (db) => {
        attempts++;
        await run(db, sql`UPDATE counters SET value = value + 1 WHERE id = ${first}`);
        if (++waiting === 2) met.resolve();
        await met.promise;
        await run(db, sql`UPDATE counters SET value = value + 1 WHERE id = ${second}`);
      });
    await Promise.all([inOrder(1, 2), inOrder(2, 1)]);
    expect(await values()).toEqual([2, 2]);
    expect(attempts).toBe(3);
  });

  test("that cannot be serialized with another one is begun anew: both are counted", async () => {
    let attempts = 0;
    const met = Promise.withResolvers<void>();
    let waiting = 0;
    const add = () =>
      dialect.write(async (db) => {
        attempts++;
        await run(db, sql`SET TRANSACTION ISOLATION LEVEL SERIALIZABLE`);
        const [row] = await run<{ value: number }>(db, sql`SELECT value FROM counters WHERE id = 1`);
        if (++waiting === 2) met.resolve();
        await met.promise;
        await run(db, sql`UPDATE counters SET value = ${(row?.value ?? 0) + 1} WHERE id = 1`);
      });
    await Promise.all([add(), add()]);
    expect((await values())[0]).toBe(2);
    expect(attempts).toBe(3);
  });

  test("reads as at one moment in a snapshot, while others write", async () => {
    const seen = await dialect.snapshot(async (db) => {
      const before = await run(db, sql`SELECT value FROM counters WHERE id = 1`);
      await dialect.write((other) => run(other, sql`UPDATE counters SET value = 5`));
      return [before, await run(db, sql`SELECT value FROM counters WHERE id = 1`)];
    });
    expect(seen).toEqual([[{ value: 0 }], [{ value: 0 }]]);
    expect(await values()).toEqual([5, 5]);
  });

  test("a lock ends with its connection, and a holder that lost it does no harm", async () => {
    const release = await dialect.lock("purge");
    expect(await dialect.lock("purge")).toBeUndefined();
    await postgres.sql(
      database,
      "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    // The server ends a backend when it gets to it.
    const second = await soon(() => dialect.lock("purge"));
    expect(second).toBeDefined();
    await release?.();
    expect(await dialect.lock("purge")).toBeUndefined();
    await second?.();
  });

  test("closing ends although the server has gone silent", async () => {
    const silent = await startPostgres();
    const other = await openPostgres({ url: silent.urlOf("postgres"), schema: "public", maxConnections: 2 }, failures);
    await other.size();
    silent.freeze(true);
    const before = performance.now();
    await other.close();
    expect(performance.now() - before).toBeLessThan(4_000);
    silent.freeze(false);
    await silent.end();
  });
});
