import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exitCodeOf } from "../../cli/exit.ts";
import { failureText } from "../../cli/failure.ts";
import { openCore } from "../../src/open.ts";
import { Shell } from "../support/cli.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";

const password = "hunter2-and-more";
/** One for all shells, as every one of them is another directory. */
const SECRET_KEY = "Zk3vQ0b7uXy1sT5wR9pL2mN8cJ4hG6fD";

describe("opening Postgres", () => {
  let postgres: PostgresServer;
  let database: string;
  const file = (name: string): string => join(postgres.directory, name);
  const openssl = async (...words: string[]): Promise<void> => {
    const child = Bun.spawn(["openssl", ...words], { cwd: postgres.directory, stdout: "ignore", stderr: "ignore" });
    expect(await child.exited).toBe(0);
  };

  /** A certificate of its own making, for `localhost`, in `<name>.crt` and `<name>.key`. */
  const certify = async (name: string): Promise<void> => {
    const words =
      "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost";
    await openssl(...words.split(" "), "-keyout", `${name}.key`, "-out", `${name}.crt`);
    chmodSync(file(`${name}.key`), 0o600);
    postgres.own(file(`${name}.key`));
  };

  /** What the command line would say about its database: exit code and words. In this process, as it is asked often. */
  const opened = async (url: string): Promise<[number, string]> => {
    const env = { DATABASE_URL: url, SECRET_KEY, LOG_LEVEL: "silent" };
    try {
      await (await openCore({ env, cwd: postgres.directory, purpose: "command" })).close();
      return [0, ""];
    } catch (error) {
      const said = failureText(error, { json: false, verbose: false, colour: false });
      expect(said).not.toContain(password);
      return [exitCodeOf(error), said];
    }
  };

  beforeAll(async () => {
    postgres = await startPostgres();
    database = await postgres.createDatabase();
    await postgres.sql("postgres", `CREATE ROLE guarded LOGIN SUPERUSER PASSWORD '${password}'`);
    await postgres.sql("postgres", "CREATE ROLE stranger LOGIN");
    await postgres.admit("host all guarded 127.0.0.1/32 scram-sha-256", "host all stranger 127.0.0.1/32 reject");
    using shell = new Shell({ DATABASE_URL: postgres.urlOf(database) });
    expect((await shell.run("migrate up")).code).toBe(0);
  });
  afterAll(() => postgres?.end());

  test("says where it looked, and ends with 69, where nobody answers", async () => {
    for (const command of ["token stats", "serve --port 0", "serve --port 1 --workers 2", "migrate up"]) {
      using shell = new Shell({ DATABASE_URL: "postgres://ada@127.0.0.1:1/x" });
      const ran = await shell.run(command);
      expect(ran).toMatchObject({ code: 69, stdout: "" });
      expect(ran.stderr).toContain("Postgres at 127.0.0.1:1 cannot be reached (ECONNREFUSED). Start it");
    }
    expect(await opened("postgres://ada@localhost:1/x")).toEqual([69, expect.stringContaining("ECONNREFUSED")]);
    const [code, said] = await opened("postgres://ada@no-such-host.invalid/x");
    expect(code).toBe(69);
    expect(said).toContain("no-such-host.invalid:5432 cannot be reached");
  });

  test("tells a wrong password, a missing one, an unknown user and an unknown database apart, and ends with 78", async () => {
    const at = `127.0.0.1:${postgres.port}`;
    for (const [url, sentence] of [
      [`postgres://guarded:${password}x@${at}/${database}`, "names the user guarded, whose password"],
      [`postgres://guarded@${at}/${database}`, "has no password for the user guarded"],
      [`postgres://nobody_here@${at}/${database}`, "names the user nobody_here, whom"],
      [`postgres://stranger@${at}/${database}`, "pg_hba.conf"],
      [`postgres://guarded:${password}@${at}/missing`, "make it with `createdb`"],
    ] as const) {
      const [code, said] = await opened(url);
      expect([code, said]).toEqual([78, expect.stringContaining(sentence)]);
      expect(said).toContain("DATABASE_URL");
      expect(said).toContain(at);
    }
  });

  test("takes the address with its password from a file that only its owner reads", async () => {
    using shell = new Shell({ SECRET_KEY });
    const url = `postgres://guarded:${password}@127.0.0.1:${postgres.port}/${database}`;
    writeFileSync(shell.file("url"), `${url}\n`, { mode: 0o644 });
    const env = { DATABASE_URL_FILE: shell.file("url") };
    expect((await shell.run("token stats", { env })).code).toBe(78);
    chmodSync(shell.file("url"), 0o600);
    expect((await shell.run("token stats", { env })).code).toBe(0);
    const shown = await shell.run("config show", { env });
    expect(shown.stdout).toContain("postgres://guarded:***@");
    expect(shown.stdout + shown.stderr).not.toContain(password);
  });

  test("keeps everything in the schema that it was given", async () => {
    const own = await postgres.createDatabase();
    using shell = new Shell({ DATABASE_URL: postgres.urlOf(own), DATABASE_SCHEMA: "sign_in" });
    expect((await shell.run("migrate up")).code).toBe(0);
    expect((await shell.run("token stats")).code).toBe(0);
    const rows = await postgres.sql(
      own,
      "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename IN ('users', 'schema_migrations', 'signing_keys')",
    );
    expect(rows).toEqual([{ schemaname: "sign_in" }]);
    expect((await shell.run("token stats", { env: { DATABASE_SCHEMA: "other" } })).code).toBe(78);
  });

  test("begins while Postgres does, once that is ready", async () => {
    await postgres.stop("immediate");
    expect((await opened(postgres.urlOf(database)))[0]).toBe(69);
    await postgres.start();
    expect(await opened(postgres.urlOf(database))).toEqual([0, ""]);
  });

  test("means by sslmode what libpq means by it", async () => {
    const url = (mode: string, host = "localhost"): string =>
      `postgres://postgres@${host}:${postgres.port}/${database}?sslmode=${mode}`;
    for (const mode of ["require", "verify-full"]) {
      expect(await opened(url(mode))).toEqual([78, expect.stringContaining("asks for TLS by its sslmode")]);
    }
    for (const mode of ["disable", "prefer", "allow"]) expect(await opened(url(mode))).toEqual([0, ""]);

    await Promise.all([certify("server"), certify("other")]);
    await postgres.sql("postgres", `ALTER SYSTEM SET ssl_cert_file = '${file("server.crt")}'`);
    await postgres.sql("postgres", `ALTER SYSTEM SET ssl_key_file = '${file("server.key")}'`);
    await postgres.sql("postgres", "ALTER SYSTEM SET ssl = on");
    await postgres.stop();
    await postgres.start();

    for (const mode of ["disable", "prefer", "require"]) expect(await opened(url(mode))).toEqual([0, ""]);
    expect(await opened(url("verify-full"))).toEqual([78, expect.stringContaining("sslrootcert=FILE")]);
    expect(await opened(url("verify-ca"))).toEqual([78, expect.stringContaining("needs sslrootcert=FILE")]);
    const trusted = `&sslrootcert=${file("server.crt")}`;
    for (const mode of ["verify-full", "verify-ca", "require"]) {
      expect(await opened(url(mode) + trusted)).toEqual([0, ""]);
      expect(await opened(`${url(mode)}&sslrootcert=${file("other.crt")}`)).toEqual([
        78,
        expect.stringContaining("not trusted"),
      ]);
    }
    expect(await opened(url("verify-full", "127.0.0.1") + trusted)).toEqual([78, expect.stringContaining("host name")]);
    expect(await opened(url("verify-ca", "127.0.0.1") + trusted)).toEqual([0, ""]);
    expect(await opened(`${url("verify-full")}&sslrootcert=/nowhere.crt`)).toEqual([
      78,
      expect.stringContaining("cannot be read"),
    ]);
  });

  test("talks TLS where the server has it and nobody said anything", async () => {
    await postgres.admit("hostssl all tls_only 127.0.0.1/32 trust", "hostnossl all tls_only 127.0.0.1/32 reject");
    await postgres.sql("postgres", "CREATE ROLE tls_only LOGIN SUPERUSER");
    expect(await opened(postgres.urlOf(database, "tls_only"))).toEqual([0, ""]);
    expect(await opened(`${postgres.urlOf(database, "tls_only")}?sslmode=disable`)).toEqual([
      78,
      expect.stringContaining("pg_hba.conf"),
    ]);
  });
});
