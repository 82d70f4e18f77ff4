import type { Tx } from "../store/store.ts";
import { type Actor, job } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import { retireSigningKeys } from "./signing-keys.ts";

export const purgeKinds = ["sessions", "keys", "servers", "tries"] as const;
export type PurgeKind = (typeof purgeKinds)[number];

/** Servers that have not been heard of for so long have ended, in milliseconds. */
const silentServer = 24 * 3_600_000;

/** How much of it at once, and how much in all. */
export type Budget = {
  readonly batchSize: number;
  /** Between two batches, in milliseconds: the time that belongs to live traffic. */
  readonly pause: number;
  readonly maxTime: number;
  readonly maxRows: number;
  readonly interrupted?: AbortSignal;
  readonly onBatch?: (rows: number) => void;
};

export type PurgeOptions = Budget & {
  readonly kinds: readonly PurgeKind[];
  /** Spares what ended less than so long ago, in milliseconds. */
  readonly olderThan: number;
};

/** How many rows of each kind were removed, and whether that was all there was to remove. */
export type Purged = { readonly removed: Readonly<Record<PurgeKind, number>>; readonly finished: boolean };

/** What a purge would remove, and since when the oldest of it could be. */
export async function previewPurge(core: Core, options: Pick<PurgeOptions, "kinds" | "olderThan">) {
  const now = core.clock.now();
  const sessions = await core.store.sessions.expired(new Date(now.getTime() - options.olderThan));
  const keys = (await core.store.signingKeys.current()).filter(
    (key) => key.state === "retiring" && key.retiresAt && key.retiresAt <= now,
  );
  const servers = await core.store.servers.silentSince(new Date(now.getTime() - silentServer));
  const tries = await core.store.tries.expired(new Date(now.getTime() - options.olderThan));
  const found = {
    sessions: { rows: sessions.number, oldest: sessions.oldest },
    keys: { rows: keys.length, oldest: keys[0]?.retiresAt ?? null },
    servers: { rows: servers.length, oldest: servers[0]?.seenAt ?? null },
    tries: { rows: tries.number, oldest: tries.oldest },
  };
  return options.kinds.map((kind) => ({ kind, ...found[kind] }));
}

/**
 * Removes what has expired: nothing whose absence would change an answer. In short transactions with a pause
 * between them, so that live traffic does not notice; one run at a time over all machines. Fails with
 * `lock_held` where another one runs.
 */
export async function purge(core: Core, by: Actor, options: PurgeOptions): Promise<Purged> {
  const release = await core.store.lock("purge");
  if (!release)
    return fail("lock_held", { detail: "Another purge is running. Wait for it to end, or use --lock skip." });
  try {
    return await purgeLocked(core, by, options);
  } finally {
    await release();
  }
}

/** What there can be much of is removed in batches. */
const inBatches = {
  sessions: (tx, before, limit) => tx.sessions.purge(before, limit),
  tries: (tx, before, limit) => tx.tries.purge(before, limit),
} as const satisfies Partial<Record<PurgeKind, (tx: Tx, before: Date, limit: number) => Promise<number>>>;
type BatchKind = keyof typeof inBatches;

async function purgeLocked(core: Core, by: Actor, options: PurgeOptions): Promise<Purged> {
  const startedAt = core.clock.now().getTime();
  const removed: Record<PurgeKind, number> = { sessions: 0, keys: 0, servers: 0, tries: 0 };
  const wants = (kind: PurgeKind) => options.kinds.includes(kind);

  if (wants("keys")) removed.keys = (await core.store.write((tx) => retireSigningKeys(core, tx, by))).length;
  if (wants("servers")) {
    removed.servers = await core.store.write((tx) => tx.servers.purge(new Date(startedAt - silentServer)));
  }
  const finished: boolean[] = [];
  for (const kind of Object.keys(inBatches) as BatchKind[]) {
    if (wants(kind)) finished.push(await purgeInBatches(core, kind, startedAt, options, removed));
  }
  const done = finished.every(Boolean);

  await core.store.write(async (tx) => {
    const now = core.clock.now();
    if (done) await tx.jobs.recordSuccess({ name: "purge", succeededAt: now, summary: removed });
    const did = Object.values(removed).some((rows) => rows > 0);
    if (did) await record(core, tx, by, { action: "purge.done", particulars: { ...removed, finished: done } });
  });
  return { removed, finished: done };
}

/** Adds to `removed` as it goes. Answers whether that was all there was to remove. */
async function purgeInBatches(
  core: Core,
  kind: BatchKind,
  startedAt: number,
  options: PurgeOptions,
  removed: Record<PurgeKind, number>,
): Promise<boolean> {
  const before = new Date(startedAt - options.olderThan);
  for (;;) {
    const batch = Math.min(options.batchSize, options.maxRows - removed[kind]);
    const over =
      batch <= 0 || options.interrupted?.aborted || core.clock.now().getTime() - startedAt >= options.maxTime;
    if (over) return (await core.store[kind].expired(before)).number === 0;
    const rows = await core.store.write((tx) => inBatches[kind](tx, before, batch));
    removed[kind] += rows;
    if (rows > 0) options.onBatch?.(rows);
    if (rows < batch) return true;
    await rest(core, options.pause, options.interrupted);
  }
}

/** Sleeps, but no longer than until somebody wants the run to end. */
export async function rest(core: Core, milliseconds: number, interrupted: AbortSignal | undefined): Promise<void> {
  if (interrupted?.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = (): void => resolve();
  const cancel = core.clock.after(milliseconds, wake);
  interrupted?.addEventListener("abort", wake, { once: true });
  await promise;
  cancel();
  interrupted?.removeEventListener("abort", wake);
}

/** The actor of what a server does by itself. */
export const serverJob = job("server");
