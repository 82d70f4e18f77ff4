import { createConsola } from "consola/core";
import type { Actor } from "../src/core/actors.ts";
import type { Core } from "../src/core/core.ts";
import { fail } from "../src/core/errors.ts";
import type { Globals } from "./globals.ts";
import type { Interruption } from "./interruption.ts";
import { type Io, isColoured, type Output } from "./io.ts";
import { anyColumn, type Format, isRecord, printTo, type Rows } from "./print.ts";
import { type BarLine, type Progress, progressOn } from "./progress.ts";
import { inputAsItComes, promptOn, readInput } from "./prompt.ts";
import { readSecret, resolveSecret, type SecretArgs, type Wanted } from "./secret.ts";
import type { Column } from "./table.ts";
import { visible, visibleLines } from "./visible.ts";

/** What a command is given beside its arguments. */
export type Desk = {
  /**
   * Opens the core that the settings name, calls `act` as the operator who typed the command, and closes it whatever
   * happens. `open` opens another one than every command works on.
   */
  withCore<T>(act: (core: Core, by: Actor) => Promise<T>, open?: (place: Desk["place"]) => Promise<Core>): Promise<T>;
  /** Who typed the command. For what works without a core. */
  operator(): Promise<Actor>;
  /**
   * Data, to standard output: a list, one object, or a text. `columns` choose what a table, lines and CSV show; JSON always has all of it.
   * A list may be an async iterable of rows or of pages, and is then written as it comes.
   * `unasked` is the format where neither --json nor --output asks for one.
   */
  print<T>(value: T | Rows<T>, columns?: readonly Column<T>[], unasked?: Format): Promise<void>;
  /** A message, to standard error; silent with --quiet. */
  readonly say: (message: string) => void;
  /** A message that only --verbose shows. */
  readonly detail: (message: string) => void;
  /** A message that --quiet shows too. */
  readonly warn: (message: string) => void;
  /** Asks before `deed` ("ends 1,204 sessions of 3 users") is done. Returns only where the answer is yes; otherwise throws `confirmation_required`. */
  confirm(deed: string): Promise<void>;
  /** One line that somebody types. `undefined` where nobody can be asked, or Ctrl-D answers. */
  ask(question: string): Promise<string | undefined>;
  /**
   * A secret from one of the sources of `secretArgs`, or typed twice at the terminal.
   * A generated one is shown once and only after the deed: as `password` of the single object that the command prints, else by itself.
   */
  secret(question: string, args: SecretArgs): Promise<string>;
  /** A secret that a flag expects on standard input: all of that, or what is typed unseen at the terminal. */
  secretInput(wanted: Wanted): Promise<string>;
  /** All of standard input. */
  input(): Promise<string>;
  /** Standard input as it comes, to its end or until the command is interrupted. */
  inputAsItComes(): AsyncIterable<Uint8Array>;
  /** A bar for work that takes more than two seconds; `total` is undefined where nobody knows it. */
  progress(total: number | undefined, label: string): Progress;
  /** Aborted by SIGINT, SIGTERM and --timeout: finish the batch, then return. */
  readonly interrupted: AbortSignal;
  readonly dryRun: boolean;
  readonly reason: string | undefined;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** In milliseconds. */
  readonly timeout: number | undefined;
  readonly now: () => Date;
  /** What data is printed on. */
  readonly terminal: Pick<Output, "isTTY" | "columns">;
  /** Where the settings are looked for; what `loadConfig` and `openCore` want to know. */
  readonly place: {
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly cwd: string;
    readonly envFile?: string;
  };
};

type Circumstances = {
  readonly io: Io;
  readonly argv: readonly string[];
  readonly globals: Globals;
  readonly interruption: Interruption;
  /** Whether what it prints is what was asked for, so that nothing is an answer, too. */
  readonly answers?: boolean;
};

/** The desk of one run. `finish` shows what is still to be shown; it is for a command that did not fail. */
export function openDesk({ io, argv, globals, interruption, answers = false }: Circumstances): {
  readonly desk: Desk;
  readonly finish: () => Promise<void>;
} {
  const { dryRun, reason, quiet, verbose, timeout, envFile } = globals;
  const interactive = io.stdin.isTTY && io.stderr.isTTY && !globals.noInput && !io.env.CI;
  const prompt = promptOn(io, interruption);
  const asked: Format | undefined = globals.json ? "json" : globals.output;
  const format: Format = asked ?? (io.stdout.isTTY ? "table" : "lines");
  const json = format === "json" || format === "ndjson";
  const place = { env: io.env, cwd: io.cwd, ...(envFile !== undefined && { envFile }) };
  const line = barLine(io, quiet);
  const messages = messagesOn(io, line, { quiet, verbose, colour: isColoured(io, globals.noColor) });
  const means = { io, signal: interruption.signal, prompt, interactive, warn: messages.warn };
  let unshown: string | undefined;
  const sayHowItEnds = (): void => {
    if (io.stdin.isTTY) messages.say("Reading what is typed here. Ctrl-D on a line of its own ends it.");
  };

  const desk: Desk = {
    async withCore(act, open) {
      const [{ openCore }, by] = await Promise.all([import("../src/open.ts"), desk.operator()]);
      const core = await (open ? open(place) : openCore({ ...place, purpose: "command" }));
      try {
        return await act(core, by);
      } finally {
        await core.close();
      }
    },
    async operator() {
      const { operator } = await import("../src/core/actors.ts");
      return operator(`${io.user}@${io.host}`, reason);
    },
    async print(value, columns, unasked = format) {
      line?.clear();
      const how = { format: asked ?? unasked, signal: interruption.signal };
      if (unshown === undefined || !isRecord(value)) {
        const rows = await printTo(io.stdout, value, columns, how);
        if (rows === 0 && answers && how.format === "table") desk.say("There is none.");
        return;
      }
      const password = unshown;
      unshown = undefined;
      const record: object = Object.assign({}, value, { password });
      await printTo(
        io.stdout,
        record,
        columns && [...columns.map(anyColumn), { title: "password", of: () => password }],
        how,
      );
    },
    say: messages.say,
    detail: messages.detail,
    warn: messages.warn,
    async confirm(deed) {
      // A rehearsal takes nothing away.
      if (globals.yes || dryRun) return;
      if (!interactive) {
        fail("confirmation_required", { detail: `This ${deed}. To do it: ${commandLine(withYes(argv))}` });
      }
      line?.clear();
      const answer = await prompt.ask(`This ${deed}. Go on? [y/N] `);
      if (!/^\s*y(es)?\s*$/i.test(answer ?? ""))
        fail("confirmation_required", { detail: "The answer was no. Nothing was done." });
    },
    async ask(question) {
      line?.clear();
      return interactive ? await prompt.ask(question) : undefined;
    },
    async secret(question, args) {
      const { value, generated } = await resolveSecret(question, args, means);
      if (generated) unshown = value;
      return value;
    },
    secretInput: (wanted) => readSecret(wanted, means),
    input: () => {
      sayHowItEnds();
      return readInput(io, interruption.signal);
    },
    inputAsItComes: () => {
      sayHowItEnds();
      return inputAsItComes(io, interruption.signal);
    },
    progress: (total, label) => progressOn(line, io, total, label),
    interrupted: interruption.signal,
    dryRun,
    reason,
    json,
    quiet,
    verbose,
    timeout,
    now: io.now,
    terminal: io.stdout,
    place,
  };

  return {
    desk,
    async finish() {
      line?.clear();
      if (unshown === undefined || dryRun) return;
      if (interactive) desk.say("The generated password, shown only now:");
      // A text in JSON would be hard to find in what a program reads; `$(… --generate)` wants nothing but the secret.
      await printTo(io.stdout, json ? { password: unshown } : unshown, undefined, {
        format,
        signal: interruption.signal,
      });
    },
  };
}

/** Words as a shell takes them back. */
export function commandLine(argv: readonly string[]): string {
  const quoted = argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`));
  return ["authctl", ...quoted].join(" ");
}

function withYes(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf("--");
  return end < 0 ? [...argv, "--yes"] : [...argv.slice(0, end), "--yes", ...argv.slice(end)];
}

type Voice = { readonly quiet: boolean; readonly verbose: boolean; readonly colour: boolean };

function messagesOn(
  io: Io,
  line: BarLine | undefined,
  { quiet, verbose, colour }: Voice,
): Pick<Desk, "say" | "detail" | "warn"> {
  const warning = colour ? "\x1b[33mwarning:\x1b[39m " : "warning: ";
  const levels = { warn: 1, info: 3, debug: 4 };
  const consola = createConsola({
    level: verbose ? levels.debug : quiet ? levels.warn : levels.info,
    // Otherwise it swallows a message that is said several times in a second.
    throttle: 0,
    reporters: [
      {
        log({ type, args }) {
          line?.clear();
          const text = visibleLines(args.map(String).join(" "));
          // Nobody waits for a message, and whoever closed standard error does not want it.
          io.stderr.write(`${type === "warn" ? warning : ""}${text}\n`).catch(() => {});
        },
      },
    ],
  });
  return {
    say: (message) => consola.info(message),
    detail: (message) => consola.debug(message),
    warn: (message) => consola.warn(message),
  };
}

function barLine(io: Io, quiet: boolean): BarLine | undefined {
  if (!io.stderr.isTTY || quiet) return undefined;
  let drawn = false;
  const put = (text: string): void => {
    io.stderr.write(text).catch(() => {});
  };
  return {
    draw(text) {
      put(`\r\x1b[K${visible(text)}`);
      drawn = true;
    },
    clear() {
      if (drawn) put("\r\x1b[K");
      drawn = false;
    },
  };
}
