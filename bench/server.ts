/** Servers in processes of their own, and which core each of them and the load have to themselves. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { knownExecutable, newExecutable } from "../bin/executable.ts";
import { freePort } from "../tests/support/free-port.ts";
import { startRedis } from "../tests/support/redis.ts";
import { startPostgres } from "../tests/support/services.ts";
import { familyOf, parentOf } from "./accounting.ts";

export const root = join(import.meta.dir, "..");
export const bun = [process.execPath, "--no-env-file"] as const;
export const password = "correct horse battery staple";

export type Environment = Readonly<Record<string, string>>;

/** How long a server may take to answer, in milliseconds. */
const patience = 60_000;

/** The cores of servers, and of everything else. The same where there is only one, or no `taskset`. */
const [serverCore, loadCore] = coresApart();

function coresApart(): readonly [server: string, load: string] | readonly [undefined, undefined] {
  if (process.platform !== "linux" || !Bun.which("taskset")) return [undefined, undefined];
  const list = /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "";
  const cores = list.split(",").flatMap((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, at) => String(first + at));
  });
  return cores.length < 2 ? [undefined, undefined] : [cores[0]!, cores[1]!];
}

const pin = (core: string, pids: readonly number[]): void => {
  for (const pid of pids) Bun.spawnSync(["taskset", "-apc", core, String(pid)]);
};

/** Keeps this process, which is the load, away from the servers' core. Answers what came of it, for people. */
export function takeOwnCore(): string {
  if (!loadCore) return "Servers and load share their cores: `taskset` or a second core is missing.";
  pin(loadCore, [process.pid]);
  return `Servers and databases have core ${serverCore}, the load core ${loadCore}.`;
}

export type Running = {
  readonly port: number;
  readonly url: string;
  readonly pid: number;
  /** From the start of the process to its first 200, in milliseconds. */
  readonly startedIn: number;
  stop(): Promise<void>;
};

type Start = {
  readonly env?: Environment;
  /** What answers 200 as soon as the server is there. */
  readonly ready?: string;
  /** Of `both`, or of those for servers. */
  readonly cores?: "server" | "both";
};

/** Starts a server that listens on the PORT of its environment, and waits for its first 200. */
export async function start(command: readonly string[], options: Start = {}): Promise<Running> {
  const { env = {}, ready = "/livez", cores = "server" } = options;
  const port = await freePort();
  const pinned = serverCore ? ["taskset", "-c", cores === "both" ? `${serverCore},${loadCore}` : serverCore] : [];
  const began = performance.now();
  const child = Bun.spawn([...pinned, ...command], {
    cwd: root,
    env: { PATH: process.env["PATH"] ?? "", ...env, PORT: String(port) },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const said = child.stderr.text();
  const url = `http://127.0.0.1:${port}`;
  const isReady = async () => (await fetch(url + ready).catch(() => undefined))?.status === 200;
  while (!(await isReady())) {
    if (child.exitCode !== null || performance.now() - began > patience) {
      child.kill("SIGKILL");
      throw new Error(`${command.join(" ")} does not start: ${await said}`);
    }
    await Bun.sleep(1);
  }
  const startedIn = performance.now() - began;
  const stop = async () => {
    child.kill("SIGTERM");
    const gone = await Promise.race([child.exited.then(() => true), Bun.sleep(5_000)]);
    if (!gone) for (const pid of familyOf([child.pid])) process.kill(pid, "SIGKILL");
    await child.exited;
  };
  return { port, url, pid: child.pid, startedIn, stop };
}

/**
 * What `bun run up` starts, with the settings that it has by default, but without the limits: they would end any load
 * from one address at once.
 */
export async function startAuthctl(env: Environment, cores?: "both"): Promise<Running> {
  // So that no start is measured with the building.
  if (!knownExecutable(root)) newExecutable(root, Date.now());
  return await start([...bun, "bin/up.ts", "--migrate", "auto"], {
    env: { RATE_LIMITS: "off", ...issuer, ...env },
    ...(cores && { cores }),
  });
}

/** Access tokens are made in another process than they are checked in, and outlive the longest run. */
export const issuer = { PUBLIC_URL: "http://localhost:8000", ACCESS_TOKEN_TTL: "4h" } as const;

/** What a bench needs besides servers; all of it ends with `end`. */
export type Scratch = {
  /** A directory of its own. */
  directory(name: string): string;
  postgres(): Promise<Postgres>;
  redis(): Promise<Store>;
  end(): Promise<void>;
};

/** A store, and the process whose family it is; none where it runs on another machine. */
export type Store = { readonly url: string; readonly pids: readonly number[] };
export type Postgres = Store & {
  /** Makes an empty database. Answers its address. */
  database(name: string): Promise<string>;
  /** Lets the planner know what is there. */
  analyse(url: string): Promise<void>;
};

export function openScratch(): Scratch {
  const scratch = mkdtempSync(join(tmpdir(), "authctl-bench-"));
  const endings: Array<() => Promise<unknown> | void> = [() => rmSync(scratch, { recursive: true, force: true })];
  const once = <T>(make: () => Promise<T>) => {
    let made: Promise<T> | undefined;
    return () => (made ??= make());
  };
  return {
    directory: (name) => join(scratch, name),
    postgres: once(async () => {
      const service = await startPostgres();
      endings.push(() => service.stop());
      // One that stays: whoever is asked over a connection ends with it.
      const stays = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'";
      const [{ pid }] = (await inPostgres(service.url, stays)) as [{ pid: number }];
      const pids = onThisMachine(parentOf(pid));
      return {
        url: service.url,
        pids,
        database: async (name) => {
          await inPostgres(service.url, `DROP DATABASE IF EXISTS ${name}`);
          await inPostgres(service.url, `CREATE DATABASE ${name}`);
          endings.push(() => inPostgres(service.url, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
          return Object.assign(new URL(service.url), { pathname: `/${name}` }).href;
        },
        analyse: async (url) => void (await inPostgres(url, "VACUUM ANALYZE")),
      };
    }),
    redis: once(async () => {
      const redis = await startRedis();
      endings.push(() => redis.end());
      const pid = Number(/process_id:(\d+)/.exec(await redis.client.info("server"))?.[1]);
      return { url: redis.directUrl, pids: onThisMachine(pid) };
    }),
    end: async () => {
      for (const end of endings.toReversed()) await end();
    },
  };
}

function onThisMachine(pid: number): number[] {
  if (!pid) return [];
  if (serverCore) pin(serverCore, familyOf([pid]));
  return [pid];
}

async function inPostgres(url: string, text: string): Promise<object[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<object>(text);
  await client.end();
  return rows;
}
