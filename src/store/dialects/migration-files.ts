import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Failures, Migration } from "./dialect.ts";

export type MigrationFile = {
  readonly id: string;
  readonly sha256: string;
  readonly up: readonly string[];
  readonly down: readonly string[] | undefined;
  /** Whether a server of the version before goes on working with it. Said by its first line, `-- additive`. */
  readonly additive: boolean;
};

export type Applied = {
  readonly id: string;
  readonly sha256: string;
  readonly appliedAt: Date;
  readonly additive: boolean;
};

/** Above this file's place in the tree; in a compiled program all code stands at the root of what it holds. */
const home = import.meta.dir.replace(/\/src\/store\/dialects$/, "");

const statements = (text: string) =>
  text
    .split("--> statement-breakpoint")
    .map((one) => one.trim())
    .filter((one) => one !== "");

/** An empty file is one that nobody has written yet: no way back, rather than one that does nothing. */
function wayBack(text: string): readonly string[] | undefined {
  const steps = statements(text);
  return steps.length > 0 ? steps : undefined;
}

/** The migrations that this version has, oldest first; or those of another folder. */
export function readMigrationFiles(
  dialect: "sqlite" | "postgres",
  folder = join(home, "drizzle", dialect),
): MigrationFile[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(".sql"));
  return names
    .filter((name) => !name.endsWith(".down.sql"))
    .toSorted()
    .map((name) => {
      const id = name.slice(0, -".sql".length);
      const text = readFileSync(join(folder, name), "utf8");
      const down = `${id}.down.sql`;
      return {
        id,
        sha256: createHash("sha256").update(text).digest("hex"),
        up: statements(text),
        down: names.includes(down) ? wayBack(readFileSync(join(folder, down), "utf8")) : undefined,
        additive: text.startsWith("-- additive"),
      };
    });
}

/** What there is, held against what was applied. */
export function compare(files: readonly MigrationFile[], applied: readonly Applied[]): Migration[] {
  const known = files.map((file): Migration => {
    const row = applied.find((one) => one.id === file.id);
    if (!row) return { id: file.id, state: "pending", appliedAt: null };
    return { id: file.id, state: row.sha256 === file.sha256 ? "applied" : "altered", appliedAt: row.appliedAt };
  });
  const unknown = applied
    .filter((row) => !files.some((file) => file.id === row.id))
    .map((row): Migration => ({ id: row.id, state: row.additive ? "ahead" : "unknown", appliedAt: row.appliedAt }));
  return [...known, ...unknown];
}

/** What is to be applied. To be decided under the lock, so that of two processes one finds nothing left to do. */
export function pendingOf(
  files: readonly MigrationFile[],
  applied: readonly Applied[],
  failures: Failures,
  to?: string,
): MigrationFile[] {
  refuseAltered(files, applied, failures);
  return files.filter((one) => !applied.some((row) => row.id === one.id) && (to === undefined || one.id <= to));
}

/** What is to be taken back, the last one first. */
export function lastOf(
  files: readonly MigrationFile[],
  applied: readonly Applied[],
  failures: Failures,
  steps: number,
): Array<MigrationFile & { readonly down: readonly string[] }> {
  refuseAltered(files, applied, failures);
  return files
    .filter((one) => applied.some((row) => row.id === one.id))
    .toReversed()
    .slice(0, steps)
    .map((one) => {
      if (!one.down) throw failures.irreversible(one.id);
      return { ...one, down: one.down };
    });
}

function refuseAltered(files: readonly MigrationFile[], applied: readonly Applied[], failures: Failures): void {
  const altered = compare(files, applied).find((one) => one.state === "altered");
  if (altered) throw failures.altered(altered.id);
}
