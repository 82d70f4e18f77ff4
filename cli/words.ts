import { fail } from "../src/core/errors.ts";
import type { Command, Group, Tree } from "./command.ts";
import { globals } from "./globals.ts";
import { didYouMean } from "./nearest.ts";
import { type Args, type Argument, kebab } from "./options.ts";
import { visible } from "./visible.ts";

/** A command line, taken apart by the grammar alone; no value has been looked at. */
export type Line = {
  /** The names that led here: `["user", "list"]`. */
  readonly path: readonly string[];
  /** What the path names; undefined is the whole tree. */
  readonly node: Command | Group | undefined;
  readonly globalFlags: ReadonlyMap<string, readonly string[]>;
  readonly flags: ReadonlyMap<string, readonly string[]>;
  readonly positionals: readonly string[];
};

const aliases: Readonly<Record<string, string>> = { ls: "list", rm: "delete", show: "get" };

/** Names whose value would be a secret in the process list and the shell's history (rule: never on the command line). */
const secretName =
  /^(.+-)?(password|passwd|passphrase|pass|pwd|secret|token|api-key|secret-key|private-key|signing-key)$/;

/**
 * Takes `argv` apart, strictly: whatever is not known, doubled, surplus or ambiguous is a usage error, because
 * a flag that is quietly ignored may be the one that kept a command from deleting. No message repeats a value.
 */
export async function parseLine(argv: readonly string[], tree: Tree): Promise<Line> {
  const globalFlags = new Map<string, string[]>();
  const flags = new Map<string, string[]>();
  const path: string[] = [];
  const positionals: string[] = [];
  let node: Command | Group | undefined;

  for (let at = 0; at < argv.length; at++) {
    const word = argv[at]!;
    if (word === "--") {
      for (const rest of argv.slice(at + 1)) await place(rest);
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      await place(word);
      continue;
    }
    const own = node?.kind === "command" ? node.args : {};
    const { name, argument, value, negated } = recognise(word, own, path);
    const shown = word.startsWith("--") ? `--${name}` : `-${argument.short}`;
    const target = Object.hasOwn(own, camel(name)) ? flags : globalFlags;
    const words = target.get(name) ?? [];
    if (words.length > 0 && !argument.many) refuse(path, `${shown} stands there twice.`);
    if (argument.type === "toggle") {
      if (value !== undefined) refuse(path, `${shown} takes no value.`);
      words.push(String(!negated));
    } else if (value !== undefined) {
      words.push(value);
    } else {
      const next = argv[at + 1];
      if (next === undefined) refuse(path, `${shown} needs a value: ${shown}=${argument.hint}.`);
      // Otherwise `--kind --dry-run` and `--kind -n` would swallow the flag that makes the command safe.
      if (/^-[^\d]/.test(next)) {
        refuse(path, `${shown} needs a value; one that begins with a dash is written ${shown}=….`);
      }
      words.push(next);
      at++;
    }
    target.set(name, words);
  }
  if (node?.kind === "command" && !globalFlags.has("help")) checkCount(node, path, positionals);
  return { path, node, globalFlags, flags, positionals };

  async function place(word: string): Promise<void> {
    if (node?.kind === "command") {
      positionals.push(word);
      return;
    }
    const names = node ? node.verbs : tree;
    const name = !Object.hasOwn(names, word) && node && Object.hasOwn(aliases, word) ? aliases[word]! : word;
    if (!Object.hasOwn(names, name)) {
      const candidates = Object.keys(names);
      const noun = ["authctl", ...path].join(" ");
      refuse(path, `There is no command \`${noun} ${visible(word)}\`.${didYouMean(word, candidates, `${noun} `)}`);
    }
    node = node ? node.verbs[name]! : (await tree[name]!.load(tree)).default;
    path.push(name);
  }
}

type Recognised = { name: string; argument: Argument; value: string | undefined; negated: boolean };

/** Which flag a word is. `own` are those of the command, if it is known yet. */
function recognise(word: string, own: Args, path: readonly string[]): Recognised {
  const known = new Map([...flagsOf(globals), ...flagsOf(own)]);
  const equals = word.indexOf("=");
  const stem = equals < 0 ? word : word.slice(0, equals);
  const value = equals < 0 ? undefined : word.slice(equals + 1);

  if (!word.startsWith("--")) {
    const byShort = [...known].find(([, { short }]) => short !== undefined && `-${short}` === stem);
    if (byShort) return { name: byShort[0], argument: byShort[1], value, negated: false };
    const letters = Array.from(stem.slice(1));
    const bundled =
      letters.length > 1 && letters.every((letter) => [...known.values()].some((each) => each.short === letter));
    if (bundled) refuse(path, `Short flags stand apart: ${letters.map((letter) => `-${letter}`).join(" ")}.`);
    // Only the first letter: `-pSECRET` is how other programs take a password.
    return refuse(path, `There is no flag -${visible(letters[0] ?? "")}${placeHint(path, own)}.`);
  }

  const name = stem.slice(2);
  const argument = known.get(name);
  if (argument) return { name, argument, value, negated: false };
  const positive = name.startsWith("no-") ? known.get(name.slice(3)) : undefined;
  if (positive?.negatable) return { name: name.slice(3), argument: positive, value, negated: true };
  if (positive) refuse(path, `--${name.slice(3)} cannot be turned off: there is no --${name}.`);
  if (secretName.test(name.toLowerCase().replaceAll("_", "-"))) fail("secret_on_command_line");
  return refuse(
    path,
    `There is no flag --${visible(name)}${placeHint(path, own)}.${didYouMean(name, [...known.keys()], "--")}`,
  );
}

/** The arguments that are flags, by their names as written. */
function flagsOf(args: Args): ReadonlyArray<readonly [string, Argument]> {
  const flags = Object.entries(args).filter(([, { place }]) => place === "flag");
  return flags.map(([key, argument]) => [kebab(key), argument]);
}

/** The flags of a command are known only after its name. */
function placeHint(path: readonly string[], own: Args): string {
  return Object.keys(own).length > 0 || path.length > 0
    ? ` for \`${["authctl", ...path].join(" ")}\``
    : " before the command";
}

/** A surplus word is not repeated: it may be a secret, and it may be a flag without its dashes. */
function checkCount(command: Command, path: readonly string[], words: readonly string[]): void {
  const places = Object.values(command.args).filter(({ place }) => place === "positional");
  if (places.some(({ many }) => many) || words.length <= places.length) return;
  const surplus = words[places.length]!;
  const taken = places.length === 0 ? "no arguments" : `only ${places.map(({ hint }) => hint).join(" ")}`;
  const flags = [...flagsOf(globals), ...flagsOf(command.args)].map(([name]) => name);
  const meant = didYouMean(surplus, flags, "--");
  refuse(
    path,
    `\`authctl ${path.join(" ")}\` takes ${taken}, and ${words.length} ${words.length === 1 ? "was" : "were"} given.${meant}`,
  );
}

function refuse(path: readonly string[], sentence: string): never {
  fail("usage", { detail: `${sentence} ${seeHelp(path)}` });
}

/** Where to read on. */
export function seeHelp(path: readonly string[]): string {
  return path.length === 0 ? "See `authctl help`." : `See \`authctl ${path.join(" ")} --help\`.`;
}

function camel(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
