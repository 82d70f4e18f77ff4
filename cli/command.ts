import { type ArgDef, type CommandDef, defineCommand } from "citty";
import type { Desk } from "./desk.ts";
import type { GlobalName } from "./globals.ts";
import { type Args, type ArgsOf, type Argument, kebab, readAll } from "./options.ts";

/** What a command may do to the data: nothing, change it, or take away what cannot be brought back. */
export type Effect = "read" | "write" | "destructive";

/** A runnable command, as help and the parser see it; its types are kept by `command`. */
export type Command = {
  readonly kind: "command";
  readonly description: string;
  readonly args: Args;
  readonly effect: Effect;
  readonly dryRun: boolean;
  readonly examples: readonly string[];
  readonly exits: Readonly<Record<number, string>>;
  /** What citty runs. Its `data` is an `Errand`. */
  readonly definition: CommandDef;
};

/** What comes with the words of a run, through citty's `data`. */
export type Errand = { readonly desk: Desk; readonly now: Date; readonly detail: string };

export type Group = {
  readonly kind: "group";
  readonly description: string;
  readonly verbs: Readonly<Record<string, Command | Group>>;
};

/** A name of the first level. `summary` stands in the static table, so that `authctl --help` loads no command. */
export type Entry = {
  readonly summary: string;
  readonly load: (tree: Tree) => Promise<{ readonly default: Command | Group }>;
};

export type Tree = Readonly<Record<string, Entry>>;

type Letter =
  | "A"
  | "B"
  | "C"
  | "D"
  | "E"
  | "F"
  | "G"
  | "H"
  | "I"
  | "J"
  | "K"
  | "L"
  | "M"
  | "N"
  | "O"
  | "P"
  | "Q"
  | "R"
  | "S"
  | "T"
  | "U"
  | "V"
  | "W"
  | "X"
  | "Y"
  | "Z";

type Specification<A extends Args> = {
  readonly description: string;
  /** The names of global flags are taken, and citty takes `no…` for the opposite of another flag: that is what `negatable` is for. */
  readonly args?: A & { readonly [K in GlobalName | `no${Letter}${string}`]?: never };
  readonly effect: Effect;
  /** Whether it has a rehearsal: `run` then looks at `desk.dryRun`. Without this `--dry-run` is refused. */
  readonly dryRun?: boolean;
  /** Whole lines, `authctl` included. */
  readonly examples?: readonly string[];
  /** What exit codes mean here, beyond those that every command has. */
  readonly exits?: Readonly<Record<number, string>>;
  /** Does the work. Returns an exit code only where that is part of its answer; failures are thrown. */
  run(args: ArgsOf<A>, desk: Desk): Promise<number | void>;
};

/** A command with typed arguments: `run` gets them parsed and checked, one member for each key of `args`. */
export function command<const A extends Args>(specification: Specification<A>): Command {
  const { description, args, effect, dryRun = false, examples = [], exits = {} } = specification;
  // Where `args` is missing, `A` is empty
  const known = (args ?? {}) as A;
  const positionals = Object.keys(known).filter((key) => known[key]?.place === "positional");
  return {
    kind: "command",
    description,
    args: known,
    effect,
    dryRun,
    examples,
    exits,
    definition: defineCommand({
      meta: { description },
      args: Object.fromEntries(Object.entries(known).map(([key, argument]) => [kebab(key), cittyForm(argument)])),
      run({ args: words, data }) {
        const errand: Errand = data;
        const wordsOf = (key: string, argument: Argument): readonly string[] => {
          if (argument.place === "flag") return argument.many ? commaParted(words[kebab(key)]) : one(words[kebab(key)]);
          const at = positionals.indexOf(key);
          return words._.slice(at, argument.many ? undefined : at + 1);
        };
        return specification.run(readAll(known, wordsOf, errand), errand.desk);
      },
    }),
  };
}

/** A noun with its verbs. It never runs anything itself. */
export function group(specification: Omit<Group, "kind">): Group {
  return { kind: "group", ...specification };
}

/**
 * The words of a run in the one spelling that citty cannot misread: every value behind `=`, a flag that may
 * stand several times once with its values between commas, and all positionals behind `--`.
 */
export function canonical(flags: ReadonlyMap<string, readonly string[]>, positionals: readonly string[]): string[] {
  return [...[...flags].map(([name, words]) => `--${name}=${words.join(",")}`), "--", ...positionals];
}

/** Nothing is required here and nothing has a default: `readAll` knows about both, and tells all that is missing at once. */
function cittyForm({ place, type, description }: Argument): ArgDef {
  if (place === "positional") return { type: "positional", description, required: false };
  return { type: type === "toggle" ? "boolean" : "string", description };
}

function one(word: unknown): readonly string[] {
  return typeof word === "string" || typeof word === "boolean" ? [String(word)] : [];
}

function commaParted(word: unknown): readonly string[] {
  return one(word).flatMap((words) => words.split(",").map((part) => part.trim()));
}
