/**
 * `bun run bench [--seconds=N]`: what a session check and a refresh cost, beside a bare server with one SELECT,
 * and on Postgres with and without the session cache. What counts are the ratios within one run: processor time
 * of the server for each answer, since the number of answers depends on what else the machine does.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../tests/support/free-port.ts";
import { startRedis } from "../tests/support/redis.ts";
import { startPostgres } from "../tests/support/services.ts";
import type { Order } from "./load.ts";

const seconds = Number(/^--seconds=(\d+)$/.exec(process.argv[2] ?? "")?.[1] ?? 3);
const connections = 32;
const root = join(import.meta.dir, "..");
const bun = [process.execPath, "--no-env-file"];
const password = "correct horse battery staple";

/** Processor time in seconds; what Linux counts in hundredths. */
function spentBy(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function spentByStores(): number {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.reduce((sum, pid) => {
    try {
      return /^(postgres|redis-server)$/.test(readFileSync(`/proc/${pid}/comm`, "utf8").trim())
        ? sum + spentBy(Number(pid))
        : sum;
    } catch {
      return sum; // It has ended meanwhile.
    }
  }, 0);
}

type Running = { readonly url: string; readonly pid: number; stop(): Promise<void> };

async function start(command: readonly string[], env: Record<string, string>, port: number): Promise<Running> {
  const child = Bun.spawn([...command], {
    cwd: root,
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdout: "ignore",
  });
  const url = `http://127.0.0.1:${port}`;
  while (!(await fetch(`${url}/livez`).catch(() => undefined))) await Bun.sleep(10);
  const stop = async () => {
    child.kill("SIGKILL");
    await child.exited;
  };
  return { url, pid: child.pid, stop };
}

type Load = { readonly checks?: readonly string[]; readonly refreshes?: readonly string[] };

async function measure(server: Running, path: string, { checks = [], refreshes = [] }: Load) {
  const before = { server: spentBy(server.pid), stores: spentByStores() };
  const order: Order = { url: server.url + path, seconds, checks, refreshes };
  const load = Bun.spawn([...bun, join(root, "bench/load.ts")], {
    stdin: Buffer.from(JSON.stringify(order)),
    stdout: "pipe",
  });
  const { answered, wrong } = (await new Response(load.stdout).json()) as { answered: number; wrong: number };
  if (wrong > 0) throw new Error(`${wrong} of ${answered + wrong} answers were wrong`);
  const each = (spent: number) => (spent / answered) * 1e6;
  const stores = each(spentByStores() - before.stores);
  return { rate: answered / seconds, server: each(spentBy(server.pid) - before.server), stores };
}

async function signIn({ url }: Running, credential: "session" | "tokens"): Promise<string[]> {
  const post = async (path: string, body: object) => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${url}/api/v1/auth/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    return (await answer.json()) as Record<string, string>;
  };
  return await Promise.all(
    Array.from({ length: connections }, async (_, at) => {
      const email = `bench-${credential}-${at}@example.com`;
      await post("register", { email, password });
      const given = await post("login", { email, password, credential });
      return given["session_token"] ?? given["refresh_token"]!;
    }),
  );
}

const scratch = mkdtempSync(join(tmpdir(), "authctl-bench-"));
const postgres = await startPostgres();
const redis = await startRedis();
const plain = {
  RATE_LIMITS: "off",
  ARGON2_MEMORY_KIB: "8",
  ARGON2_TIME_COST: "1",
  HASH_QUEUE: "1000",
  LOG_LEVEL: "info",
};
const onPostgres = { ...plain, DATABASE_URL: postgres.url };
const setups = {
  SQLite: plain,
  Postgres: onPostgres,
  "Postgres, session cache": { ...onPostgres, REDIS_URL: redis.directUrl, SESSION_CACHE_TTL: "5s" },
};
const migrated = Bun.spawnSync([...bun, "cli/authctl.ts", "migrate", "up"], {
  cwd: root,
  env: { PATH: process.env["PATH"] ?? "", ...onPostgres, DATA_DIR: join(scratch, "Postgres") },
});
if (migrated.exitCode !== 0) throw new Error(migrated.stderr.toString());

const limitPort = await freePort();
const limit = await start([...bun, join(root, "bench/limit.ts"), String(limitPort)], {}, limitPort);
const bare = await measure(limit, "/", { checks: Array.from({ length: connections }, (_, at) => `t${at}`) });
await limit.stop();

const line = (what: string, { rate, server, stores }: typeof bare) =>
  console.log(
    `${what.padEnd(42)} ${rate.toFixed(0).padStart(7)}/s ${server.toFixed(0).padStart(6)} µs ${(server / bare.server).toFixed(1).padStart(6)}x  ${stores.toFixed(0).padStart(5)} µs`,
  );
console.log(`${"".padEnd(42)}    answers  server  limit   stores`);
line("the limit: one SELECT", bare);
for (const [name, env] of Object.entries(setups)) {
  const port = await freePort();
  const directory = join(scratch, name.split(",")[0]!);
  const server = await start([...bun, "src/server.ts"], { ...env, PORT: String(port), DATA_DIR: directory }, port);
  line(
    `${name}: session check`,
    await measure(server, "/api/v1/users/me", { checks: await signIn(server, "session") }),
  );
  line(
    `${name}: refresh`,
    await measure(server, "/api/v1/auth/refresh", { refreshes: await signIn(server, "tokens") }),
  );
  await server.stop();
}
await redis.end();
await postgres.stop();
rmSync(scratch, { recursive: true, force: true });
