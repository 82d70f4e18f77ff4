/** From SQLite to Postgres, and nobody is signed out. `MOVING_SESSIONS=100000` makes it a longer one. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Core } from "../../src/core/core.ts";
import { startFamily } from "../../src/core/refresh-tokens.ts";
import { startSession } from "../../src/core/sessions.ts";
import { findUser } from "../../src/core/users.ts";
import { wholeFrom } from "../support/chance.ts";
import type { Tokens } from "../support/client.ts";
import { authctl } from "../support/command.ts";
import { firefox } from "../support/core.ts";
import { besides, newSession, newTokens, statusOfMe } from "../support/people.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { until } from "../support/until.ts";

const many = wholeFrom("MOVING_SESSIONS", 20_000);
const patience = 60_000 + many * 2;
const tables = [
  "signing_keys",
  "server_secrets",
  "roles",
  "users",
  "tombstones",
  "user_roles",
  "sessions",
  "refresh_families",
  "challenges",
  "mails",
  "audit_events",
  "audit_heads",
  "jobs",
  "job_failures",
  "tries",
  "bans",
];

/** So many more sign-ins of a user, a thousand in each transaction. */
async function signInOften(core: Core, email: string): Promise<void> {
  const { user } = await findUser(core, email);
  for (let made = 0; made < many; made += 1000) {
    await core.store.write(async (tx) => {
      for (let one = made; one < Math.min(made + 1000, many); one++) {
        await startFamily(core, tx, (await startSession(core, tx, firefox, user, "tokens")).session);
      }
    });
  }
}

describe("moving house", () => {
  let postgres: PostgresServer;
  let server: TestServer;
  let database: string;
  let url: string;
  let tokens: Tokens;
  let session: Awaited<ReturnType<typeof newSession>>;

  const refresh = (token: string) => server.post<Tokens>("/api/v1/auth/refresh", { refresh_token: token });
  const rowsIn = async (name: string): Promise<number> =>
    Number((await postgres.sql<{ rows: string }>(database, `SELECT count(*) AS rows FROM ${name}`))[0]?.rows);
  const copying = () =>
    Bun.spawn([process.execPath, "--no-env-file", "cli/authctl.ts", "db", "copy", "--to", url], {
      cwd: `${import.meta.dir}/../..`,
      env: { PATH: process.env["PATH"] ?? "", ...server.env },
      stdout: "ignore",
      stderr: "pipe",
    });
  /** Until the copy is in the middle of its sessions. */
  const isInserting = () =>
    until("the copy inserts sessions", async () => {
      const active = await postgres.sql(
        database,
        `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'insert into "sessions"%'`,
      );
      return active.length > 0;
    });

  beforeAll(async () => {
    [postgres, server] = await Promise.all([startPostgres(), startServer()]);
    database = await postgres.createDatabase();
    url = postgres.urlOf(database);
    tokens = (await refresh((await newTokens(server)).refresh_token)).body;
    session = await newSession(server);
    await besides(server, (core) => signInOften(core, tokens.user.email));
  }, patience);
  afterAll(async () => {
    await server?.end();
    await postgres?.end();
  });

  test(
    "a copy that is asked to stop says that nothing of it was kept",
    async () => {
      const child = copying();
      await isInserting();
      child.kill("SIGTERM");
      expect(await child.exited).toBe(143);
      expect(await child.stderr.text()).toContain("as empty as before");
      expect(await rowsIn("sessions")).toBe(0);
    },
    patience,
  );

  test(
    `${many} sessions are copied while the server runs, and whoever was signed in goes on on Postgres`,
    async () => {
      const before = performance.now();
      const ran = await authctl(server.env, ["db", "copy", "--to", url, "--json"]);
      const seconds = ((performance.now() - before) / 1000).toFixed(1);
      expect(ran, ran.stderr).toMatchObject({ code: 0 });
      console.log(`moving: ${many} sessions copied and verified in ${seconds} s`);
      const held = JSON.parse(ran.stdout) as Array<{ table: string; rows: number }>;
      expect(held.map(({ table }) => table)).toEqual(tables);
      for (const { table, rows } of held) expect(await rowsIn(table), table).toBe(rows);
      expect(await rowsIn("sessions")).toBe(many + 2);

      await server.restart({ DATABASE_URL: url });
      expect(await statusOfMe(server, tokens.access_token)).toBe(200);
      expect(await statusOfMe(server, session.session_token)).toBe(200);
      const next = await refresh(tokens.refresh_token);
      expect(next.status, next.text).toBe(200);
      expect(next.body).toMatchObject({ session_id: tokens.session_id, user: { email: tokens.user.email } });
      expect((await refresh(next.body.refresh_token)).status).toBe(200);
      expect((await server.get<{ status: string }>("/readyz")).body.status).toBe("ok");
    },
    patience,
  );
});
