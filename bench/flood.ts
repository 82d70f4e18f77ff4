/**
 * `bun --no-env-file bench/flood.ts [--seconds=N]`: what a flood of sign-ins does to session checks and to memory.
 * Checks are sent a hundred times a second, whatever comes back, and timed from the moment at which each was due;
 * first alone, then while 128 connections sign in as fast as they are answered. Every setting has its default, but
 * for the limits, which are off in half of the runs: they would end such a flood from one address at once.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../tests/support/free-port.ts";
import { startPostgres } from "../tests/support/services.ts";

const seconds = Number(/^--seconds=(\d+)$/.exec(process.argv[2] ?? "")?.[1] ?? 10);
const [rate, connections, accounts] = [100, 128, 20];
const root = join(import.meta.dir, "..");
const bun = [process.execPath, "--no-env-file"];
const password = "correct horse battery staple";

const post = (url: string, path: string, body: object): Promise<Response> =>
  fetch(`${url}/api/v1/auth/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
const emailOf = (at: number): string => `flood-${at % accounts}@example.com`;

type Role = { readonly name: "checks"; readonly bearer: string } | { readonly name: "sign-ins" };
type Order = { readonly url: string; readonly seconds: number; readonly role: Role };

/** The time of each check, in milliseconds, in order. */
async function sendChecks(url: string, bearer: string, end: number): Promise<number[]> {
  const times: number[] = [];
  const pending: Array<Promise<void>> = [];
  const check = async (due: number): Promise<void> => {
    const answer = await fetch(`${url}/api/v1/users/me`, { headers: { authorization: `Bearer ${bearer}` } });
    await answer.text();
    if (answer.status !== 200) throw new Error(`a session check was answered ${answer.status}`);
    times.push(performance.now() - due);
  };
  const begun = performance.now();
  for (let due = begun; due < end; due += 1000 / rate) {
    await Bun.sleep(Math.max(0, due - performance.now()));
    pending.push(check(due));
  }
  await Promise.all(pending);
  return times.toSorted((one, other) => one - other);
}

/** How often each status came. */
async function sendSignIns(url: string, end: number): Promise<Record<string, number>> {
  const statuses: Record<string, number> = {};
  const connection = async (_: unknown, at: number): Promise<void> => {
    while (performance.now() < end) {
      // Every second one is right.
      const { status } = await post(url, "login", { email: emailOf(at), password: at % 2 === 0 ? password : "wrong" });
      statuses[status] = (statuses[status] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, connection));
  return statuses;
}

/** Each role is a process of its own, so that neither waits for the other. */
function spawnRole<T>(order: Order): Promise<T> {
  const child = Bun.spawn([...bun, import.meta.path, "--role"], {
    stdin: Buffer.from(JSON.stringify(order)),
    stdout: "pipe",
  });
  return new Response(child.stdout).json() as Promise<T>;
}

if (process.argv[2] === "--role") {
  const { url, seconds: length, role } = (await Bun.stdin.json()) as Order;
  const end = performance.now() + length * 1000;
  const answer = role.name === "checks" ? await sendChecks(url, role.bearer, end) : await sendSignIns(url, end);
  console.log(JSON.stringify(answer));
  process.exit(0);
}

const scratch = mkdtempSync(join(tmpdir(), "authctl-flood-"));
const postgres = await startPostgres();
const setups = Object.entries({ SQLite: {}, Postgres: { DATABASE_URL: postgres.url } }).flatMap(([name, env]) =>
  ["off", "on"].map((RATE_LIMITS) => ({
    name: `${name}, limits ${RATE_LIMITS}`,
    env: { ...env, RATE_LIMITS },
    directory: join(scratch, name),
  })),
);
/** The highest that its memory has been, in MiB. */
const peakOf = (pid: number): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
const quantile = (sorted: readonly number[], part: number): number => sorted[Math.floor(sorted.length * part)] ?? 0;
const shown = (times: readonly number[]) =>
  `p50 ${quantile(times, 0.5).toFixed(1)} ms, p99 ${quantile(times, 0.99).toFixed(1)} ms`;

for (const { name, env: own, directory } of setups) {
  const port = await freePort();
  const env = { PATH: process.env["PATH"] ?? "", ...own, DATA_DIR: directory, PORT: String(port) };
  const migrated = Bun.spawnSync([...bun, "cli/authctl.ts", "migrate", "up"], { cwd: root, env });
  if (migrated.exitCode !== 0) throw new Error(migrated.stderr.toString());
  const server = Bun.spawn([...bun, "src/server.ts"], { cwd: root, env, stdout: "ignore", stderr: "ignore" });
  const url = `http://127.0.0.1:${port}`;
  while (!(await fetch(`${url}/livez`).catch(() => undefined))) await Bun.sleep(10);
  for (let at = 0; at < accounts; at++) await post(url, "register", { email: emailOf(at), password });
  const signedIn = await post(url, "login", { email: emailOf(0), password, credential: "session" });
  const { session_token: bearer } = (await signedIn.json()) as { session_token: string };

  const checks = { name: "checks", bearer } as const;
  await spawnRole({ url, seconds: 1, role: checks });
  const quiet = await spawnRole<number[]>({ url, seconds, role: checks });
  const [flooded, statuses] = await Promise.all([
    spawnRole<number[]>({ url, seconds, role: checks }),
    spawnRole<Record<string, number>>({ url, seconds, role: { name: "sign-ins" } }),
  ]);
  const ratio = quantile(flooded, 0.99) / quantile(quiet, 0.99);
  const told = Object.entries(statuses).map(([status, times]) => `${status}: ${(times / seconds).toFixed(0)}/s`);
  console.log(
    `${name.padEnd(21)} quiet ${shown(quiet)}; flood ${shown(flooded)}; ratio ${ratio.toFixed(1)}; peak ${peakOf(server.pid).toFixed(0)} MiB; ${told.join(", ")}`,
  );
  server.kill("SIGKILL");
  await server.exited;
}
await postgres.stop();
rmSync(scratch, { recursive: true, force: true });
