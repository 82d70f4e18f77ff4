import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import { operator } from "../../src/core/actors.ts";
import type { Examined } from "../../src/core/doctor/finding.ts";
import { createUser } from "../../src/core/users.ts";
import { examineFromOutside, examineParts } from "../../src/open/doctor.ts";
import { person, Shell, sessionsOf } from "../support/cli.ts";
import { freePort } from "../support/free-port.ts";
import { startMailServer } from "../support/mail-server.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";
import { proxyAddress, type ReverseProxy, startReverseProxy } from "../support/reverse-proxy.ts";
import { startServer, type TestServer } from "../support/server.ts";

type Env = Readonly<Record<string, string>>;
type Told = { readonly ok: boolean; readonly parts: ReadonlyArray<Examined<string> & { readonly ok: boolean }> };

const strong = () => Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString("base64");

/** What production wants, and all of it well. */
const healthy: Env = {
  PUBLIC_URL: "https://auth.example.com",
  TRUSTED_PROXIES: "10.0.0.5",
  BACKUP_MAX_AGE: "48h",
};

/** A server as it should be: with a user, a backup, and nothing left over. */
async function wellKept(): Promise<Shell> {
  const shell = new Shell(healthy);
  await shell.core(async (core) => {
    await person(core, "ada@example.com", ["admin"]);
    await core.store.write((tx) =>
      tx.jobs.recordSuccess({ name: "backup", succeededAt: core.clock.now(), summary: {} }),
    );
  });
  return shell;
}

const examine = (shell: Shell, env: Env = {}) => examineParts({ env: { ...shell.env, ...env }, cwd: shell.directory });

/** Every finding, as `part: problem → remedy`. */
const findingsOf = (examined: ReadonlyArray<Examined<string>>): string[] =>
  examined.flatMap(({ part, findings }) => findings.map(({ problem, remedy }) => `${part}: ${problem} → ${remedy}`));

const sql = (shell: Shell, ...statements: readonly string[]): void => {
  using database = new Database(shell.file("data/auth.db"));
  for (const one of statements) database.run(one);
};

const day = 86_400_000;

type Breakage = {
  readonly what: string;
  readonly env?: Env;
  readonly breaks?: (shell: Shell) => Promise<unknown> | void;
  /** The beginning of what is found, and something that the remedy says. */
  readonly found: string;
  readonly remedy: string;
};

const breakages: readonly Breakage[] = [
  {
    what: "a setting that cannot be read",
    env: { PORT: "eighty" },
    found: "config: PORT must be",
    remedy: "config explain PORT",
  },
  {
    what: "a notice of the settings",
    env: { ADMIN_PASSWORD: "xkcd 936 but longer" },
    found: "config: ADMIN_EMAIL is not set",
    remedy: "config explain",
  },
  {
    what: "a secret that is gone",
    breaks: (shell) => rmSync(shell.file("data/secret.key")),
    found: "secret: The server secret does not fit",
    remedy: "SECRET_KEY_FILE",
  },
  {
    what: "a secret that others can read",
    breaks: (shell) => chmodSync(shell.file("data/secret.key"), 0o644),
    found: "secret: SECRET_KEY",
    remedy: "",
  },
  {
    what: "another server's secret",
    env: { SECRET_KEY: strong() },
    found: "secret: Something is sealed by",
    remedy: "SECRET_KEY again",
  },
  {
    what: "a key that does not open",
    env: { SECRET_KEY: strong() },
    found: "keys: The active key",
    remedy: "key rotate --now",
  },
  {
    what: "a hash that was put into another row",
    breaks: (shell) =>
      shell.core(async (core) => {
        const { user } = await person(core, "bob@example.com");
        sql(
          shell,
          `UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE id <> '${user.id}') WHERE id = '${user.id}'`,
        );
      }),
    found: "secret: 1 of the rows of users do not open",
    remedy: "audit verify",
  },
  {
    what: "no database",
    env: { DATABASE_URL: "sqlite:nowhere.db" },
    found: "database: There is no database yet",
    remedy: "authctl init",
  },
  {
    what: "a Postgres that is away",
    env: { DATABASE_URL: "postgres://nobody@127.0.0.1:1/none" },
    found: "database: The database cannot be reached",
    remedy: "Start it",
  },
  {
    what: "a file that is no database",
    breaks: (shell) => {
      for (const end of ["-wal", "-shm"]) rmSync(shell.file(`data/auth.db${end}`), { force: true });
      writeFileSync(shell.file("data/auth.db"), "no database at all, for sure".repeat(40));
    },
    found: "database: The file is no database",
    remedy: "restore a backup",
  },
  {
    what: "a database that takes no writes",
    breaks: (shell) => sql(shell, "CREATE TRIGGER stop BEFORE INSERT ON servers BEGIN SELECT RAISE(ABORT, 'no'); END"),
    found: "database: The database can be read, and not written",
    remedy: "Make room",
  },
  {
    what: "a file that never shrinks",
    breaks: (shell) => sql(shell, "PRAGMA auto_vacuum = NONE", "VACUUM"),
    found: "database: The file of the database never gets smaller",
    remedy: "VACUUM",
  },
  {
    what: "pending migrations",
    breaks: (shell) => shell.run("migrate down --yes"),
    found: "schema: Migrations are pending",
    remedy: "authctl migrate up",
  },
  {
    what: "a migration of a newer version",
    breaks: (shell) => sql(shell, "INSERT INTO schema_migrations VALUES ('9999_later', 'x', 0, 0)"),
    found: "schema: A newer version has migrated",
    remedy: "Use that version",
  },
  {
    what: "no key to sign with",
    breaks: (shell) => sql(shell, "DELETE FROM signing_keys"),
    found: "keys: No key signs",
    remedy: "key rotate --now",
  },
  {
    what: "no key to come",
    breaks: (shell) => sql(shell, "DELETE FROM signing_keys WHERE state = 'next'"),
    found: "keys: No next key",
    remedy: "key rotate",
  },
  {
    what: "a key that has signed for too long",
    breaks: (shell) => sql(shell, `UPDATE signing_keys SET activated_at = activated_at - ${200 * day}`),
    found: "keys: The key",
    remedy: "key rotate",
  },
  {
    what: "a Redis that is away",
    env: { REDIS_URL: "redis://127.0.0.1:1" },
    found: "redis: Redis does not answer",
    remedy: "REDIS_URL",
  },
  {
    what: "a mail server that is away",
    env: { SMTP_URL: "smtp://127.0.0.1:1" },
    found: "mail: The mail server does not let this server in (ECONNREFUSED)",
    remedy: "SMTP_URL",
  },
  {
    what: "a mail that was given up, and one that nobody sends",
    breaks: (shell) =>
      sql(
        shell,
        `INSERT INTO mails (id, kind, state, attempts, due_at, created_at) VALUES ('a', 'test', 'dead', 3, 0, 0), ('b', 'test', 'queued', 0, 0, 0)`,
      ),
    found:
      "outbox: 1 mail was given up. → See why with `authctl mail queue list`, then `authctl mail queue retry` or `drop`.\noutbox: A mail has been waiting",
    remedy: "mail flush",
  },
  {
    what: "a clock that was set back",
    breaks: (shell) =>
      shell.core((core) =>
        createUser({ ...core, clock: { ...core.clock, now: () => new Date(Date.now() + day) } }, operator("x@y"), {
          email: "eve@example.com",
        }),
      ),
    found: "clock: The newest entry of the audit trail is 23 hours in the future",
    remedy: "timedatectl",
  },
  {
    what: "cookies that no browser keeps: http",
    env: { PUBLIC_URL: "http://auth.example.com", COOKIE_SECURE: "on" },
    found: "cookies: COOKIE_SECURE is on, and PUBLIC_URL is http",
    remedy: "https",
  },
  {
    what: "cookies that no browser keeps: another domain",
    env: { COOKIE_DOMAIN: "example.org" },
    found: "cookies: COOKIE_DOMAIN is example.org",
    remedy: "auth.example.com belongs to",
  },
  {
    what: "cookies without Secure",
    env: { COOKIE_SECURE: "off" },
    found: "cookies: COOKIE_SECURE is off",
    remedy: "COOKIE_SECURE=on",
  },
  {
    what: "a page of another site",
    env: { ALLOWED_ORIGINS: "https://app.example.org" },
    found: "cookies: ALLOWED_ORIGINS names https://app.example.org",
    remedy: "COOKIE_SAMESITE=none",
  },
  {
    what: "a proxy that is not told",
    env: { TRUSTED_PROXIES: "" },
    found: "proxy: PUBLIC_URL is https",
    remedy: "Set TRUSTED_PROXIES",
  },
  {
    what: "a proxy that is anybody",
    env: { TRUSTED_PROXIES: "0.0.0.0/0" },
    found: "proxy: TRUSTED_PROXIES holds 0.0.0.0/0",
    remedy: "nothing else",
  },
  {
    what: "a directory that others may enter",
    breaks: (shell) => chmodSync(shell.file("data"), 0o755),
    found: "disk: ",
    remedy: "chmod 700",
  },
  {
    what: "a backup that others may read",
    breaks: (shell) => {
      mkdirSync(shell.file("data/backups"), { mode: 0o700 });
      writeFileSync(shell.file("data/backups/old.ndjson.gz"), "x", { mode: 0o644 });
    },
    found: "disk: ",
    remedy: "chmod 600",
  },
  {
    what: "no backup",
    breaks: (shell) => sql(shell, "DELETE FROM jobs"),
    found: "backup: There was never a backup",
    remedy: "backup create",
  },
  {
    what: "an old backup",
    breaks: (shell) => sql(shell, `UPDATE jobs SET succeeded_at = succeeded_at - ${3 * day}`),
    found: "backup: The last backup is 3 days old",
    remedy: "backup create",
  },
  {
    what: "sessions that expired long ago",
    breaks: async (shell) => {
      await shell.core((core) => sessionsOf(core, "ada@example.com", 1));
      sql(shell, `UPDATE sessions SET idle_expires_at = idle_expires_at - ${9 * day}`);
    },
    found: "purge: What expired 8 days ago is still there: there was never a purge",
    remedy: "token purge",
  },
  {
    what: "a server that fell silent",
    breaks: (shell) =>
      sql(shell, "INSERT INTO servers (id, host, version, started_at, seen_at) VALUES ('a', 'web-3', '1', 0, 0)"),
    found: "servers: A server on web-3 has not been heard of",
    remedy: "token purge --kind servers",
  },
];

describe("doctor", () => {
  test("finds nothing where all is well, and changes nothing", async () => {
    using shell = await wellKept();
    const told = await shell.json<Told>("doctor");
    expect(told.parts.flatMap(({ findings }) => findings)).toEqual([]);
    expect(told).toMatchObject({ ok: true });
    expect(told.parts.map(({ part, ok }) => [part, ok])).toEqual(
      [
        "config",
        "secret",
        "database",
        "schema",
        "keys",
        "redis",
        "mail",
        "outbox",
        "clock",
        "cookies",
        "proxy",
        "disk",
        "backup",
        "purge",
        "servers",
      ].map((part) => [part, true]),
    );
    expect(await shell.core((core) => core.store.servers.seenSince(new Date(0)))).toEqual([]);
    const plain = await shell.run("doctor");
    expect([plain.code, plain.stderr]).toEqual([0, "Nothing was found.\n"]);
  });

  test.each(breakages.map((one) => [one.what, one] as const))("finds %s, and says what to do", async (_, broken) => {
    using shell = await wellKept();
    await broken.breaks?.(shell);
    const findings = findingsOf(await examine(shell, broken.env)).join("\n");
    expect(findings).toContain(broken.found);
    expect(findings).toContain(broken.remedy);
    for (const line of findings.split("\n")) expect(line).toMatch(/^[a-z]+: .+ → .+/);
  });

  test("with the database down still tells of the other parts, and makes no database", async () => {
    using shell = new Shell({
      ...healthy,
      DATABASE_URL: "sqlite:nowhere.db",
      SECRET_KEY: strong(),
      COOKIE_DOMAIN: "example.org",
    });
    const told = await shell.json<Told>("doctor", {}, 5);
    const states = Object.fromEntries(
      told.parts.map(({ part, findings, skipped }) => [part, skipped ?? findings.length]),
    );
    expect(states).toMatchObject({
      database: 1,
      cookies: 1,
      proxy: 0,
      secret: 0,
      keys: "The database could not be opened.",
    });
    expect(await Bun.file(shell.file("nowhere.db")).exists()).toBeFalse();
  });

  test("looks at one part alone, and at no part that there is not", async () => {
    using shell = await wellKept();
    const told = await shell.json<Told>("doctor --only mail,cookies", { env: { COOKIE_SECURE: "off" } }, 5);
    expect(told.parts.map(({ part }) => part)).toEqual(["mail", "cookies"]);
    const plain = await shell.run("doctor --only cookies", { env: { COOKIE_SECURE: "off" } });
    expect(plain).toMatchObject({
      code: 5,
      stdout: expect.stringContaining("COOKIE_SECURE=on"),
      stderr: expect.stringContaining("1 finding"),
    });
    for (const line of [
      "doctor --only sky",
      "doctor https://auth.example.com",
      "doctor --outside nowhere",
      "doctor a b",
    ]) {
      expect((await shell.run(line)).code).toBe(2);
    }
  });

  test("signs in at the mail server, and sends nothing", async () => {
    using shell = await wellKept();
    const server = await startMailServer({ password: "right" });
    const env = { SMTP_URL: `smtp://mailer@127.0.0.1:${server.port}`, SMTP_REQUIRE_TLS: "off" };
    expect(findingsOf(await examine(shell, { ...env, SMTP_PASSWORD: "right" }))).toEqual([]);
    expect(findingsOf(await examine(shell, { ...env, SMTP_PASSWORD: "wrong" }))).toEqual([
      expect.stringContaining("(535)"),
    ]);
    expect(server.arrived).toEqual([]);
    await server.stop();
  });

  test("wants a mail server in production", async () => {
    using shell = await wellKept();
    const env = {
      NODE_ENV: "production",
      SECRET_KEY: readFileSync(shell.file("data/secret.key"), "utf8"),
      ARGON2_MEMORY_KIB: "",
      ARGON2_TIME_COST: "",
    };
    expect(findingsOf(await examine(shell, env))).toEqual([expect.stringContaining("mail: There is no mail server")]);
  });
});

describe("doctor on Postgres", () => {
  let postgres: PostgresServer;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(() => postgres?.end());

  test("finds nothing where all is well, tables that are missing, and a user who may not write", async () => {
    const name = await postgres.createDatabase();
    using shell = new Shell({ ...healthy, BACKUP_MAX_AGE: "0", DATABASE_URL: postgres.urlOf(name) });
    const bare = findingsOf(await examine(shell, { SECRET_KEY: strong() }));
    expect(bare).toEqual([expect.stringContaining("schema: Migrations are pending")]);
    await shell.run("migrate up");
    await shell.core((core) => person(core, "ada@example.com", ["admin"]));
    expect(findingsOf(await examine(shell))).toEqual([]);
    await postgres.sql(name, "CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader");
    const reading = findingsOf(await examine(shell, { DATABASE_URL: postgres.urlOf(name, "reader") }));
    expect(reading).toContainEqual(expect.stringContaining("database: The database can be read, and not written"));
  });
});

describe("doctor --outside", () => {
  let server: TestServer;
  let proxy: ReverseProxy;
  /** What the proxy says of its clients. */
  const tells = (headers: object, client: string) => ({ ...headers, "x-forwarded-for": client });

  const without = (name: string) => (headers: IncomingHttpHeaders) =>
    Object.fromEntries(Object.entries(headers).filter(([one]) => one !== name));

  beforeAll(async () => {
    // The address of the proxy has to be known before the server that it stands before.
    proxy = await startReverseProxy(() => server.url);
    server = await startServer({
      PUBLIC_URL: proxy.url,
      TRUSTED_PROXIES: proxyAddress,
      ALLOWED_ORIGINS: "http://127.0.0.1:9999",
    });
  });
  afterAll(async () => {
    await proxy?.[Symbol.asyncDispose]();
    await server?.end();
  });

  const visit = async (env: Env = {}, url?: string) => {
    const place = { env: { ...server.env, ...env }, cwd: server.directory };
    return findingsOf(await examineFromOutside(place, operator("ops@test"), { origin: url, signsIn: true }));
  };

  test("finds nothing behind a proxy that does its work, and leaves nobody behind", async () => {
    proxy.habits = { inward: tells };
    expect(await visit()).toEqual([]);
    const dumped = await server.get<{ readonly name: string }>("/");
    expect(dumped.status).toBe(200);
    using shell = new Shell({ ...server.env });
    const users = await shell.json<object[]>("user list");
    expect(users).toEqual([]);
    expect(await shell.json<object[]>("mail queue list")).toEqual([]);
    const actions = (await shell.json<Array<{ action: string }>>("audit list --actor ops@test")).map(
      ({ action }) => action,
    );
    expect(actions).toEqual(["user.created", "user.purged"]);
  });

  test("is a command with its exit codes", async () => {
    proxy.habits = { inward: tells };
    using shell = new Shell({ ...server.env });
    expect(await shell.json<Told>("doctor --outside")).toMatchObject({ ok: true });
    const other = await shell.json<Told>(`doctor --outside ${server.url} --no-sign-in`, {}, 5);
    expect(findingsOf(other.parts)).toEqual([expect.stringContaining("issuer: The server takes itself for")]);
    expect(other.parts.find(({ part }) => part === "cookies")?.skipped).toBeString();
  });

  const habits: ReadonlyArray<readonly [string, ReverseProxy["habits"], string]> = [
    [
      "writes nobody's address down",
      { inward: without("x-forwarded-for") },
      `address: The server saw this client as ${proxyAddress}`,
    ],
    ["passes on what anybody writes", {}, "address: The server believes an X-Forwarded-For"],
    [
      "takes headers away",
      { inward: tells, outward: without("content-security-policy") },
      "headers: The header content-security-policy does not arrive",
    ],
    [
      "lets no key be cached",
      { inward: tells, outward: (headers) => ({ ...headers, "cache-control": "no-store" }) },
      "jwks: The published keys may not be cached",
    ],
    [
      "hides the keys",
      {
        inward: tells,
        instead: (_, path) => (path.startsWith("/.well-known") ? { status: 403, text: "no" } : undefined),
      },
      "jwks: /.well-known/jwks.json answers 403",
    ],
    [
      "publishes another server's keys",
      {
        inward: tells,
        instead: (_, path) => (path.endsWith("jwks.json") ? { status: 200, text: '{"keys":[]}' } : undefined),
      },
      "jwks: The key ",
    ],
    [
      "moves cookies to another domain",
      {
        inward: tells,
        outward: (headers) => ({
          ...headers,
          ...(headers["set-cookie"] && {
            "set-cookie": headers["set-cookie"].map((one) => `${one}; Domain=example.org`),
          }),
        }),
      },
      "cookies: A browser does not keep the cookie",
    ],
    ["swallows cookies", { inward: tells, outward: without("set-cookie") }, "cookies: No cookie arrives"],
    [
      "passes no cookie on",
      { inward: (headers, client) => tells(without("cookie")(headers), client) },
      "cookies: With the cookie of a sign-in",
    ],
    [
      "changes the origin",
      {
        inward: (headers, client) =>
          tells({ ...headers, origin: "https://else.example", "sec-fetch-site": "cross-site" }, client),
      },
      "cookies: Signing in there with a cookie answers 403",
    ],
    [
      "answers preflights itself",
      { inward: tells, instead: (method) => (method === "OPTIONS" ? { status: 204, text: "" } : undefined) },
      "origins: Pages of http://127.0.0.1:9999 may not read",
    ],
    [
      "opens everything to everybody",
      { inward: tells, outward: (headers) => ({ ...headers, "access-control-allow-origin": "*" }) },
      "origins: Pages of any origin may read",
    ],
    [
      "rewrites where links lead",
      {
        inward: tells,
        outward: (headers) => ({ ...headers, ...(headers.location && { location: "http://internal:8000/x" }) }),
      },
      "links: /.well-known/change-password leads to http://internal:8000/x",
    ],
    [
      "keeps the docs for itself",
      { inward: tells, instead: (_, path) => (path === "/docs" ? { status: 404, text: "" } : undefined) },
      "docs: /docs answers 404",
    ],
    [
      "has a clock of its own",
      { inward: tells, outward: (headers) => ({ ...headers, date: "Thu, 01 Jan 2026 00:00:00 GMT" }) },
      "clock: The clock there is",
    ],
    ["serves something else", { instead: () => ({ status: 200, text: "<h1>It works!</h1>" }) }, "reach: "],
  ];

  test.each(habits)("finds a proxy that %s", async (_, changed, found) => {
    proxy.habits = changed;
    const findings = await visit();
    expect(findings).toContainEqual(expect.stringContaining(found));
    for (const line of findings) expect(line).toMatch(/^[a-z]+: .+ → .+/);
  });

  test("finds an address that nobody answers at, and another server's settings", async () => {
    proxy.habits = { inward: tells };
    expect(await visit({}, `http://127.0.0.1:${await freePort()}`)).toEqual([
      expect.stringContaining("does not answer ("),
    ]);
    const findings = await visit({ PUBLIC_URL: "http://localhost:1234" }, proxy.url);
    expect(findings).toContainEqual(expect.stringContaining("issuer: Tokens are issued there by"));
  });
});
