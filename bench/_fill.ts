import { Database } from "bun:sqlite";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { freePort } from "../tests/support/free-port.ts";
import { startPostgres } from "../tests/support/services.ts";

const option = (name: string): string | undefined =>
  process.argv.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3);
const rows = Number(option("rows") ?? 1_000_000);
const purgeFlags = (option("flags") ?? "").split(" ").filter((word) => word !== "");
const only = ["sqlite", "postgres"].find((name) => process.argv.includes(`--${name}`));
/** Checks of a session each second, as clients would send them that know nothing of each other. */
const rate = 200;
const quietFor = Number(option("quiet") ?? 20);
/** Sessions of so many people, whose order has nothing to do with that of the sessions. */
const people = 10_000;

const root = join(import.meta.dir, "..");
const bun = [process.execPath, "--no-env-file"];
const scratch = mkdtempSync(join(tmpdir(), "authctl-purge-"));
const month = 30 * 86_400_000;
const begin = Date.now() - 3 * month;

const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, "0");
const idAt = (time: number, n: number): string => {
  const at = hex(time, 12);
  return `${at.slice(0, 8)}-${at.slice(8)}-7000-8000-${hex(n, 12)}`;
};
const personOf = (n: number): string => idAt(begin, (n * 7919) % people);
const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0";

/** Sessions that began over a month and ended two months ago, each with its refresh family. */
async function fillSqlite(file: string): Promise<void> {
  const db = new Database(file);
  for (const pragma of ["synchronous = OFF", "busy_timeout = 5000"]) db.run(`PRAGMA ${pragma}`);
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
  db.run("PRAGMA wal_checkpoint(TRUNCATE)");
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

void purgeFlags;
void only;
void rate;
void quietFor;
void bun;
void root;
void freePort;
void readFileSync;
void statSync;
void rmSync;
void startPostgres;
void scratch;
await (process.env["DATABASE_URL"]
  ? fillPostgres(process.env["DATABASE_URL"])
  : fillSqlite(join(process.env["DATA_DIR"]!, "auth.db")));
