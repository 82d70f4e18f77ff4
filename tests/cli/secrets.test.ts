import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { person, Shell, sessionsOf } from "../support/cli.ts";
import { createTestClock } from "../support/clock.ts";
import { takeOver } from "../support/secrets.ts";

type Secret = {
  readonly version: string;
  readonly state: string;
  readonly accepted: boolean;
  readonly sessions: number;
};

const first = "Zk3uQ9pL7xW2vN8rT5yB1mC6dF4gH0jS";

/** A shell with a user whose last rotation was long ago. */
async function withAda(env: Record<string, string> = {}): Promise<Shell> {
  const shell = new Shell(env);
  await shell.core(async (core) => void (await person(core, "ada@example.com")), createTestClock());
  return shell;
}

const list = async (shell: Shell) => await shell.json<Secret[]>("secret status");
const states = async (shell: Shell) => (await list(shell)).map(({ state }) => state);
const kept = (shell: Shell) => readFileSync(shell.file("data/secret.key"), "utf8").trim().split("\n");

/** Every text that could be a secret stays out of these. */
function expectNoSecret(shell: Shell, ...texts: string[]): void {
  for (const secret of kept(shell)) for (const text of texts) expect(text).not.toContain(secret);
}

test("what a first start that was killed has left of a secret goes with the next one, and nobody's own copy", async () => {
  using shell = await withAda();
  const names = [".secret.key.4711.partial", "secret.key.4711", "secret.key.old"];
  for (const name of names) writeFileSync(shell.file(`data/${name}`), "x", { mode: 0o600 });
  expect((await shell.run("user list")).code).toBe(0);
  const left = readdirSync(shell.file("data")).filter((name) => names.includes(name));
  expect(left.toSorted()).toEqual(["secret.key.4711", "secret.key.old"]);
});

test("what a rotation that was killed has left of the secrets goes with the next one, and with a retirement", async () => {
  using shell = await withAda();
  const [only] = await list(shell);
  const aside = shell.file("data/secret.key.new");
  for (const [line, code] of [
    ["secret rotate --resume", 0],
    [`secret retire -- ${only!.version}`, 4],
  ] as const) {
    writeFileSync(aside, readFileSync(shell.file("data/secret.key")), { mode: 0o600 });
    expect((await shell.run(line)).code).toBe(code);
    expect(existsSync(aside)).toBeFalse();
  }
});

describe("secret status", () => {
  test("shows versions and what depends on them, and never a secret", async () => {
    using shell = await withAda();
    const { stdout } = await shell.run("secret status --json");
    const [only, ...others] = JSON.parse(stdout);
    expect(others).toEqual([]);
    expect(only).toMatchObject({
      version: expect.stringMatching(/^[\w-]{8}$/),
      state: "active",
      accepted: true,
      sealed: { "users.password_hash": 1, "signing_keys.private_jwk": 2, "tombstones.password_hash": 0 },
      audit_heads: 1,
      servers: { accepting: [], refusing: [] },
    });
    expect((await shell.run("secret status")).stdout).toMatch(/^\S{8}\tactive\taccepted\t3\t0\t0\t0 of 0\t2026-/);
    expectNoSecret(shell, stdout);
  });
});

describe("secret rotate", () => {
  test("has another one take over, says what is next, and tells no secret", async () => {
    using shell = await withAda();
    const before = kept(shell);
    const ran = await shell.run("secret rotate --verbose");
    expect(ran.code).toBe(0);
    expect(ran.stdout).toBe("");
    expect(ran.stderr).toMatch(/the secret of version \S{8} writes now, instead of \S{8}\nsealed \d+ texts anew\n/);
    expect(ran.stderr).toContain("authctl secret verify");
    expect(kept(shell).slice(1)).toEqual(before);
    expect(statSync(shell.file("data/secret.key")).mode & 0o777).toBe(0o600);
    expect(await states(shell)).toEqual(["retiring", "active"]);
    const log = await shell.run("audit list --json");
    expect(log.stdout).toContain("secret.rotated");
    expectNoSecret(shell, ran.stderr, log.stdout);
  });

  test("with --resume begins nothing", async () => {
    using shell = await withAda();
    const ran = await shell.run("secret rotate --resume");
    expect(ran).toMatchObject({ code: 0, stdout: "" });
    expect(ran.stderr).toContain("Nothing to do");
    expect(await states(shell)).toEqual(["active"]);
  });

  test("of a secret in the environment prints what to set it to, only when asked, and goes on when it is set", async () => {
    using shell = await withAda({ SECRET_KEY: first });
    const refused = await shell.run("secret rotate");
    expect(refused).toMatchObject({ code: 78, stdout: "" });
    expect(refused.stderr).toContain("authctl secret rotate --print");
    expect(refused.stderr).not.toContain(first);
    const { stdout } = await shell.run("secret rotate --print");
    const [fresh, old, ...rest] = stdout.trim().split("\n");
    expect([old, rest]).toEqual([first, []]);
    expect(Buffer.from(fresh!, "base64")).toHaveLength(48);
    expect(await states(shell)).toEqual(["active"]);
    const set = { env: { SECRET_KEY: stdout } };
    expect((await shell.run("secret rotate --resume", set)).code).toBe(0);
    expect((await shell.run("user list", set)).code).toBe(0);
    // Whoever has the old one alone is refused before anything is touched.
    const late = await shell.run("user list");
    expect(late.code).toBe(78);
    expect(late.stderr).toContain("server secret of version");
    const done = await shell.run(
      `secret retire -- ${(await shell.json<Secret[]>("secret status", set))[0]!.version}`,
      set,
    );
    expect(done.code).toBe(4);
  });

  test("takes the file that SECRET_KEY_FILE names, and leaves it as private as it was", async () => {
    using shell = new Shell({ SECRET_KEY_FILE: "server.key" });
    writeFileSync(shell.file("server.key"), first, { mode: 0o400 });
    await shell.core(async () => {});
    expect((await shell.run("secret rotate")).code).toBe(0);
    expect(readFileSync(shell.file("server.key"), "utf8").trim().split("\n")[1]).toBe(first);
    expect(statSync(shell.file("server.key")).mode & 0o777).toBe(0o400);
  });

  test("refuses a file that others can read, or that holds another server's secret, before anything is touched", async () => {
    using shell = await withAda();
    const file = shell.file("data/secret.key");
    const text = readFileSync(file, "utf8");
    chmodSync(file, 0o644);
    expect((await shell.run("secret rotate")).code).toBe(78);
    chmodSync(file, 0o600);
    writeFileSync(file, `${first}\n`);
    const foreign = await shell.run("secret rotate --json");
    expect(foreign.code).toBe(78);
    expect(JSON.parse(foreign.stderr)).toMatchObject({ code: "secret_mismatch" });
    expect(readFileSync(file, "utf8")).toBe(`${first}\n`);
    writeFileSync(file, text);
    expect(await states(shell)).toEqual(["active"]);
  });

  test("refuses what it does not know", async () => {
    using shell = await withAda();
    const words = ["--print --resume", "now", "--wait soon", "--batch-size 0", "--secret x", "--dry-run"];
    const codes = await Promise.all(words.map(async (flags) => (await shell.run(`secret rotate ${flags}`)).code));
    expect(codes).toEqual(words.map(() => 2));
    expect(await states(shell)).toEqual(["active"]);
  });
});

describe("secret verify and retire", () => {
  test("keep the old one while a session needs it, and drop it with the session by force", async () => {
    using shell = await withAda();
    await shell.core(async (core) => void (await sessionsOf(core, "ada@example.com", 3)));
    await shell.run("secret rotate");
    const [old] = await list(shell);
    expect(old).toMatchObject({ state: "retiring", sessions: 3 });
    const found = await shell.run("secret verify");
    expect(found.code).toBe(5);
    expect(found.stdout).toMatch(/^\S{8}\tsessions\t3\t20/);
    expect(found.stderr).toContain("is still needed, until 20");
    const refused = await shell.run(`secret retire -- ${old!.version}`);
    expect(refused.code).toBe(4);
    expect(refused.stderr).toContain("sessions 3 need it");
    const asked = await shell.run(`secret retire --force -- ${old!.version}`);
    expect(asked.code).toBe(2);
    expect(asked.stderr).toContain("ends 3 sessions for good");
    const rehearsed = await shell.run(`secret retire --dry-run -- ${old!.version}`);
    expect(rehearsed.code).toBe(4);
    expect(await states(shell)).toEqual(["retiring", "active"]);
  });

  test("drop it when nothing needs it, and the audit trail stays proven", async () => {
    using shell = await withAda();
    // Long ago, by the clock of the machine.
    await shell.core(async (core) => void (await takeOver(core)), createTestClock());
    const proven = await shell.run("secret verify");
    expect(proven.code).toBe(0);
    const [old] = await list(shell);
    expect(proven.stderr).toContain(`Nothing needs the secret of version ${old!.version} any more`);
    const rehearsed = await shell.run(`secret retire --dry-run -- ${old!.version}`);
    expect(rehearsed).toMatchObject({ code: 0, stderr: `would drop the secret of version ${old!.version}\n` });
    const retired = await shell.run(`secret retire -- ${old!.version}`);
    expect(retired.code).toBe(0);
    expect(retired.stderr).toContain("is accepted no more");
    expect(kept(shell)).toHaveLength(1);
    expect(await states(shell)).toEqual(["retired", "active"]);
    expect(await shell.json("audit verify")).toMatchObject({ unproven: 0, found: 0 });
    expect((await shell.run("secret verify")).code).toBe(0);
  });

  test("find what opens with no secret", async () => {
    using shell = await withAda();
    await shell.core(async (core) => {
      const [mine] = await core.store.sealedTexts.page("users.password_hash", 1, {});
      const { text } = mine!;
      const altered = `${text.slice(0, 40)}${text[40] === "A" ? "B" : "A"}${text.slice(41)}`;
      await core.store.write((tx) => tx.sealedTexts.replace("users.password_hash", mine!, altered));
    });
    const found = await shell.run("secret verify");
    expect(found.code).toBe(5);
    expect(found.stdout).toMatch(/users\.password_hash\t1\t0\t1/);
    expect(found.stderr).toContain("opens with no secret");
  });

  test("know no other version, and never drop the one that writes", async () => {
    using shell = await withAda();
    const [only] = await list(shell);
    expect((await shell.run("secret retire nonsense")).code).toBe(3);
    expect((await shell.run(`secret retire -- ${only!.version}`)).code).toBe(4);
    expect((await shell.run("secret retire")).code).toBe(2);
  });
});

describe("secret generate", () => {
  test("prints a fresh secret that the settings take, and needs no database", async () => {
    using shell = new Shell();
    const made = await Promise.all([shell.run("secret generate"), shell.run("secret generate --json")]);
    const [plain, json] = [made[0].stdout.trim(), JSON.parse(made[1].stdout).secret];
    for (const one of [plain, json]) expect(Buffer.from(one, "base64")).toHaveLength(48);
    expect(plain).not.toBe(json);
    expect(await shell.json("config show", { env: { SECRET_KEY: plain } })).toBeArray();
  });
});
