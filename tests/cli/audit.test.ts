import { describe, expect, test } from "bun:test";
import { eraseAuditOf, record } from "../../src/core/audit.ts";
import { login } from "../../src/core/login.ts";
import { signOutEverywhere } from "../../src/core/sessions.ts";
import { findUser } from "../../src/core/users.ts";
import { failToSignIn } from "../support/audit-trail.ts";
import { person, Shell } from "../support/cli.ts";
import { createTestClock } from "../support/clock.ts";
import { goodPassword, root, visitor } from "../support/core.ts";
import { rawSql } from "../support/database.ts";

type Line = { readonly action: string; readonly seq: number | null; readonly reason: string | null };

/** A shell whose trail holds two keys, a person, a failure and a sign-in. */
async function withTrail(): Promise<Shell> {
  const shell = new Shell();
  await shell.core(async (core) => {
    await person(core, "ada@example.com");
    await failToSignIn(core);
    await login(core, visitor, { identifier: "ada@example.com", password: goodPassword, credential: "session" });
  });
  return shell;
}

const note = (shell: Shell, ...reasons: string[]) =>
  shell.core((core) =>
    core.store.write(async (tx) => {
      for (const reason of reasons) await record(core, tx, root, { action: "purge.done", reason });
    }),
  );
const sql = (shell: Shell, statement: string) => rawSql({ env: { DATA_DIR: shell.file("data") } }, statement);
const actionsOf = (lines: readonly Line[]) => lines.map(({ action }) => action);

describe.concurrent("audit list", () => {
  test("goes from the oldest to the newest, like a log", async () => {
    using shell = await withTrail();
    const all = await shell.json<Line[]>("audit list");
    expect(actionsOf(all)).toEqual(["key.created", "key.created", "user.created", "login.failed", "login.succeeded"]);
    expect(all.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
    expect(await shell.json<Line[]>("audit list --limit 2")).toEqual(all.slice(-2));
    const { stdout } = await shell.run("audit list --limit 1");
    expect(stdout).toMatch(/^\S+Z\tlogin\.succeeded\tanonymous\t[0-9a-f-]{36}\t192\.0\.2\.7\t\n$/);
  });

  test("is filtered by person, actor, action, address and time", async () => {
    using shell = await withTrail();
    await shell.run("user disable ada@example.com --reason leave");
    const list = async (flags: string) => actionsOf(await shell.json<Line[]>(`audit list ${flags}`));
    expect(await list("--user ada@example.com --action login.failed")).toEqual(["login.failed"]);
    expect(await list("--subject ada@example.com --limit 1")).toEqual(["session.all_revoked"]);
    expect(await list("--actor server")).toEqual(["key.created", "key.created"]);
    expect(await list("--ip 192.0.2.7")).toEqual(["login.failed", "login.succeeded"]);
    expect(await list("--since -1h --ip 192.0.2.7 --until +1h")).toHaveLength(2);
    expect(await list("--until -1h")).toEqual([]);
    expect(await list("--since 2026-01-01T00:00:00Z")).toHaveLength(7);
  });

  test("knows a person who is gone by id, and nobody else", async () => {
    using shell = await withTrail();
    const { id } = await shell.json<{ id: string }>("user get ada@example.com");
    await shell.run("user delete ada@example.com --yes");
    expect(actionsOf(await shell.json<Line[]>(`audit list --user ${id}`))).toContain("user.deleted");
    expect((await shell.run("audit list --user ada@example.com")).code).toBe(3);
    expect((await shell.run("audit list --subject nobody")).code).toBe(3);
  });

  test.each(["--action login", "--since yesterday", "--limit 0", "now"])("refuses %s", async (flags) => {
    using shell = new Shell();
    expect((await shell.run(`audit list ${flags}`)).code).toBe(2);
  });
});

describe.concurrent("audit tail", () => {
  test("shows the newest", async () => {
    using shell = await withTrail();
    await note(shell, ...Array.from({ length: 12 }, (_, at) => `n${at}`));
    expect((await shell.json<Line[]>("audit tail")).map(({ reason }) => reason)).toEqual(
      Array.from({ length: 10 }, (_, at) => `n${at + 2}`),
    );
    expect(actionsOf(await shell.json<Line[]>("audit tail --limit 1 --action login.failed"))).toEqual(["login.failed"]);
  });

  test("goes on with what is new, each entry once, until it is interrupted", async () => {
    using shell = await withTrail();
    await note(shell, "before");
    const child = shell.start(["audit", "tail", "--follow", "--output", "ndjson", "--action", "purge.done"]);
    const seen: string[] = [];
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      seen.push(...lines.map((line) => String((JSON.parse(line) as Line).reason)));
      if (seen.length === 1) await note(shell, "one", "two");
      if (seen.length === 3) await note(shell, "three");
      if (seen.length === 4) child.kill("SIGINT");
    }
    expect(await child.exited).toBe(130);
    expect(seen).toEqual(["before", "one", "two", "three"]);
  });
});

describe.concurrent("audit export", () => {
  test("writes the chain, an object a line, and goes on where it ended", async () => {
    using shell = await withTrail();
    const { stdout, stderr } = await shell.run("audit export");
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map((line) => line["seq"])).toEqual([1, 2, 3, 4, 5]);
    expect(lines[3]).toMatchObject({
      action: "login.failed",
      personal_digest: expect.stringMatching(/^[\w-]{43}$/),
      personal_salt: expect.stringMatching(/^[\w-]{43}$/),
      hash: expect.stringMatching(/^[\w-]{43}$/),
      mac: expect.stringMatching(/^[\w-]{8}\.[\w-]{43}$/),
    });
    expect(stderr).toBe("exported 5 entries, up to place 5\n");
    expect((await shell.run("audit export --after 4")).stdout).toBe(`${stdout.trimEnd().split("\n")[4]}\n`);
    expect(await shell.json("audit export --after 5")).toEqual([] as never);
  });
});

describe.concurrent("audit verify", () => {
  test("counts what it has proven, and shows the head to be kept elsewhere", async () => {
    using shell = await withTrail();
    const verified = await shell.json("audit verify");
    expect(verified).toEqual({
      sealed: 5,
      unsealed: 0,
      adopted: 0,
      erased: 0,
      unproven: 0,
      begins_after: null,
      head: expect.stringMatching(/^5:[\w-]{43}$/),
      found: 0,
      findings: [],
    });
    await note(shell, "later");
    expect((await shell.run(`audit verify --mark ${String(verified["head"])}`)).code).toBe(0);
    expect((await shell.run(`audit verify --mark 5:${"x".repeat(43)}`)).code).toBe(5);
    expect((await shell.run("audit verify --mark 5")).code).toBe(2);
  });

  test("tells what is wrong and where, with exit code 5", async () => {
    using shell = await withTrail();
    const [row] = await sql(shell, "UPDATE audit_events SET ip = '203.0.113.9' WHERE seq = 4 RETURNING id");
    await sql(shell, "DELETE FROM audit_events WHERE seq = 2");
    const ran = await shell.run("audit verify");
    expect(ran.code).toBe(5);
    expect(ran.stdout).toBe(`\t2\tentry 2 is missing\n${String(row?.["id"])}\t4\tits address or browser was changed\n`);
    expect(ran.stderr).toContain("2 findings in 4 entries");
    const json = await shell.json("audit verify", undefined, 5);
    expect(json).toMatchObject({
      sealed: 4,
      found: 2,
      findings: [
        { id: null, seq: 2 },
        { id: row?.["id"], seq: 4 },
      ],
    });
  });

  test("is content with what was erased with a person", async () => {
    using shell = await withTrail();
    await shell.core(async (core) => {
      const { user } = await findUser(core, "ada@example.com");
      await core.store.write((tx) => eraseAuditOf(core, tx, user.id, 100));
    });
    expect(await shell.json("audit verify")).toMatchObject({ erased: 2, found: 0 });
    expect((await shell.run("audit list --ip 192.0.2.7")).stdout).toBe("");
  });

  test("covers the command just before it", async () => {
    using shell = await withTrail();
    for (const [at, verb] of ["disable", "enable", "disable"].entries()) {
      await shell.run(`user ${verb} ada@example.com`);
      expect(await shell.json("audit verify")).toMatchObject({ unsealed: 0, found: 0 });
      expect(at).toBeLessThan(3);
    }
  });
});

describe.concurrent("audit purge", () => {
  /** A shell with four old entries, and whatever opening it made. */
  async function withOld(): Promise<Shell> {
    const shell = new Shell();
    const old = createTestClock(new Date("2026-01-01T00:00:00Z"));
    await shell.core((core) => person(core, "ada@example.com"), old);
    await shell.core(async (core) => void (await failToSignIn(core)), old);
    await note(shell, "young");
    return shell;
  }

  test("removes what is old, without a word, and what is left is verified", async () => {
    using shell = await withOld();
    expect(await shell.json("audit purge --keep 1d --dry-run")).toEqual({
      rows: 4,
      oldest: "2026-01-01T00:00:00.000Z",
    });
    expect(await shell.run("audit purge --keep 1d")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await shell.json("audit verify")).toMatchObject({
      sealed: 2,
      begins_after: expect.stringMatching(/^4:/),
      found: 0,
    });
    expect(await shell.json("audit purge --keep 1d")).toEqual({ removed: 0 });
  });

  test("ends with its budget, and says that there is more with exit code 6", async () => {
    using shell = await withOld();
    expect(await shell.json("audit purge --keep 1d --max-rows 3", undefined, 6)).toEqual({ removed: 3 });
    expect((await shell.run("audit purge --keep 1d --max-time 0s")).code).toBe(6);
    expect(await shell.json("audit purge --keep 1d")).toEqual({ removed: 1 });
    expect(await shell.json("audit verify")).toMatchObject({ found: 0 });
  });

  test("runs once at a time", async () => {
    using shell = await withOld();
    await shell.core(async (core) => {
      const release = await core.store.lock("audit-purge");
      expect((await shell.run("audit purge --keep 1d")).code).toBe(75);
      expect(await shell.run("audit purge --keep 1d --lock skip")).toEqual({ code: 0, stdout: "", stderr: "" });
      await release?.();
    });
    expect((await shell.run("audit purge --keep 1d")).code).toBe(0);
  });

  test("goes over no anchor that somebody has moved", async () => {
    using shell = await withOld();
    await shell.run("audit purge --keep 1d --max-rows 1");
    await sql(shell, "UPDATE audit_heads SET seq = 3 WHERE name = 'anchor'");
    expect((await shell.run("audit purge --keep 1d")).code).toBe(5);
  });

  test.each(["--keep 4", "--keep", "--keep 1d --dryrun", "--keep 1d now"])("refuses %p", async (flags) => {
    using shell = new Shell();
    expect((await shell.run(`audit purge ${flags}`.trim())).code).toBe(2);
  });
});

test("user timeline tells what was done, who did it and from where", async () => {
  using shell = await withTrail();
  await shell.run(["user", "disable", "ada@example.com", "--reason", "on leave"]);
  const { stdout } = await shell.run("user timeline ada@example.com");
  const told = stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => line.split("\t").slice(1));
  const by = expect.stringMatching(/^operator \S+@\S+ \(on leave\)$/);
  const where = "Firefox on Linux from 192.0.2.7";
  expect(told).toEqual([
    ["was made", "operator root@test", ""],
    ["failed to sign in: wrong-password", "somebody not signed in", where],
    ["signed in", "its user", where],
    ["was disabled", by, ""],
    ["was signed out everywhere", by, ""],
  ]);
  const [line] = await shell.json<Record<string, unknown>[]>("user timeline ada@example.com --limit 1");
  expect(line).toMatchObject({ action: "session.all_revoked", reason: "on leave", what: told[4]![0] });
  expect((await shell.run("user timeline nobody@example.com")).code).toBe(3);
});

test("session explain says in one sentence why a session is alive or dead", async () => {
  using shell = await withTrail();
  const [session] = await shell.json<{ id: string }[]>("session list");
  const explain = `session explain ${session?.id}`;
  expect((await shell.run(explain)).stdout).toMatch(/^The session is alive until \S+ if it is not used again, .*\.\n$/);
  await shell.core(async (core) => {
    const { user } = await findUser(core, "ada@example.com");
    await signOutEverywhere(core, root, user.id);
  });
  expect(await shell.json(explain)).toMatchObject({
    session_id: session?.id,
    alive: false,
    by: "operator root@test",
    why: expect.stringMatching(/^signed out with every session of its user \S+Z: by operator root@test$/),
  });
  expect((await shell.run("session explain 01900000-0000-7000-8000-000000000000")).code).toBe(3);
});
