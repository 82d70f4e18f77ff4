import { formatDuration } from "../src/config/durations.ts";
import { DomainError, fail } from "../src/core/errors.ts";
import type { Command, Errand, Tree } from "./command.ts";
import { exitCodeOf } from "./exit.ts";
import { failureText } from "./failure.ts";
import { type Globals, readGlobals, refusesColour, speaksJson, speaksVerbosely } from "./globals.ts";
import { forTerminal, helpText } from "./help-text.ts";
import { type Interruption, listen } from "./interruption.ts";
import { type Io, isColoured, PipeClosed } from "./io.ts";
import { type Line, parseLine, seeHelp } from "./words.ts";

/** Every name of the first level. A command is loaded when it is used, so that `authctl --help` answers at once. */
export const commands: Tree = {
  init: {
    summary: "write settings with fresh secrets, create and migrate the database",
    load: () => import("./init.ts"),
  },
  serve: { summary: "run the server", load: () => import("./serve.ts") },
  doctor: { summary: "look at every part, each finding with its remedy", load: () => import("./doctor.ts") },
  migrate: {
    summary: "bring the database to this version: status, up, down, create, history",
    load: () => import("./migrate.ts"),
  },
  backup: { summary: "copies to restore from: create, verify, restore", load: () => import("./backup.ts") },
  db: { summary: "the whole database: copy", load: () => import("./db.ts") },
  admin: { summary: "who administers: seed, list, grant, revoke, recover", load: () => import("./admin.ts") },
  user: {
    summary:
      "the people: list, get, create, update, disable, enable, delete, restore, set-password, send-reset, verify-email, timeline, role, import, export",
    load: () => import("./users.ts"),
  },
  role: {
    summary: "what roles permit: list, get, create, update, delete, permission",
    load: () => import("./roles.ts"),
  },
  session: { summary: "who is signed in: list, get, explain, revoke", load: () => import("./sessions.ts") },
  token: { summary: "what was issued: purge, inspect, stats", load: () => import("./tokens.ts") },
  key: { summary: "signing keys: list, rotate, retire, export-public", load: () => import("./keys.ts") },
  secret: {
    summary: "the server secrets: status, rotate, verify, retire, generate",
    load: () => import("./secrets.ts"),
  },
  hash: { summary: "how passwords are hashed: calibrate, report", load: () => import("./hash.ts") },
  audit: { summary: "what was done: list, tail, export, verify, purge", load: () => import("./audit.ts") },
  stats: {
    summary: "how things stand: users, sessions, sign-ins, what a purge would remove, size",
    load: () => import("./stats.ts"),
  },
  job: {
    summary: "the upkeep: list, run, print-cron, print-systemd, print-k8s",
    load: () => import("./jobs.ts"),
  },
  check: { summary: "why, or why not: authz, server", load: () => import("./check.ts") },
  mail: { summary: "what users are written: queue, flush, preview, test", load: () => import("./mail.ts") },
  ban: { summary: "whose requests are refused: add, list, remove", load: () => import("./bans.ts") },
  limit: { summary: "what is counted of users and addresses: show, reset", load: () => import("./limits.ts") },
  config: { summary: "the settings: check, show, explain, example", load: () => import("./config.ts") },
  completion: {
    summary: "let a shell complete what is typed: bash, zsh, fish",
    load: () => import("./completion.ts"),
  },
  version: { summary: "show the version", load: () => import("./version.ts") },
  help: { summary: "show help of a command", load: async (tree) => (await import("./help.ts")).helpOn(tree) },
};

/** The first word of a question that a shell asks while somebody types. Nobody types it. */
export const completeName = "__complete";

/** After --timeout, how long the running batch may take to end, in milliseconds. */
const grace = 2000;

/** As a shell reports a program that SIGPIPE ended. */
const brokenPipe = 141;

/** Understands `argv` (without the program's name), does it, and returns the exit code. Never throws: what fails is told on `io.stderr`. */
export async function run(argv: readonly string[], io: Io, tree: Tree = commands): Promise<number> {
  if (argv[0] === completeName) return await (await import("./complete.ts")).complete(argv.slice(1), io, tree);
  const interruption = listen(io);
  try {
    const code = await obey(argv, io, tree, interruption);
    return code ?? interruption.code() ?? 0;
  } catch (error) {
    if (error instanceof PipeClosed) return brokenPipe;
    const code = interruption.code();
    // Whoever interrupts a command knows why it ended; only what it says about the work done is of interest.
    const told = code === undefined || error instanceof DomainError;
    if (told) await tell(error, argv, io);
    return code ?? exitCodeOf(error);
  } finally {
    interruption.end();
  }
}

/** The exit code, or undefined where the command has none of its own. */
async function obey(
  argv: readonly string[],
  io: Io,
  tree: Tree,
  interruption: Interruption,
): Promise<number | undefined> {
  const line = await parseLine(argv, tree);
  const globals = readGlobals(line.globalFlags, io.env, io.now());
  const { node, path } = line;

  if (globals.version) {
    const { version } = await import("../package.json");
    await io.stdout.write(`${version}\n`);
    return 0;
  }
  if (globals.help && globals.json) {
    const { describe } = await import("./help.ts");
    await io.stdout.write(`${JSON.stringify(await describe(node ?? tree, path, tree))}\n`);
    return 0;
  }
  if (globals.help) {
    await io.stdout.write(`${forTerminal(helpText(node ?? tree, path), io.stdout)}\n`);
    return 0;
  }
  if (node?.kind !== "command") {
    if (speaksJson(argv, io.env)) fail("usage", { detail: `A command is missing. ${seeHelp(path)}` });
    await io.stderr.write(`${forTerminal(helpText(node ?? tree, path), io.stderr)}\n`);
    return 2;
  }
  const rehearsal = rehearsed(node, line, globals);
  return within(globals, interruption, path, () =>
    carryOut(node, line, { argv, io, globals: rehearsal, interruption }),
  );
}

type Circumstances = { argv: readonly string[]; io: Io; globals: Globals; interruption: Interruption };

async function carryOut(command: Command, line: Line, circumstances: Circumstances): Promise<number | undefined> {
  const { io, interruption } = circumstances;
  const [{ runCommand }, { canonical }, { openDesk }] = await Promise.all([
    import("citty"),
    import("./command.ts"),
    import("./desk.ts"),
  ]);
  const { desk, finish } = openDesk({ ...circumstances, answers: command.effect === "read" });
  const positionals = await fromInput(command, line.positionals, io, interruption);
  if (!positionals) {
    desk.say("Nothing stands on standard input. Nothing to do.");
    return undefined;
  }
  const errand: Errand = { desk, now: io.now(), detail: seeHelp(line.path) };
  const { result } = await runCommand(command.definition, {
    rawArgs: canonical(line.flags, positionals),
    data: errand,
  });
  await finish();
  return typeof result === "number" ? result : undefined;
}

/** The globals with `dryRun` only where it is true: a rehearsal that ran for real would be the worst of all misunderstandings. */
function rehearsed(command: Command, line: Line, globals: Globals): Globals {
  if (!globals.dryRun || command.dryRun) return globals;
  // An environment that asks for rehearsals only is content with a command that changes nothing.
  if (command.effect === "read" && !line.globalFlags.has("dry-run")) return { ...globals, dryRun: false };
  return fail("usage", {
    detail: `\`authctl ${line.path.join(" ")}\` has no --dry-run. Nothing was done. ${seeHelp(line.path)}`,
  });
}

/** For a positional that takes many, `-` stands for the words on standard input. Answers `undefined` where that leaves none. */
async function fromInput(
  command: Command,
  words: readonly string[],
  io: Io,
  interruption: Interruption,
): Promise<readonly string[] | undefined> {
  const places = Object.values(command.args).filter(({ place }) => place === "positional");
  const first = places.findIndex(({ many }) => many);
  const dash = first < 0 ? -1 : words.indexOf("-", first);
  if (dash < 0) return words;
  const { readInput } = await import("./prompt.ts");
  const read = (await readInput(io, interruption.signal)).split(/\s+/).filter((word) => word !== "");
  return read.length === 0 && words.length === first + 1 ? undefined : words.toSpliced(dash, 1, ...read);
}

/** `work`, or the failure that its time is over. At the end of the time it is asked to stop first, so that a batch is not cut. */
async function within<T>(
  { timeout }: Globals,
  interruption: Interruption,
  path: readonly string[],
  work: () => Promise<T>,
): Promise<T> {
  if (timeout === undefined) return work();
  const late = new DomainError("timed_out", {
    detail: `\`authctl ${path.join(" ")}\` did not end within ${formatDuration(timeout)} (--timeout). What is done stays done.`,
  });
  const { promise: over, reject } = Promise.withResolvers<never>();
  let last: Timer | undefined;
  const stop = (): void => {
    last = setTimeout(reject, grace, late);
    interruption.abort(late);
  };
  // A longer delay than a timer can count would end at once.
  const first = setTimeout(stop, Math.min(timeout, 2 ** 31 - 1));
  try {
    const result = await Promise.race([work(), over]);
    if (last) throw late;
    return result;
  } catch (error) {
    // What was left undone is known better by whoever did the rest.
    const knowsBetter = error instanceof PipeClosed || (error instanceof DomainError && error.kind === "partial");
    throw last && !knowsBetter ? late : error;
  } finally {
    clearTimeout(first);
    clearTimeout(last);
  }
}

async function tell(failure: unknown, argv: readonly string[], io: Io): Promise<void> {
  const manner = {
    json: speaksJson(argv, io.env),
    verbose: speaksVerbosely(argv, io.env),
    colour: isColoured(io, refusesColour(argv, io.env)),
  };
  // Where standard error is closed too there is nobody left to tell; the exit code says it.
  await io.stderr.write(failureText(failure, manner)).catch(() => {});
}
