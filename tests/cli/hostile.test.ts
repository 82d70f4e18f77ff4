/** Every command there is, as nobody should type it, and on a database that is not as it should be. */
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { exitCodes, interruptedBy } from "../../cli/exit.ts";
import { type Description, describe as describeTree } from "../../cli/help.ts";
import { commands } from "../../cli/run.ts";
import { Shell } from "../support/cli.ts";
import { freePort } from "../support/free-port.ts";
import { type } from "./toy.ts";

const all = (await describeTree(commands, [], commands)).commands;
const named = all.map((one) => [one.command, one] as const);

type Argument = Description["flags"][number];

/** Foreseeable troubles have a code of their own: 1 is for what nobody thought of. */
const foreseen = new Set<number>([0, ...Object.values(exitCodes), ...Object.values(interruptedBy)]);
foreseen.delete(exitCodes.defect);

const words = [
  "",
  "\u001b]0;owned\u0007\u001b[31m\u202e\u0000",
  "x".repeat(1 << 20),
  "'; DROP TABLE users; --",
  "../../../../etc/passwd",
  "\ud800💥é%s%n${HOME}",
  "-99999999999999999999",
  "__proto__",
] as const;

/** What an argument takes. */
function plausible({ type: kind, choices, hint }: Argument): string {
  if (choices) return choices[0]!;
  return { number: "1", duration: "1s", time: "-1d", choice: "", toggle: "", text: texts[hint ?? ""] ?? "x" }[kind];
}

const texts: Readonly<Record<string, string>> = {
  ADDRESS: "192.0.2.1",
  KEY: "PORT",
  KIND: "new-device",
  PERMISSION: "users:read",
  ROLE: "user",
  TARGET: "192.0.2.1",
  USER: "ada@example.com",
};

const flag = (name: string, value: string): string => `${name}=${value}`;

/** The shortest line that is complete. */
function plainest({ command, arguments: places, flags }: Description): string[] {
  return [
    ...command.split(" ").slice(1),
    ...flags.filter(({ required }) => required).map((one) => flag(one.name, plausible(one))),
    ...places.filter(({ required, many }) => required || many).map(plausible),
  ];
}

/** Listens until it is asked to stop, so that only what it refuses is typed. */
const runsOn = (command: string): boolean => command === "authctl serve";

function* hostileLines(one: Description): Generator<readonly string[]> {
  const name = one.command.split(" ").slice(1);
  const line = plainest(one);
  yield [...line, "--nonsense"];
  yield [...line, "--nonsense=x", "-Z"];
  yield [...line, "--json", "--json"];
  yield [...line, "--output", "yaml"];
  yield [...line, "--timeout", "soon"];
  if (one.arguments.every(({ many }) => !many)) yield [...line, "--", "one", "too", "many"];
  for (const argument of one.flags) {
    const written = argument.type === "toggle" ? argument.name : flag(argument.name, plausible(argument));
    if (!argument.many) yield [...line, written, written];
    if (argument.type === "toggle") yield [...line, `${argument.name}=x`];
    else yield [...line, argument.name];
  }
  if (runsOn(one.command)) return;
  if (one.arguments.some(({ required }) => required) || one.flags.some(({ required }) => required)) yield name;
  for (const word of words) {
    for (const argument of one.flags.filter(({ type: kind }) => kind !== "toggle")) {
      yield [...line.filter((each) => !each.startsWith(`${argument.name}=`)), flag(argument.name, word)];
    }
    if (one.arguments.length > 0) yield [...name, ...line.filter((each) => each.startsWith("--")), "--", word];
  }
}

/** A failure is a sentence that says what to do, and nothing that a terminal would obey. */
function expectForeseen(line: readonly string[], { code, stderr }: { code: number; stderr: string }): void {
  const shown = line.map((word) => word.slice(0, 60));
  expect({ line: shown, stderr: stderr.slice(0, 2000), code: foreseen.has(code) ? "foreseen" : code }).toMatchObject({
    code: "foreseen",
  });
  // oxlint-disable-next-line no-control-regex -- what must not be there
  expect(stderr).not.toMatch(/[\u001b\u0007\u0000\u202e]|\n\s+at .*:\d+/);
  // What a check found stands in its answer.
  const isFinding = code === 5;
  if (code !== 0 && !isFinding && !stderr.startsWith("warning:"))
    expect(stderr).toMatch(/(^|\n)(error: [A-Z][^\n]*\.|\{"code":)|^$/);
}

describe("words that nobody expects", () => {
  test.each(named)("%s", async (_, one) => {
    using shell = new Shell({ LOG_LEVEL: "silent" });
    for (const line of hostileLines(one)) {
      expectForeseen(line, await type(line, { tree: commands, cwd: shell.directory, env: shell.env }));
    }
  });
});

/** Those that need neither a database nor settings that fit. */
const independent =
  /^authctl (help|version|completion|config|hash calibrate|secret generate|check server|mail preview|migrate create)/;
/** It listens, and ends when it is asked to. */
const asked = all
  .filter(({ command }) => !runsOn(command) && !independent.test(command))
  .map((one) => [one.command, one] as const);

describe("a database that is not there, or not one", () => {
  const typeIn = async (shell: Shell, one: Description) => {
    const line = [...plainest(one), "--yes"];
    const ran = await type(line, { tree: commands, cwd: shell.directory, env: shell.env });
    expectForeseen(line, ran);
    return ran;
  };

  /** A word that is wrong anyway is told first; and what nobody else can work with is a finding to the doctor. */
  const expectRefused = ({ command }: Description, code: number): void => {
    if (command === "authctl doctor") expect(code).toBe(5);
    else expect([2, 69, 78]).toContain(code);
  };

  test.each(asked)("%s, where Postgres is down", async (_, one) => {
    using shell = new Shell({ DATABASE_URL: `postgres://u:p@127.0.0.1:${closed}/x`, LOG_LEVEL: "silent" });
    const { code, stdout } = await typeIn(shell, one);
    expectRefused(one, code);
    expect(stdout !== "").toBe(code === 5);
  });

  test.each(asked)("%s, where the file is broken", async (_, one) => {
    using shell = withSecret();
    writeFileSync(shell.file("data/auth.db"), "this is no database, ".repeat(400), { mode: 0o600 });
    const { code } = await typeIn(shell, one);
    expectRefused(one, code);
  });

  test.each(asked)("%s, where a directory is in its place", async (_, one) => {
    using shell = withSecret();
    mkdirSync(shell.file("data/auth.db"));
    const { code } = await typeIn(shell, one);
    expectRefused(one, code);
  });
});

/** As after `init`, but without a database. */
function withSecret(): Shell {
  const shell = new Shell({ LOG_LEVEL: "silent" });
  mkdirSync(shell.file("data"), { mode: 0o700 });
  writeFileSync(shell.file("data/secret.key"), "s".repeat(64), { mode: 0o600 });
  return shell;
}

const closed = await freePort();

test("a file that somebody else holds for good is told as busy, by readers and writers alike", async () => {
  using shell = new Shell({ LOG_LEVEL: "silent" });
  expect((await shell.run("init --quiet")).code).toBe(0);
  using other = new Database(shell.file("data/auth.db"));
  other.run("BEGIN IMMEDIATE");
  const lines = ["user create --email ada@example.com --passwordless", "role create clerk"];
  const ran = await Promise.all(lines.map((line) => shell.run(line)));
  for (const [at, one] of ran.entries()) {
    expectForeseen([lines[at]!], one);
    expect(one.code).toBe(75);
  }
  // Whoever only reads does not notice.
  expect((await shell.run("user list")).code).toBe(0);
});
