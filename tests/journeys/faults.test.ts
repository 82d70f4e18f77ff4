/**
 * The table of faults in docs/security.md: what goes on, and what is refused, while a part is down. A test for each
 * cell; Redis has a file of its own. More of Postgres stands in postgres-faults.test.ts, of mails in mail.test.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemRandom } from "../../src/adapters/system.ts";
import type { Core } from "../../src/core/core.ts";
import { login, signOut } from "../../src/core/login.ts";
import { deliverMail } from "../../src/core/mail/outbox.ts";
import { refresh } from "../../src/core/refresh-tokens.ts";
import { authenticate } from "../../src/core/sessions.ts";
import { openCore } from "../../src/open.ts";
import type { Answer } from "../support/client.ts";
import { createTestClock } from "../support/clock.ts";
import {
  codeOf,
  firefox,
  goodPassword,
  openTestCore,
  registerAda,
  root,
  type TestCore,
  visitor,
} from "../support/core.ts";
import { dialect, rawSql } from "../support/database.ts";
import { asks, columns, everythingWorks, limits, type Scene, setTheScene, works } from "../support/faults.ts";
import { freePort } from "../support/free-port.ts";
import { createMailbox, queueTests, sendTo } from "../support/mailbox.ts";
import { expectProblem, signUp, statusOfMe } from "../support/people.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { until } from "../support/until.ts";

const wrong = "not the password at all";

const expectUnavailable = (answer: Answer<unknown>): void => {
  expectProblem(answer, 503, "unavailable");
  expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
};

const outboxOf = (server: TestServer, state: string) => rawSql(server, `SELECT id FROM mails WHERE state = '${state}'`);

describe("the mail server is down:", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({ ...limits, SMTP_URL: `smtp://127.0.0.1:${await freePort()}` });
  });
  afterAll(() => server?.end());

  everythingWorks(async () => ({ server, scene: await setTheScene(server) }));

  test("mail is queued, and nothing of it is lost", async () => {
    const { email } = await signUp(server);
    const before = (await outboxOf(server, "asked")).length;
    expect((await asks.mail(server, { email } as Scene)).status).toBe(202);
    expect(await outboxOf(server, "asked")).toHaveLength(before + 1);
  });
});

describe("the database is down:", () => {
  let postgres: PostgresServer;
  let server: TestServer;
  let scene: Scene;
  beforeAll(async () => {
    postgres = await startPostgres();
    const DATABASE_URL = postgres.urlOf(await postgres.createDatabase());
    const up = Bun.spawn([process.execPath, "--no-env-file", "cli/authctl.ts", "migrate", "up"], {
      cwd: `${import.meta.dir}/../..`,
      env: { PATH: process.env["PATH"] ?? "", DATABASE_URL, DATA_DIR: postgres.directory },
      stdout: "ignore",
      stderr: "ignore",
    });
    expect(await up.exited).toBe(0);
    server = await startServer({ DATABASE_URL });
    scene = await setTheScene(server);
    await postgres.stop("immediate");
  });
  afterAll(async () => {
    await server?.end();
    await postgres?.end();
  });

  test.each(columns)("%s is 503", async (column) => {
    expectUnavailable(await asks[column](server, scene));
  });

  test("nothing was acknowledged, and nothing was done: everything goes on when it is back", async () => {
    await postgres.start();
    for (const column of columns) expect((await asks[column](server, scene)).status).toBe(works[column]);
    expect(await statusOfMe(server, scene.there.access_token)).toBe(401);
  });
});

/** What the database says where its disk is full, or its file may only be read; and how it gets well again. */
const storages: Record<
  string,
  { breaks(server: TestServer): Promise<void>; mends(server: TestServer): Promise<void> }
> =
  dialect === "sqlite"
    ? {
        "the disk is full": {
          // No file of this process may grow: what is appended fails, as it does where there is no room.
          breaks: (server) => fileLimit(server, "4096"),
          mends: (server) => fileLimit(server, "unlimited"),
        },
      }
    : {
        "the disk is full": {
          breaks: (server) =>
            run(
              server,
              `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`,
              ...["sessions", "refresh_families", "audit_events", "mails"].map(
                (table) => `CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON ${table} EXECUTE FUNCTION full_disk()`,
              ),
            ),
          mends: (server) => run(server, "DROP FUNCTION full_disk CASCADE"),
        },
        "the database may only be read": {
          breaks: (server) => readOnly(server, "on"),
          mends: (server) => readOnly(server, "off"),
        },
      };

async function fileLimit({ pid }: TestServer, bytes: string): Promise<void> {
  const { exitCode } = Bun.spawnSync(["prlimit", "--pid", String(pid), `--fsize=${bytes}:`]);
  expect(exitCode).toBe(0);
}

async function run(server: TestServer, ...statements: readonly string[]): Promise<void> {
  for (const statement of statements) await rawSql(server, statement);
}

/** For every connection from now on; those that there are end, which the first requests hear of. */
async function readOnly(server: TestServer, value: "on" | "off"): Promise<void> {
  const alter = `EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = ${value}', current_database())`;
  await run(
    server,
    `SET TRANSACTION READ WRITE; DO $$ BEGIN ${alter}; END $$`,
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
  );
  // Of a token that is none, the database is asked.
  const probe = { token: `rp_${"A".repeat(43)}`, password: goodPassword };
  const answers = async () => (await server.post("/api/v1/auth/reset-password", probe)).status === 400;
  for (let turn = 0; turn < 8; turn++) await until("it has other connections", answers);
}

describe.each(Object.entries(storages))("%s:", (_, storage) => {
  let server: TestServer;
  let scene: Scene;
  beforeAll(async () => {
    server = await startServer();
    scene = await setTheScene(server);
    await storage.breaks(server);
  });
  afterAll(() => server?.end());

  test("session checks go on", async () => {
    expect((await asks["session check"](server, scene)).status).toBe(200);
  });

  test.each(["sign-in", "refresh", "revocation", "mail"] as const)("%s is 503", async (column) => {
    expectUnavailable(await asks[column](server, scene));
  });

  test("nothing was acknowledged, and nothing was done: everything goes on when there is room", async () => {
    expect(await statusOfMe(server, scene.there.access_token)).toBe(200);
    await storage.mends(server);
    for (const column of columns) expect((await asks[column](server, scene)).status).toBe(works[column]);
    expect(await statusOfMe(server, scene.there.access_token)).toBe(401);
  });
});

describe("the audit trail cannot be written:", () => {
  let server: TestServer;
  let scene: Scene;
  const refuse =
    dialect === "sqlite"
      ? ["CREATE TRIGGER no_audit BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'no'); END"]
      : [
          "CREATE FUNCTION no_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$",
          "CREATE TRIGGER no_audit BEFORE INSERT ON audit_events EXECUTE FUNCTION no_audit()",
        ];
  const alive = async () =>
    Number((await rawSql(server, "SELECT count(*) AS n FROM sessions WHERE revoked_at IS NULL"))[0]?.["n"]);

  beforeAll(async () => {
    server = await startServer({ REFRESH_GRACE: "0s", REFRESH_LATE_RETRY: "off" });
    scene = await setTheScene(server);
    await run(server, ...refuse);
  });
  afterAll(() => server?.end());

  test("session checks go on", async () => {
    expect((await asks["session check"](server, scene)).status).toBe(200);
  });

  test("sign-in is refused, right or wrong, and leaves nothing", async () => {
    const before = await alive();
    expectProblem(await asks["sign-in"](server, scene), 500, "internal_error");
    const failing = await server.post("/api/v1/auth/login", { email: scene.email, password: wrong });
    expectProblem(failing, 500, "internal_error");
    expect(await alive()).toBe(before);
  });

  test("revocation is refused, and the session goes on", async () => {
    expectProblem(await asks.revocation(server, scene), 500, "internal_error");
    expect(await statusOfMe(server, scene.there.access_token)).toBe(200);
  });

  test("a refresh that ends a session is refused, and so is its token; one that is no event of the trail goes on", async () => {
    const { body } = await asks.refresh(server, scene);
    expect(body.session_id).toBe(scene.here.session_id);
    expectProblem(await asks.refresh(server, scene), 500, "internal_error");
    expect(await statusOfMe(server, body.access_token)).toBe(200);
    await run(server, dialect === "sqlite" ? "DROP TRIGGER no_audit" : "DROP FUNCTION no_audit CASCADE");
    expectProblem(await asks.refresh(server, scene), 401, "refresh_token_reused");
    expect(await statusOfMe(server, body.access_token)).toBe(401);
  });
});

describe.each([60_000, -60_000])("a clock is off by %d ms:", (off) => {
  let right: TestCore;
  let wrongly: Core;
  const clocks = () => [[right, wrongly] as const, [wrongly, right] as const];
  const tokensAt = async (at: Core) => {
    const given = await login(at, visitor, {
      identifier: "ada@example.com",
      password: goodPassword,
      credential: "tokens",
    });
    if (given.credential !== "tokens") throw new Error("asked for tokens");
    return given;
  };

  beforeAll(async () => {
    right = await openTestCore({ RATE_LIMITS: "on" });
    const clock = createTestClock(new Date(right.clock.now().getTime() + off));
    const { env, directory: cwd } = right;
    wrongly = await openCore({ env, cwd, purpose: "serve", clock, random: systemRandom, log: right.log });
    await registerAda(right);
  });
  afterAll(async () => {
    await wrongly?.close();
    await right?.close();
  });

  test("session checks work, whoever signed the token", async () => {
    for (const [here, there] of clocks())
      expect(await codeOf(authenticate(there, (await tokensAt(here)).accessToken, firefox))).toBeUndefined();
  });

  test("refreshes work, to and fro", async () => {
    let { refreshToken } = await tokensAt(right);
    for (const at of [wrongly, right, wrongly, right]) {
      const given = await refresh(at, visitor, refreshToken);
      if (given.credential !== "tokens") throw new Error("asked for tokens");
      expect(given.refreshToken).not.toBe(refreshToken);
      ({ refreshToken } = given);
    }
  });

  test("a revocation counts at once", async () => {
    for (const [here, there] of clocks()) {
      const { accessToken, refreshToken } = await tokensAt(here);
      await signOut(there, visitor, [refreshToken]);
      expect(await codeOf(authenticate(here, accessToken, firefox))).toBe("unauthenticated");
    }
  });

  test("a mail that one queues is sent by the other", async () => {
    for (const [here, there] of clocks()) {
      const mailbox = createMailbox();
      for (const core of [here, there]) sendTo(core, mailbox);
      await queueTests(here, "grace@example.com");
      right.clock.advance(Math.abs(off));
      (wrongly.clock as typeof right.clock).advance(Math.abs(off));
      await deliverMail(there, root);
      expect(mailbox.letters.filter(({ to }) => to.address === "grace@example.com")).toHaveLength(1);
    }
  });

  test("tries are counted together, and a sign-in works until they are spent", async () => {
    const outcomes: Array<string | undefined> = [];
    for (let turn = 0; turn < 24; turn++) {
      const at = turn % 2 === 0 ? right : wrongly;
      const given = { identifier: "ada@example.com", password: wrong, credential: "tokens" } as const;
      outcomes.push(await codeOf(login(at, visitor, given)));
    }
    expect(outcomes.filter((code) => code === "invalid_credentials")).toHaveLength(10);
    expect(outcomes.slice(10)).toEqual(Array.from({ length: 14 }, () => "rate_limited"));
  });
});
