/**
 * Every setting of the server and the command line, one row each. The table gives the type, the parser,
 * the default and the documentation; `loadConfig`, `authctl config …`, `.env.example` and the page of
 * settings are all read from it. The environment is read nowhere else.
 */
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { isDeepStrictEqual, parseEnv } from "node:util";
import { asItIs } from "./config/aliases.ts";
import { contradictions, hints, placeholders, unsafe } from "./config/checks.ts";
import { type Parser, Unfit } from "./config/parsers.ts";
import type { Setting } from "./config/rows.ts";
import { table } from "./config/table.ts";

type Environment = Readonly<Record<string, string | undefined>>;

type Rows = (typeof table)[keyof typeof table];
type RowOf = UnionToIntersection<Rows>;
type UnionToIntersection<U> = (U extends unknown ? (one: U) => void : never) extends (all: infer I) => void ? I : never;
type ValueOf<S> = S extends { parse: Parser<infer T> } ? (S extends { optional: true } ? T | undefined : T) : never;

/** The settings, parsed and checked, under the names of their variables. Lengths of time are in milliseconds, sizes in bytes. */
export type Config = { readonly [K in keyof RowOf]: ValueOf<RowOf[K]> };
export type SettingName = keyof Config;

/** The table as a list, in its order, for the pages and commands that describe it. */
export const settings: ReadonlyArray<Setting<unknown> & { readonly name: SettingName }> = Object.entries(table).flatMap(
  ([group, rows]) => Object.entries(rows).map(([name, row]) => ({ ...row, name: name as SettingName, group }) as never),
);

type Place = "environment" | `file ${string}`;
/** Where a value came from, with the name of the variable where that is an alias. */
export type Source = "default" | Place | `${Place} (${string})`;
export type Problem = { readonly name: string; readonly message: string };

export type Loaded = {
  /** Whole only where there are no problems. */
  readonly config: Config;
  readonly sources: Readonly<Record<SettingName, Source>>;
  /** The files that secrets were read from, as their `…_FILE` names them. */
  readonly files: Readonly<Partial<Record<SettingName, string>>>;
  /** The values as they are written in the environment. Secrets are left out. */
  readonly texts: Readonly<Partial<Record<SettingName, string>>>;
  readonly problems: readonly Problem[];
  /** What is no mistake, and yet should be known. */
  readonly notices: readonly Problem[];
};

/** A variable that says something. */
type Variable = { readonly name: string; readonly text: string; readonly source: Place };
type Read = (name: string) => Variable | undefined;

/**
 * Reads every setting and reports every problem at once. A value comes from the environment, else from the
 * settings file, else from the table. An empty variable counts as not set.
 */
export function loadConfig(environment: Environment, place: { cwd: string; envFile?: string }): Loaded {
  const problems: Problem[] = [];
  const file = place.envFile ?? ".env";
  const fromFile = readOptional(resolve(place.cwd, file), place.envFile !== undefined, problems);
  const read: Read = (name) => {
    const text = environment[name] || fromFile[name];
    return text ? { name, text, source: environment[name] ? "environment" : `file ${file}` } : undefined;
  };

  const chosen: Record<string, unknown> = {};
  const sources: Record<string, Source> = {};
  const texts: Record<string, string> = {};
  const files: Record<string, string> = {};
  for (const setting of settings) {
    const { name } = setting;
    const fallback = typeof setting.fallback === "function" ? setting.fallback(chosen) : setting.fallback;
    const given = readSetting(setting, { read, cwd: place.cwd, problems });
    sources[name] = given?.source ?? "default";
    const twin = setting.secret && given ? read(`${name}_FILE`) : undefined;
    if (twin) files[name] = twin.text;
    // A value that did not fit gives way to the default, so that one mistake is not reported once for every setting that follows from it.
    chosen[name] = given?.value ?? (fallback === undefined ? undefined : setting.parse(fallback));
    const written = given?.value === undefined ? fallback : given.text;
    if (!setting.secret && written !== undefined) texts[name] = written;
  }
  const config = chosen as Config;
  // A secret that cannot be read is no missing one: it has been told already.
  const told = (name: string) => problems.some((one) => one.name.startsWith(name));
  const isProduction = config.NODE_ENV === "production";
  const risks = isProduction ? [...placeholders(config), ...unsafe(config)].filter((one) => !told(one.name)) : [];
  problems.push(...contradictions(config), ...risks);
  const notices = [...(isProduction ? [] : placeholders(config)), ...hints(config, (name) => read(name)?.text)];
  return { config, sources: sources as Loaded["sources"], files, texts, problems, notices };
}

type Given = { readonly text: string; readonly source: Source; readonly value: unknown };

/** What is said of a setting, under its own name or an alias; two that do not say the same are a problem. */
function readSetting(
  setting: (typeof settings)[number],
  { read, cwd, problems }: { read: Read; cwd: string; problems: Problem[] },
): Given | undefined {
  const own = readOwn(setting, { read, cwd, problems });
  const named = [{ said: own, ...asItIs }];
  for (const [name, alias] of Object.entries(setting.aliases ?? {})) named.push({ said: read(name), ...alias });
  let first: (Given & { readonly name: string }) | undefined;
  for (const { said, translate } of named) {
    if (!said) continue;
    const { name, source } = said;
    try {
      const text = translate(said.text);
      if (text === undefined) continue;
      const value = setting.parse(text);
      first ??= { name, text, value, source: said === own ? source : `${source} (${name})` };
      if (isDeepStrictEqual(first.value, value)) continue;
      problems.push({ name: first.name, message: `is set, and ${name} says something else: keep one of them.` });
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      problems.push({ name, message: `must be ${error.message}.` });
    }
  }
  return first;
}

/** The variable of a setting's own name, or the file that its twin names. */
function readOwn(
  { name, secret }: (typeof settings)[number],
  { read, cwd, problems }: { read: Read; cwd: string; problems: Problem[] },
): Variable | undefined {
  const own = read(name);
  const twin = secret ? read(`${name}_FILE`) : undefined;
  if (!twin) return own;
  if (own) {
    problems.push({ name, message: `is set, and ${name}_FILE too: keep one of them.` });
    return own;
  }
  const text = readSecret(twin.name, resolve(cwd, twin.text), problems);
  return text === undefined ? undefined : { name, text, source: `file ${twin.text}` };
}

function readOptional(file: string, wanted: boolean, problems: Problem[]): Environment {
  try {
    return parseEnv(readFileSync(file, "utf8"));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (wanted || code !== "ENOENT")
      problems.push({ name: "--env-file", message: `${file} cannot be read (${code}).` });
    return {};
  }
}

function readSecret(name: string, file: string, problems: Problem[]): string | undefined {
  try {
    if (statSync(file).mode & 0o077) {
      problems.push({ name, message: `${file} can be read by others: \`chmod 600 ${file}\`.` });
      return undefined;
    }
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    problems.push({ name, message: `${file} cannot be read (${(error as NodeJS.ErrnoException).code}).` });
    return undefined;
  }
}
