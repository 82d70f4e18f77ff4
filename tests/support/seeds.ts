/**
 * What the documents of the templates ask for, word by word: their commands, their tables of endpoints and their
 * settings stand in `seeds/`, one file for each document.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";

export const seedNames = ["000", "001", "002", "003", "004"] as const;
export type SeedName = (typeof seedNames)[number];

export const readSeed = (name: SeedName): string => readFileSync(join(import.meta.dir, "seeds", `${name}.txt`), "utf8");

/** What stands in fences of `bash`, under its heading. */
export function commandsOf(name: SeedName): ReadonlyMap<string, string> {
  const blocks = readSeed(name).matchAll(/^(#+ .*)\n\n```bash\n([\s\S]*?)\n```$/gm);
  return new Map([...blocks].map(([, heading = "", command = ""]) => [heading, command]));
}

export type Endpoint = {
  readonly method: string;
  readonly path: string;
  readonly auth: "No" | "Yes" | "Admin";
};

/** The rows of the tables of endpoints. */
export const endpointsOf = (name: SeedName): Endpoint[] =>
  [...readSeed(name).matchAll(/^\| ([A-Z]+) \| `([^`]+)` \| [^|]+ \| (No|Yes|Admin) \|$/gm)].map(
    ([, method = "", path = "", auth]) => ({ method, path, auth: auth as Endpoint["auth"] }),
  );

/** The pages that are to be visited, by their addresses. */
export const pagesOf = (name: SeedName): string[] =>
  [...readSeed(name).matchAll(/^(?!curl|.*`).*\bhttp:\/\/(?:localhost|127\.0\.0\.1):8000(\/[^\s>]*)>?$/gm)].map(
    ([, path = ""]) => path,
  );

/** The settings of a document as its reader would write them down: those of its settings file, or the defaults of its table. */
export function settingsOf(name: SeedName): Readonly<Record<string, string>> {
  const text = readSeed(name);
  const [, file = ""] = /```env\n([\s\S]*?)\n```/.exec(text) ?? [];
  const rows = [...text.matchAll(/^\| `([A-Z_]+)` +\| [^|]+ \| ([^|]+?) +\|$/gm)].map(
    ([, variable = "", value = ""]) => [variable, value],
  );
  const defaults = Object.fromEntries(rows.filter(([, value]) => value !== "Required")) as Record<string, string>;
  return { ...defaults, ...(parseEnv(file) as Record<string, string>) };
}
