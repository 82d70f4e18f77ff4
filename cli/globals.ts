import { fail } from "../src/core/errors.ts";
import { type ArgsOf, choice, duration, kebab, readAll, text, toggle } from "./options.ts";

export const formats = ["table", "json", "ndjson", "csv", "id"] as const;

/** The flags that every command takes, anywhere on the line. */
export const globals = {
  json: toggle("print JSON, and failures as one line of problem JSON"),
  output: choice("how to print data", formats),
  quiet: toggle("no messages, only data and failures", { short: "q" }),
  verbose: toggle("say more, and show where a defect broke", { short: "v" }),
  yes: toggle("confirm what the command would ask", { short: "y" }),
  dryRun: toggle("say what would be done, and do nothing", { short: "n" }),
  noInput: toggle("never ask anything"),
  envFile: text("read settings from this file instead of .env", { hint: "FILE" }),
  reason: text("why, for the audit trail"),
  timeout: duration("give up after this time", { hint: "30s" }),
  noColor: toggle("no colour (NO_COLOR does the same)"),
  help: toggle("show help", { short: "h" }),
  version: toggle("show the version"),
};

export type Globals = ArgsOf<typeof globals>;
export type GlobalName = keyof typeof globals;

/** Words of the flags, by name as it is written: `dry-run`. */
export type FlagWords = ReadonlyMap<string, readonly string[]>;

const withoutTwin: ReadonlySet<string> = new Set(["help", "version"]);

/** Flags that exclude each other. One that was typed also silences the environment twins of its rivals. */
const rivals: ReadonlyArray<readonly [GlobalName, GlobalName]> = [
  ["json", "output"],
  ["quiet", "verbose"],
];

/** `dryRun` → `AUTHCTL_DRY_RUN`; undefined for the flags that have no twin. */
export function twinOf(key: string): string | undefined {
  return withoutTwin.has(key) ? undefined : `AUTHCTL_${kebab(key).replaceAll("-", "_").toUpperCase()}`;
}

/** The global flags' values: what was typed, else the environment twin, else the default. */
export function readGlobals(typed: FlagWords, env: Environment, now: Date): Globals {
  for (const [one, other] of rivals) {
    if (typed.has(kebab(one)) && typed.has(kebab(other))) {
      fail("usage", { detail: `--${kebab(one)} and --${kebab(other)} exclude each other.` });
    }
  }
  const outspoken = (key: string): boolean =>
    rivals.some((pair) => pair.some((name) => name === key) && pair.some((name) => typed.has(kebab(name))));
  const values = readAll(globals, (key) => typed.get(kebab(key)) ?? [], { now, detail: "See `authctl help`." });
  const fromTwins = Object.entries(globals).flatMap(([key, argument]) => {
    const twin = twinOf(key);
    const word = twin && env[twin];
    if (!twin || !word || typed.has(kebab(key)) || outspoken(key)) return [];
    const { [twin]: value } = readAll({ [twin]: { ...argument, place: "positional", hint: twin } }, () => [word], {
      now,
      detail: `Correct the environment variable ${twin}.`,
    });
    return [[key, value]];
  });
  return { ...values, ...Object.fromEntries(fromTwins) };
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether failures are told as JSON: also for a line that was not understood, so its words are only looked at. */
export function speaksJson(argv: readonly string[], env: Environment): boolean {
  const flags = beforeDashes(argv);
  if (flags.includes("--json")) return true;
  const at = flags.findIndex((word) => word === "--output" || word.startsWith("--output="));
  const output =
    at < 0 ? env.AUTHCTL_OUTPUT : flags[at] === "--output" ? flags[at + 1] : flags[at]?.slice("--output=".length);
  return /^(nd)?json$/.test(output ?? "") || (at < 0 && isOn(env.AUTHCTL_JSON));
}

/** Whether a defect shows where it broke. */
export function speaksVerbosely(argv: readonly string[], env: Environment): boolean {
  return beforeDashes(argv).some((word) => word === "--verbose" || word === "-v") || isOn(env.AUTHCTL_VERBOSE);
}

/** Whether colours are refused, also for a line that was not understood. */
export function refusesColour(argv: readonly string[], env: Environment): boolean {
  return beforeDashes(argv).includes("--no-color") || isOn(env.AUTHCTL_NO_COLOR);
}

function beforeDashes(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf("--");
  return end < 0 ? argv : argv.slice(0, end);
}

function isOn(word: string | undefined): boolean {
  return /^(1|true|on|yes)$/i.test(word ?? "");
}
