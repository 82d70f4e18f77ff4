/**
 * `bun run bench purge [--rows=N] [--turns=N] [--sqlite|--postgres]`: what a purge of N expired sessions does to a
 * server that checks sessions meanwhile, on both databases: in turn it purges for a while and lets the server alone for
 * a while. Prints the p99 of a check with and without the purge, their ratio, the worst check of all, and memory and the size of the file before and after.
 */
import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { startPostgres } from "../tests/support/services.ts";
import { memoryOf } from "./accounting.ts";
import { agent } from "./client.ts";
import { bun, root, startAuthctl } from "./server.ts";

const option = (name: string): string | undefined =>
  process.argv.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3);
const rows = Number(option("rows") ?? 1_000_000);
const purgeFlags = (option("flags") ?? "").split(" ").filter((word) => word !== "");
/** So many turns at most, where a purge of all would take hours. */
const turns = Number(option("turns") ?? Number.POSITIVE_INFINITY);
const only = ["sqlite", "postgres"].find((name) => process.argv.includes(`--${name}`));
/** Checks of a session each second, as clients would send them that know nothing of each other. */
const rate = 200;
/** Seconds. */
const [quietFor, busyFor] = [Number(option("quiet") ?? 10), Number(option("busy") ?? 20)];
/** Sessions of so many people, whose order has nothing to do with that of the sessions. */
const people = 10_000;

const scratch = mkdtempSync(join(tmpdir(), "authctl-purge-"));
const month = 30 * 86_400_000;
const begin = Date.now() - 3 * month;

const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, "0");
const idAt = (time: number, n: number): string => {
  const at = hex(time, 12);
  return `${at.slice(0, 8)}-${at.slice(8)}-7000-8000-${hex(n, 12)}`;
};
const personOf = (n: number): string => idAt(begin, (n * 7919) % people);

/** Sessions that began over a month and ended two months ago, each with its refresh family. */
async function fillSqlite(file: string): Promise<void> {
  const db = new Database(file);
  // Without a log, which would be as large as the file.
  for (const pragma of ["busy_timeout = 5000", "journal_mode = DELETE", "synchronous = OFF", "cache_size = -1000000"]) {
    db.run(`PRAGMA ${pragma}`);
  }
  db.run("BEGIN");
  const user = db.query("INSERT INTO users (id, email, email_key, created_at, updated_at) VALUES (?1, ?2, ?2, 0, 0)");
  for (let n = 0; n < people; n++) user.run(idAt(begin, n), `user${n}@example.com`);
  const session = db.query(
    `INSERT INTO sessions (id, user_id, credential, epoch, created_at, authenticated_at, last_seen_at, idle_expires_at,
       expires_at, ip, user_agent, browser, os, client_kind)
     VALUES (?1, ?2, 'tokens', 0, ?3, ?3, ?3, ?3, ?3, '192.0.2.7', '${agent}', 'Firefox', 'Linux', 'desktop')`,
  );
  const family = db.query(
    "INSERT INTO refresh_families (id, session_id, client_id, nonce, created_at) VALUES (?1, ?2, 'first-party', ?3, ?4)",
  );
  for (let n = 0; n < rows; n++) {
    const at = begin + Math.floor((n / rows) * month);
    const id = idAt(at, n);
    session.run(id, personOf(n), at);
    family.run(idAt(at, n + rows), id, hex(n, 43), at);
  }
  db.run("COMMIT");
  db.run("PRAGMA journal_mode = WAL");
  db.close();
}

async function fillPostgres(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const id = (time: string, n: string) =>
    `substr(t, 1, 8) || '-' || substr(t, 9) || '-7000-8000-' || lpad(to_hex(${n}), 12, '0') FROM (SELECT lpad(to_hex(${time}), 12, '0') AS t)`;
  await client.query(
    `INSERT INTO users (id, email, email_key, created_at, updated_at)
     SELECT (SELECT ${id(`${begin}::bigint`, "n")} x), 'user' || n || '@example.com', 'user' || n || '@example.com', now(), now()
     FROM generate_series(0, ${people - 1}) n`,
  );
  for (let from = 0; from < rows; from += 100_000) {
    const to = Math.min(rows, from + 100_000) - 1;
    await client.query(
      `WITH made AS (
         SELECT n, (${begin} + floor(n::float / ${rows} * ${month}))::bigint AS ms FROM generate_series(${from}, ${to}) n
       ), named AS (
         SELECT n, to_timestamp(ms / 1000.0) AS at, (SELECT ${id("ms", "n")} x) AS id, (SELECT ${id("ms", `n + ${rows}`)} x) AS family,
           (SELECT ${id(`${begin}::bigint`, `(n::bigint * 7919) % ${people}`)} x) AS user_id FROM made
       ), sessions AS (
         INSERT INTO sessions (id, user_id, credential, epoch, created_at, authenticated_at, last_seen_at, idle_expires_at,
           expires_at, ip, user_agent, browser, os, client_kind)
         SELECT id, user_id, 'tokens', 0, at, at, at, at, at, '192.0.2.7', '${agent}', 'Firefox', 'Linux', 'desktop' FROM named
       )
       INSERT INTO refresh_families (id, session_id, client_id, nonce, created_at)
       SELECT family, id, 'first-party', lpad(to_hex(n), 43, '0'), at FROM named`,
    );
  }
  await client.query("VACUUM ANALYZE");
  await client.end();
}

type Times = number[];
/** Answers that were none, by their status. */
const refused = new Map<number, number>();
const percentile = (times: Times, share: number): number =>
  times.toSorted((one, other) => one - other)[Math.max(0, Math.ceil(times.length * share) - 1)] ?? 0;

/** Sends checks at their times, whether those before are answered or not, until `over`: so that no stall hides the next ones. */
async function check(url: string, tokens: readonly string[], over: Promise<unknown>): Promise<Times> {
  const times: Times = [];
  const asked: Array<Promise<void>> = [];
  const end = new AbortController();
  void over.finally(() => end.abort());
  const began = performance.now();
  for (let n = 0; !end.signal.aborted; n++) {
    const due = began + (n * 1000) / rate;
    const wait = due - performance.now();
    if (wait > 0) await Bun.sleep(wait);
    const sent = performance.now();
    const ask = async () => {
      const answer = await fetch(`${url}/api/v1/users/me`, {
        headers: { authorization: `Bearer ${tokens[n % tokens.length]}`, "user-agent": agent },
      });
      await answer.text();
      // On a machine that has too much to do a check may be refused; that is told, and takes as long as it took.
      if (answer.status !== 200) refused.set(answer.status, (refused.get(answer.status) ?? 0) + 1);
      times.push(performance.now() - sent);
    };
    asked.push(ask());
    if (asked.length > 1000) await Promise.all(asked.splice(0, 500));
  }
  await Promise.all(asked);
  return times;
}

async function signIn(url: string): Promise<string[]> {
  const post = async (path: string, body: object) => {
    const headers = { "content-type": "application/json", "user-agent": agent };
    const answer = await fetch(`${url}/api/v1/auth/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    return (await answer.json()) as { session_token: string };
  };
  const who = { email: "ada@example.com", password: "correct horse battery staple" };
  await post("register", who);
  const given = [];
  for (let n = 0; n < 32; n++)
    given.push(await post("login", { ...who, identifier: who.email, credential: "session" }));
  return given.map(({ session_token }) => session_token);
}

async function measure(
  name: string,
  more: Record<string, string>,
  fill: () => Promise<void>,
  size: () => Promise<number>,
) {
  const env = {
    PATH: process.env["PATH"] ?? "",
    RATE_LIMITS: "off",
    JOBS: "off",
    ARGON2_MEMORY_KIB: "8",
    ARGON2_TIME_COST: "1",
    LOG_LEVEL: "warn",
    ...more,
  };
  Bun.spawnSync([...bun, "cli/authctl.ts", "migrate", "up"], { cwd: root, env });
  await fill();
  const before = await size();
  const server = await startAuthctl(env, "both");
  const { url } = server;
  const tokens = await signIn(url);
  await check(url, tokens, Bun.sleep(3_000));
  // In turn, so that whatever else this machine has to do is in both.
  const quiet: Times = [];
  const busy: Times = [];
  let [memory, log, removed, took, isDone] = [0, 0, 0, 0, false];
  for (let turn = 0; !isDone && turn < turns; turn++) {
    quiet.push(...(await check(url, tokens, Bun.sleep(quietFor * 1000))));
    const began = performance.now();
    const words = ["cli/authctl.ts", "token", "purge", "--json", "--max-time", `${busyFor}s`, ...purgeFlags];
    const purging = Bun.spawn([...bun, ...words], { cwd: root, env, stdout: "pipe", stderr: "ignore" });
    const watching = setInterval(() => {
      memory = Math.max(memory, Math.round(memoryOf([purging.pid], "VmHWM")));
      log = Math.max(log, statSync(join(more["DATA_DIR"]!, "auth.db-wal"), { throwIfNoEntry: false })?.size ?? 0);
    }, 100);
    busy.push(...(await check(url, tokens, purging.exited)));
    clearInterval(watching);
    took += (performance.now() - began) / 1000;
    const counts = (await purging.stdout.json()) as ReadonlyArray<{ kind: string; removed: number }>;
    removed += counts.find(({ kind }) => kind === "sessions")?.removed ?? 0;
    isDone = (await purging.exited) === 0;
  }
  quiet.push(...(await check(url, tokens, Bun.sleep(quietFor * 1000))));
  await server.stop();
  const megabytes = (bytes: number) => `${Math.round(bytes / 1024 ** 2)} MB`;
  console.log(
    [
      `${name}: ${removed.toLocaleString("en-US")} sessions in ${took.toFixed(0)} s (${Math.round(removed / took).toLocaleString("en-US")}/s)`,
      `  median ${percentile(quiet, 0.5).toFixed(2)} → ${percentile(busy, 0.5).toFixed(2)} ms`,
      `  p99 ${percentile(quiet, 0.99).toFixed(2)} → ${percentile(busy, 0.99).toFixed(2)} ms: ${(percentile(busy, 0.99) / percentile(quiet, 0.99)).toFixed(2)}x`,
      `  worst ${Math.max(...quiet).toFixed(0)} → ${Math.max(...busy).toFixed(0)} ms, of ${busy.length.toLocaleString("en-US")} checks`,
      `  purge's memory ${memory} MB, largest log ${megabytes(log)}, size ${megabytes(before)} → ${megabytes(await size())}`,
      ...(refused.size > 0 ? [`  refused: ${JSON.stringify([...refused])}`] : []),
    ].join("\n"),
  );
  refused.clear();
}

if (only !== "postgres") {
  const DATA_DIR = join(scratch, "sqlite");
  const file = join(DATA_DIR, "auth.db");
  const sizeOf = (end: string) => statSync(file + end, { throwIfNoEntry: false })?.size ?? 0;
  await measure(
    "SQLite",
    { DATA_DIR },
    () => fillSqlite(file),
    () => Promise.resolve(sizeOf("") + sizeOf("-wal")),
  );
}
if (only !== "sqlite") {
  const postgres = await startPostgres();
  const size = async () => {
    const client = new pg.Client({ connectionString: postgres.url });
    await client.connect();
    const { rows } = await client.query("SELECT pg_database_size(current_database())::float AS size");
    await client.end();
    return Number(rows[0].size);
  };
  const env = { DATA_DIR: join(scratch, "postgres"), DATABASE_URL: postgres.url };
  await measure("Postgres", env, () => fillPostgres(postgres.url), size);
  await postgres.stop();
}
rmSync(scratch, { recursive: true, force: true });
