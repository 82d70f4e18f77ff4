/**
 * Every setting of the server and the command line, one row each. The table gives the type, the parser,
 * the default and the documentation; `loadConfig`, `authctl config …`, `.env.example` and the page of
 * settings are all read from it. The environment is read nowhere else.
 */
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { parseEnv } from "node:util";
import { contradictions, unsafe } from "./config/checks.ts";
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

export type Source = "default" | "environment" | `file ${string}`;
export type Problem = { readonly name: string; readonly message: string };

export type Loaded = {
  /** Whole only where there are no problems. */
  readonly config: Config;
  readonly sources: Readonly<Record<SettingName, Source>>;
  /** The values as they are written in the environment. Secrets are left out. */
  readonly texts: Readonly<Partial<Record<SettingName, string>>>;
  readonly problems: readonly Problem[];
};

/**
 * Reads every setting and reports every problem at once. A value comes from the environment, else from the
 * settings file, else from the table. An empty variable counts as not set.
 */
export function loadConfig(environment: Environment, place: { cwd: string; envFile?: string }): Loaded {
  const problems: Problem[] = [];
  const file = place.envFile ?? ".env";
  const fromFile = readOptional(resolve(place.cwd, file), place.envFile !== undefined, problems);
  const raw = (name: string) => environment[name] || fromFile[name] || undefined;
  const sourceOf = (name: string): Source => (environment[name] ? "environment" : `file ${file}`);

  const chosen: Record<string, unknown> = {};
  const sources: Record<string, Source> = {};
  const texts: Record<string, string> = {};
  for (const setting of settings) {
    const { name } = setting;
    let value = raw(name);
    let source: Source = value === undefined ? "default" : sourceOf(name);
    const twin = setting.secret ? raw(`${name}_FILE`) : undefined;
    if (twin !== undefined && value !== undefined) {
      problems.push({ name, message: `is set, and ${name}_FILE too: keep one of them.` });
    } else if (twin !== undefined) {
      value = readSecret(`${name}_FILE`, resolve(place.cwd, twin), problems);
      source = `file ${twin}`;
    }
    const fallback = typeof setting.fallback === "function" ? setting.fallback(chosen) : setting.fallback;
    sources[name] = source;
    try {
      if (value !== undefined) chosen[name] = setting.parse(value);
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      problems.push({ name, message: `must be ${error.message}.` });
    }
    // A value that did not fit gives way to the default, so that one mistake is not reported once for every setting that follows from it.
    const fits = chosen[name] !== undefined;
    if (!fits && fallback !== undefined) chosen[name] = setting.parse(fallback);
    const written = fits ? value : fallback;
    if (!setting.secret && written !== undefined) texts[name] = written;
  }
  const config = chosen as Config;
  // A secret that cannot be read is no missing one: it has been told already.
  const told = (name: string) => problems.some((one) => one.name.startsWith(name));
  const risks = config.NODE_ENV === "production" ? unsafe(config).filter((one) => !told(one.name)) : [];
  problems.push(...contradictions(config), ...risks);
  return { config, sources: sources as Loaded["sources"], texts, problems };
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
