import type { Tx } from "../store/store.ts";
import { type Actor, job } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import { retireSigningKeys } from "./signing-keys/minting.ts";
import { expiredTombstones, purgePeople } from "./users/tombstones.ts";

export const purgeKinds = ["sessions", "keys", "servers", "tries", "challenges", "mails", "users"] as const;
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
export async function previewPurge(core: Core, { kinds, olderThan }: Pick<PurgeOptions, "kinds" | "olderThan">) {
  const now = core.clock.now();
  const before = new Date(now.getTime() - olderThan);
  const found = async (kind: PurgeKind): Promise<{ rows: number; oldest: Date | null }> => {
    if (kind === "keys") {
      const keys = (await core.store.signingKeys.current()).filter(
        (key) => key.state === "retiring" && key.retiresAt && key.retiresAt <= now,
      );
      return { rows: keys.length, oldest: keys[0]?.retiresAt ?? null };
    }
    if (kind === "servers") {
      const servers = await core.store.servers.silentSince(new Date(now.getTime() - silentServer));
      return { rows: servers.length, oldest: servers[0]?.seenAt ?? null };
    }
    const { number, oldest } = await inBatches[kind].expired(core, before);
    return { rows: number, oldest };
  };
  const previews: Array<{ kind: PurgeKind; rows: number; oldest: Date | null }> = [];
  for (const kind of kinds) previews.push({ kind, ...(await found(kind)) });
  return previews;
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

type Expired = { readonly number: number; readonly oldest: Date | null };

/** One transaction of a purge: how much it removed, and whether that was all. */
type Batch = (
  core: Core,
  tx: Tx,
  by: Actor,
  before: Date,
  limit: number,
) => Promise<{ removed: number; done: boolean }>;

/** Of what is removed a row at a time there is no more where fewer rows went than might have. */
const byRows =
  (remove: (core: Core, tx: Tx, before: Date, limit: number) => Promise<number>): Batch =>
  async (core, tx, _by, before, limit) => {
    const removed = await remove(core, tx, before, limit);
    return { removed, done: removed < limit };
  };

/** Mails that were sent or given up stay known for MAIL_KEEP. */
const keptMail = ({ settings }: Core, before: Date): Date => new Date(before.getTime() - settings.MAIL_KEEP);

/** What there can be much of is removed in batches: how much there is of it, and how one batch goes. */
const inBatches = {
  sessions: {
    expired: (core, before) => core.store.sessions.expired(before),
    remove: byRows((_, tx, before, limit) => tx.sessions.purge(before, limit)),
  },
  tries: {
    expired: (core, before) => core.store.tries.expired(before),
    remove: byRows((_, tx, before, limit) => tx.tries.purge(before, limit)),
  },
  challenges: {
    expired: (core, before) => core.store.challenges.expired(before),
    remove: byRows((_, tx, before, limit) => tx.challenges.purge(before, limit)),
  },
  mails: {
    expired: (core, before) => core.store.mails.expired(keptMail(core, before)),
    remove: byRows((core, tx, before, limit) => tx.mails.purge(keptMail(core, before), limit)),
  },
  users: { expired: expiredTombstones, remove: purgePeople },
} as const satisfies Partial<
  Record<PurgeKind, { expired: (core: Core, before: Date) => Promise<Expired>; remove: Batch }>
>;
type BatchKind = keyof typeof inBatches;

async function purgeLocked(core: Core, by: Actor, options: PurgeOptions): Promise<Purged> {
  const startedAt = core.clock.now().getTime();
  const removed: Record<PurgeKind, number> = {
    sessions: 0,
    keys: 0,
    servers: 0,
    tries: 0,
    challenges: 0,
    mails: 0,
    users: 0,
  };
  const wants = (kind: PurgeKind) => options.kinds.includes(kind);

  if (wants("keys")) removed.keys = (await core.store.write((tx) => retireSigningKeys(core, tx, by))).length;
  if (wants("servers")) {
    removed.servers = await core.store.write((tx) => tx.servers.purge(new Date(startedAt - silentServer)));
  }
  const finished: boolean[] = [];
  for (const kind of Object.keys(inBatches) as BatchKind[]) {
    if (wants(kind)) finished.push(await purgeInBatches(core, by, kind, startedAt, options, removed));
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
  by: Actor,
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
    if (over) return (await inBatches[kind].expired(core, before)).number === 0;
    const did = await core.store.write((tx) => inBatches[kind].remove(core, tx, by, before, batch));
    removed[kind] += did.removed;
    if (did.removed > 0) options.onBatch?.(did.removed);
    if (did.done) return true;
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
