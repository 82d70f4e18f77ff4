/**
 * `bun run bench soak [--minutes=30]`: people who sign in, look, refresh, and sign out or just go away, against one server
 * on SQLite, for so long. Every minute prints what was done, the server's memory and the sizes of its files. Ends with whether
 * memory and file stayed as they were once the warm-up was over, and fails where they did not.
 *
 * The audit trail grows with every sign-in, as it has to for as long as AUDIT_KEEP says: it is taken off the size of
 * the file. All else has its end within minutes here, and is purged every minute, as cron would.
 */
import { Database } from "bun:sqlite";
import { statSync } from "node:fs";
import { join } from "node:path";
import { memoryOf } from "./accounting.ts";
import { type Answer, drive, request, type Work } from "./client.ts";
import { fill } from "./fill.ts";
import { readOptions } from "./options.ts";
import { bun, issuer, openScratch, password, root, startAuthctl, takeOwnCore } from "./server.ts";
import { shown, table } from "./table.ts";

const { minutes, connections } = readOptions({ minutes: 30, connections: 8 });

/**
 * What is no more than this, from the end of the warm-up to the end, is no growth: a part of the mean, or as many MiB as
 * a file keeps free for what comes next.
 */
const flat = { part: 0.1, mib: 4 };
/** Between two looks at memory and file, in milliseconds. */
const lookEvery = 5_000;

const shortLives = { SESSION_IDLE_TTL: "1m", REFRESH_TOKEN_TTL: "1m" };
/** Where everything was stopped for so long, many sessions are over, in milliseconds; all of them are asked for within as long again. */
const standstill = 20_000;

/** `put-off` is a sign-in for which there was no time: it comes again. */
const kinds = ["sign-in", "check", "list", "refresh", "sign-out", "put-off"] as const;
type Kind = (typeof kinds)[number];
type Asked = Exclude<Kind, "put-off">;

/** Somebody at a time on each connection: signs in, does forty things, and signs out; every fourth one only goes away. */
function crowd(emails: readonly string[]): Work & { readonly done: Record<Kind, number> } {
  const done = Object.fromEntries(kinds.map((kind) => [kind, 0])) as Record<Kind, number>;
  type Visit = {
    readonly email: string;
    readonly number: number;
    step: number;
    bearer?: string;
    refresh?: string;
  };
  const visits = new Map<number, Visit>();
  const asked: Asked[] = [];
  let visitors = 0;
  let answeredAt = performance.now();
  let stoodStillUntil = Number.NEGATIVE_INFINITY;

  const kindAt = ({ step, number, refresh }: Visit): Asked => {
    if (step === 0) return "sign-in";
    if (step === 41) return number % 4 === 0 ? "check" : "sign-out";
    if (step % 10 === 0) return refresh ? "refresh" : "list";
    return "check";
  };
  const requests: Record<Asked, (visit: Visit) => Buffer> = {
    "sign-in": ({ email, number }) =>
      request(
        "POST",
        "/api/v1/auth/login",
        {},
        {
          email,
          password,
          credential: number % 2 === 0 ? "session" : "tokens",
        },
      ),
    check: ({ bearer }) => request("GET", "/api/v1/users/me", { Authorization: `Bearer ${bearer}` }),
    list: ({ bearer }) => request("GET", "/api/v1/sessions", { Authorization: `Bearer ${bearer}` }),
    refresh: ({ refresh }) => request("POST", "/api/v1/auth/refresh", {}, { refresh_token: refresh }),
    "sign-out": ({ bearer }) => request("POST", "/api/v1/auth/logout", { Authorization: `Bearer ${bearer}` }),
  };
  const isRight = (kind: Asked, visit: Visit, { status, body }: Answer): boolean => {
    if (kind === "sign-out") return status === 204;
    if (kind === "check") return status === 200 && body.includes(visit.email);
    if (kind === "list") return status === 200 && body.includes('"current":true');
    const given = JSON.parse(body) as { session_token?: string; access_token?: string; refresh_token?: string };
    const bearer = given.session_token ?? given.access_token;
    if (status !== 200 || bearer === undefined) return false;
    visit.bearer = bearer;
    if (given.refresh_token) visit.refresh = given.refresh_token;
    return true;
  };
  const arrive = (connection: number): Visit => {
    const number = visitors++;
    const visit = { email: emails[number % emails.length]!, number, step: 0 };
    visits.set(connection, visit);
    return visit;
  };
  return {
    done,
    next(connection) {
      const visit = visits.get(connection) ?? arrive(connection);
      const kind = kindAt(visit);
      asked[connection] = kind;
      return requests[kind](visit);
    },
    take(connection, answer) {
      const [kind, visit] = [asked[connection]!, visits.get(connection)!];
      const now = performance.now();
      if (now - answeredAt > standstill) stoodStillUntil = now;
      answeredAt = now;
      if (kind === "sign-in" && answer.status === 503 && answer.body.includes('"overloaded"')) {
        done["put-off"]++;
        return true;
      }
      if (answer.status === 401 && now - stoodStillUntil < standstill) {
        visits.delete(connection);
        return true;
      }
      done[kind]++;
      if (visit.step++ === 41) visits.delete(connection);
      return isRight(kind, visit, answer);
    },
  };
}

const mib = (bytes: number): number => bytes / 1024 ** 2;

type Look = {
  readonly minute: number;
  readonly memory: number;
  readonly file: number;
  readonly log: number;
  readonly trail: number;
};

const cores = takeOwnCore();
const scratch = openScratch();
const DATA_DIR = scratch.directory("data");
const none = { spare: 0, families: 0, accessTokens: 0, freshAccessTokens: 0 };
const { sessions } = await fill({ DATA_DIR }, { name: "soak", users: 500, sessions: 500, ...none });
const env = { DATA_DIR, ...shortLives };
const server = await startAuthctl(env);
const looking = new Database(join(DATA_DIR, "auth.db"), { readonly: true });

const sizeOf = (file: string): number => mib(statSync(join(DATA_DIR, file), { throwIfNoEntry: false })?.size ?? 0);
/** With its indexes. */
const trailSize = looking.query<{ bytes: number | null }, []>(
  "SELECT sum(pgsize) AS bytes FROM dbstat WHERE name IN (SELECT name FROM sqlite_schema WHERE tbl_name = 'audit_events')",
);
const began = performance.now();
const look = (): Look => ({
  minute: (performance.now() - began) / 60_000,
  memory: memoryOf([server.pid], "VmRSS"),
  file: sizeOf("auth.db"),
  log: sizeOf("auth.db-wal"),
  trail: mib(trailSize.get()?.bytes ?? 0),
});

function purge(): Promise<unknown> {
  const settings = { PATH: process.env["PATH"] ?? "", ...issuer, ...env };
  const words = [...bun, "cli/authctl.ts", "token", "purge", "--lock", "skip", "--batch-size", "100"];
  return Bun.spawn(words, { cwd: root, env: settings, stdin: "ignore", stdout: "ignore", stderr: "inherit" }).exited;
}

/** What it grew by over all looks, by the line that fits them best, and how much there may be of it. */
function growth(looks: readonly Look[], of: (look: Look) => number) {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [middle, level] = [mean(looks.map(({ minute }) => minute)), mean(looks.map(of))];
  const slope =
    looks.reduce((sum, one) => sum + (one.minute - middle) * (of(one) - level), 0) /
    looks.reduce((sum, one) => sum + (one.minute - middle) ** 2, 0);
  const grown = slope * (looks.at(-1)!.minute - looks[0]!.minute);
  return { level, grown, bar: Math.max(flat.part * level, flat.mib) };
}

const looks: Look[] = [];
const work = crowd(sessions.map(({ email }) => email));
const watching = setInterval(() => looks.push(look()), lookEvery);
const head = ["minute", ...kinds, "memory, MiB", "file", "trail in it", "log"];
const widths = head.map((word) => Math.max(7, word.length));
const line = (cells: readonly string[]) => console.log(cells.map((cell, at) => cell.padStart(widths[at]!)).join("  "));
try {
  console.log(`${cores} ${connections} connections, ${minutes} minutes.`);
  line(head);
  for (let minute = 1; minute <= Math.ceil(minutes); minute++) {
    const before = { ...work.done };
    const purging = purge();
    const driven = await drive(server.port, work, { connections, seconds: Math.min(1, minutes) * 60 });
    if (driven.wrong > 0) throw new Error(`${driven.wrong} answers were wrong, the first one: ${driven.firstWrong}`);
    await purging;
    const { memory, file, log, trail } = look();
    const events = kinds.map((kind) => String(work.done[kind] - before[kind]));
    line([String(minute), ...events, ...[memory, file, trail, log].map(shown)]);
  }
  const settled = looks.filter(({ minute }) => minute > minutes / 3);
  const verdicts = [
    { what: "memory", ...growth(settled, ({ memory }) => memory) },
    { what: "the file without the audit trail", ...growth(settled, ({ file, trail }) => file - trail) },
    { what: "the log beside it", ...growth(settled, ({ log }) => log) },
  ];
  const told = verdicts.map(({ what, level, grown, bar }) => [
    what,
    level.toFixed(1),
    grown.toFixed(1),
    `≤ ${bar.toFixed(1)}`,
    grown <= bar ? "met" : "NOT met",
  ]);
  console.log(`\n${table(["from the first third on, MiB", "mean", "grown by", "bar", ""], told)}`);
  const isFlat = verdicts.every(({ grown, bar }) => grown <= bar);
  console.log(isFlat ? "Flat after the warm-up." : "NOT flat after the warm-up.");
  process.exitCode = isFlat ? 0 : 1;
} finally {
  clearInterval(watching);
  looking.close();
  await server.stop();
  await scratch.end();
}
