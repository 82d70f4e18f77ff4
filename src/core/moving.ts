import { createHash } from "node:crypto";
import type { Content, Row } from "../store/contents.ts";
import type { Readers, Store, Tx } from "../store/store.ts";
import type { Actor } from "./actors.ts";
import { sealAudit } from "./audit/sealing.ts";
import { record } from "./audit.ts";
import { canonical } from "./canonical.ts";
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";

/** Rows that are read and written at a time: all that is ever in memory. */
const pageSize = 500;

/** What a table holds: the same on both sides, whatever the order of the rows and the database behind them. */
export type Contents = { readonly table: Content; readonly rows: number; readonly checksum: string };

type CopyOptions = {
  readonly interrupted?: AbortSignal;
  /** So many more rows have been copied, or compared. */
  readonly onRows?: (doing: "copying" | "verifying", rows: number) => void;
};

/** A server that has not said that it ended, and was heard of less long ago, may still be running, in milliseconds. */
const heardOf = 24 * 3_600_000;

/** How many rows of each table a copy would take over, and how many servers seem to be running on the original. */
export async function previewCopy(core: Core) {
  const servers = await core.store.servers.seenSince(new Date(core.clock.now().getTime() - heardOf));
  return { contents: await core.store.contents.counts(), servers: servers.length };
}

/**
 * Made by the migrations, so that an empty database has them too. Nobody adds to them there: whoever opens a
 * database to do so makes its signing keys first.
 */
export const builtIn: Content = "roles";

/** Fails with `target_not_empty` where a row stands in any table, but for what the migrations make. */
export async function refuseContents(target: Pick<Readers, "contents">, detail?: string): Promise<void> {
  const filled = (await target.contents.counts()).filter(({ table, rows }) => rows > 0 && table !== builtIn);
  if (filled.length === 0) return;
  const errors = filled.map(({ table, rows }) => ({
    path: sqlName(table),
    message: `has ${rows === 1 ? "1 row" : `${rows} rows`}.`,
  }));
  fail("target_not_empty", { errors, ...(detail !== undefined && { detail }) });
}

/**
 * Copies everything as it is at one moment into a database with empty tables: sessions with their epochs,
 * refresh families with their counters, keys and passwords still sealed, so that nobody is signed out where the
 * server secret stays the same. One transaction on the target, in which every row is read back and compared:
 * either all of it is there, and equal, or nothing is. Fails with `lock_held` where another copy runs.
 */
export async function copyDatabase(
  core: Core,
  by: Actor,
  target: Store,
  options: CopyOptions = {},
): Promise<Contents[]> {
  const release = await target.lock("copy");
  if (!release) return fail("lock_held", { detail: "Another copy into this database is running. Wait for it to end." });
  try {
    await refuseContents(target);
    // Before the copy, so that both databases remember it and are equal.
    await core.store.write((tx) => record(core, tx, by, { action: "database.copied" }));
    // Whatever can be: the copy's chain goes on from where this one stands now.
    await sealAudit(core);
    return await core.store.snapshot((source) => target.write((tx) => copyContents(source, tx, options)));
  } finally {
    await release();
  }
}

async function copyContents(source: Readers, tx: Tx, options: CopyOptions): Promise<Contents[]> {
  // Again, inside: since the first look somebody may have filled it.
  await refuseContents(tx);
  await tx.contents.clear(builtIn);
  const copied: Contents[] = [];
  for (const { table } of await source.contents.counts()) {
    copied.push(
      await contentsOf(source, table, options.interrupted, async (rows) => {
        await tx.contents.insert(table, rows);
        options.onRows?.("copying", rows.length);
      }),
    );
  }
  for (const original of copied) {
    const copy = await contentsOf(tx, original.table, options.interrupted, (rows) =>
      options.onRows?.("verifying", rows.length),
    );
    if (copy.rows !== original.rows || copy.checksum !== original.checksum) {
      fail("copy_differs", { errors: [{ path: sqlName(original.table), message: "is not equal on both sides." }] });
    }
  }
  return copied;
}

const weightOf = (row: Row): bigint => BigInt(`0x${createHash("sha256").update(canonical(row)).digest("hex")}`);

/** A sum, because the two databases may sort texts differently. */
const sumText = (sum: bigint): string => BigInt.asUintN(256, sum).toString(16).padStart(64, "0");

/** Counts rows that come one page after another. */
export function tally() {
  let [rows, sum] = [0, 0n];
  return {
    add: (page: readonly Row[]): void => {
      rows += page.length;
      for (const row of page) sum += weightOf(row);
    },
    told: () => ({ rows, checksum: sumText(sum) }),
  };
}

/** Reads a table to its end, a page at a time; what it answers tells what the table holds. */
export async function* examine(
  from: Pick<Readers, "contents">,
  table: Content,
  interrupted: AbortSignal | undefined,
): AsyncGenerator<readonly Row[], Contents, undefined> {
  const counted = tally();
  for (let after: Row | undefined; ; ) {
    if (interrupted?.aborted) fail("copy_interrupted");
    const page = await from.contents.page(table, pageSize, after);
    if (page.length === 0) break;
    counted.add(page);
    yield page;
    after = page.at(-1);
    if (page.length < pageSize) break;
  }
  return { table, ...counted.told() };
}

/** What a table holds; `onPage` is given its rows. */
export async function contentsOf(
  from: Pick<Readers, "contents">,
  table: Content,
  interrupted: AbortSignal | undefined,
  onPage: (rows: readonly Row[]) => Promise<void> | void,
): Promise<Contents> {
  const pages = examine(from, table, interrupted);
  for (let page = await pages.next(); ; page = await pages.next()) {
    if (page.done) return page.value;
    await onPage(page.value);
  }
}

/** `refreshFamilies` → `refresh_families`, as the table is called in the database. */
export const sqlName = (table: Content): string => table.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
