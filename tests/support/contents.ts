/** Everything that a database holds, row by row, to be compared with what it held before. */
import { expect } from "bun:test";
import { readdirSync } from "node:fs";
import { verifyAudit } from "../../src/core/audit/verification.ts";
import type { Content } from "../../src/store/contents.ts";
import { createStore } from "../../src/store/store.ts";
import { openDialect, type Place, rawSql } from "./database.ts";
import { besides } from "./people.ts";

/** Each row as a text, the same on both dialects. */
export type Contents = Readonly<Record<Content, readonly string[]>>;

/** Without some columns, where those are to change. */
export async function contentsOf(place: Place, without: ReadonlySet<string> = new Set()): Promise<Contents> {
  const told = (column: string, value: unknown) => (without.has(column) ? undefined : value);
  const { contents, close } = createStore(await openDialect(place));
  try {
    const all: Partial<Record<Content, readonly string[]>> = {};
    for (const { table, rows } of await contents.counts()) {
      all[table] = rows === 0 ? [] : (await contents.page(table, rows)).map((row) => JSON.stringify(row, told));
    }
    return all as Contents;
  } finally {
    await close();
  }
}

/** What the command itself writes down: how it went, and who did it. */
const records: ReadonlySet<Content> = new Set(["auditEvents", "auditHeads", "jobs", "jobFailures"]);

/**
 * Fails where a row was lost, changed or added, but in `changed`, and where an entry of the audit trail is lost. What
 * was added to the trail stands there once: `actions` are those that may have been.
 */
export function expectKept(
  before: Contents,
  after: Contents,
  { changed = [], actions = [] }: { changed?: readonly Content[]; actions?: readonly string[] } = {},
): void {
  for (const table of Object.keys(before) as Content[]) {
    if (records.has(table) || changed.includes(table)) continue;
    expect(after[table].toSorted(), table).toEqual(before[table].toSorted());
  }
  const known = new Set(before.auditEvents);
  const added = after.auditEvents.filter((row) => !known.delete(row));
  expect([...known], "entries of the audit trail that are lost or changed").toEqual([]);
  const told = added.map((row) => (JSON.parse(row) as { action: string }).action);
  expect(told.filter((action) => !actions.includes(action))).toEqual([]);
}

/** Fails where the file is damaged, a row refers to nothing, or the audit trail is not as it was written. */
export async function expectSound({ env }: Place): Promise<void> {
  if (!env["DATABASE_URL"]?.startsWith("postgres:")) {
    expect(await rawSql({ env }, "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    expect(await rawSql({ env }, "PRAGMA foreign_key_check")).toEqual([]);
    // Or a purge could not make the file smaller.
    expect(await rawSql({ env }, "PRAGMA auto_vacuum")).toEqual([{ auto_vacuum: 2 }]);
  }
  const trail = await besides({ env, directory: env["DATA_DIR"]! }, (core) => verifyAudit(core));
  expect(trail.findings).toEqual([]);
}

/** Fails where something stands beside the database that only a run that is over could have needed. */
export function expectTidy({ env }: Place): void {
  const left = readdirSync(env["DATA_DIR"]!).filter((name) => !/^(secret\.key|auth\.db(-lock-[\w-]+)?)$/.test(name));
  expect(left).toEqual([]);
}
