/** The physical limit that a session check is held against: a bare server with one prepared SELECT, and nothing else. */
import { Database } from "bun:sqlite";

const db = new Database(":memory:");
db.run("CREATE TABLE sessions (id TEXT PRIMARY KEY, email TEXT NOT NULL)");
const insert = db.query("INSERT INTO sessions VALUES (?, ?)");
for (let at = 0; at < 1000; at++) insert.run(`t${at}`, `user${at}@example.com`);
const find = db.query("SELECT id, email FROM sessions WHERE id = ?");

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  fetch: (request) => Response.json(find.get(request.headers.get("authorization")?.slice("Bearer ".length) ?? "")),
});
