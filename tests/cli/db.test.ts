import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { commands } from "../../cli/run.ts";
import { person, Shell, sessionsOf } from "../support/cli.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";
import { type } from "./toy.ts";

type Held = { readonly table: string; readonly rows: number; readonly checksum: string };

const email = "ada@example.com";

/** A shell with a user who has signed in three times. */
async function withData(): Promise<Shell> {
  const shell = new Shell();
  await shell.core(async (core) => {
    await person(core, email, ["user", "admin"]);
    await sessionsOf(core, email, 3, { credential: "tokens" });
  });
  return shell;
}

/** In this process: for what is refused before anything is opened. */
const typed = (shell: Shell, argv: string[]) => type(argv, { tree: commands, cwd: shell.directory, env: shell.env });

const rowsOf = (held: readonly Held[]) => Object.fromEntries(held.map(({ table, rows }) => [table, rows]));

describe.concurrent("db copy", () => {
  test("copies into a new file, and that one into another: equal, whatever the way", async () => {
    using shell = await withData();
    const there = await shell.json<Held[]>("db copy --to sqlite:there.db");
    expect(rowsOf(there)).toEqual({
      signing_keys: 2,
      roles: 3,
      users: 1,
      tombstones: 0,
      challenges: 0,
      mails: 0,
      tries: 0,
      bans: 0,
      user_roles: 2,
      sessions: 3,
      refresh_families: 0,
      audit_events: 4,
      audit_heads: 1,
      jobs: 0,
      job_failures: 0,
      server_secrets: 1,
    });
    const env = { DATABASE_URL: "sqlite:there.db" };
    const again = await shell.json<Held[]>("db copy --to sqlite:again.db", { env });
    const others = (held: Held[]) => held.filter(({ table }) => !table.startsWith("audit_"));
    expect(others(again)).toEqual(others(there));
    expect(await shell.json("session list", { env })).toHaveLength(3);
  });

  test("rehearses, and makes nothing", async () => {
    using shell = await withData();
    const ran = await shell.run("db copy --to sqlite:there.db --dry-run");
    expect(ran).toMatchObject({ code: 0, stderr: expect.stringMatching(/^would copy \d+ rows\n$/) });
    expect(ran.stdout).toContain("sessions\t3\n");
    expect(await Bun.file(shell.file("there.db")).exists()).toBeFalse();
  });

  test("refuses a target that holds anything, in a rehearsal too, and itself", async () => {
    using shell = await withData();
    await shell.run("db copy --to sqlite:there.db");
    for (const line of ["--to sqlite:there.db", "--to sqlite:there.db --dry-run", "--to sqlite:data/auth.db"]) {
      const { code, stderr } = await shell.run(`db copy ${line} --json`);
      expect(code).toBe(4);
      expect(JSON.parse(stderr.trim().split("\n").at(-1)!)).toMatchObject({
        code: "target_not_empty",
        errors: expect.arrayContaining([{ path: "users", message: "has 1 row." }]),
      });
    }
  });

  test("warns where a server seems to run on the original", async () => {
    using shell = await withData();
    await shell.core((core) => {
      const now = core.clock.now();
      const server = { id: "one", host: "here", version: "1", startedAt: now, seenAt: now };
      return core.store.write((tx) => tx.servers.beat(server));
    });
    expect((await shell.run("db copy --to sqlite:there.db")).stderr).toContain("stop the servers");
  });

  test("never takes a password from the command line, and does not repeat it", async () => {
    using shell = new Shell();
    for (const address of [
      "postgres://root:hunter2@127.0.0.1/x",
      "postgres://root:hunter2/x@127.0.0.1:1/x",
      "postgresql+asyncpg://root:hunter2@127.0.0.1/x",
      "postgres://root@127.0.0.1/x?password=hunter2",
      "postgres:root:hunter2@//x",
    ]) {
      const ran = await typed(shell, ["db", "copy", "--to", address]);
      expect(ran.code).toBe(2);
      expect(ran.stdout + ran.stderr).not.toContain("hunter2");
    }
  });

  test.each([
    "",
    "--to mysql://127.0.0.1/x",
    "--to sqlite:a.db --to-file b",
    "--to-file nowhere",
    "--to-env NOBODY_SET_THIS",
    "--to -",
    "sqlite:there.db",
  ])("is a usage error: %s", async (flags) => {
    using shell = new Shell();
    expect((await typed(shell, `db copy ${flags}`.trim().split(" "))).code).toBe(2);
  });

  test.each(["nonsense", "db.example.com/authctl", "db.example.com:5432/authctl", "data/auth", "auth.db.old"])(
    "makes no file of what is no address of one, and says what to write: %s",
    async (address) => {
      using shell = await withData();
      const there = readdirSync(shell.directory);
      const { code, stdout, stderr } = await shell.run(`db copy --to ${address}`);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain("sqlite:./data/auth.db or postgres://user:password@host/database");
      expect(readdirSync(shell.directory)).toEqual(there);
      const served = await shell.run("user list", { env: { DATABASE_URL: address } });
      expect(served.code).toBe(78);
      expect(readdirSync(shell.directory)).toEqual(there);
    },
  );

  test.each(["./there", "../$HERE/there", "there.db", "sub/there.SQLITE3", "file:there", "sqlite:there"])(
    "takes a file as DATABASE_URL does: %s",
    async (form) => {
      using shell = await withData();
      const address = form.replace("$HERE", basename(shell.directory));
      expect((await shell.run(`db copy --to ${address}`)).code).toBe(0);
      expect(await shell.json("session list", { env: { DATABASE_URL: address } })).toHaveLength(3);
    },
  );

  test("reads the address from a file, from the environment, and from standard input", async () => {
    using shell = await withData();
    writeFileSync(shell.file("target"), "sqlite:one.db\n", { mode: 0o600 });
    expect((await shell.run("db copy --to-file target")).code).toBe(0);
    expect((await shell.run("db copy --to-env NEW_DATABASE", { env: { NEW_DATABASE: "sqlite:two.db" } })).code).toBe(0);
    expect((await shell.run("db copy --to -", { input: "sqlite:three.db\n" })).code).toBe(0);
  });
});

describe("db copy to Postgres", () => {
  let postgres: PostgresServer;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(() => postgres?.end());

  test("and back again: every row is equal on both sides", async () => {
    using shell = await withData();
    const url = postgres.urlOf(await postgres.createDatabase());
    const there = await shell.json<Held[]>(`db copy --to ${url}`);
    const back = await shell.json<Held[]>("db copy --to sqlite:back.db", { env: { DATABASE_URL: url } });
    const others = (held: Held[]) => held.filter(({ table }) => !table.startsWith("audit_"));
    expect(others(back)).toEqual(others(there));
    expect((await shell.run(`db copy --to ${url}`)).code).toBe(4);
  });

  test("takes a target that is migrated already, and one schema of several", async () => {
    using shell = await withData();
    const database = await postgres.createDatabase();
    const env = { DATABASE_SCHEMA: "auth" };
    await shell.run("migrate up", { env: { ...env, DATABASE_URL: postgres.urlOf(database) } });
    expect((await shell.run(`db copy --to ${postgres.urlOf(database)}`, { env })).code).toBe(0);
    expect(await postgres.sql(database, "SELECT count(*)::int AS rows FROM auth.sessions")).toEqual([{ rows: 3 }]);
  });

  test("two at once: one copies, the other is told so, and nothing is there twice", async () => {
    using shell = await withData();
    const database = await postgres.createDatabase();
    const line = `db copy --to ${postgres.urlOf(database)} --json`;
    const ran = await Promise.all(Array.from({ length: 4 }, () => shell.run(line)));
    expect(ran.filter(({ code }) => code === 0)).toHaveLength(1);
    for (const { code } of ran) expect([0, 4, 75]).toContain(code);
    expect(await postgres.sql(database, "SELECT count(*)::int AS rows FROM sessions")).toEqual([{ rows: 3 }]);
  });

  test("a copy that finds a difference keeps nothing", async () => {
    using shell = await withData();
    const database = await postgres.createDatabase();
    await shell.run("migrate up", { env: { DATABASE_URL: postgres.urlOf(database) } });
    await postgres.sql(
      database,
      `CREATE FUNCTION alter_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.epoch := NEW.epoch + 1; RETURN NEW; END $$;
       CREATE TRIGGER alter_it BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION alter_it()`,
    );
    const { code, stderr } = await shell.run(`db copy --to ${postgres.urlOf(database)} --json`);
    expect(code).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({ code: "copy_differs", errors: [{ path: "sessions" }] });
    expect(await postgres.sql(database, "SELECT count(*)::int AS rows FROM users")).toEqual([{ rows: 0 }]);
  });
});
