import type { Store, Tx } from "../../store/store.ts";
import type { Actor } from "../actors.ts";
import { record } from "../audit.ts";
import type { Core } from "../core.ts";
import { fail } from "../errors.ts";
import { builtIn, contentsOf, refuseContents, sqlName } from "../moving.ts";
import type { Archive } from "./archive.ts";
import type { Examined } from "./examination.ts";
import { readBackup } from "./format.ts";

export type RestoreOptions = {
  /**
   * Leaves sessions, one-time links and waiting mails as they were. Without it they end: what was revoked, used or
   * sent after the backup would be good again (rule SE-4).
   */
  readonly keepSessions: boolean;
  readonly interrupted?: AbortSignal;
  readonly onRows?: (doing: "restoring" | "comparing", rows: number) => void;
};

/**
 * Puts a backup that was examined into a database with empty tables: in one transaction, in which every table is read
 * back and compared, so that all of it is there or nothing is. Fails with `target_not_empty`, `lock_held`.
 */
export async function restoreBackup(
  core: Core,
  by: Actor,
  archive: Archive,
  examined: Examined,
  options: RestoreOptions,
): Promise<void> {
  const release = await core.store.lock("copy");
  if (!release) {
    return fail("lock_held", { detail: "Something else is being copied into this database. Wait for it to end." });
  }
  try {
    await refuseFilled(core.store);
    await core.store.write((tx) => restoreAll(core, tx, by, archive, examined, options));
  } finally {
    await release();
  }
}

const refuseFilled = (target: Pick<Store, "contents">): Promise<void> =>
  refuseContents(
    target,
    "Nothing was restored. Name a database in DATABASE_URL whose tables are empty, or that has none yet.",
  );

async function restoreAll(
  core: Core,
  tx: Tx,
  by: Actor,
  archive: Archive,
  { manifest, tables }: Examined,
  { keepSessions, interrupted, onRows }: RestoreOptions,
): Promise<void> {
  // Again, inside: since the first look somebody may have filled it.
  await refuseFilled(tx);
  await tx.contents.clear(builtIn);
  const names = new Map((await tx.contents.counts()).map(({ table }) => [sqlName(table), table]));
  for await (const piece of readBackup(archive)) {
    if (interrupted?.aborted) fail("copy_interrupted", { detail: "Nothing was restored. Run the command again." });
    if (piece.kind !== "rows") continue;
    const table = names.get(piece.table) ?? fail("backup_damaged");
    await tx.contents.insertJson(table, piece.rows);
    onRows?.("restoring", piece.rows.length);
  }
  for (const expected of tables) {
    const table = names.get(expected.table) ?? fail("backup_damaged");
    const restored = await contentsOf(tx, table, interrupted, (rows) => onRows?.("comparing", rows.length));
    if (restored.checksum !== expected.checksum) {
      fail("copy_differs", { errors: [{ path: expected.table, message: "is not equal to the backup." }] });
    }
  }
  if (!keepSessions) {
    await tx.users.advanceEveryEpoch();
    await tx.contents.clear("challenges");
    await tx.mails.dropWaiting();
  }
  const particulars = { id: manifest.id, made_at: manifest.made_at, sessions_kept: keepSessions };
  await record(core, tx, by, { action: "backup.restored", particulars });
}
