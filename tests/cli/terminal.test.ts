/** The command line as somebody meets it who sits at a terminal: what is asked, shown, hidden and drawn. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { anonymous } from "../../src/core/actors.ts";
import { login } from "../../src/core/login.ts";
import { person, Shell, sessionsOf } from "../support/cli.ts";
import { createTestClock } from "../support/clock.ts";
import { firefox } from "../support/core.ts";
import { freePort } from "../support/free-port.ts";
import { keys, Terminal } from "../support/terminal.ts";
import { until } from "../support/until.ts";

let shell: Shell;
const email = "ada@example.com";

beforeAll(async () => {
  shell = new Shell();
  await shell.core(async (core) => {
    await person(core, email, ["user", "admin"]);
    await person(core, "mallory@example.com");
    await person(core, `${"very-long-name-".repeat(4)}@example.com`);
    await person(core, "日本語-テスト@example.com");
    await sessionsOf(core, email, 2);
  });
});
afterAll(() => shell[Symbol.dispose]());

const isThere = async (name: string) => (await shell.run(`user get ${name}`)).code === 0;

describe("a confirmation", () => {
  const deletion = ["user", "delete", "mallory@example.com"];
  const question = "This deletes 1 user (mallory@example.com) and ends 0 sessions. Go on? [y/N] ";

  test.each([
    ["no", `n${keys.enter}`, 2],
    ["Enter", keys.enter, 2],
    ["anything but yes", `yess${keys.enter}`, 2],
    ["Ctrl-D", keys.ctrlD, 2],
    ["Ctrl-C", keys.ctrlC, 130],
  ])("answered with %s does nothing", async (_, answer, expected) => {
    await using terminal = new Terminal(shell, deletion);
    await terminal.answer(question, answer);
    expect(await terminal.ended()).toBe(expected);
    if (expected === 2) expect(terminal.told).toContain("The answer was no. Nothing was done.");
    else expect(terminal.told).not.toContain("error");
    expect(await isThere("mallory@example.com")).toBeTrue();
  });

  test("is not waited for where nobody could give it, and the line to repeat is told", async () => {
    await using terminal = new Terminal(shell, `$AUTHCTL ${deletion.join(" ")} < /dev/null`);
    expect(await terminal.ended()).toBe(2);
    expect(terminal.told).toContain(`To do it: authctl ${deletion.join(" ")} --yes`);
    expect(await isThere("mallory@example.com")).toBeTrue();
  });

  test("answered with yes does it", async () => {
    await using terminal = new Terminal(shell, deletion);
    await terminal.answer(question, `yes${keys.enter}`);
    expect(await terminal.ended()).toBe(0);
    expect(await isThere("mallory@example.com")).toBeFalse();
  });

  test.each([
    ["migrate down", "takes back 1 migration"],
    [`user delete ${email} 日本語-テスト@example.com`, "deletes 2 users"],
    ["role delete clerk", "deletes the role clerk and takes it from 0 users"],
    ["session revoke --all", "ends 2 sessions of 1 user"],
    ["key rotate --now", "lets every access token signed by the old keys die at once"],
  ])("of `%s` says what it would do, and without a terminal how to do it", async (line, deed) => {
    await shell.run("role create clerk");
    const before = await shell.run("audit list --json");
    const { code, stdout, stderr } = await shell.run(line);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(`This ${deed}`);
    expect(stderr).toMatch(/ To do it: authctl .+ --yes\n$/);
    expect(await shell.run("audit list --json")).toEqual(before);
  });
});

describe("a password", () => {
  const change = ["user", "set-password", email];
  const password = "tide lantern orbit 57 walnut";
  const signsIn = (typed: string) =>
    shell.core(async (core) =>
      login(core, anonymous(firefox), { identifier: email, password: typed, credential: "session" }).then(
        () => true,
        () => false,
      ),
    );

  test("is typed twice and never shown, and what was mistyped can be erased", async () => {
    await using terminal = new Terminal(shell, change);
    await terminal.sees(`assword of ${email}: `);
    await until("nothing is shown", () => !terminal.echoes);
    terminal.type(`${password.slice(0, -1)}x${keys.backspace}${password.at(-1)}${keys.enter}`);
    await terminal.answer("The same again: ", password + keys.enter);
    expect(await terminal.ended()).toBe(0);
    expect(terminal.told).not.toMatch(/tide|lantern|57|walnut|\*/);
    expect(terminal.echoes).toBeTrue();
    expect(await signsIn(password)).toBeTrue();
  });

  test("is not shown either where somebody says that it comes from standard input", async () => {
    await using terminal = new Terminal(shell, [...change, "--password-stdin"]);
    await terminal.sees(`assword of ${email}: `);
    await until("nothing is shown", () => !terminal.echoes);
    terminal.type(keys.ctrlC);
    expect(await terminal.ended()).toBe(130);
    expect(terminal.echoes).toBeTrue();
  });

  test.each([
    ["that differs the second time", `${password} 2`, 2],
    ["that is given up with Ctrl-C", `tide${keys.ctrlC}`, 130],
    ["that is given up with Ctrl-D", keys.ctrlD, 2],
  ])("%s changes nothing, and leaves the terminal as it was", async (_, second, expected) => {
    await using terminal = new Terminal(shell, change);
    await terminal.sees(`assword of ${email}: `);
    await until("nothing is shown", () => !terminal.echoes);
    terminal.type(`another password ${password}${keys.enter}`);
    await terminal.answer("The same again: ", second + (expected === 2 ? keys.enter : ""));
    expect(await terminal.ended()).toBe(expected);
    expect(terminal.told).not.toMatch(/another password|lantern/);
    expect(terminal.echoes).toBeTrue();
    expect(await signsIn(password)).toBeTrue();
  });

  test("that was generated is shown once", async () => {
    await using terminal = new Terminal(shell, ["user", "create", "--email", "carol@example.com", "--generate"]);
    expect(await terminal.ended()).toBe(0);
    expect(terminal.screen.filter((line) => /^password +[\w-]{32}$/.test(line))).toHaveLength(1);
  });
});

describe("a secret that a flag expects on standard input", () => {
  const passphrase = "tide lantern orbit 57 walnut";
  const create = ["backup", "create", "--passphrase-stdin", "--verbose"];
  const backups = () => readdirSync(shell.file("data")).includes("backups") && readdirSync(shell.file("data/backups"));
  const unseen = async (terminal: Terminal, question: string, text: string) => {
    await terminal.sees(question);
    await until("nothing is shown", () => !terminal.echoes);
    terminal.type(text);
  };

  test("is typed unseen: twice where it locks a backup, and once where it opens one", async () => {
    await using locking = new Terminal(shell, create);
    await unseen(locking, "Passphrase of the backup: ", passphrase + keys.enter);
    await unseen(locking, "The same again: ", passphrase + keys.enter);
    expect(await locking.ended()).toBe(0);
    const file = shell.file(`data/backups/${(backups() || [])[0]}`);
    expect((await shell.run(["backup", "verify", file, "--passphrase-stdin"], { input: passphrase })).code).toBe(0);
    const told = [locking.told];
    const openings = [
      [["verify", file], passphrase, 0],
      [["verify", file], passphrase.toUpperCase(), 77],
      // The database is not empty.
      [["restore", file, "--yes"], passphrase, 4],
    ] as const;
    for (const [words, typed, expected] of openings) {
      await using opening = new Terminal(shell, ["backup", ...words, "--passphrase-stdin"]);
      await unseen(opening, "Passphrase of the backup: ", typed + keys.enter);
      expect(await opening.ended()).toBe(expected);
      expect(opening.told).not.toContain("The same again");
      expect(opening.echoes).toBeTrue();
      told.push(opening.told);
    }
    expect(told.join("\n")).not.toMatch(/lantern/i);
  });

  test.each([
    ["that differs the second time", `${passphrase} 2${keys.enter}`, 2],
    ["that is given up with Ctrl-C", `tide${keys.ctrlC}`, 130],
    ["that is given up with Ctrl-D", keys.ctrlD, 2],
  ])("and %s locks nothing, and leaves the terminal as it was", async (_, second, expected) => {
    const before = backups();
    await using terminal = new Terminal(shell, create);
    await unseen(terminal, "Passphrase of the backup: ", passphrase + keys.enter);
    await unseen(terminal, "The same again: ", second);
    expect(await terminal.ended()).toBe(expected);
    expect(terminal.told).not.toContain("lantern");
    expect(terminal.echoes).toBeTrue();
    expect(backups()).toEqual(before);
  });

  test("is not waited for where nobody may be asked", async () => {
    await using terminal = new Terminal(shell, [...create, "--no-input"]);
    expect(await terminal.ended()).toBe(2);
    expect(terminal.told).toContain("--passphrase-file FILE");
  });

  test("is an address of a database, too, with the password in it", async () => {
    await using terminal = new Terminal(shell, ["db", "copy", "--to", "-"]);
    await unseen(terminal, "Address of the target: ", `postgres://root:hunter2@127.0.0.1:1/none${keys.enter}`);
    expect(await terminal.ended()).toBe(69);
    expect(terminal.told).not.toContain("hunter2");
    expect(terminal.echoes).toBeTrue();
  });
});

describe("a table", () => {
  const shown = async (words: string, columns: number, env: Record<string, string> = {}) => {
    await using terminal = new Terminal(shell, words.split(" "), { columns, env });
    expect(await terminal.ended()).toBe(0);
    return terminal.screen;
  };
  const widest = (lines: readonly string[]) => Math.max(...lines.map((line) => Bun.stringWidth(line)));

  test.each([
    ["user list", 40],
    ["user list", 80],
    ["user list", 200],
    ["session list", 40],
    ["session list", 80],
    ["session list", 200],
    ["audit list", 40],
    ["audit list", 80],
    [`user timeline ${email}`, 60],
    ["key list", 80],
    ["job list", 80],
    ["secret status", 80],
    ["user get 日本語-テスト@example.com", 48],
  ])("of `%s` fits into %d columns", async (words, columns) => {
    const lines = await shown(words, columns);
    // An id is never broken: what stands before it may be in its way on the narrowest terminal.
    const broken = lines.filter((line) => !/[0-9a-f]{8}-[0-9a-f]{4}-7/.test(line));
    expect(widest(broken)).toBeLessThanOrEqual(columns);
    if (columns >= 60) expect(widest(lines)).toBeLessThanOrEqual(columns);
  });

  test("shortens long names with an ellipsis, counts wide characters as two, and shows whole ids where it can", async () => {
    const narrow = await shown("user list", 60);
    expect(narrow.join("\n")).toContain("very-long-");
    expect(narrow.join("\n")).toContain("…");
    const wide = await shown("user list", 200);
    expect(wide.join("\n")).not.toContain("…");
    const at = (line: string, word: string) => Bun.stringWidth(line.slice(0, line.indexOf(word)));
    const [header = ""] = wide;
    const row = wide.find((line) => line.includes("日本語"))!;
    expect(at(row, "yes")).toBe(at(header, "IS ACTIVE"));
    expect(wide.filter((line) => /^[0-9a-f-]{36}  /.test(line)).length).toBeGreaterThan(2);
  });

  test("is as wide as COLUMNS says", async () => {
    expect(widest(await shown("user list", 200, { COLUMNS: "60" }))).toBeLessThanOrEqual(60);
    expect(await shown("user list", 80, { COLUMNS: "nonsense" })).toEqual(await shown("user list", 80));
  });

  test("that is empty says so", async () => {
    expect(await shown("ban list", 80)).toEqual(["There is none."]);
  });
});

describe("colours", () => {
  const said = async (words: readonly string[] | string, env: Record<string, string> = {}) => {
    await using terminal = new Terminal(shell, words, { env });
    await terminal.ended();
    expect(terminal.told).toContain("error:");
    return terminal.told;
  };

  test("are there on a terminal, unless somebody does not want them", async () => {
    expect(await said(["nonsense"])).toContain("\x1b[31merror:\x1b[39m");
    expect(await said(["nonsense", "--no-color"])).not.toContain("\x1b");
    for (const env of [{ NO_COLOR: "1" }, { AUTHCTL_NO_COLOR: "1" }, { TERM: "dumb" }]) {
      expect(await said(["nonsense"], env)).not.toContain("\x1b");
    }
  });

  test("are not there where standard error goes elsewhere", async () => {
    expect(await said("$AUTHCTL nonsense 2>&1 | cat")).not.toContain("\x1b");
  });
});

describe("a progress bar", () => {
  const purge = "token purge --kind sessions --batch-size 1 --pause 200ms".split(" ");
  const drawn = "purging";

  async function withExpired(work: (crowded: Shell) => Promise<void>): Promise<void> {
    using crowded = new Shell();
    const longAgo = createTestClock(new Date("2025-01-01T00:00:00Z"));
    await crowded.core(async (core) => {
      await person(core, email);
      await sessionsOf(core, email, 20);
    }, longAgo);
    await work(crowded);
  }

  test("is drawn on long work, and gone at its end", async () => {
    await withExpired(async (crowded) => {
      await using terminal = new Terminal(crowded, purge);
      await terminal.sees(drawn);
      expect(await terminal.ended()).toBe(0);
      expect(terminal.screen).toEqual([]);
    });
  });

  test("is gone after Ctrl-C, too, and what was done stays done", async () => {
    await withExpired(async (crowded) => {
      await using terminal = new Terminal(crowded, purge);
      await terminal.sees(drawn);
      terminal.type(keys.ctrlC);
      expect(await terminal.ended()).toBe(130);
      expect(terminal.screen.join("\n")).not.toContain(drawn);
      const { sessions_stored: left } = await crowded.json<{ sessions_stored: number }>("stats");
      expect(left).toBeWithin(1, 20);
    });
  });

  test("is not drawn where standard error goes elsewhere", async () => {
    await withExpired(async (crowded) => {
      const ran = await crowded.run(purge);
      expect(ran).toEqual({ code: 0, stdout: "", stderr: "" });
    });
  });
});

describe("Ctrl-C", () => {
  test("ends `audit tail --follow` with 130, and what was shown stays", async () => {
    await using terminal = new Terminal(shell, "audit tail --follow --action user.created".split(" "));
    await terminal.sees("user.created");
    terminal.type(keys.ctrlC);
    expect(await terminal.ended()).toBe(130);
    expect(terminal.told).not.toContain("error");
  });

  test("ends `serve` with 0", async () => {
    await using terminal = new Terminal(shell, ["serve", "--port", String(await freePort())]);
    await terminal.sees("serves http://");
    terminal.type(keys.ctrlC);
    expect(await terminal.ended()).toBe(0);
  });
});

test("a token that is typed ends with Ctrl-D, which is said", async () => {
  await using terminal = new Terminal(shell, ["token", "inspect"]);
  await terminal.answer("Ctrl-D on a line of its own ends it.", `nonsense${keys.enter}${keys.ctrlD}`);
  expect(await terminal.ended()).toBe(0);
  expect(terminal.told).not.toContain("error");
});

describe("`init`", () => {
  const address = "Where will users reach the server? [http://localhost:8000] ";
  const admin = "The e-mail address of the first admin, or Enter for none: ";
  const password = "tide lantern orbit 57 walnut";

  test("asks for the address of the server, and for the first admin, who can sign in then", async () => {
    using empty = new Shell();
    await using terminal = new Terminal(empty, ["init"]);
    await terminal.answer(address, `auth.example.com${keys.enter}`);
    await terminal.sees(address, 2);
    terminal.type(`https://auth.example.com${keys.enter}`);
    await terminal.answer(admin, `ada${keys.enter}`);
    await terminal.sees(admin, 2);
    terminal.type(`${email}${keys.enter}`);
    await terminal.sees(`Password of ${email}: `);
    await until("nothing is shown", () => !terminal.echoes);
    terminal.type(password + keys.enter);
    await terminal.answer("The same again: ", password + keys.enter);
    expect(await terminal.ended()).toBe(0);
    expect(terminal.screen.at(-1)).toBe("Next: `authctl serve`.");
    const settings = readFileSync(empty.file(".env"), "utf8");
    expect(settings).toContain("\nPUBLIC_URL=https://auth.example.com\n");
    expect(settings + terminal.told).not.toContain("lantern");
    expect((await empty.run("admin list")).stdout).toContain(email);
  });

  test("is content with Enter, and asks nothing again", async () => {
    using empty = new Shell();
    await using terminal = new Terminal(empty, ["init"]);
    await terminal.answer(address, keys.enter);
    await terminal.answer(admin, keys.enter);
    expect(await terminal.ended()).toBe(0);
    expect(terminal.screen.at(-1)).toStartWith("Next: `authctl admin seed");
    await using again = new Terminal(empty, ["init"]);
    expect(await again.ended()).toBe(0);
    expect(again.screen).toEqual(["Nothing to do: everything is there already."]);
  });

  test.each([0, 1, 2])("leaves nothing behind where Ctrl-C answers after %d answers", async (answered) => {
    using empty = new Shell();
    await using terminal = new Terminal(empty, ["init"]);
    const answers = [
      [address, keys.enter],
      [admin, email + keys.enter],
    ] as const;
    for (const [question, answer] of answers.slice(0, answered)) await terminal.answer(question, answer);
    await terminal.answer([address, admin, `Password of ${email}: `][answered]!, keys.ctrlC);
    expect(await terminal.ended()).toBe(130);
    expect(readdirSync(empty.directory)).toEqual([]);
    expect(terminal.echoes).toBeTrue();
  });

  test("makes nothing where the password would be guessed", async () => {
    using empty = new Shell({ PUBLIC_URL: "http://localhost:8000" });
    await using terminal = new Terminal(empty, ["init"]);
    await terminal.answer(admin, email + keys.enter);
    await terminal.answer(`Password of ${email}: `, `password1${keys.enter}`);
    await terminal.answer("The same again: ", `password1${keys.enter}`);
    expect(await terminal.ended()).toBe(2);
    expect(readdirSync(empty.directory)).toEqual([]);
  });
});
