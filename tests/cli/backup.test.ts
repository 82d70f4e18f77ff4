import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { anonymous } from "../../src/core/actors.ts";
import { issueChallenge } from "../../src/core/challenges.ts";
import type { Core } from "../../src/core/core.ts";
import { login } from "../../src/core/login.ts";
import { orderReset } from "../../src/core/users/new-passwords.ts";
import { findUser } from "../../src/core/users.ts";
import { makeScratch } from "../../src/open/scratch.ts";
import { person, Shell, sessionsOf } from "../support/cli.ts";
import { codeOf, firefox, goodPassword, root } from "../support/core.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";
import { until } from "../support/until.ts";

const identity = await generateX25519Identity();
const recipient = await identityToRecipient(identity);
const email = "ada@example.com";

type Created = { readonly file: string; readonly rows: number; readonly removed: readonly string[] };

/** A shell with a user who has signed in so many times, and the key that opens the backups. */
async function withData(sessions = 3, env: Readonly<Record<string, string>> = {}): Promise<Shell> {
  const shell = new Shell({ BACKUP_RECIPIENTS: recipient, SMTP_URL: "smtp://127.0.0.1:1", ...env });
  writeFileSync(shell.file("key.txt"), `# made by a test\n${identity}\n`, { mode: 0o600 });
  await shell.core(async (core) => {
    await person(core, email, ["user", "admin"]);
    await sessionsOf(core, email, sessions, { credential: "tokens" });
  });
  return shell;
}

/** What the name of a backup says of the database that it is of. */
const placeOf = ({ file }: Created) => basename(file).split("-")[1];

const create = (shell: Shell, flags = "") => shell.json<Created>(`backup create ${flags}`.trim());
const open = "--identity-file key.txt";
const there = { DATABASE_URL: "sqlite:there.db" };
const aliveIn = async (shell: Shell, env: Readonly<Record<string, string>>) =>
  (await shell.json<object[]>("session list --active", { env })).length;

/** What it said went wrong. */
async function failure(shell: Shell, line: string, env: Readonly<Record<string, string>> = {}) {
  const { code, stdout, stderr } = await shell.run(`${line} --json`, { env });
  expect(stdout).toBe("");
  return { exit: code, ...(JSON.parse(stderr.trim().split("\n").at(-1)!) as { code: string; detail: string }) };
}

describe("backup create", () => {
  test("is silent, and leaves one file that nobody else can read", async () => {
    using shell = await withData();
    expect(await shell.run("backup create")).toEqual({ code: 0, stdout: "", stderr: "" });
    const directory = shell.file("data/backups");
    const files = readdirSync(directory);
    expect(files).toEqual([expect.stringMatching(/^authctl-[0-9a-f]{8}-\d{8}T\d{9}Z\.ndjson\.gz\.age$/)]);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, files[0]!)).mode & 0o777).toBe(0o600);
    const text = readFileSync(join(directory, files[0]!), "latin1");
    expect(text).toStartWith("age-encryption.org/v1\n");
    expect(text).not.toContain(email);
    const [job, events] = await shell.core(async (core) => [
      (await core.store.jobs.all()).find(({ name }) => name === "backup"),
      await core.store.auditEvents.page({ action: "backup.created" }, 9),
    ]);
    expect(job?.summary).toMatchObject({ rows: expect.any(Number) });
    expect(events).toHaveLength(1);
  });

  test("is refused in the clear, unless that is asked for", async () => {
    using shell = await withData(1, { BACKUP_RECIPIENTS: "" });
    expect(await failure(shell, "backup create")).toMatchObject({ exit: 2, code: "backup_not_encrypted" });
    expect(existsSync(shell.file("data/backups"))).toBeFalse();
    const { file } = await create(shell, "--plain");
    expect(gunzipSync(readFileSync(file)).toString()).toContain(email);
    expect((await shell.run(["backup", "verify", file])).code).toBe(0);
  });

  test.each([
    ["--recipient nobody", "recipient"],
    [`--recipient ${recipient} --plain`, "only one"],
    ["--passphrase-file short", "too short"],
    ["--passphrase-file empty", "empty"],
    ["--passphrase-file nowhere", "cannot be read"],
    ["--keep 0", "--keep"],
  ])("is a usage error, and leaves nothing: %s", async (flags, words) => {
    using shell = await withData(1);
    writeFileSync(shell.file("short"), "hunter2", { mode: 0o600 });
    writeFileSync(shell.file("empty"), "\n", { mode: 0o600 });
    const ran = await shell.run(`backup create ${flags}`);
    expect(ran).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining(words) });
    expect(existsSync(shell.file("data/backups")) ? readdirSync(shell.file("data/backups")) : []).toEqual([]);
  });

  test("with --keep removes older ones of this database, and nothing else", async () => {
    using shell = await withData(1);
    const first = await create(shell);
    const directory = dirname(first.file);
    const own = placeOf(first);
    const others = ["authctl-00000000-20200101T000000000Z.ndjson.gz.age", "notes.txt", `authctl-${own}-mine.age`];
    for (const name of others) writeFileSync(join(directory, name), "x");
    const second = await create(shell);
    const third = await create(shell, "--keep 2");
    expect(third.removed).toEqual([first.file]);
    const left = readdirSync(directory).map((name) => join(directory, name));
    expect(left.toSorted()).toEqual(
      [second.file, third.file, ...others.map((name) => join(directory, name))].toSorted(),
    );
  });

  test("is one at a time: another is told so, or skipped", async () => {
    using shell = await withData(1);
    await shell.core(async (core) => {
      const release = await core.store.lock("backup");
      expect(await failure(shell, "backup create")).toMatchObject({ exit: 75, code: "lock_held" });
      expect(await shell.run("backup create --lock skip")).toEqual({ code: 0, stdout: "", stderr: "" });
      await release?.();
    });
    expect((await shell.run("backup create")).code).toBe(0);
  });

  test("that finds the disk full says so, and leaves nothing", async () => {
    using shell = await withData(3000);
    const program = join(import.meta.dir, "../../cli/authctl.ts");
    // Files of this process end at 48 KiB, as those on a full disk would.
    const limited = `trap '' XFSZ; ulimit -f 48; exec ${process.execPath} --no-env-file ${program} backup create --out there --json`;
    const child = Bun.spawn(["bash", "-c", limited], {
      cwd: shell.directory,
      env: shell.env,
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stderr, code] = await Promise.all([child.stderr.text(), child.exited]);
    expect(JSON.parse(stderr)).toMatchObject({ code: "backup_not_written", detail: expect.stringContaining("EFBIG") });
    expect(code).toBe(69);
    expect(readdirSync(shell.file("there"))).toEqual([]);
  });

  test("that cannot make its directory says so", async () => {
    using shell = await withData(1);
    writeFileSync(shell.file("a-file"), "");
    expect(await failure(shell, "backup create --out a-file")).toMatchObject({ exit: 69, code: "backup_not_written" });
    // So that a monitor hears of it, too.
    const failures = await shell.core((core) => core.store.jobs.failures());
    expect(failures).toMatchObject([{ name: "backup", problem: "backup_not_written" }]);
  });

  test("is of one moment, whatever is written meanwhile", async () => {
    using shell = await withData(2000);
    const writing = shell.core(async (core) => {
      const { user } = await findUser(core, email);
      const backing = shell.start(["backup", "create"]);
      // Each transaction makes a role and gives it to the user: in any moment there are as many of both.
      for (let at = 0; backing.exitCode === null; at++) {
        await core.store.write(async (tx) => {
          const now = core.clock.now();
          const role = { name: `r${at}`, description: "", permissions: [], createdAt: now, updatedAt: now };
          await tx.roles.insert(role);
          await tx.users.grantRole(user.id, role.name, now);
        });
      }
      return backing.exited;
    });
    expect(await writing).toBe(0);
    const [name] = readdirSync(shell.file("data/backups"));
    const verified = await shell.json<{ tables: Record<string, number> }>(`backup verify data/backups/${name} ${open}`);
    expect(verified.tables["roles"]! - 3).toBe(verified.tables["user_roles"]! - 2);
    expect(verified.tables["roles"]).toBeGreaterThan(3);
  });
});

describe("backup restore", () => {
  test("brings back every row, and nobody's session, link or waiting mail", async () => {
    using shell = await withData();
    await shell.core(async (core) => {
      const { user } = await findUser(core, email);
      await orderReset(core, root, user.id);
    });
    const { file, rows } = await create(shell);
    const restored = await shell.json<{ rows: number }>(`backup restore ${file} ${open} --yes`, { env: there });
    expect(restored.rows).toBe(rows);
    expect(await aliveIn(shell, {})).toBe(3);
    expect(await aliveIn(shell, there)).toBe(0);
    const look = (core: Core) => core.store.contents.counts().then((all) => all.map((one) => [one.table, one.rows]));
    using other = new Shell({
      ...shell.env,
      DATABASE_URL: `sqlite:${shell.file("there.db")}`,
      DATA_DIR: shell.file("data"),
    });
    const counts = Object.fromEntries(await other.core(look));
    expect(counts).toMatchObject({ users: 1, sessions: 3, challenges: 0, mails: 0 });
    const signingIn = { identifier: email, password: goodPassword, credential: "session" } as const;
    expect(await other.core((core) => codeOf(login(core, anonymous(firefox), signingIn)))).toBeUndefined();
    expect((await shell.run("audit verify", { env: there })).code).toBe(0);
    const [event] = await other.core((core) => core.store.auditEvents.page({ action: "backup.restored" }, 9));
    expect(event?.particulars).toMatchObject({ sessions_kept: false });
  });

  test("with --keep-sessions leaves everything as it was", async () => {
    using shell = await withData();
    await shell.core(async (core) => {
      const { user } = await findUser(core, email);
      await core.store.write((tx) => issueChallenge(core, tx, user.id, "reset-password", user));
    });
    const { file } = await create(shell);
    const line = `backup restore ${file} ${open} --keep-sessions --yes`;
    expect((await shell.run(line, { env: there })).code).toBe(0);
    expect(await aliveIn(shell, there)).toBe(3);
  });

  test("says what it would do, and does nothing unasked", async () => {
    using shell = await withData();
    const { file } = await create(shell);
    const unasked = await shell.run(`backup restore ${file} ${open}`, { env: there });
    expect(unasked).toMatchObject({ code: 2, stderr: expect.stringContaining("ends every session") });
    const rehearsed = await shell.run(`backup restore ${file} ${open} --dry-run`, { env: there });
    expect(rehearsed).toMatchObject({ code: 0, stderr: expect.stringContaining("would restore") });
    expect(existsSync(shell.file("there.db"))).toBeFalse();
  });

  test("refuses a database that holds anything, and leaves it as it is", async () => {
    using shell = await withData();
    const { file } = await create(shell);
    for (const flags of ["--yes", "--dry-run"]) {
      const refused = await failure(shell, `backup restore ${file} ${open} ${flags}`);
      expect(refused).toMatchObject({ exit: 4, code: "target_not_empty" });
    }
    expect(await aliveIn(shell, {})).toBe(3);
  });

  test("refuses another server's secret, or none, before it makes anything", async () => {
    using shell = await withData();
    const { file } = await create(shell);
    const line = `backup restore ${file} ${open} --yes`;
    const other = { ...there, SECRET_KEY: Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString("base64") };
    expect(await failure(shell, line, other)).toMatchObject({ exit: 78, code: "secret_mismatch" });
    const none = { DATABASE_URL: "sqlite:there.db", DATA_DIR: "elsewhere" };
    expect(await failure(shell, line, none)).toMatchObject({ exit: 78, code: "secret_mismatch" });
    expect(existsSync(shell.file("there.db"))).toBeFalse();
    expect(existsSync(shell.file("elsewhere"))).toBeFalse();
  });

  test("takes the old secret beside a new one", async () => {
    using shell = await withData();
    const { file } = await create(shell);
    const old = readFileSync(shell.file("data/secret.key"), "utf8").trim();
    const fresh = Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString("base64");
    const env = { ...there, SECRET_KEY: `${fresh} ${old}` };
    expect((await shell.run(`backup restore ${file} ${open} --yes`, { env })).code).toBe(0);
  });

  test("refuses tables of another version, newer and older", async () => {
    using shell = await withData(1);
    const { file } = await create(shell, "--plain");
    const lines = gunzipSync(readFileSync(file)).toString().split("\n");
    const manifest = JSON.parse(lines[0]!);
    const changed: Array<[string, object]> = [
      ["schema_newer", { authctl_backup: 2 }],
      ["schema_newer", { migrations: [...manifest.migrations, "9999_later"] }],
      ["schema_outdated", { migrations: manifest.migrations.slice(0, -1) }],
    ];
    for (const [code, change] of changed) {
      const text = [JSON.stringify({ ...manifest, ...change }), ...lines.slice(1)].join("\n");
      writeFileSync(shell.file("changed.gz"), gzipSync(text));
      expect(await failure(shell, "backup restore changed.gz --yes", there)).toMatchObject({ exit: 78, code });
    }
    expect(existsSync(shell.file("there.db"))).toBeFalse();
  });
});

describe("a file that is no whole backup", () => {
  test("is told as what it is, by verify and by restore", async () => {
    using shell = await withData();
    const { file } = await create(shell);
    const bytes = readFileSync(file);
    const flipped = (at: number) => Buffer.from(bytes.map((byte, index) => (index === at ? byte ^ 1 : byte)));
    const cases: Array<[string, Buffer, number, string]> = [
      ["empty", Buffer.alloc(0), 5, "backup_damaged"],
      ["text", Buffer.from("hello\n"), 5, "backup_damaged"],
      ["sqlite", Buffer.from("SQLite format 3\0"), 5, "backup_damaged"],
      ["half", bytes.subarray(0, bytes.length / 2), 5, "backup_damaged"],
      ["one byte less", bytes.subarray(0, -1), 5, "backup_damaged"],
      ["one byte more", Buffer.concat([bytes, Buffer.from("x")]), 5, "backup_damaged"],
      ["header cut", bytes.subarray(0, 60), 5, "backup_damaged"],
      ["a bit of the body", flipped(bytes.length - 200), 5, "backup_damaged"],
      ["the last bit", flipped(bytes.length - 1), 5, "backup_damaged"],
    ];
    for (const [name, content, exit, code] of cases) {
      writeFileSync(shell.file("bad"), content);
      for (const line of [`backup verify bad ${open}`, `backup restore bad ${open} --yes`]) {
        expect({ name, ...(await failure(shell, line, there)) }).toMatchObject({ name, exit, code });
      }
    }
    expect(existsSync(shell.file("there.db"))).toBeFalse();
    expect(await failure(shell, "backup verify nowhere")).toMatchObject({ exit: 3, code: "not_found" });
    expect(await failure(shell, "backup verify data")).toMatchObject({ exit: 5, code: "backup_damaged" });
  }, 60_000);

  test("is noticed where somebody has unpacked it, changed a row, and packed it again", async () => {
    using shell = await withData();
    const { file } = await create(shell, "--plain");
    const text = gunzipSync(readFileSync(file)).toString();
    const lines = text.split("\n");
    const aSession = lines.find((line) => line.includes('"credential":"tokens"'));
    const changes: Record<string, string> = {
      "a row": text.replaceAll(email, "eve@example.com"),
      "a row less": lines.filter((line) => line !== aSession).join("\n"),
      "a table less": lines.filter((line) => line !== '{"table":"bans"}').join("\n"),
      "no end": `${lines.slice(0, -2).join("\n")}\n`,
      "two ends": text + lines.at(-2) + "\n",
      "no line": `${lines.slice(0, 5).join("\n")}\nnot json\n${lines.slice(5).join("\n")}`,
      "another canary": text.replace(/"canary":"v1\.([^.]+)\.../, '"canary":"v1.$1.AA'),
    };
    for (const [name, changed] of Object.entries(changes)) {
      writeFileSync(shell.file("changed.gz"), gzipSync(changed));
      expect({ name, ...(await failure(shell, "backup verify changed.gz")) }).toMatchObject({
        name,
        exit: 5,
        code: "backup_damaged",
      });
    }
  });
});

describe("backup verify", () => {
  test("tells of a seal that does not open and of a broken audit trail, and leaves nothing behind", async () => {
    using shell = await withData();
    await shell.core(async (core) => {
      const { user } = await findUser(core, email);
      const other = await person(core, "bob@example.com");
      // Bob's sealed hash in Ada's row: a row that was changed behind the server's back.
      const bob = await core.store.users.byId(other.user.id);
      await core.store.write(async (tx) => {
        await tx.users.update(user.id, { passwordHash: bob!.passwordHash, updatedAt: core.clock.now() });
      });
    });
    using database = new Database(shell.file("data/auth.db"));
    database.run("DELETE FROM audit_events WHERE seq = 2");
    // Sealed for something else.
    database.run(
      "INSERT INTO server_secrets (version, state, added_at, audit_key) SELECT 'gonegone', 'retired', 0, private_jwk FROM signing_keys LIMIT 1",
    );
    const created = await shell.run("backup create");
    expect(created).toMatchObject({ code: 0, stderr: expect.stringContaining("do not open") });
    const [name] = readdirSync(shell.file("data/backups"));
    const ran = await shell.run(`backup verify data/backups/${name} ${open} --json`);
    expect(ran.code).toBe(5);
    expect(JSON.parse(ran.stderr.trim().split("\n").at(-1)!)).toMatchObject({
      code: "backup_findings",
      errors: [
        { message: expect.stringContaining("1 of the rows of server_secrets do not open") },
        { message: expect.stringContaining("1 of the rows of users do not open") },
        { message: "The audit trail is broken at place 2: entry 2 is missing." },
      ],
    });
    expect(readdirSync(shell.file("data")).filter((one) => one.startsWith("scratch"))).toEqual([]);
  });
});

test("backup create takes a passphrase from a file, from standard input, or from the settings", async () => {
  using shell = await withData(1, { BACKUP_RECIPIENTS: "" });
  const passphrase = "several unrelated words do well";
  writeFileSync(shell.file("passphrase"), `${passphrase}\n`, { mode: 0o600 });
  const env = { BACKUP_PASSPHRASE_FILE: shell.file("passphrase") };
  const { file } = await create(shell, "--passphrase-file passphrase");
  expect((await shell.run(["backup", "verify", file, "--passphrase-stdin"], { input: passphrase })).code).toBe(0);
  expect((await shell.run(["backup", "verify", file], { env })).code).toBe(0);
  const wrong = await shell.run(["backup", "verify", file, "--passphrase-stdin"], {
    input: "something else altogether",
  });
  expect(wrong.code).toBe(77);
  expect(wrong.stderr).not.toContain("altogether");
  expect((await shell.run(["backup", "verify", file])).code).toBe(77);
});

test("what a killed verification has left is removed by the next run, but nothing of one that lives", async () => {
  using shell = await withData(4000);
  const { file } = await create(shell);
  const scratches = () => readdirSync(shell.file("data")).filter((name) => /^(scratch|making)-/.test(name));
  const child = shell.start(["backup", "verify", file, ...open.split(" ")]);
  await until("there is a scratch", () => scratches().some((name) => name.startsWith("scratch-")));
  child.kill("SIGKILL");
  await child.exited;
  expect(scratches()).toHaveLength(1);
  const own = makeScratch(shell.file("data"));
  expect(scratches()).toEqual([basename(own.directory)]);
  mkdirSync(shell.file("data/scratch-dead"));
  for (const line of ["backup create", `backup verify ${file} ${open}`]) {
    expect((await shell.run(line)).code).toBe(0);
    expect(scratches()).toEqual([basename(own.directory)]);
  }
  own.remove();
  expect(scratches()).toEqual([]);
});

test("what a killed run has left is removed by the next one, and never bears the name of a backup", async () => {
  using shell = await withData(4000);
  for (let round = 0; round < 6; round++) {
    const child = shell.start(["backup", "create"]);
    await Promise.race([Bun.sleep(120 + round * 60), child.exited]);
    child.kill("SIGKILL");
    await child.exited;
  }
  await create(shell);
  const names = readdirSync(shell.file("data/backups"));
  expect(names.filter((name) => name.startsWith("."))).toEqual([]);
  for (const name of names) expect((await shell.run(`backup verify data/backups/${name} ${open}`)).code).toBe(0);
});

describe("on Postgres", () => {
  let postgres: PostgresServer;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(() => postgres?.end());

  test("a backup goes from SQLite into Postgres and back, and every row is the same", async () => {
    using shell = await withData();
    const url = postgres.urlOf(await postgres.createDatabase());
    const env = { DATABASE_URL: url };
    const first = await create(shell);
    expect((await shell.run(`backup restore ${first.file} ${open} --keep-sessions --yes`, { env })).code).toBe(0);
    expect(await aliveIn(shell, env)).toBe(3);
    expect(await failure(shell, `backup restore ${first.file} ${open} --yes`, env)).toMatchObject({ exit: 4 });
    const second = await shell.json<Created>("backup create", { env });
    expect(dirname(second.file)).toBe(dirname(first.file));
    expect(placeOf(second)).not.toBe(placeOf(first));
    expect((await shell.run(`backup verify ${second.file} ${open}`, { env })).code).toBe(0);
    expect((await shell.run(`backup restore ${second.file} ${open} --keep-sessions --yes`, { env: there })).code).toBe(
      0,
    );
    expect(await aliveIn(shell, there)).toBe(3);
    const users = async (outside: Readonly<Record<string, string>>) => shell.json("user list", { env: outside });
    expect(await users(there)).toEqual(await users({}));
    expect((await shell.run("audit verify", { env: there })).code).toBe(0);
  });
});
