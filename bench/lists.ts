/**
 * `bun run bench lists [--users=N]`: what a page of users costs at the beginning, in the middle and at the end of a
 * list, on both databases, for each order, filter and search. What counts are the ratios to the first page.
 */
import { Database } from "bun:sqlite";
import { join } from "node:path";
import pg from "pg";
import { openDatabase, settle } from "../src/open.ts";
import { createStore, type Store } from "../src/store/store.ts";
import type { Position, UserPage, UserSelection } from "../src/store/user-lists.ts";
import { readOptions } from "./options.ts";
import { openScratch, root } from "./server.ts";

const { users } = readOptions({ users: 1_000_000 });
const limit = 50;
const rounds = 25;

const begin = Date.UTC(2026, 0, 1);
/** Ids, addresses and names of user `n`, in the words of both databases: one of them in front of a number of seven digits. */
const key = { email: "user%@example.com", username: "user%", fullName: "user %" } as const;
const idOf = (n: number): string => {
  const time = (begin + n * 1000).toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${n.toString(16).padStart(12, "0")}`;
};
const named = (pattern: string, n: number): string => pattern.replace("%", String(n).padStart(7, "0"));

/** One in a hundred is disabled or not verified, one in a thousand is a guest; names and changes are out of order. */
const isRare = (n: number): boolean => n % 100 === 7;
const shuffled = (n: number): number => (n * 7919) % users;

type Row = readonly [
  id: string,
  email: string,
  username: string,
  fullName: string,
  at: number,
  verifiedAt: number | null,
  disabledAt: number | null,
  updatedAt: number,
];
const rowOf = (n: number): Row => {
  const at = begin + n * 1000;
  const name = shuffled(n);
  return [
    idOf(n),
    named(key.email, name),
    named(key.username, name),
    named(key.fullName, name),
    at,
    isRare(n) ? null : at,
    isRare(n + 1) ? at : null,
    begin + shuffled(n) * 1000,
  ];
};

async function fillSqlite(file: string): Promise<void> {
  const db = new Database(file);
  db.run("PRAGMA synchronous = OFF");
  db.run("BEGIN");
  const insert = db.query(
    `INSERT INTO users (id, email, email_key, username, username_key, full_name, full_name_key, created_at, email_verified_at, disabled_at, updated_at)
     VALUES (?1, ?2, ?2, ?3, ?3, ?4, ?4, ?5, ?6, ?7, ?8)`,
  );
  const grant = db.query("INSERT INTO user_roles (user_id, role, granted_at) VALUES (?, ?, 0)");
  for (let n = 0; n < users; n++) {
    insert.run(...rowOf(n));
    grant.run(idOf(n), "user");
    if (n % 1000 === 3) grant.run(idOf(n), "guest");
  }
  db.run("COMMIT");
  db.close();
}

async function fillPostgres(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  for (let from = 0; from < users; from += 20_000) {
    const rows = Array.from({ length: Math.min(20_000, users - from) }, (_, at) => rowOf(from + at));
    const columns = rows[0]!.map((_, column) => rows.map((row) => row[column]));
    await client.query(
      `INSERT INTO users (id, email, email_key, username, username_key, full_name, full_name_key, created_at, email_verified_at, disabled_at, updated_at)
       SELECT id, email, email, username, username, name, name, to_timestamp(at / 1000.0), to_timestamp(verified / 1000.0), to_timestamp(disabled / 1000.0), to_timestamp(updated / 1000.0)
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]) AS t (id, email, username, name, at, verified, disabled, updated)`,
      columns,
    );
  }
  await client.query("INSERT INTO user_roles SELECT id, 'user', now() FROM users");
  await client.query("INSERT INTO user_roles SELECT id, 'guest', now() FROM users WHERE id = ANY($1)", [
    Array.from({ length: users }, (_, n) => n)
      .filter((n) => n % 1000 === 3)
      .map(idOf),
  ]);
  await client.query("VACUUM ANALYZE");
  await client.end();
}

/** The selection, and where its middle and its end are: `rare` lists are walked to it. */
type Case = {
  readonly name: string;
  readonly selection: UserSelection;
  readonly middle: Position | "walk";
  readonly last: Position | "walk";
};

const walked = { middle: "walk", last: "walk" } as const;
const atId = (n: number): Position => ({ stage: 0, key: "", id: idOf(n) });
const atEmail = (n: number): Position => ({ stage: 0, key: named(key.email, n), id: "" });
const atTime = (n: number): Position => ({ stage: 0, key: begin + n * 1000, id: "" });
const half = Math.floor(users / 2);
const end = users - 20;
const all = { emailKey: "user", nameKey: "user" };

const cases: readonly Case[] = [
  { name: "everybody", selection: { filter: {} }, middle: atId(half), last: atId(end) },
  { name: "-created_at", selection: { filter: {}, sort: "-created_at" }, middle: atId(half), last: atId(20) },
  { name: "email", selection: { filter: {}, sort: "email" }, middle: atEmail(half), last: atEmail(end) },
  { name: "-email", selection: { filter: {}, sort: "-email" }, middle: atEmail(half), last: atEmail(20) },
  { name: "updated_at", selection: { filter: {}, sort: "updated_at" }, middle: atTime(half), last: atTime(end) },
  { name: "-updated_at", selection: { filter: {}, sort: "-updated_at" }, middle: atTime(half), last: atTime(20) },
  { name: "role=user", selection: { filter: { role: "user" } }, middle: atId(half), last: atId(end) },
  { name: "role=guest", selection: { filter: { role: "guest" } }, middle: atId(half), last: atId(end) },
  { name: "is_active=true", selection: { filter: { active: true } }, middle: atId(half), last: atId(end) },
  { name: "is_active=false", selection: { filter: { active: false } }, middle: atId(half), last: atId(users - 2000) },
  { name: "email_verified=true", selection: { filter: { emailVerified: true } }, middle: atId(half), last: atId(end) },
  {
    name: "email_verified=false",
    selection: { filter: { emailVerified: false } },
    middle: atId(half),
    last: atId(users - 2000),
  },
  {
    name: "q=user000 (few)",
    selection: { filter: { prefix: { emailKey: "user000", nameKey: "user000" } } },
    ...walked,
  },
  {
    name: "q=user (all), by address",
    selection: { filter: { prefix: all } },
    middle: atEmail(half),
    last: atEmail(end),
  },
  {
    name: "q=user, among the names",
    selection: { filter: { prefix: all } },
    middle: { stage: 1, key: named(key.username, half), id: "" },
    last: { stage: 2, key: named(key.fullName, end), id: "" },
  },
  {
    name: "q=user, sort=email",
    selection: { filter: { prefix: all }, sort: "email" },
    middle: atEmail(half),
    last: atEmail(end),
  },
  {
    name: "role=guest, sort=email",
    selection: { filter: { role: "guest" }, sort: "email" },
    middle: atEmail(half),
    last: atEmail(end),
  },
  {
    name: "is_active=false, sort=email",
    selection: { filter: { active: false }, sort: "email" },
    middle: atEmail(half),
    last: atEmail(users - 5000),
  },
  {
    name: "role=user, verified, q=user",
    selection: { filter: { role: "user", emailVerified: true, prefix: all } },
    middle: atEmail(half),
    last: atEmail(end),
  },
];

/** The fastest of several runs, in milliseconds: the others tell of what else the machine does. */
async function cost(read: () => Promise<UserPage>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    await read();
    times.push(performance.now() - started);
  }
  return Math.min(...times);
}

/** Where every page of a list begins but the first. */
async function placesOf(store: Store, selection: UserSelection): Promise<Position[]> {
  const places: Position[] = [];
  for (let { next } = await store.users.list(selection, limit); next; ) {
    places.push(next);
    ({ next } = await store.users.list(selection, limit, next));
  }
  return places;
}

async function measure(title: string, store: Store): Promise<void> {
  console.log(`\n${title}, ${users.toLocaleString("en-US")} users, ${limit} a page`);
  console.log(`${"".padEnd(32)}   first    middle      last`);
  for (const { name, selection, middle, last } of cases) {
    const places = middle === "walk" || last === "walk" ? await placesOf(store, selection) : [];
    const place = (given: Position | "walk", at: number): Position | undefined =>
      given === "walk" ? places.at(at) : given;
    const read = (after?: Position) => () => store.users.list(selection, limit, after);
    await read()();
    const first = await cost(read());
    const later = [place(middle, Math.floor(places.length / 2)), place(last, -1)];
    const costs = [await cost(read(later[0])), await cost(read(later[1]))];
    const ratios = costs.map((one) => `${(one / first).toFixed(2).padStart(9)}x`);
    console.log(`${name.padEnd(32)} ${first.toFixed(2).padStart(6)}ms${ratios.join("")}`);
  }
}

const scratch = openScratch();
const postgres = await (await scratch.postgres()).database("authctl_bench_lists");
const places = {
  SQLite: { DATA_DIR: scratch.directory("sqlite") },
  Postgres: { DATA_DIR: scratch.directory("postgres"), DATABASE_URL: postgres },
};
for (const [title, env] of Object.entries(places)) {
  const database = await openDatabase(settle({ env, cwd: root }), root, true);
  await database.migrations.up(new Date(begin));
  if (database.name === "sqlite") await fillSqlite(join(env.DATA_DIR, "auth.db"));
  else await fillPostgres(postgres);
  const store = createStore(database);
  await measure(title, store);
  await store.close();
}
await scratch.end();
