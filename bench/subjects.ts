/** The servers that are measured: filled, and ready to be started. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { version } from "../package.json";
import { settle } from "../src/open.ts";
import type { BetterAuthPlan } from "./better-auth.ts";
import { fill, type SignedIn } from "./fill.ts";
import { type Asker, askAuthctl, askBetterAuth, askLimit, spentEachSecond } from "./operations.ts";
import { bun, type Environment, password, type Running, root, type Scratch, start, startAuthctl } from "./server.ts";

export type Subject = {
  readonly name: string;
  start(): Promise<Running>;
  /** How a server that listens on this port is asked. */
  asker(port: number): Asker;
  /** Processes of its databases. */
  readonly stores: readonly number[];
  /** Started for one operation alone, which another one of this name does not do. */
  readonly aside?: boolean;
};

export type Amounts = {
  readonly users: number;
  /** No fewer than users. */
  readonly sessions: number;
  readonly connections: number;
  /** Seconds of all rounds together. */
  readonly seconds: number;
};

export const subjectNames = [
  "authctl-sqlite",
  "authctl-postgres",
  "authctl-postgres-cache",
  "better-auth-sqlite",
  "better-auth-postgres",
] as const;
export type SubjectName = (typeof subjectNames)[number];

/** Exactly these, whatever is newer. */
const betterAuth = { "better-auth": "1.7.7", pg: "8.23.1" };

export function limit(scratch: Scratch, { users, sessions }: Pick<Amounts, "users" | "sessions">): Subject {
  const { ARGON2_MEMORY_KIB: memoryCost, ARGON2_TIME_COST: timeCost } = settle({ env: {}, cwd: root });
  mkdirSync(scratch.directory("limit"), { recursive: true });
  const env = {
    FILE: join(scratch.directory("limit"), `${sessions}.db`),
    ROWS: String(sessions),
    ARGON2: JSON.stringify({ memoryCost, timeCost }),
  };
  const asker = askLimit(sessions, users);
  return {
    name: "the limit",
    start: () => start([...bun, "bench/limit.ts"], { env, ready: "/" }),
    asker: () => asker,
    stores: [],
  };
}

/** Fails with `Missing` where a database is not to be had, and with `NotInstalled` where a package is not. */
export async function prepare(
  scratch: Scratch,
  name: SubjectName,
  amounts: Amounts,
  /** Behind the name of its database, where there are several of a kind. */
  which = "",
): Promise<Subject[]> {
  const database = name.includes("postgres") ? await scratch.postgres() : undefined;
  const stores = database?.pids ?? [];
  if (name === "better-auth-sqlite" || name === "better-auth-postgres") {
    const where: Environment = database
      ? { POSTGRES: await database.database("authctl_bench_better_auth") }
      : { FILE: scratch.directory("better-auth.db") };
    return await prepareBetterAuth(scratch, { name, where, stores }, amounts);
  }

  const env: Environment = {
    DATA_DIR: scratch.directory(name + which),
    ...(database && { DATABASE_URL: await database.database(`authctl_bench_${name.replaceAll("-", "_")}${which}`) }),
  };
  const filling = await fill(env, {
    name: "bench",
    users: amounts.users,
    sessions: amounts.sessions,
    spare: Math.ceil(spentEachSecond * amounts.seconds),
    families: amounts.connections + 1,
    accessTokens: amounts.users,
    freshAccessTokens: Math.ceil(spentEachSecond * amounts.seconds),
  });
  if (database && env["DATABASE_URL"]) await database.analyse(env["DATABASE_URL"]);
  const redis = name === "authctl-postgres-cache" ? await scratch.redis() : undefined;
  const cache = redis && { REDIS_URL: redis.url, SESSION_CACHE_TTL: "5s" };
  const asker = askAuthctl(filling);
  return [
    {
      name: `authctl ${version}, ${database ? "Postgres" : "SQLite"}${redis ? ", session cache" : ""}`,
      start: () => startAuthctl({ ...env, ...cache }),
      asker: () => asker,
      stores: [...stores, ...(redis?.pids ?? [])],
    },
  ];
}

export class NotInstalled extends Error {}

type Where = { readonly name: SubjectName; readonly where: Environment; readonly stores: readonly number[] };

async function prepareBetterAuth(scratch: Scratch, { name, where, stores }: Where, amounts: Amounts) {
  const directory = await installed(scratch);
  const program = [...bun, join(root, "bench/better-auth.ts"), directory];
  const plan: BetterAuthPlan = {
    users: amounts.sessions,
    spare: Math.ceil(spentEachSecond * amounts.seconds),
    password,
  };
  const env = { PATH: process.env["PATH"] ?? "", NODE_ENV: "production", ...where };
  const filler = Bun.spawn(program, { env: { ...env, PORT: "1", FILL: JSON.stringify(plan) }, stdout: "pipe" });
  const all = (await new Response(filler.stdout).json()) as SignedIn[];
  const stride = Math.floor(plan.users / amounts.users);
  const people = all
    .slice(0, plan.users)
    .filter((_, at) => at % stride === 0)
    .slice(0, amounts.users);
  const spare = all.slice(plan.users);
  const one = {
    name: `Better Auth ${betterAuth["better-auth"]}, ${name.endsWith("sqlite") ? "SQLite" : "Postgres"}`,
    stores,
  };
  const starting = (more: Environment) => async () =>
    await start(program, { env: { ...env, ...more }, ready: "/api/auth/ok" });
  const asking =
    (refreshes: boolean) =>
    (port: number): Asker => {
      const ask = askBetterAuth(people, spare, port);
      return (operation, round) => ((operation === "refresh") === refreshes ? ask(operation, round) : undefined);
    };
  return [
    { ...one, start: starting({}), asker: asking(false) },
    { ...one, start: starting({ UPDATE_AGE: "0" }), asker: asking(true), aside: true },
  ];
}

let installation: Promise<string> | undefined;

/** Its packages in a directory of their own: they are no dependency of ours. */
const installed = (scratch: Scratch): Promise<string> => (installation ??= install(scratch));

async function install(scratch: Scratch): Promise<string> {
  const directory = scratch.directory("packages");
  mkdirSync(directory, { recursive: true });
  await Bun.write(join(directory, "package.json"), JSON.stringify({ private: true }));
  const packages = Object.entries(betterAuth).map(([name, version]) => `${name}@${version}`);
  const child = Bun.spawn([process.execPath, "add", "--exact", "--no-progress", ...packages], {
    cwd: directory,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    timeout: 60_000,
  });
  const said = await child.stderr.text();
  if ((await child.exited) === 0) return directory;
  throw new NotInstalled(`Better Auth cannot be installed: ${said.trim().split("\n").at(-1) ?? "no answer"}`);
}
