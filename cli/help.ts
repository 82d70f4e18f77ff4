import { fail } from "../src/core/errors.ts";
import { type Command, command, type Group, type Tree } from "./command.ts";
import { globals, twinOf } from "./globals.ts";
import { exitMeanings, helpText } from "./help-text.ts";
import { type Args, nameOf, positional } from "./options.ts";
import { parseLine } from "./words.ts";

/** `authctl help`, which knows `tree`. */
export function helpOn(tree: Tree): { readonly default: Command } {
  const help = command({
    description: "Show help: of everything, of a noun, or of one command. With --json, all there is to know about it.",
    effect: "read",
    args: { path: positional("COMMAND", "the command, such as `user list`", { many: true }) },
    examples: ["authctl help user list", "authctl help --json"],
    async run({ path }, desk) {
      if (path.some((word) => word.startsWith("-")))
        fail("usage", { detail: "`authctl help` takes names of commands." });
      const found = await parseLine([...path, "--help"], tree);
      if (found.positionals.length > 0)
        fail("usage", { detail: `\`authctl ${found.path.join(" ")}\` has no commands below it.` });
      await desk.print(
        desk.json ? await describe(found.node ?? tree, found.path, tree) : helpText(found.node ?? tree, found.path),
        undefined,
      );
    },
  });
  return { default: help };
}

/** A command as documentation wants it: every name, type, default, effect and exit code. */
export type Description = {
  readonly command: string;
  readonly description: string;
  readonly effect: Command["effect"];
  readonly dryRun: boolean;
  readonly arguments: readonly object[];
  readonly flags: readonly object[];
  readonly examples: readonly string[];
  readonly exits: Readonly<Record<number, string>>;
};

/** Every command at or below `node`, and the flags that all of them take. */
export async function describe(
  node: Command | Group | Tree,
  path: readonly string[],
  tree: Tree,
): Promise<{ globalFlags: readonly object[]; commands: readonly Description[] }> {
  return { globalFlags: describeArgs(globals, "flag"), commands: await descriptions(node, path, tree) };
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
    arguments: describeArgs(args, "positional"),
    flags: describeArgs(args, "flag"),
    examples,
    exits: { ...exitMeanings, ...exits },
  };
}

function describeArgs(args: Args, place: "flag" | "positional"): readonly object[] {
  return Object.entries(args)
    .filter(([, argument]) => argument.place === place)
    .map(([key, argument]) => ({
      name: nameOf(key, argument),
      short: argument.short && `-${argument.short}`,
      type: argument.type,
      choices: argument.choices,
      description: argument.description,
      required: argument.required,
      many: argument.many,
      negatable: argument.negatable,
      default: argument.fallback,
      environment: args === globals ? twinOf(key) : undefined,
    }));
}

function isCommand(node: Command | Group | Tree): node is Command {
  return node.kind === "command";
}

function isGroup(node: Group | Tree): node is Group {
  return node.kind === "group";
}
