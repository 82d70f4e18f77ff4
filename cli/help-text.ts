import type { Command, Group, Tree } from "./command.ts";
import { globals } from "./globals.ts";
import type { Output } from "./io.ts";
import { type Args, type Argument, kebab, nameOf } from "./options.ts";

/** What the exit codes mean for every command; a command may say it more precisely. */
export const exitMeanings: Readonly<Record<number, string>> = {
  0: "done, or nothing to do",
  1: "failed: unexpected",
  2: "usage: unknown flag, bad value, missing confirmation",
  3: "not found",
  4: "conflict: exists already, last admin, key still in use",
  5: "a check found something",
  6: "partly done: some rows refused, or the time budget ended with work left",
  69: "a part that it needs is down",
  75: "try again later: another run holds the lock, the database is busy",
  77: "not permitted",
  78: "the configuration is invalid",
  130: "interrupted by SIGINT; finished batches stay",
  143: "interrupted by SIGTERM; finished batches stay",
};

/** Help for people, about whatever `path` names. Loads nothing. */
export function helpText(node: Command | Group | Tree, path: readonly string[]): string {
  const called = ["authctl", ...path].join(" ");
  if (isTree(node)) {
    const names = Object.entries(node).map(([name, { summary }]) => [name, summary] as const);
    return sections(
      "The auth server that one command starts and that is administered from a shell.",
      ["Usage", ["authctl <command> [arguments] [flags]"]],
      ["Commands", aligned(names)],
      ["Flags, anywhere on the line", flagLines(globals)],
      ["More", ["authctl help <command>", "authctl help --json"]],
    );
  }
  if (node.kind === "group") {
    const verbs = Object.entries(node.verbs).map(([name, verb]) => [name, firstSentence(verb.description)] as const);
    return sections(
      node.description,
      ["Usage", [`${called} <verb> [arguments] [flags]`]],
      ["Verbs", aligned(verbs)],
      ["More", [`authctl help ${path.join(" ")} <verb>`]],
    );
  }
  const positionals = Object.values(node.args).filter(({ place }) => place === "positional");
  const exits = Object.entries(node.exits);
  return sections(
    node.description,
    ["Usage", [[called, ...positionals.map(usageOf), "[flags]"].join(" ")]],
    ["Arguments", aligned(positionals.map((argument) => [argument.hint, note(argument)] as const))],
    ["Flags", flagLines(node.args)],
    ["Effect", [effects[node.effect] + (node.dryRun ? "; --dry-run rehearses it" : "")]],
    ["Examples", node.examples],
    ["Exit codes", aligned(exits)],
    ["More", ["authctl help shows the flags that every command takes."]],
  );
}

/** The same broken at spaces where a terminal would break it anywhere. Lines that are typed as they stand are left alone. */
export function forTerminal(text: string, { isTTY, columns }: Pick<Output, "isTTY" | "columns">): string {
  if (!isTTY) return text;
  const lines = text.split("\n").map((line) => {
    const [, name = "", words = line] = /^( {2}\S.*? {2,})(\S.*)$/.exec(line) ?? [];
    // Where names take most of the line, their words stand below them.
    if (name.length > columns / 2) return `${name.trimEnd()}\n${indented(words, 6, columns)}`;
    if (line.length <= columns || (name === "" && line.startsWith(" "))) return line;
    return name + indented(words, name.length, columns).trimStart();
  });
  return lines.join("\n");
}

const indented = (words: string, by: number, columns: number): string =>
  Bun.wrapAnsi(words, columns - by).replace(/^/gm, " ".repeat(by));

const effects = {
  read: "changes nothing",
  write: "changes data",
  destructive: "takes data away, and asks first",
} as const satisfies Record<Command["effect"], string>;

type Section = readonly [title: string, lines: readonly string[]];

function sections(description: string, ...parts: readonly Section[]): string {
  const filled = parts.filter(([, lines]) => lines.length > 0);
  return [
    description,
    ...filled.map(([title, lines]) => [`${title}:`, ...lines.map((line) => `  ${line}`)].join("\n")),
  ].join("\n\n");
}

function flagLines(args: Args): readonly string[] {
  const flags = Object.entries(args).filter(([, { place }]) => place === "flag");
  return aligned(flags.map(([key, argument]) => [spelling(key, argument), note(argument)] as const));
}

function spelling(key: string, argument: Argument): string {
  const name = argument.negatable ? `--[no-]${kebab(key)}` : nameOf(key, argument);
  const short = argument.short ? `-${argument.short}, ` : "";
  return short + name + (argument.type === "toggle" ? "" : ` ${argument.hint}`);
}

function note(argument: Argument): string {
  const facts = [
    argument.required && "required",
    argument.many && (argument.place === "flag" ? "several with commas" : "- reads them from standard input"),
    argument.fallback !== undefined &&
      argument.fallback !== "false" &&
      `default ${argument.fallback === "true" ? "on" : argument.fallback}`,
  ].filter((fact) => fact !== false);
  return facts.length === 0 ? argument.description : `${argument.description} (${facts.join("; ")})`;
}

function usageOf({ hint, required, many }: Argument): string {
  const name = many ? `${hint}…` : hint;
  return required ? name : `[${name}]`;
}

function firstSentence(text: string): string {
  return /^.*?\.(?=\s|$)/s.exec(text)?.[0] ?? text;
}

function aligned(rows: ReadonlyArray<readonly [string, string]>): readonly string[] {
  const width = Math.max(0, ...rows.map(([name]) => name.length));
  return rows.map(([name, words]) => `${name.padEnd(width)}  ${words}`.trimEnd());
}

function isTree(node: Command | Group | Tree): node is Tree {
  return typeof node.kind !== "string";
}
