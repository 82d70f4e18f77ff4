import { command, group, type Tree } from "../../cli/command.ts";
import type { Io, Signal } from "../../cli/io.ts";
import { PipeClosed } from "../../cli/io.ts";
import { choice, duration, number, positional, text, time, toggle } from "../../cli/options.ts";
import { run } from "../../cli/run.ts";
import { secretArgs } from "../../cli/secret.ts";
import { fail } from "../../src/core/errors.ts";

/** What is different from a quiet pipe at noon. */
export type Outside = {
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  terminal?: boolean;
  stdoutTTY?: boolean;
  columns?: number;
  /** What is typed or piped, one chunk at a read. */
  input?: readonly string[];
  /** The reader of standard output leaves after so many writes. */
  leavesAfter?: number;
  now?: () => Date;
  tree?: Tree;
};

export const noon = new Date("2026-01-31T12:00:00Z");

/** A run of `line` and all that came of it. `send` delivers a signal. */
export function start(argv: readonly string[], outside: Outside = {}) {
  const out = { stdout: "", stderr: "", quit: undefined as number | undefined, raw: [] as boolean[] };
  const listeners = new Set<(signal: Signal) => void>();
  const { terminal = false, input = [], leavesAfter = Number.POSITIVE_INFINITY, columns = 80 } = outside;
  const chunks = input.map((chunk) => new TextEncoder().encode(chunk));
  let writes = 0;
  const io: Io = {
    env: outside.env ?? {},
    cwd: outside.cwd ?? "/",
    user: "ada",
    host: "engine",
    stdin: { isTTY: terminal, read: async () => chunks.shift(), raw: (on) => void out.raw.push(on) },
    stdout: {
      isTTY: outside.stdoutTTY ?? terminal,
      columns,
      async write(words) {
        if (++writes > leavesAfter) throw new PipeClosed();
        out.stdout += words;
      },
    },
    stderr: { isTTY: terminal, columns, write: async (words) => void (out.stderr += words) },
    randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
    now: outside.now ?? (() => noon),
    onSignal(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    quit: (code) => void (out.quit ??= code),
  };
  const ended = run(argv, io, outside.tree ?? toys).then((code) => ({ code, ...out }));
  const send = (signal: Signal): void => listeners.forEach((listener) => listener(signal));
  return { ended, send, out };
}

/** The same for a line that simply ends; `words` are parted by spaces. */
export function type(words: string | readonly string[], outside?: Outside) {
  return start(typeof words === "string" ? words.split(" ").filter((word) => word !== "") : words, outside).ended;
}

const echo = command({
  description: "Say what was understood. And more.",
  effect: "write",
  dryRun: true,
  args: {
    size: number("how many", { min: 1, max: 100, default: 10 }),
    olderThan: duration("age", { default: 60_000 }),
    since: time("from when"),
    kind: choice("which", ["access", "refresh"], { many: true }),
    mode: choice("how", ["fast", "slow"]),
    name: text("a name"),
    colours: toggle("colours", { negatable: true, default: true }),
    force: toggle("force", { short: "f" }),
    who: positional("WHO", "whom", { many: true }),
  },
  examples: ["authctl toy echo ada"],
  exits: { 4: "it echoes already" },
  run: async (args, desk) => desk.print({ ...args, dryRun: desk.dryRun, reason: desk.reason }),
});

/** A tree with one command of each sort. */
export const toys: Tree = {
  toy: {
    summary: "things to play with",
    load: async () => ({
      default: group({
        description: "Things to play with.",
        verbs: {
          echo,
          list: command({
            description: "List.",
            effect: "read",
            args: { rows: number("how many", { default: 2 }) },
            async run({ rows }, desk) {
              await desk.print(
                (async function* () {
                  for (let id = 1; id <= rows; id++) yield { id, name: `name ${id}`, at: noon };
                })(),
              );
            },
          }),
          get: command({
            description: "Get one.",
            effect: "read",
            args: { one: positional("ONE", "which", { required: true }), email: text("address", { required: true }) },
            run: async (args, desk) => desk.print(args),
          }),
          delete: command({
            description: "Delete.",
            effect: "destructive",
            args: { ids: positional("ID", "which", { many: true }) },
            async run({ ids }, desk) {
              await desk.confirm(`deletes ${ids.length} toys`);
              desk.say("deleted");
            },
          }),
          lock: command({
            description: "Lock with a secret.",
            effect: "write",
            args: { ...secretArgs, show: toggle("print the toy") },
            async run({ show, ...args }, desk) {
              const secret = await desk.secret("Password", args);
              if (show) await desk.print({ id: 1, length: secret.length });
              else desk.say(`${secret.length} characters`);
            },
          }),
          fall: command({
            description: "Fall.",
            effect: "write",
            args: { how: choice("how", ["missing", "defect", "sql"]) },
            async run({ how }) {
              if (how === "missing") fail("not_found", { detail: "No \u001b[31mtoy." });
              if (how === "sql") {
                throw new Error("Failed query: select ?\nparams: hunter2", { cause: new Error("bad value hunter2") });
              }
              throw new TypeError("a wheel came off");
            },
          }),
          wait: command({
            description: "Wait for a signal.",
            effect: "write",
            args: { left: toggle("tell what is left") },
            async run({ left }, desk) {
              await new Promise((resolve) => desk.interrupted.addEventListener("abort", resolve));
              desk.say("batch finished");
              if (left) fail("partly_done", { detail: "Two toys are left." });
            },
          }),
          part: group({
            description: "Parts.",
            verbs: { add: command({ description: "Add.", effect: "write", run: async () => {} }) },
          }),
        },
      }),
    }),
  },
  heavy: {
    summary: "must not be loaded for help",
    load: () => Promise.reject(new Error("loaded")),
  },
  solo: {
    summary: "a command without verbs",
    load: async () => ({ default: command({ description: "Alone.", effect: "read", run: async () => 5 }) }),
  },
  help: { summary: "help", load: async (tree) => (await import("../../cli/help.ts")).helpOn(tree) },
};
