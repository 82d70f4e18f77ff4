import { appendFileSync, chownSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { freePort } from "./free-port.ts";
import { asNobody, isRoot, nobody, postgresPrograms } from "./services.ts";

/** How long Postgres may take to answer, in milliseconds. */
const patience = 30_000;

/** A Postgres of its own, which a test may stop, kill and change as it likes. */
export type PostgresServer = {
  readonly port: number;
  /** Where its files are; for certificates, too. */
  readonly directory: string;
  readonly urlOf: (database: string, as?: string) => string;
  /** An empty database of its own. Answers its name. */
  createDatabase(): Promise<string>;
  sql<R extends pg.QueryResultRow>(database: string, text: string, values?: unknown[]): Promise<R[]>;
  /** A connection that the test holds on to. */
  connect(database: string): Promise<pg.Client>;
  /** `immediate` is a crash: nobody is waited for, and the next start recovers from the log. */
  stop(mode?: "fast" | "immediate"): Promise<void>;
  start(): Promise<void>;
  /** Lets it be silent: it takes connections, and answers nothing. */
  freeze(silent: boolean): void;
  /** Lines for `pg_hba.conf` that count before those that are there. */
  admit(...lines: string[]): Promise<void>;
  /** Gives a file to the user that it runs as. */
  own(file: string): void;
  end(): Promise<void>;
};

export async function startPostgres(settings: Readonly<Record<string, string>> = {}): Promise<PostgresServer> {
  const directory = mkdtempSync(join(tmpdir(), "authctl-postgres-"));
  const port = await freePort();
  const programs = postgresPrograms(directory);
  const own = (file: string): void => {
    if (isRoot) chownSync(file, nobody, nobody);
  };
  own(directory);
  const run = (program: string, ...words: string[]) =>
    Bun.spawn([...asNobody, join(programs, program), ...words], {
      cwd: directory,
      env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C.UTF-8" },
      stdin: "ignore",
      stdout: "ignore",
      stderr: Bun.file(join(directory, "stderr.log")),
    });
  const data = join(directory, "data");
  const made = run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8");
  if ((await made.exited) !== 0)
    throw new Error(`initdb failed: ${readFileSync(join(directory, "stderr.log"), "utf8")}`);
  const chosen = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: directory,
    // A crash of the process loses nothing of what the system was given; a crash of the machine is not tested here.
    fsync: "off",
    ...settings,
  };
  for (const [name, value] of Object.entries(chosen)) {
    appendFileSync(join(data, "postgresql.conf"), `${name} = '${value}'\n`);
  }

  const urlOf = (database: string, as = "postgres"): string => `postgres://${as}@127.0.0.1:${port}/${database}`;
  const connect = async (database: string): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: urlOf(database) });
    client.on("error", () => {});
    await client.connect();
    return client;
  };
  const sql = async <R extends pg.QueryResultRow>(database: string, text: string, values?: unknown[]): Promise<R[]> => {
    const client = await connect(database);
    try {
      return (await client.query<R>(text, values)).rows;
    } finally {
      await client.end();
    }
  };

  let running: ReturnType<typeof run> | undefined;
  let databases = 0;
  const server: PostgresServer = {
    port,
    directory,
    urlOf,
    sql,
    connect,
    own,
    createDatabase: async () => {
      const name = `test_${++databases}`;
      await sql("postgres", `CREATE DATABASE ${name}`);
      return name;
    },
    stop: async (mode = "fast") => {
      running?.kill(mode === "fast" ? "SIGINT" : "SIGQUIT");
      await running?.exited;
      running = undefined;
    },
    start: async () => {
      const started = run("postgres", "-D", data);
      running = started;
      const deadline = performance.now() + patience;
      while (!(await sql("postgres", "SELECT 1").catch(() => undefined))) {
        if (performance.now() > deadline || started.exitCode !== null) {
          throw new Error(`Postgres does not start: ${readFileSync(join(directory, "stderr.log"), "utf8")}`);
        }
        await Bun.sleep(20);
      }
    },
    freeze: (silent) => {
      const pid = running?.pid ?? 0;
      const backends = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
      for (const one of [pid, ...backends]) {
        try {
          process.kill(one, silent ? "SIGSTOP" : "SIGCONT");
        } catch {
          // A backend that has ended meanwhile.
        }
      }
    },
    admit: async (...lines) => {
      const file = join(data, "pg_hba.conf");
      await Bun.write(file, `${lines.join("\n")}\n${readFileSync(file, "utf8")}`);
      await sql("postgres", "SELECT pg_reload_conf()");
    },
    end: async () => {
      await server.stop("immediate");
      rmSync(directory, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}
