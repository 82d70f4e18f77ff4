import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { person, Shell } from "../support/cli.ts";

const ids = readdirSync(join(import.meta.dir, "../../drizzle/sqlite"))
  .filter((name) => name.endsWith(".sql") && !name.endsWith(".down.sql"))
  .map((name) => name.slice(0, -".sql".length))
  .toSorted();
const last = ids.at(-1)!;

const edit = (shell: Shell, sql: string): void => {
  const db = new Database(shell.file("data/auth.db"));
  db.run(sql);
  db.close();
};

describe.concurrent("migrate up", () => {
  test("makes the database and its secret, so that everything else works afterwards", async () => {
    using shell = new Shell();
    const { code, stderr } = await shell.run("migrate up");
    expect(code).toBe(0);
    expect(stderr).toContain(`applied ${ids.length} migration`);
    expect(statSync(shell.file("data/auth.db")).mode & 0o777).toBe(0o600);
    expect((await shell.run("user list")).code).toBe(0);
  });

  test("says so where there is nothing to do", async () => {
    using shell = new Shell();
    await shell.run("migrate up");
    expect(await shell.json("migrate up")).toEqual([] as never);
    expect((await shell.run("migrate up")).stderr).toBe("Nothing to do.\n");
  });

  test("removes what a run that was killed has noted, where nobody writes", async () => {
    using shell = new Shell();
    await shell.run("migrate up");
    const note = shell.file("data/auth.db-migrating");
    writeFileSync(note, "process 1 on nowhere");
    const other = new Database(shell.file("data/auth.db"));
    other.run("BEGIN IMMEDIATE");
    expect((await shell.run("migrate up")).stderr).toBe("Nothing to do.\n");
    expect(existsSync(note)).toBe(true);
    other.close();
    expect((await shell.run("migrate up")).stderr).toBe("Nothing to do.\n");
    expect(existsSync(note)).toBe(false);
  });

  test("rehearses", async () => {
    using shell = new Shell();
    await shell.run("migrate up");
    await shell.run("migrate down --yes");
    expect(await shell.json("migrate up --dry-run")).toEqual([
      { id: last, state: "pending", applied_at: null },
    ] as never);
    expect((await shell.run("migrate status")).code).toBe(5);
  });

  test("refuses an id that nobody knows", async () => {
    using shell = new Shell();
    const { code, stderr } = await shell.run(`migrate up --to ${last}x`);
    expect(code).toBe(3);
    expect(stderr).toContain(`Did you mean ${last}?`);
  });

  test("of several at once migrates once", async () => {
    using shell = new Shell();
    const all = await Promise.all([1, 2, 3].map(() => shell.run("migrate up --json")));
    expect(all.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(all.flatMap(({ stdout }) => JSON.parse(stdout))).toHaveLength(ids.length);
  });
});

describe.concurrent("migrate status", () => {
  test("prints the table and exits 5 while something is pending", async () => {
    using shell = new Shell();
    await shell.run("migrate up");
    expect(await shell.json<{ state: string }[]>("migrate status")).toEqual(
      ids.map((id) => ({ id, state: "applied", applied_at: expect.stringMatching(/Z$/) })),
    );
    await shell.run("migrate down --yes");
    const { code, stdout, stderr } = await shell.run("migrate status");
    expect(code).toBe(5);
    expect(stdout).toContain(`${last}\tpending`);
    expect(stderr).toContain("authctl migrate up");
  });

  test("shows a migration that was altered, and nothing goes on from there", async () => {
    using shell = new Shell();
    await shell.run("migrate up");
    edit(shell, `UPDATE schema_migrations SET sha256 = 'x' WHERE id = '${last}'`);
    const { code, stdout, stderr } = await shell.run("migrate status");
    expect(code).toBe(5);
    expect(stdout).toContain(`${last}\taltered`);
    expect(stderr).toContain("was changed after it was applied");
    for (const line of ["migrate up", "migrate down --yes", "user list"]) expect((await shell.run(line)).code).toBe(4);
  });

  test("shows a migration of a newer version, and nothing goes on from there", async () => {
    using shell = new Shell();
    await shell.run("migrate up");
    edit(shell, `UPDATE schema_migrations SET id = '9999_future', additive = 0 WHERE id = '${last}'`);
    const { code, stdout, stderr } = await shell.run("migrate status");
    expect(code).toBe(5);
    expect(stdout).toContain("9999_future\tunknown");
    expect(stderr).toContain("was applied by a newer version");
    for (const line of ["migrate up", "user list"]) expect((await shell.run(line)).code).toBe(78);
  });

  test("makes nothing where there is no database", async () => {
    using shell = new Shell();
    for (const line of ["migrate status", "migrate history", "migrate down --yes", "migrate up --dry-run"]) {
      expect((await shell.run(line)).code).toBe(78);
    }
    expect(existsSync(shell.file("data"))).toBeFalse();
  });

  test("tells a file that is no database from a defect", async () => {
    using shell = new Shell();
    await shell.run("migrate up");
    await Bun.write(shell.file("data/auth.db"), "this is no database at all ".repeat(200));
    expect((await shell.run("migrate status")).code).toBe(69);
  });
});

describe.concurrent("migrate down", () => {
  test("asks first, and names what it takes back", async () => {
    using shell = new Shell();
    await shell.run("migrate up");
    const { code, stderr } = await shell.run("migrate down");
    expect(code).toBe(2);
    expect(stderr).toContain(`takes back 1 migration (${last})`);
    expect(stderr).toContain("To do it: authctl migrate down --yes");
    expect((await shell.run("migrate status")).code).toBe(0);
  });

  test("rehearses", async () => {
    using shell = new Shell();
    await shell.run("migrate up");
    const { code, stdout } = await shell.run("migrate down -n --steps 1000");
    expect(code).toBe(0);
    expect(stdout.trim().split("\n")).toHaveLength(ids.length);
    expect((await shell.run("migrate status")).code).toBe(0);
  });

  test("and up again leaves a working database", async () => {
    using shell = new Shell();
    await shell.run("migrate up");
    expect((await shell.run("migrate down --steps 1000 --yes")).code).toBe(0);
    expect((await shell.run("migrate down --yes")).stderr).toBe("Nothing to do.\n");
    expect((await shell.run("migrate up")).code).toBe(0);
    await shell.core((core) => person(core, "ada@example.com"));
    expect((await shell.run("user get ada@example.com")).code).toBe(0);
  });

  test.each(["0", "-1", "x", "1e3"])("refuses %s steps", async (steps) => {
    using shell = new Shell();
    expect((await shell.run(`migrate down --steps=${steps} --yes`)).code).toBe(2);
  });
});

test("migrate history shows what was applied and when", async () => {
  using shell = new Shell();
  await shell.run("migrate up");
  expect(await shell.json<object[]>("migrate history")).toHaveLength(ids.length);
});

test("migrate create refuses a name that could be a path", async () => {
  using shell = new Shell();
  for (const name of ["../x", "Add Devices", "a;b", ""]) {
    expect((await shell.run(["migrate", "create", name])).code).toBe(2);
  }
});
