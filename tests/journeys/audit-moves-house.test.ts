/** The audit trail goes with its database, chain and all, from this dialect to the other one. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eraseAuditOf } from "../../src/core/audit.ts";
import type { verifiedView } from "../../src/core/views.ts";
import { authctl } from "../support/command.ts";
import { dialect } from "../support/database.ts";
import { besides, newTokens } from "../support/people.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";
import { type Environment, startServer, type TestServer } from "../support/server.ts";

const patience = 120_000;

let server: TestServer;
let postgres: PostgresServer | undefined;
let target: string;
const directory = mkdtempSync(join(tmpdir(), "authctl-audit-moves-"));

beforeAll(async () => {
  server = await startServer();
  if (dialect === "sqlite") {
    postgres = await startPostgres();
    target = postgres.urlOf(await postgres.createDatabase());
  } else target = `sqlite:${join(directory, "auth.db")}`;
}, patience);
afterAll(async () => {
  await server.end();
  await postgres?.end();
  rmSync(directory, { recursive: true, force: true });
});

const verify = async (env: Environment) => {
  const { stdout, stderr } = await authctl(env, ["audit", "verify", "--json"]);
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as ReturnType<typeof verifiedView>;
};

test(
  "every entry is proven on the other database too, and the chain goes on there",
  async () => {
    const { user } = await newTokens(server);
    await server.post("/api/v1/auth/login", { email: user.email, password: "wrong" });
    await newTokens(server);
    expect((await authctl(server.env, ["audit", "purge", "--keep", "0s"])).code).toBe(0);
    const erased = (await newTokens(server)).user;
    await besides(server, (core) => core.store.write((tx) => eraseAuditOf(core, tx, erased.id, 100)));
    const before = await verify(server.env);
    expect(before).toMatchObject({ begins_after: expect.any(String), erased: 2, found: 0 });

    const copied = await authctl(server.env, ["db", "copy", "--to", target]);
    expect(copied, copied.stderr).toMatchObject({ code: 0 });
    const there = { ...server.env, DATABASE_URL: target };
    const moved = await verify(there);
    expect(moved).toMatchObject({ unsealed: 0, begins_after: before.begins_after, erased: 2, found: 0 });
    expect(moved.head).toBe((await verify(server.env)).head);

    await server.restart({ DATABASE_URL: target });
    await newTokens(server);
    await server.stop();
    const later = await verify(there);
    expect(later).toMatchObject({ unsealed: 0, found: 0 });
    expect(later.sealed).toBe(moved.sealed + 2);
    expect((await authctl(there, ["audit", "verify", "--mark", moved.head])).code).toBe(0);
  },
  patience,
);
