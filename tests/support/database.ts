/** A database for each test, on the dialect that `TEST_DIALECT` names, and a look at what stands in it. */
import { Database } from "bun:sqlite";
import { createHash, randomBytes } from "node:crypto";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { openDatabase, settle } from "../../src/open.ts";
import type { Dialect } from "../../src/store/dialects/dialect.ts";
import { readMigrationFiles } from "../../src/store/dialects/migration-files.ts";
import { startPostgres } from "./services.ts";

const { TEST_DIALECT = "sqlite" } = process.env;
if (TEST_DIALECT !== "sqlite" && TEST_DIALECT !== "postgres") throw new Error("TEST_DIALECT is sqlite or postgres");
export const dialect: "sqlite" | "postgres" = TEST_DIALECT;

type Environment = Readonly<Record<string, string>>;

/** Whatever works on a database: a core, a server, or what `freshDatabase` gave. */
export type Place = { readonly env: Environment };

export type FreshDatabase = Place & { drop(): Promise<void> };

/**
 * A database that nobody else uses, with a DATA_DIR of its own. On SQLite the file is made by whoever opens it
 * first; on Postgres the schema is there, unless it is asked to be `empty`.
 */
export async function freshDatabase({ empty = false } = {}): Promise<FreshDatabase> {
  const DATA_DIR = mkdtempSync(join(tmpdir(), "authctl-data-"));
  const dropDirectory = () => rmSync(DATA_DIR, { recursive: true, force: true });
  if (!postgres) return { env: { DATA_DIR }, drop: () => Promise.resolve(dropDirectory()) };
  const { url, drop } = await createDatabase(empty ? "template0" : postgres.template);
  return {
    env: { DATA_DIR, DATABASE_URL: url },
    drop: async () => {
      dropDirectory();
      await drop();
    },
  };
}

async function createDatabase(template: string): Promise<{ readonly url: string; drop(): Promise<void> }> {
  const { admin, urlOf } = postgres!;
  const name = `authctl_test_${randomBytes(8).toString("hex")}`;
  await admin.query(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  return {
    url: urlOf(name),
    // With whatever is still connected: a server that was killed, a core that nobody closed.
    drop: async () => void (await admin.query(`DROP DATABASE ${name} WITH (FORCE)`)),
  };
}

/** The same as it is now, with all that stands beside it. Nobody may have it open. */
export async function copyOf({ env }: Place): Promise<FreshDatabase> {
  const DATA_DIR = mkdtempSync(join(tmpdir(), "authctl-data-"));
  cpSync(env["DATA_DIR"]!, DATA_DIR, { recursive: true });
  const dropDirectory = () => rmSync(DATA_DIR, { recursive: true, force: true });
  if (!postgres) return { env: { ...env, DATA_DIR }, drop: () => Promise.resolve(dropDirectory()) };
  const copy = await createDatabase(new URL(env["DATABASE_URL"]!).pathname.slice(1));
  return {
    env: { ...env, DATA_DIR, DATABASE_URL: copy.url },
    drop: async () => {
      dropDirectory();
      await copy.drop();
    },
  };
}

type Postgres = { readonly admin: pg.Pool; readonly template: string; urlOf(name: string): string };

/**
 * The server of this run; where `tests/check.ts` has not started one for all its processes, one of this process.
 * Here, and not when it is first asked for: what a test starts is killed with it when its time is over.
 */
const postgres = dialect === "postgres" ? await preparePostgres() : undefined;

async function preparePostgres(): Promise<Postgres> {
  const { url } = await startPostgres();
  const urlOf = (name: string) => Object.assign(new URL(url), { pathname: `/${name}` }).href;
  const admin = new pg.Pool({ connectionString: url, max: 4 });
  admin.on("error", () => {});
  return { admin, urlOf, template: await makeTemplate(admin, urlOf) };
}

/** A migrated database to copy from, which takes a tenth of the time of migrating. Made once for one set of migrations. */
async function makeTemplate(admin: pg.Pool, urlOf: (name: string) => string): Promise<string> {
  const hash = createHash("sha256");
  for (const { sha256 } of readMigrationFiles("postgres")) hash.update(sha256);
  const name = `authctl_template_${hash.digest("hex").slice(0, 16)}`;
  const client = await admin.connect();
  try {
    // Of the processes that run tests at once, one makes it.
    await client.query("SELECT pg_advisory_lock(hashtext($1))", [name]);
    const { rows } = await client.query("SELECT 1 FROM pg_database WHERE datname = $1", [name]);
    if (rows.length === 0) {
      // It bears its name from when it is whole.
      const making = `${name}_making`;
      await client.query(`DROP DATABASE IF EXISTS ${making} WITH (FORCE)`);
      await client.query(`CREATE DATABASE ${making} TEMPLATE template0`);
      await migrate({ env: { DATABASE_URL: urlOf(making) } });
      await client.query(`ALTER DATABASE ${making} RENAME TO ${name}`);
    }
    return name;
  } finally {
    // For good, and the lock with it.
    client.release(true);
  }
}

async function migrate(place: Place): Promise<void> {
  const database = await openDialect(place);
  await database.migrations.up(new Date());
  await database.close();
}

/** The database alone, without a core. */
export async function openDialect({ env }: Place): Promise<Dialect> {
  return await openDatabase(settle({ env, cwd: "/" }), "/", true);
}

/** Values as the driver gives them: JSON is text on both, a time is a number on SQLite alone. */
export type Row = Readonly<Record<string, unknown>>;

/** Works on the database behind everybody's back. Answers the rows, if there are any. */
export const rawSql = (place: Place, sql: string): Promise<Row[]> => withRaw(place, (run) => run(sql));

/** Every row of every table, as a thief of the database would read it. */
export const dump = (place: Place): Promise<Readonly<Record<string, readonly Row[]>>> =>
  withRaw(place, async (run) => {
    const tables = await run(
      dialect === "sqlite"
        ? "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        : "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename",
    );
    const all: Record<string, readonly Row[]> = {};
    for (const { name } of tables) {
      const rows = await run(`SELECT * FROM "${String(name)}"`);
      // In an order of their own: where a database keeps a row may change when it is written.
      all[String(name)] = rows.toSorted((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1));
    }
    return all;
  });

/** Every text that stands in the database, once. */
export const textsOf = async (place: Place): Promise<string[]> => {
  const values = Object.values(await dump(place))
    .flat()
    .flatMap((row) => Object.values(row));
  return [...new Set(values.filter((value) => typeof value === "string"))];
};

type Run = (sql: string) => Promise<Row[]>;

async function withRaw<T>({ env }: Place, work: (run: Run) => Promise<T>): Promise<T> {
  const { DATABASE_URL, DATA_DIR } = env;
  if (DATABASE_URL?.startsWith("postgres:")) {
    const client = new pg.Client({ connectionString: DATABASE_URL, types: rawTypes });
    client.on("error", () => {});
    await client.connect();
    return await work(async (sql) => (await client.query<Row>(sql)).rows).finally(() => void client.end());
  }
  const db = new Database(DATABASE_URL?.replace(/^sqlite:/, "") ?? join(DATA_DIR!, "auth.db"));
  try {
    db.run("PRAGMA busy_timeout = 5000");
    return await work((sql) => Promise.resolve(db.query<Row, []>(sql).all()));
  } finally {
    db.close();
  }
}

/** JSON stays the text that it is. */
const rawTypes: pg.CustomTypesConfig = {
  getTypeParser: (type: Parameters<typeof pg.types.getTypeParser>[0]) =>
    type === pg.types.builtins.JSONB ? (text: string) => text : pg.types.getTypeParser(type),
};
