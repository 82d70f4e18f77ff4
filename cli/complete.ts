/**
 * What may stand where somebody is typing. A shell asks at each press of the tab key, so this answers soon, prints
 * nothing else, and never fails: where nothing can be said, nothing is.
 */
import type { Candidate, NamedKind } from "../src/core/completing.ts";
import type { Command, Group, Tree } from "./command.ts";
import { globals } from "./globals.ts";
import type { Io } from "./io.ts";
import { type Args, type Argument, kebab } from "./options.ts";
import { visible } from "./visible.ts";

/** How long a database is waited for, in milliseconds: nobody waits longer for a word. */
const patience = 1_000;
/** More than this nobody reads. */
const most = 50;
/** The line that hands the question back to the shell: it knows the files. */
const files = ":file";

/** `words` are those of the line so far, without the program's name; the last one is being typed and may be empty. */
export async function complete(words: readonly string[], io: Io, tree: Tree): Promise<number> {
  const lines = await answer(words, io, tree).catch(() => []);
  await io.stdout.write(lines.map((line) => `${line}\n`).join("")).catch(() => {});
  return 0;
}

async function answer(words: readonly string[], io: Io, tree: Tree): Promise<readonly string[]> {
  const place = await placeOf(words, tree);
  if (!place) return [];
  const found = await candidates(place, io, tree);
  if (found === files) return [files];
  return (
    found
      .filter(({ word }) => word.startsWith(place.word) || word.toLowerCase().startsWith(place.word.toLowerCase()))
      // A word that a terminal would not show as it is would not be what was chosen.
      .filter(({ word }) => word === visible(word) && !/\s/.test(word))
      .slice(0, most)
      .map(({ word, about }) => `${place.before}${word}\t${visible(about).replaceAll(/\s+/g, " ")}`)
  );
}

/** What is being typed: a name below `node`, a flag of it, or a value. */
type Place = {
  /** What stands before the word that is asked for, and within the word that is typed: `--role=admin,`. */
  readonly before: string;
  readonly word: string;
  readonly path: readonly string[];
  readonly node: Command | Group | undefined;
  /** The argument whose value it is. */
  readonly argument?: Argument;
  /** Flags that stand there already. */
  readonly given: ReadonlySet<string>;
  readonly flag: boolean;
  /** Where the settings are, if the line says so. */
  readonly envFile?: string;
};

/** Far more forgiving than the parser: the line is not finished. */
async function placeOf(words: readonly string[], tree: Tree): Promise<Place | undefined> {
  const done = words.slice(0, -1);
  const last = words.at(-1) ?? "";
  const path: string[] = [];
  const given = new Set<string>();
  let node: Command | Group | undefined;
  let awaiting: Argument | undefined;
  let onlyWords = false;
  let positionals = 0;
  let envFile: string | undefined;

  for (const word of done) {
    if (awaiting) {
      if (awaiting === globals.envFile) envFile = word;
      awaiting = undefined;
    } else if (!onlyWords && word === "--") {
      onlyWords = true;
    } else if (!onlyWords && word.startsWith("-") && word !== "-") {
      const [name = ""] = word.split("=");
      const argument = flagNamed(name, argsOf(node));
      given.add(name);
      if (name === "--env-file" && word.includes("=")) envFile = word.slice(word.indexOf("=") + 1);
      if (argument && argument.type !== "toggle" && !word.includes("=")) awaiting = argument;
    } else if (node?.kind === "command") {
      positionals += 1;
      // `help user list`: what follows are names again.
      if (path[0] === "help") return await placeOf(words.slice(words.indexOf("help") + 1), tree);
    } else {
      const names = node ? node.verbs : tree;
      if (!Object.hasOwn(names, word)) return undefined;
      node = node ? node.verbs[word] : (await tree[word]!.load(tree)).default;
      path.push(word);
      if (path.length === 1 && word === "help") return await placeOf(words.slice(words.indexOf("help") + 1), tree);
    }
  }

  const here = { ...(envFile && { envFile }), path, node, given, flag: false, before: "", word: last };
  if (awaiting) return { ...here, ...lastOfMany(awaiting, "", last), argument: awaiting };
  if (!onlyWords && last.startsWith("-") && last !== "-") {
    const equals = last.indexOf("=");
    if (equals < 0) return { ...here, flag: true };
    const argument = flagNamed(last.slice(0, equals), argsOf(node));
    if (!argument || argument.type === "toggle") return undefined;
    return { ...here, ...lastOfMany(argument, last.slice(0, equals + 1), last.slice(equals + 1)), argument };
  }
  if (node?.kind !== "command") return here;
  const places = Object.values(node.args).filter(({ place }) => place === "positional");
  const argument = places[positionals] ?? (places.at(-1)?.many ? places.at(-1) : undefined);
  return argument && { ...here, argument };
}

/** Of several values between commas only the last one is being typed. */
function lastOfMany(argument: Argument, before: string, word: string): Pick<Place, "before" | "word"> {
  const comma = argument.many ? word.lastIndexOf(",") + 1 : 0;
  return { before: before + word.slice(0, comma), word: word.slice(comma) };
}

const argsOf = (node: Command | Group | undefined): Args => (node?.kind === "command" ? node.args : {});

function flagNamed(word: string, own: Args): Argument | undefined {
  const all = Object.entries<Argument>({ ...globals, ...own }).filter(([, { place }]) => place === "flag");
  return all.find(([key, { short }]) => word === `--${kebab(key)}` || (short && word === `-${short}`))?.[1];
}

async function candidates(place: Place, io: Io, tree: Tree): Promise<readonly Candidate[] | typeof files> {
  const { node, argument } = place;
  if (place.flag) return flags(place);
  if (!argument) {
    const names: ReadonlyArray<readonly [string, string]> = node?.kind
      ? Object.entries((node as Group).verbs).map(([name, { description }]) => [name, description])
      : Object.entries(tree).map(([name, { summary }]) => [name, summary]);
    return names.map(([word, about]) => ({ word, about }));
  }
  if (argument.choices) return argument.choices.map((word) => ({ word, about: "" }));
  const wanted = sourceOf(argument, place.path);
  if (wanted === undefined || wanted === "files") return wanted ? files : [];
  if (wanted in fixed) return await fixed[wanted as keyof typeof fixed]();
  return await remembered(wanted as NamedKind, place, io);
}

function flags({ node, given }: Place): readonly Candidate[] {
  return [...Object.entries<Argument>(argsOf(node)), ...Object.entries<Argument>(globals)]
    .filter(([, { place }]) => place === "flag")
    .flatMap(([key, { description, negatable, many }]) => {
      const names = [`--${kebab(key)}`, ...(negatable ? [`--no-${kebab(key)}`] : [])];
      if (!many && names.some((name) => given.has(name))) return [];
      return names.map((word) => ({ word, about: description }));
    });
}

/** Names that stand in the program. */
const fixed = {
  settings: async () =>
    (await import("../src/config.ts")).settings.map(({ name, doc }) => ({ word: name, about: doc })),
  mailKinds: async () => (await import("../src/core/mail/letters.ts")).mailKinds.map((word) => ({ word, about: "" })),
  jobs: async () =>
    Object.entries((await import("../src/core/jobs.ts")).jobs).map(([word, { does }]) => ({ word, about: does })),
} as const;

export type Source = NamedKind | keyof typeof fixed | "files";

/** What an argument names: by its hint, wherever it stands. */
const sources: Readonly<Record<string, Source>> = {
  DIR: "files",
  FILE: "files",
  KID: "keys",
  KIND: "mailKinds",
  PERMISSION: "permissions",
  ROLE: "roles",
  USER: "users",
};

/** The same of a positional, by the noun or the command that it stands behind. */
const places: Readonly<Record<string, Source>> = {
  "ban TARGET": "users",
  "ban remove TARGET": "bans",
  "config KEY": "settings",
  "job NAME": "jobs",
  "limit TARGET": "users",
  "mail ID": "mails",
  "role NAME": "roles",
  "secret VERSION": "secrets",
  "session ID": "sessions",
  "user restore USER": "deleted",
};

/** Users of the machine, and nobody whom the database knows. */
const strangers: ReadonlySet<string> = new Set(["job print-systemd USER"]);

export function sourceOf(
  { hint, place }: Pick<Argument, "hint" | "place">,
  path: readonly string[],
): Source | undefined {
  const whole = `${path.join(" ")} ${hint}`;
  if (strangers.has(whole)) return undefined;
  const placed = place === "positional" ? (places[whole] ?? places[`${path[0]} ${hint}`]) : undefined;
  return placed ?? sources[hint];
}

/** Names that stand in the database: those of one that is there, can be read, and answers soon. */
async function remembered(kind: NamedKind, { word, envFile }: Place, io: Io): Promise<readonly Candidate[]> {
  const [{ peek }, { candidatesOf }] = await Promise.all([
    import("../src/open.ts"),
    import("../src/core/completing.ts"),
  ]);
  const settings = envFile ?? io.env["AUTHCTL_ENV_FILE"];
  const place = { env: io.env, cwd: io.cwd, ...(settings && { envFile: settings }) };
  const nothing = new Promise<readonly Candidate[]>((resolve) => setTimeout(resolve, patience, []));
  return await Promise.race([peek(place, (readers) => candidatesOf(readers, kind, word, most, io.now())), nothing]);
}
