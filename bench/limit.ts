/**
 * The physical limits that everything is held against: a bare server with one prepared SELECT by primary key from a
 * table of ROWS; and for a POST one verification of a password, with the parameters of argon2id in ARGON2.
 */
import { Database } from "bun:sqlite";

const { FILE = ":memory:", PORT, ROWS = "1000", ARGON2 = "{}" } = process.env;

const db = new Database(FILE, { create: true });
for (const pragma of ["journal_mode = WAL", "synchronous = NORMAL"]) db.run(`PRAGMA ${pragma}`);
db.run("CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, email TEXT NOT NULL) WITHOUT ROWID");
const insert = db.query("INSERT OR IGNORE INTO sessions VALUES (?, ?)");
db.transaction(() => {
  for (let at = 0; at < Number(ROWS); at++) insert.run(`t${at}`, `user${at}@example.com`);
})();
const find = db.query("SELECT id, email FROM sessions WHERE id = ?");

const password = "correct horse battery staple";
const hash = await Bun.password.hash(password, { algorithm: "argon2id", ...(JSON.parse(ARGON2) as object) });
const verified = async () => Response.json({ right: await Bun.password.verify(password, hash) });

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(PORT),
  fetch: (request) =>
    request.method === "POST"
      ? verified()
      : Response.json(find.get(request.headers.get("authorization")?.slice("Bearer ".length) ?? "")),
});
