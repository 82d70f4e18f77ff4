/** What happens to requests while Postgres fails. `FAULTS_ROUNDS=50` makes it a longer one. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { seededChance, wholeFrom } from "../support/chance.ts";
import type { Answer, Problem, Tokens } from "../support/client.ts";
import { expectProblem, newTokens, statusOfMe } from "../support/people.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { until } from "../support/until.ts";
import { Witness } from "../support/witness.ts";

const rounds = wholeFrom("FAULTS_ROUNDS", 1);
const chance = seededChance(wholeFrom("FAULTS_SEED", 20_260_101));

describe("Postgres fails", () => {
  let postgres: PostgresServer;
  let server: TestServer;
  let database: string;
  let tokens: Tokens;

  const me = (): Promise<Answer<unknown>> => server.get("/api/v1/users/me", { bearer: tokens.access_token });
  const refresh = () => server.post<Tokens>("/api/v1/auth/refresh", { refresh_token: tokens.refresh_token });
  const expectUnavailable = (answer: Answer<unknown>): void => {
    expectProblem(answer, 503, "unavailable");
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  };
  const witnesses = (number: number) =>
    Array.from({ length: number }, () => new Witness(server, seededChance(chance.below(2 ** 31))));
  /** What the database holds that no whole transaction leaves behind. */
  const halves = () =>
    postgres.sql(
      database,
      `SELECT 'session without its family' AS half, id FROM sessions s
         WHERE credential = 'tokens' AND NOT EXISTS (SELECT 1 FROM refresh_families WHERE session_id = s.id)
       UNION ALL SELECT 'session without its record', id FROM sessions s
         WHERE NOT EXISTS (SELECT 1 FROM audit_events WHERE session_id = s.id AND action = 'login.succeeded')
       UNION ALL SELECT 'end without its record', id FROM sessions s
         WHERE revoked_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM audit_events WHERE session_id = s.id AND action = 'session.revoked')
       UNION ALL SELECT 'user without a role', id FROM users u
         WHERE NOT EXISTS (SELECT 1 FROM user_roles WHERE user_id = u.id)
       UNION ALL SELECT 'user without a record', id FROM users u
         WHERE NOT EXISTS (SELECT 1 FROM audit_events WHERE user_id = u.id AND action = 'user.registered')`,
    );
  /** Everything that was answered, and what of the acknowledged does not hold. */
  const expectWhole = async (acted: readonly Witness[]): Promise<void> => {
    for (const { refusal } of acted) if (refusal) expectUnavailable(refusal);
    expect((await Promise.all(acted.map((one) => one.broken()))).flat()).toEqual([]);
    expect(await halves()).toEqual([]);
    expect(server.log.filter(({ event, status }) => event === "request" && status === 500)).toEqual([]);
    expect(server.log.filter(({ event }) => event === "listening")).toHaveLength(1);
    expect(server.errors()).toBe("");
  };

  beforeAll(async () => {
    postgres = await startPostgres();
    database = await postgres.createDatabase();
    await postgres.sql("postgres", "CREATE ROLE app LOGIN");
    await postgres.sql("postgres", `ALTER DATABASE ${database} OWNER TO app`);
    const first = Bun.spawn([process.execPath, "--no-env-file", "cli/authctl.ts", "migrate", "up"], {
      cwd: `${import.meta.dir}/../..`,
      env: {
        PATH: process.env["PATH"] ?? "",
        DATABASE_URL: postgres.urlOf(database, "app"),
        DATA_DIR: postgres.directory,
      },
    });
    expect(await first.exited).toBe(0);
    server = await startServer({ DATABASE_URL: postgres.urlOf(database, "app"), DATABASE_CONNECTIONS: "4" });
    tokens = await newTokens(server);
  });
  afterAll(async () => {
    await server?.end();
    await postgres?.end();
  });

  test("it crashes and restarts under load: 503 meanwhile, back within 5 s, nothing acknowledged is lost", async () => {
    const acted: Witness[] = [];
    for (let round = 0; round < rounds; round++) {
      const some = witnesses(8);
      acted.push(...some);
      const acting = Promise.all(some.map((one) => one.act()));
      // In the midst of the work, however fast this machine is.
      const done = () => acted.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
      await until("the load is there", () => Promise.resolve(done() > acted.length + 8 * round), 20_000);
      await Bun.sleep(chance.below(100));
      await postgres.stop("immediate");
      await acting;
      for (const answer of await Promise.all([me(), refresh()])) expectUnavailable(answer);
      // What it said a moment ago is good for a second.
      await until("it says that it is not ready", async () => (await server.get("/readyz")).status === 503, 2_000);
      expect((await server.get("/livez")).status).toBe(200);

      await postgres.start();
      const back = performance.now();
      await until("requests are answered again", async () => (await me()).status === 200, 5_000);
      console.log(`faults: answered again ${Math.round(performance.now() - back)} ms after Postgres was back`);
      await until("the server is ready again", async () => (await server.get("/readyz")).status === 200, 5_000);
    }
    await expectWhole(acted);
    expect(acted.reduce((sum, { acknowledged }) => sum + acknowledged, 0)).toBeGreaterThan(acted.length);
  });

  test("its backends are killed in the midst of their work: each request is done or answered 503, never half done", async () => {
    const acted: Witness[] = [];
    const end = performance.now() + 2_000;
    const crowd = Array.from({ length: 6 }, async () => {
      while (performance.now() < end) {
        const [one] = witnesses(1);
        acted.push(one!);
        await one!.act();
      }
    });
    const killer = await postgres.connect(database);
    let killed = 0;
    while (performance.now() < end) {
      await Bun.sleep(40);
      const { rowCount } = await killer.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND xact_start IS NOT NULL ORDER BY random() LIMIT 1",
      );
      killed += rowCount ?? 0;
    }
    await until("every witness has ended", async () => {
      await killer.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
      return await Promise.race([Promise.all(crowd).then(() => true), Bun.sleep(50).then(() => false)]);
    });
    await killer.end();
    console.log(`faults: ${killed} backends killed, ${acted.length} witnesses`);
    expect(killed).toBeGreaterThan(5);
    await until("requests are answered again", async () => (await me()).status === 200, 5_000);
    await expectWhole(acted);
  });

  test("it takes no more connections: 503 at once, and everything goes on when it does", async () => {
    await postgres.sql("postgres", "ALTER ROLE app CONNECTION LIMIT 0");
    await postgres.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
    const before = performance.now();
    for (const answer of await Promise.all([me(), me(), refresh(), refresh()])) expectUnavailable(answer);
    expect(performance.now() - before).toBeLessThan(5_000);
    await postgres.sql("postgres", "ALTER ROLE app CONNECTION LIMIT -1");
    expect(await statusOfMe(server, tokens.access_token)).toBe(200);
  });

  test("somebody else's locks hold up every connection: a bounded wait, then 503, and nothing was done", async () => {
    const other = await postgres.connect(database);
    await other.query("BEGIN; LOCK TABLE refresh_families IN ACCESS EXCLUSIVE MODE");
    const before = performance.now();
    // More than there are connections: four wait for the lock, the others for a connection, a session check too.
    const answers = await Promise.all([...Array.from({ length: 10 }, refresh), Bun.sleep(200).then(me)]);
    const waited = performance.now() - before;
    await other.query("ROLLBACK");
    await other.end();
    expect(waited).toBeLessThan(11_000);
    const [check, ...refreshes] = answers.toReversed();
    for (const { status, body } of refreshes) {
      expect(status).toBe(503);
      // Who had a connection waited for the lock, and the others for a connection.
      expect(["database_busy", "unavailable"]).toContain((body as Problem).code);
    }
    expect([200, 503]).toContain(check!.status);
    const { status, body } = await refresh();
    expect(status).toBe(200);
    tokens = body;
    expect(await halves()).toEqual([]);
  }, 30_000);

  test("locks that writes wait for hold up no read, however many wait", async () => {
    const other = await postgres.connect(database);
    await other.query("BEGIN; LOCK TABLE audit_events IN SHARE ROW EXCLUSIVE MODE");
    const out = Array.from({ length: 12 }, () =>
      server.post("/api/v1/auth/logout-all", undefined, { bearer: tokens.access_token }),
    );
    await until("all that may write wait", async () => {
      const [row] = await postgres.sql<{ waiting: string }>(
        "postgres",
        "SELECT count(*) AS waiting FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
      );
      return Number(row?.waiting) === 3;
    });
    expect((await me()).status).toBe(200);
    await other.query("ROLLBACK");
    await other.end();
    // Whichever was first has ended the session of the others.
    const statuses = (await Promise.all(out)).map(({ status }) => status);
    expect(statuses).toContain(200);
    for (const status of statuses) expect([200, 401]).toContain(status);
    expect((await me()).status).toBe(401);
    tokens = await newTokens(server);
  }, 30_000);

  test("it goes silent: the server still ends when it is asked to", async () => {
    postgres.freeze(true);
    const before = performance.now();
    const code = await server.stop();
    postgres.freeze(false);
    expect(code).toBe(0);
    expect(performance.now() - before).toBeLessThan(10_000);
  }, 30_000);
});
