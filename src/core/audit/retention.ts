import type { Actor } from "../actors.ts";
import { record } from "../audit.ts";
import type { Core } from "../core.ts";
import { fail } from "../errors.ts";
import { type Budget, isOver, rest, soleRun } from "../upkeep.ts";
import { checkHead, headOf } from "./chain.ts";

export type AuditPurge = Budget & {
  /** Entries that are younger stay, in milliseconds. */
  readonly keep: number;
};

const timeBefore = (core: Core, milliseconds: number): Date => new Date(core.clock.now().getTime() - milliseconds);

/** What a purge would remove, and since when the oldest of it could be. */
export async function previewAuditPurge(core: Core, keep: number) {
  const { number, oldest } = await core.store.auditEvents.before(timeBefore(core, keep));
  return { rows: number, oldest };
}

/**
 * Removes the beginning of the chain, as far as it is older than `keep`, and moves the anchor to where it begins
 * then: what is left is verified from there. In short transactions with a pause between them, and one run at a time
 * over all machines. Fails with `lock_held` where another one runs, with `audit_broken` where somebody moved the anchor.
 */
export async function purgeAudit(core: Core, by: Actor, options: AuditPurge): Promise<Purged> {
  return await soleRun(core, "audit-purge", async () => {
    const answer = await purgeBatches(core, by, options);
    return { answer, success: answer.finished ? { entries: answer.removed } : undefined };
  });
}

export type Purged = { readonly removed: number; readonly finished: boolean };

async function purgeBatches(core: Core, by: Actor, options: AuditPurge): Promise<Purged> {
  const startedAt = core.clock.now().getTime();
  const before = timeBefore(core, options.keep);
  let removed = 0;
  let finished = false;
  while (!finished) {
    const batch = Math.min(options.batchSize, options.maxRows - removed);
    if (batch <= 0 || isOver(core, startedAt, options)) break;
    const rows = await removeBatch(core, before, batch);
    removed += rows;
    if (rows > 0) options.onBatch?.(rows);
    finished = rows < batch;
    if (!finished) await rest(core, options.pause, options.interrupted);
  }
  if (removed > 0) {
    await core.store.write(async (tx) => {
      const anchor = await tx.auditHeads.byName("anchor");
      const particulars = { entries: removed, up_to: anchor?.seq ?? 0, finished };
      await record(core, tx, by, { action: "audit.purged", particulars });
    });
  }
  return { removed, finished };
}

/** In the order of the chain: an old entry that was sealed late waits for those before it. */
async function removeBatch(core: Core, before: Date, limit: number): Promise<number> {
  return await core.store.write(async (tx) => {
    const anchor = await tx.auditHeads.byName("anchor");
    if (anchor && checkHead(core.keyring, anchor) !== "genuine") return fail("audit_broken");
    const page = await tx.auditEvents.chain(limit, anchor?.seq ?? 0);
    const young = page.findIndex(({ at }) => at >= before);
    const last = (young < 0 ? page : page.slice(0, young)).at(-1);
    if (!last || last.seq === null || last.hash === null) return 0;
    const { adopted = 0 } = (await tx.auditHeads.byName("head")) ?? {};
    await tx.auditHeads.put(headOf(core.keyring, { name: "anchor", seq: last.seq, hash: last.hash, adopted }));
    return await tx.auditEvents.removeThrough(last.seq);
  });
}
