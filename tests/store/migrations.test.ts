/** Migrations on the database that `TEST_DIALECT` names: all or nothing, once, and never behind anybody's back. */
import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DomainError } from "../../src/core/errors.ts";
import { openCore } from "../../src/open.ts";
import { readMigrationFiles } from "../../src/store/dialects/migration-files.ts";
import { authctl } from "../support/command.ts";
import { dialect, dump, type FreshDatabase, freshDatabase, openDialect, rawSql } from "../support/database.ts";
import { endless, folderOf, migrationsOf, removeFolders, schemaOf } from "../support/migrations.ts";
import { at } from "../support/rows.ts";

/** Of a test that starts many processes, in milliseconds. */
const patience = 60_000;

const ids = readMigrationFiles(dialect).map(({ id }) => id);

let database: FreshDatabase;
beforeEach(async () => {
  const fresh = await freshDatabase({ empty: true });
  const SECRET_KEY = "Zk3uQ9pL7xW2vN8rT5yB1mC6dF4gH0jS";
  database = { env: { ...fresh.env, SECRET_KEY }, drop: fresh.drop };
  // SQLite's file is made by whoever opens it.
  await (await openDialect(database)).close();
});
afterEach(() => database.drop());
afterAll(removeFolders);

const migrate = async () => await migrationsOf(database).up(at(0));
const statesOf = async (folder?: string) =>
  (await migrationsOf(database, folder).status()).map(({ id, state }) => `${id} ${state}`);
const tables = async () => Object.keys(await dump(database));

/** The failure that a server which migrates nothing by itself ends with at its start. */
async function refusal(): Promise<Pick<DomainError, "code" | "detail">> {
  const opening = { env: database.env, cwd: "/", purpose: "serve", migrate: "check" } as const;
  const core = await openCore(opening).catch((error: DomainError) => error);
  if (core instanceof Error) return core;
  await core.close();
  throw new Error("it serves");
}

describe("of many processes", () => {
  test(
    "that migrate at once one applies everything, and the others find nothing to do",
    async () => {
      const all = await Promise.all(
        Array.from({ length: 20 }, () => authctl(database.env, ["migrate", "up", "--json"])),
      );
      expect(all.map(({ code }) => code)).toEqual(Array.from({ length: 20 }, () => 0));
      const applied = all.map(({ stdout }) => (JSON.parse(stdout) as { id: string }[]).map(({ id }) => id));
      expect(applied.filter((some) => some.length > 0)).toEqual([ids]);
      expect(await statesOf()).toEqual(ids.map((id) => `${id} applied`));
    },
    patience,
  );

  test("in one process one applies everything, too", async () => {
    const applied = await Promise.all(Array.from({ length: 10 }, migrate));
    expect(applied.filter((some) => some.length > 0)).toEqual([ids]);
  });
});

describe("kill -9 in the middle", () => {
  const deeds = "DELETE FROM roles;--> statement-breakpoint\nCREATE TABLE half_done (id integer)";
  const folder = folderOf({ "9000_endless": `${deeds};--> statement-breakpoint\n${endless}` });

  const program = join(import.meta.dir, "../../cli/authctl.ts");

  /** A process that is in the middle of a migration. */
  async function migrating() {
    const child = Bun.spawn(
      [process.execPath, "--no-env-file", join(import.meta.dir, "../support/migrations.ts"), folder],
      { env: database.env, stdout: "ignore", stderr: "ignore" },
    );
    while (!(await isMigrating())) await Bun.sleep(10);
    // On SQLite it says so just before it begins.
    await Bun.sleep(50);
    return child;
  }
  const isMigrating = async (): Promise<boolean> => {
    if (dialect === "sqlite") return existsSync(join(database.env["DATA_DIR"]!, "auth.db-migrating"));
    const busy = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(1000)'";
    return (await rawSql(database, busy)).length > 0;
  };

  test("leaves the database as it was", async () => {
    await migrate();
    const before = [await schemaOf(database), await dump(database)];
    const child = await migrating();
    child.kill("SIGKILL");
    await child.exited;
    expect([await schemaOf(database), await dump(database)]).toEqual(before);
    expect(await migrate()).toEqual([]);
  });

  /** What a process says that waits for the one that migrates, which `act` ends, or the waiting. */
  async function toldWhoWaits(act: (migrating: Bun.Subprocess, waiting: Bun.Subprocess) => void) {
    await migrate();
    expect((await authctl(database.env, ["migrate", "down", "--yes"])).code).toBe(0);
    const child = await migrating();
    const waiting = Bun.spawn([process.execPath, "--no-env-file", program, "migrate", "up"], {
      env: database.env,
      stdout: "ignore",
      stderr: "pipe",
    });
    let told = "";
    for await (const part of waiting.stderr.pipeThrough(new TextDecoderStream())) {
      told += part;
      if (told.includes("waiting")) act(child, waiting);
    }
    const code = await waiting.exited;
    child.kill("SIGKILL");
    await child.exited;
    return { told, code };
  }

  test(
    "lets the one go on that waited, and that was told for whom, and since when",
    async () => {
      const { told, code } = await toldWhoWaits((child) => child.kill("SIGKILL"));
      expect(told).toMatch(
        /^waiting for .*process \d+.* since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z, which migrates$/m,
      );
      expect(told).toContain("applied 1 migration");
      expect(code).toBe(0);
    },
    patience,
  );

  test(
    "need not be awaited: Ctrl-C ends the waiting at once, with nothing done",
    async () => {
      const { told, code } = await toldWhoWaits((_, waiting) => waiting.kill("SIGINT"));
      expect(told).toMatch(/^waiting for [^\n]*\n$/);
      expect(code).toBe(130);
      expect((await statesOf()).filter((state) => state.endsWith(" pending"))).toHaveLength(1);
    },
    patience,
  );

  test("is not waited for by whoever has nothing to do", async () => {
    await migrate();
    const child = await migrating();
    expect(await authctl(database.env, ["migrate", "up"])).toEqual({ code: 0, stdout: "", stderr: "Nothing to do.\n" });
    child.kill("SIGKILL");
    await child.exited;
  });
});

describe("a migration that fails", () => {
  test("takes those before it back with it", async () => {
    const folder = folderOf({
      "0000_good": "CREATE TABLE good (id integer)",
      "0001_bad": "CREATE TABLE good (id integer)",
    });
    const before = await schemaOf(database);
    await expect(migrationsOf(database, folder).up(at(0))).rejects.toThrow("good");
    expect(await schemaOf(database)).toEqual(before);
    expect(await statesOf(folder)).toEqual(["0000_good pending", "0001_bad pending"]);
  });
});

describe("a file that was altered after it was applied", () => {
  test("is refused in both directions, whatever else there is to do", async () => {
    const folder = folderOf({ "0000_first": "CREATE TABLE first (id integer)", "0000_first.down": "DROP TABLE first" });
    const migrations = () => migrationsOf(database, folder);
    expect(await migrations().up(at(0))).toEqual(["0000_first"]);
    writeFileSync(join(folder, "0000_first.sql"), "CREATE TABLE first (id bigint)");
    writeFileSync(join(folder, "0001_second.sql"), "CREATE TABLE second (id integer)");
    expect(await statesOf(folder)).toEqual(["0000_first altered", "0001_second pending"]);
    await expect(migrations().up(at(0))).rejects.toThrow("altered 0000_first");
    await expect(migrations().down(1)).rejects.toThrow("altered 0000_first");
    expect(await tables()).toEqual(["first", "schema_migrations"]);
  });
});

describe("the way back", () => {
  test("and up again ends with the same schema", async () => {
    await migrate();
    const schema = await schemaOf(database);
    expect(schema.length).toBeGreaterThan(20);
    expect(await migrationsOf(database).down(ids.length)).toEqual(ids.toReversed());
    expect(await tables()).toEqual(["schema_migrations"]);
    expect(await migrate()).toEqual(ids);
    expect(await schemaOf(database)).toEqual(schema);
  });

  test("goes as many steps as it is told, the last first", async () => {
    const folder = folderOf({
      "0000_a": "CREATE TABLE a (id integer)",
      "0000_a.down": "DROP TABLE a",
      "0001_b": "CREATE TABLE b (id integer)",
      "0001_b.down": "DROP TABLE b",
    });
    const migrations = migrationsOf(database, folder);
    expect(await migrations.up(at(0), "0000_a")).toEqual(["0000_a"]);
    expect(await migrations.up(at(0))).toEqual(["0001_b"]);
    expect(await migrations.down(1)).toEqual(["0001_b"]);
    expect(await tables()).toEqual(["a", "schema_migrations"]);
  });

  test("that nobody has written is refused, and nothing is taken back", async () => {
    const folder = folderOf({
      "0000_a": "CREATE TABLE a (id integer)",
      "0000_a.down": "",
      "0001_b": "CREATE TABLE b (id integer)",
    });
    const migrations = migrationsOf(database, folder);
    await migrations.up(at(0));
    for (const steps of [1, 2]) await expect(migrations.down(steps)).rejects.toThrow(/irreversible 000[01]/);
    expect(await tables()).toEqual(["a", "b", "schema_migrations"]);
  });
});

// Postgres alters a table in place.
if (dialect === "sqlite") {
  describe("a table that is rebuilt", () => {
    const init = `CREATE TABLE parents (id text PRIMARY KEY NOT NULL);--> statement-breakpoint
      CREATE TABLE children (id text PRIMARY KEY NOT NULL, parent text NOT NULL REFERENCES parents(id) ON DELETE CASCADE);--> statement-breakpoint
      INSERT INTO parents VALUES ('p1'), ('p2');--> statement-breakpoint
      INSERT INTO children VALUES ('c1', 'p1'), ('c2', 'p2')`;
    /** As drizzle-kit writes it. */
    const rebuild = (condition: string) => `PRAGMA foreign_keys=OFF;--> statement-breakpoint
      CREATE TABLE __new_parents (id text PRIMARY KEY NOT NULL, name text NOT NULL);--> statement-breakpoint
      INSERT INTO __new_parents SELECT id, 'somebody' FROM parents WHERE ${condition};--> statement-breakpoint
      DROP TABLE parents;--> statement-breakpoint
      ALTER TABLE __new_parents RENAME TO parents;--> statement-breakpoint
      PRAGMA foreign_keys=ON;`;

    test("keeps the rows that refer to it", async () => {
      await migrationsOf(database, folderOf({ "0000_init": init, "0001_rebuild": rebuild("true") })).up(at(0));
      const { parents, children } = await dump(database);
      expect(parents).toEqual(["p1", "p2"].map((id) => ({ id, name: "somebody" })));
      expect(children).toHaveLength(2);
      expect(await rawSql(database, "PRAGMA foreign_key_check")).toEqual([]);
    });

    test("and loses rows that others refer to is refused as a whole", async () => {
      await migrationsOf(database, folderOf({ "0000_init": init })).up(at(0));
      const before = await dump(database);
      const folder = folderOf({ "0000_init": init, "0001_rebuild": rebuild("id = 'p1'") });
      await expect(migrationsOf(database, folder).up(at(0))).rejects.toThrow("1 rows that refer to nothing");
      expect(await dump(database)).toEqual(before);
    });
  });
}

describe("a server", () => {
  const newer = (sql: string) => migrationsOf(database, folderOf({ "9000_newer": sql })).up(at(0));

  test("goes on with a database that a newer version has only added to", async () => {
    await migrate();
    await newer("-- additive\nCREATE TABLE devices (id integer)");
    expect(await statesOf()).toEqual([...ids.map((id) => `${id} applied`), "9000_newer ahead"]);
    const core = await openCore({ env: database.env, cwd: "/", purpose: "serve", migrate: "check" });
    expect(await core.store.roles.names()).toEqual(["admin", "guest", "user"]);
    await core.close();
  });

  test("refuses a database that a newer version has changed", async () => {
    await migrate();
    await newer("ALTER TABLE users ADD COLUMN phone text");
    expect(await statesOf()).toContain("9000_newer unknown");
    expect((await refusal()).code).toBe("schema_newer");
  });

  test("refuses a database that is older, and names the command that brings it up to date", async () => {
    // Not empty, and a migration of this version is missing in it.
    await newer("-- additive\nCREATE TABLE devices (id integer)");
    const { code, detail } = await refusal();
    expect(code).toBe("schema_outdated");
    expect(detail).toContain("`authctl migrate up`");
    await migrate();
    await expect(refusal()).rejects.toThrow("it serves");
  });

  if (dialect === "postgres") {
    test("makes no tables in an empty database, and names the command that does", async () => {
      const { code, detail } = await refusal();
      expect(code).toBe("not_initialised");
      expect(detail).toContain("`authctl migrate up`");
      expect(await tables()).toEqual([]);
    });
  }
});
