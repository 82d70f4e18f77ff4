/**
 * `bun run bench flood [--seconds=N]`: what a flood of sign-ins does to session checks and to memory.
 * Checks are sent a hundred times a second, whatever comes back, and timed from the moment at which each was due;
 * first alone, then while 128 connections sign in as fast as they are answered. Every setting has its default, but
 * for the limits, which are off in half of the runs: they would end such a flood from one address at once.
 */
import { memoryOf } from "./accounting.ts";
import { readOptions } from "./options.ts";
import { bun, openScratch, password, startAuthctl } from "./server.ts";

const [rate, connections, accounts] = [100, 128, 20];

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

const { seconds } = readOptions({ seconds: 10 });
const scratch = openScratch();
const postgres = await (await scratch.postgres()).database("authctl_bench_flood");
const setups = Object.entries({ SQLite: {}, Postgres: { DATABASE_URL: postgres } }).flatMap(([name, env]) =>
  ["off", "on"].map((RATE_LIMITS) => ({
    name: `${name}, limits ${RATE_LIMITS}`,
    env: { ...env, RATE_LIMITS, DATA_DIR: scratch.directory(name) },
  })),
);
const quantile = (sorted: readonly number[], part: number): number => sorted[Math.floor(sorted.length * part)] ?? 0;
const shown = (times: readonly number[]) =>
  `p50 ${quantile(times, 0.5).toFixed(1)} ms, p99 ${quantile(times, 0.99).toFixed(1)} ms`;

for (const { name, env } of setups) {
  const server = await startAuthctl(env, "both");
  const { url } = server;
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
    `${name.padEnd(21)} quiet ${shown(quiet)}; flood ${shown(flooded)}; ratio ${ratio.toFixed(1)}; peak ${memoryOf([server.pid], "VmHWM").toFixed(0)} MiB; ${told.join(", ")}`,
  );
  await server.stop();
}
await scratch.end();
