/** The real command where what is around it is not as it should be: its files, its streams, its disk, its user. */
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { exitCodes } from "../../cli/exit.ts";
import { person, type Ran, Shell } from "../support/cli.ts";
import { isOneFile, program } from "../support/program.ts";
import { until } from "../support/until.ts";

/** Runs a line of bash, in which `$AUTHCTL` is the program. */
async function bash(shell: Shell, line: string, before: readonly string[] = []): Promise<Ran> {
  const child = Bun.spawn([...before, "bash", "-c", line], {
    cwd: shell.directory,
    env: { ...shell.env, AUTHCTL: program.join(" ") },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, stdout, stderr };
}

/** One sentence that says what is wrong and one that says what to do, and nothing of how it is built. */
function expectTold({ stderr, code }: Ran, expected: number, words: string): void {
  expect({ code, stderr }).toEqual({ code: expected, stderr: expect.stringContaining(words) });
  expect(stderr).toMatch(/^error: [A-Z][^\n]*\. [A-Z`][^\n]*(\.|--yes)(\n {2}[^\n]+)*\n$/);
  expect(stderr).not.toMatch(/\n\s+at |defect|Retry-After|SQLITE|errno/);
}

async function prepared(): Promise<Shell> {
  const shell = new Shell();
  await shell.run("init --quiet");
  await shell.core(async (core) => void (await person(core, "ada@example.com")));
  return shell;
}

describe("streams", () => {
  test.each(["help --json", "help --man", "config example", "config show --json", "user list --output ndjson"])(
    "a reader that leaves early ends `%s` without a word",
    async (line) => {
      using shell = await prepared();
      const { code, stderr } = await bash(shell, `$AUTHCTL ${line} | head -c 1 > /dev/null; exit \${PIPESTATUS[0]}`);
      expect(stderr).toBe("");
      // What fits into the pipe is written before anybody leaves.
      expect([0, 141]).toContain(code);
      if (line === "help --json") expect(code).toBe(141);
    },
  );

  test("that are closed end nothing that does not need them", async () => {
    using shell = await prepared();
    expect((await bash(shell, "$AUTHCTL user list <&-")).code).toBe(0);
    expect((await bash(shell, "$AUTHCTL user list --quiet 2>&-")).stdout).toContain("ada@example.com");
    expect((await bash(shell, "$AUTHCTL nonsense 2>&-")).code).toBe(2);
    expectTold(await bash(shell, "$AUTHCTL user delete ada@example.com <&-"), 2, "--yes");
    expectTold(await bash(shell, "$AUTHCTL token inspect <&-"), 2, "no token on standard input");
  });

  test.skipIf(!existsSync("/dev/full"))("a disk that is full where the output goes is told", async () => {
    using shell = await prepared();
    expectTold(await bash(shell, "$AUTHCTL user list > /dev/full"), 69, "Standard output failed with ENOSPC");
    expect((await bash(shell, "$AUTHCTL nonsense 2> /dev/full")).code).toBe(2);
  });

  test("an input that is no file is told", async () => {
    using shell = await prepared();
    expectTold(await bash(shell, "$AUTHCTL token inspect < ."), 2, "Standard input cannot be read (EISDIR)");
    expectTold(await bash(shell, "$AUTHCTL user import ."), 2, "cannot be read (EISDIR)");
    expectTold(await bash(shell, "$AUTHCTL user import nowhere.csv"), 2, "There is no file nowhere.csv");
  });

  test("nothing on the input that ids are read from is nothing to do", async () => {
    using shell = await prepared();
    for (const line of ["user disable -", "session revoke - --yes", "mail queue drop - --yes"]) {
      expect(await bash(shell, `true | $AUTHCTL ${line}`)).toEqual({
        code: 0,
        stdout: "",
        stderr: "Nothing stands on standard input. Nothing to do.\n",
      });
    }
    expectTold(await bash(shell, "$AUTHCTL mail queue drop --yes"), 2, "ID is required");
  });
});

test("a directory that is gone is told", async () => {
  using shell = await prepared();
  const ran = await bash(shell, "mkdir gone && cd gone && rmdir ../gone && exec $AUTHCTL user list");
  if (!isOneFile) return expectTold(ran, 2, "The directory that this runs in is gone");
  // Bun itself says so, before anything of ours runs.
  expect(ran).toMatchObject({ code: 1, stdout: "" });
  expect(ran.stderr).toMatch(/^error: The current working directory was deleted, [^\n]*\n$/);
});

test("neither HOME nor anything else of an environment is needed", async () => {
  using shell = await prepared();
  const ran = await bash(shell, "exec env -i $AUTHCTL user list --output id");
  expect({ ...ran, stdout: ran.stdout.length }).toEqual({ code: 0, stdout: 37, stderr: "" });
});

test("who acts is whom the system names, whatever USER says", async () => {
  using shell = await prepared();
  await bash(shell, "USER=mallory LOGNAME=mallory exec $AUTHCTL user disable ada@example.com --yes");
  const [entry] = await shell.json<Array<{ actor: { id: string } }>>("audit list --action user.disabled");
  const name = (await bash(shell, "id -un")).stdout.trim();
  expect(entry?.actor.id).toBe(`${name}@${hostname()}`);
});

describe("a disk that is full", () => {
  /** No file may become longer than so many KiB. */
  const confined = (shell: Shell, kibibytes: number, line: string) =>
    bash(shell, `ulimit -f ${kibibytes}; exec $AUTHCTL ${line}`);

  test.each([
    "user create --email bob@example.com --passwordless",
    "role create clerk",
    "session revoke --all --yes",
    "token purge",
    "backup create --plain",
  ])("keeps `%s` from doing half of it", async (line) => {
    using shell = await prepared();
    const before = await shell.json("user list");
    const ran = await confined(shell, 1, line);
    if (ran.code !== 0) expectTold(ran, 69, "Make room");
    expect(await shell.json("user list")).toEqual(before);
    expect((await shell.run("audit verify")).code).toBe(0);
    expect((await shell.run(line)).code).toBe(0);
  });

  test.each([1, 8, 30, 100, 200])("leaves nothing half made of `init`, at %d KiB", async (kibibytes) => {
    using shell = new Shell();
    const ran = await confined(shell, kibibytes, "init");
    expect(ran.code).toBeOneOf([69, 78]);
    expect(ran.stderr).not.toMatch(/\n\s+at |defect/);
    expect((await shell.run("init")).code).toBe(0);
    expect((await shell.run("config check")).code).toBe(0);
    expect((await shell.run("user list")).code).toBe(0);
    expect(readdirSync(shell.directory).toSorted()).toEqual([".env", "data"]);
    // Half of the settings would have been kept as they were.
    expect(statSync(shell.file(".env")).size).toBeGreaterThan(8192);
  });
});

describe("another user", () => {
  const nobody = 65_534;
  const isRoot = process.getuid?.() === 0;
  const as = (user: number): string[] => ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups"];
  // An administrator may read and write whatever there is.
  const asNobody = isRoot ? [...as(nobody), "--no-new-privs"] : [];
  const works =
    !isRoot ||
    (Bun.which("setpriv") !== null &&
      Bun.spawnSync([...asNobody, ...program, "version"], { stderr: "ignore" }).exitCode === 0);
  if (!works) console.warn("SKIPPED: nobody else may run the program here, so that nothing can be forbidden");

  const give = (shell: Shell, user: number): void => {
    const all = readdirSync(shell.directory, { recursive: true }).map((name) => shell.file(String(name)));
    for (const file of [shell.directory, ...all]) chownSync(file, user, user);
  };

  test.skipIf(!works || !isRoot)("whom the system knows only by a number works, without a HOME too", async () => {
    using shell = await prepared();
    const stranger = 1_234_567;
    give(shell, stranger);
    const ran = await bash(shell, "exec env -i $AUTHCTL user disable ada@example.com --yes", as(stranger));
    expect(ran).toMatchObject({ code: 0 });
    const trail = await shell.run("audit list --action user.disabled --json");
    expect(JSON.parse(trail.stdout)).toMatchObject([{ actor: { id: `uid-${stranger}@${hostname()}` } }]);
  });

  const forbidden = async (line: string, forbid: (shell: Shell) => void): Promise<Ran> => {
    using shell = await prepared();
    if (isRoot) give(shell, nobody);
    forbid(shell);
    try {
      return await bash(shell, `exec $AUTHCTL ${line}`, asNobody);
    } finally {
      for (const name of ["data", "data/auth.db"]) chmodSync(shell.file(name), 0o700);
    }
  };

  test.skipIf(!works).each([
    ["a database that is read-only", "user create --email bob@example.com --passwordless", "data/auth.db", 0o400],
    ["a database that is not to be read", "user list", "data/auth.db", 0o000],
    ["a directory that is read-only", "role create clerk", "data", 0o500],
  ])("%s is told", async (_, line, name, mode) => {
    const ran = await forbidden(line, (shell) => chmodSync(shell.file(name), mode));
    expectTold(ran, 69, "may not be written by this user");
  });

  test.skipIf(!works).each([
    ["a secret", "data/secret.key"],
    ["settings", ".env"],
  ])("%s that cannot be read is told by its path", async (_, name) => {
    const ran = await forbidden("user list", (shell) => chmodSync(shell.file(name), 0o000));
    expectTold(ran, exitCodes.misconfigured, `/${name} cannot be read (EACCES)`);
  });

  test.skipIf(!works)("the doctor names what was in the way of what it was asked for", async () => {
    const ran = await forbidden("doctor --only keys", (shell) => chmodSync(shell.file("data/auth.db"), 0o000));
    expect(ran.code).toBe(5);
    expect(ran.stdout).toMatch(/^database\tfound\t.*may not be written.*\nkeys\tskipped\t/);
  });

  test.skipIf(!works)("the doctor names a directory that it may not look into", async () => {
    const ran = await forbidden("doctor --only disk", (shell) => {
      mkdirSync(shell.file("data/backups"), { recursive: true });
      chmodSync(shell.file("data/backups"), 0o000);
    });
    expect(ran.code).toBe(5);
    expect(ran.stdout).toMatch(
      /^disk\tfound\t\/[^\t]+\/data\/backups could not be looked at \(EACCES\)\.\tRun the command as the user of the server/,
    );
  });
});

describe("a database that another process keeps locked", () => {
  test.each([
    ["for a transaction", []],
    ["for as long as it runs", ["PRAGMA locking_mode = EXCLUSIVE", "PRAGMA user_version = 0"]],
  ])("%s is a finding of the doctor, who tells how to find that process, and soon", async (_, statements) => {
    using shell = await prepared();
    const examined = async () => {
      const begun = performance.now();
      return { ...(await shell.run("doctor --only database")), took: performance.now() - begun };
    };
    const { took: usual } = await examined();
    using other = new Database(shell.file("data/auth.db"));
    for (const one of [...statements, "BEGIN EXCLUSIVE"]) other.run(one);
    const { code, stdout, took } = await examined();
    expect(took - usual).toBeLessThan(3_000);
    expect(code).toBe(5);
    expect(stdout).toContain("Another process keeps the database from being written.");
    expect(stdout).toContain(`\`fuser -v ${shell.file("data/auth.db")}\``);
  });

  test("is waited for by a migration, which says so at once, and goes on when it is free", async () => {
    using shell = await prepared();
    await shell.run("migrate down --yes");
    using other = new Database(shell.file("data/auth.db"));
    other.run("BEGIN EXCLUSIVE");
    const child = shell.start(["migrate", "up"]);
    let told = "";
    for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) {
      told += part;
      if (told.includes("waiting") && other.inTransaction) other.run("ROLLBACK");
    }
    expect(told).toBe(
      `waiting for another process, which writes to ${shell.file("data/auth.db")}\napplied 1 migration\n`,
    );
    expect(await child.exited).toBe(0);
  });

  test("is waited for no longer than --timeout says", async () => {
    using shell = await prepared();
    await shell.run("migrate down --yes");
    using other = new Database(shell.file("data/auth.db"));
    other.run("BEGIN EXCLUSIVE");
    const child = shell.start(["migrate", "up", "--timeout", "1s"]);
    const stderr = child.stderr.text();
    await until("it gives up", () => child.exitCode !== null);
    expect(child.exitCode).toBe(69);
    expect(await stderr).toContain("did not end within 1s (--timeout)");
  });
});
