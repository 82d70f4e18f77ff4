import { version } from "../package.json";
import { fail } from "../src/core/errors.ts";
import { type Command, command, type Group, type Tree } from "./command.ts";
import { type Source, sourceOf } from "./complete.ts";
import { globals, twinOf } from "./globals.ts";
import { exitMeanings, forTerminal, helpText } from "./help-text.ts";
import { type Args, type ArgumentType, nameOf, positional, toggle } from "./options.ts";
import { parseLine } from "./words.ts";

/** `authctl help`, which knows `tree`. */
export function helpOn(tree: Tree): { readonly default: Command } {
  const help = command({
    description: "Show help: of everything, of a noun, or of one command. With --json, all there is to know about it.",
    effect: "read",
    args: {
      path: positional("COMMAND", "the command, such as `user list`", { many: true }),
      man: toggle("the whole manual, as `man` reads it"),
    },
    examples: ["authctl help user list", "authctl help --json", "authctl help --man > authctl.1"],
    async run({ path, man }, desk) {
      if (man) {
        if (path.length > 0) fail("usage", { detail: "--man prints all of it: it takes no command." });
        return await desk.print((await import("./manual.ts")).manualPage(await describe(tree, [], tree), tree));
      }
      if (path.some((word) => word.startsWith("-")))
        fail("usage", { detail: "`authctl help` takes names of commands." });
      const found = await parseLine([...path, "--help"], tree);
      if (found.positionals.length > 0)
        fail("usage", { detail: `\`authctl ${found.path.join(" ")}\` has no commands below it.` });
      if (desk.json) return await desk.print(await describe(found.node ?? tree, found.path, tree));
      return await desk.print(forTerminal(helpText(found.node ?? tree, found.path), desk.terminal));
    },
  });
  return { default: help };
}

/** One flag or argument. Members that say nothing of it are left out. */
type ArgumentDescription = {
  /** As it is written: `--older-than`, or `USER`. */
  readonly name: string;
  readonly short?: string;
  readonly type: ArgumentType;
  /** What stands for the value: `30d`. */
  readonly hint?: string;
  readonly choices?: readonly string[];
  readonly description: string;
  readonly required: boolean;
  readonly many: boolean;
  /** Whether there is a `--no-…` of it. */
  readonly negatable: boolean;
  /** As it would be written. */
  readonly default?: string;
  /** The variable that stands for it. */
  readonly environment?: string;
  /** What completion offers for it. */
  readonly completes?: Source;
};

/** A command as documentation wants it: every name, type, default, effect and exit code. */
export type Description = {
  readonly command: string;
  readonly description: string;
  readonly effect: Command["effect"];
  readonly dryRun: boolean;
  /** In their order; the last one may be `many`. */
  readonly arguments: readonly ArgumentDescription[];
  readonly flags: readonly ArgumentDescription[];
  readonly examples: readonly string[];
  readonly exits: Readonly<Record<number, string>>;
};

/** What programs are told. Members are added to it, never renamed or taken away while `format` stays the same. */
export type Manual = {
  readonly format: 1;
  readonly version: string;
  /** Flags that every command takes. */
  readonly globalFlags: readonly ArgumentDescription[];
  readonly commands: readonly Description[];
};

/** Every command at or below `node`. */
export async function describe(node: Command | Group | Tree, path: readonly string[], tree: Tree): Promise<Manual> {
  return {
    format: 1,
    version,
    globalFlags: describeArgs(globals, "flag", path),
    commands: await descriptions(node, path, tree),
  };
}

async function descriptions(
  node: Command | Group | Tree,
  path: readonly string[],
  tree: Tree,
): Promise<readonly Description[]> {
  if (isCommand(node)) return [describeCommand(node, path)];
  const below: Description[] = [];
  const names = isGroup(node) ? node.verbs : node;
  for (const [name, child] of Object.entries(names)) {
    const loaded = "load" in child ? (await child.load(tree)).default : child;
    below.push(...(await descriptions(loaded, [...path, name], tree)));
  }
  return below;
}

function describeCommand(
  { description, args, effect, dryRun, examples, exits }: Command,
  path: readonly string[],
): Description {
  return {
    command: ["authctl", ...path].join(" "),
    description,
    effect,
    dryRun,
    arguments: describeArgs(args, "positional", path),
    flags: describeArgs(args, "flag", path),
    examples,
    exits: { ...exitMeanings, ...exits },
  };
}

function describeArgs(
  args: Args,
  place: "flag" | "positional",
  path: readonly string[],
): readonly ArgumentDescription[] {
  return Object.entries(args)
    .filter(([, argument]) => argument.place === place)
    .map(([key, argument]) => {
      const twin = args === globals ? twinOf(key) : undefined;
      const completes = argument.type === "toggle" || argument.choices ? undefined : sourceOf(argument, path);
      return {
        name: nameOf(key, argument),
        ...(argument.short && { short: `-${argument.short}` }),
        type: argument.type,
        ...(argument.hint !== "" && { hint: argument.hint }),
        ...(argument.choices && { choices: argument.choices }),
        description: argument.description,
        required: argument.required,
        many: argument.many,
        negatable: argument.negatable,
        ...(argument.fallback !== undefined && { default: argument.fallback }),
        ...(twin && { environment: twin }),
        ...(completes && { completes }),
      };
    });
}

function isCommand(node: Command | Group | Tree): node is Command {
  return node.kind === "command";
}

function isGroup(node: Group | Tree): node is Group {
  return node.kind === "group";
}
