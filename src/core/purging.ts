/** Removes what has expired: nothing whose absence would change an answer. */
import type { Tx } from "../store/store.ts";
import type { Actor } from "./actors.ts";
import { previewAuditPurge, purgeAudit } from "./audit/retention.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { DomainError } from "./errors.ts";
import { retireSigningKeys } from "./signing-keys/minting.ts";
import { type Budget, isOver, rest, soleRun } from "./upkeep.ts";
import { purgePeople, tombstonesBefore } from "./users/tombstones.ts";

export const purgeKinds = [
  "sessions",
  "keys",
  "servers",
  "tries",
  "challenges",
  "mails",
  "users",
  "bans",
  "audit",
] as const;
export type PurgeKind = (typeof purgeKinds)[number];

/** Servers that have not been heard of for so long have ended, in milliseconds. */
const silentServer = 24 * 3_600_000;

export type PurgeOptions = Budget & {
  readonly kinds: readonly PurgeKind[];
  /** Spares what ended less than so long ago, in milliseconds. */
  readonly olderThan: number;
};

/** How many rows of each kind were removed, and whether that was all there was to remove. */
export type Purged = { readonly removed: Readonly<Record<PurgeKind, number>>; readonly finished: boolean };

/** What there is to remove of a kind, and since when the oldest of it could be. */
export type Removable = { readonly kind: PurgeKind; readonly rows: number; readonly oldest: Date | null };

/** How far the last batch of a kind came. */
type Progress = { readonly removed: number; readonly reached?: Date | undefined; readonly done: boolean };

type InBatches = {
  /** When the oldest of it ended. */
  oldest(core: Core, before: Date): Promise<Date | undefined>;
  /** May take long where there is much of it. */
  count(core: Core, before: Date): Promise<number>;
  /** One transaction, from where the one before has come to. */
  remove(core: Core, tx: Tx, by: Actor, before: Date, limit: number, from: Date | undefined): Promise<Progress>;
};

/** What there can be much of, and goes a row at a time. */
const byRows = (
  noun: "sessions" | "tries" | "challenges" | "mails",
  /** What ended by then is to be removed by now. */
  ended: (core: Core, before: Date) => Date = (_, before) => before,
): InBatches => ({
  oldest: (core, before) => core.store[noun].oldestExpired(ended(core, before)),
  count: (core, before) => core.store[noun].countExpired(ended(core, before)),
  remove: async (core, tx, _by, before, limit, from) => {
    const { removed, reached } = await tx[noun].purge(ended(core, before), limit, from);
    return { removed, reached, done: removed < limit };
  },
});

const inBatches = {
  sessions: byRows("sessions"),
  tries: byRows("tries"),
  challenges: byRows("challenges"),
  // Mails that were sent or given up stay known for MAIL_KEEP.
  mails: byRows("mails", ({ settings }, before) => new Date(before.getTime() - settings.MAIL_KEEP)),
  users: {
    oldest: (core, before) => core.store.tombstones.oldestExpired(tombstonesBefore(core, before)),
    count: (core, before) => core.store.tombstones.countExpired(tombstonesBefore(core, before)),
    remove: purgePeople,
  },
} as const satisfies Partial<Record<PurgeKind, InBatches>>;
type BatchKind = keyof typeof inBatches;

/** What a purge would remove. Counts all of it, which takes as long as there is much of it. */
export async function previewPurge(
  core: Core,
  { kinds, olderThan }: Pick<PurgeOptions, "kinds" | "olderThan">,
): Promise<Removable[]> {
  const now = core.clock.now();
  const previews: Removable[] = [];
  for (const kind of kinds) {
    previews.push({ kind, ...(await removable(core, kind, now, new Date(now.getTime() - olderThan))) });
  }
  return previews;
}

async function removable(core: Core, kind: PurgeKind, now: Date, before: Date): Promise<Omit<Removable, "kind">> {
  const { store, settings } = core;
  switch (kind) {
    case "keys": {
      const keys = (await store.signingKeys.current()).filter(
        (key) => key.state === "retiring" && key.retiresAt && key.retiresAt <= now,
      );
      return { rows: keys.length, oldest: keys[0]?.retiresAt ?? null };
    }
    case "servers": {
      const servers = await store.servers.silentSince(new Date(now.getTime() - silentServer));
      return { rows: servers.length, oldest: servers[0]?.seenAt ?? null };
    }
    case "bans": {
      const bans = await store.bans.expired(before);
      return { rows: bans.length, oldest: bans[0]?.expiresAt ?? null };
    }
    case "audit":
      return settings.AUDIT_KEEP === "forever"
        ? { rows: 0, oldest: null }
        : await previewAuditPurge(core, settings.AUDIT_KEEP);
    default:
      return {
        rows: await inBatches[kind].count(core, before),
        oldest: (await inBatches[kind].oldest(core, before)) ?? null,
      };
  }
}

/**
 * Removes what has expired, in short transactions with a pause between them, so that live traffic does not notice;
 * one run at a time over all machines. Fails with `lock_held` where another one runs. Interrupted or killed, it has
 * done whole batches, and the next run goes on.
 */
export async function purge(core: Core, by: Actor, options: PurgeOptions): Promise<Purged> {
  const startedAt = core.clock.now().getTime();
  const rows = await soleRun(core, "purge", async () => {
    const answer = await purgeRows(core, by, options, startedAt);
    // A run that was told to leave something out is no proof that the job is being done.
    const isWhole = purgeKinds.every((kind) => options.kinds.includes(kind)) && options.olderThan === 0;
    return { answer, success: isWhole && answer.finished ? answer.removed : undefined };
  });
  const audit = options.kinds.includes("audit")
    ? await purgeOldAudit(core, by, options, startedAt)
    : { removed: 0, finished: true };
  return { removed: { ...rows.removed, audit: audit.removed }, finished: rows.finished && audit.finished };
}

/** It has a job and a lock of its own: where that runs, the entries are being removed already. */
async function purgeOldAudit(core: Core, by: Actor, options: PurgeOptions, startedAt: number) {
  const keep = core.settings.AUDIT_KEEP;
  if (keep === "forever") return { removed: 0, finished: true };
  const spent = core.clock.now().getTime() - startedAt;
  try {
    return await purgeAudit(core, by, { ...options, keep, maxTime: Math.max(0, options.maxTime - spent) });
  } catch (error) {
    if (error instanceof DomainError && error.code === "lock_held") return { removed: 0, finished: true };
    throw error;
  }
}

async function purgeRows(core: Core, by: Actor, options: PurgeOptions, startedAt: number): Promise<Purged> {
  const removed: Record<PurgeKind, number> = {
    sessions: 0,
    keys: 0,
    servers: 0,
    tries: 0,
    challenges: 0,
    mails: 0,
    users: 0,
    bans: 0,
    audit: 0,
  };
  const before = new Date(startedAt - options.olderThan);
  const wants = (kind: PurgeKind) => options.kinds.includes(kind);

  if (wants("keys")) removed.keys = (await core.store.write((tx) => retireSigningKeys(core, tx, by))).length;
  if (wants("servers")) {
    removed.servers = await core.store.write((tx) => tx.servers.purge(new Date(startedAt - silentServer)));
  }
  if (wants("bans")) removed.bans = await core.store.write((tx) => tx.bans.removeExpired(before));
  const finished: boolean[] = [];
  for (const kind of Object.keys(inBatches) as BatchKind[]) {
    if (wants(kind)) finished.push(await purgeInBatches(core, by, kind, before, startedAt, options, removed));
  }
  await giveBackSpace(core, startedAt, options);
  const done = finished.every(Boolean);
  if (Object.values(removed).some((rows) => rows > 0)) {
    await core.store.write((tx) =>
      record(core, tx, by, { action: "purge.done", particulars: { ...removed, finished: done } }),
    );
  }
  return { removed, finished: done };
}

/** Adds to `removed` as it goes. Answers whether that was all there was to remove. */
async function purgeInBatches(
  core: Core,
  by: Actor,
  kind: BatchKind,
  before: Date,
  startedAt: number,
  options: PurgeOptions,
  removed: Record<PurgeKind, number>,
): Promise<boolean> {
  const rows: InBatches = inBatches[kind];
  const pace = paceOf(core, options);
  for (let from: Date | undefined; ; ) {
    const limit = Math.min(pace.batch(), options.maxRows - removed[kind]);
    // Whether there is one more, and not how many there are: that would take the longer the more is left.
    if (limit <= 0 || isOver(core, startedAt, options)) return (await rows.oldest(core, before)) === undefined;
    const did = await pace.timed(() => core.store.write((tx) => rows.remove(core, tx, by, before, limit, from)));
    from = did.reached;
    removed[kind] += did.removed;
    if (did.removed > 0) options.onBatch?.(did.removed);
    if (did.done) return true;
    await rest(core, pace.pause(), options.interrupted);
    // Large batches free more than that at once; with nobody to give way to, nothing is left to pile up.
    while ((await giveBack(core, pagesAtOnce)) && options.pause === 0);
  }
}

/** How long one transaction may keep others who write waiting, in milliseconds. */
const longestBatch = 10;

/**
 * Batches as large as they may be, but smaller where they take long: on a slow disk, or a busy machine. And a pause
 * three times as long as the batch took, at least: three quarters of the time belong to live traffic. Asked for no
 * pause at all, it gives way to nobody.
 */
function paceOf({ clock }: Core, { batchSize, pause }: Budget) {
  if (pause === 0) {
    return { batch: () => batchSize, pause: () => 0, timed: <T>(work: () => Promise<T>): Promise<T> => work() };
  }
  let size = batchSize;
  let took = 0;
  return {
    batch: (): number => size,
    pause: (): number => Math.max(pause, 3 * took),
    timed: async <T>(work: () => Promise<T>): Promise<T> => {
      const since = clock.now().getTime();
      const answer = await work();
      took = Math.max(0, clock.now().getTime() - since);
      const fits = took > longestBatch ? Math.floor(size / 2) : Math.ceil(size * 1.25);
      size = Math.min(batchSize, Math.max(smallestBatch, fits));
      return answer;
    },
  };
}

/** Fewer rows in one transaction would not end it much sooner. */
const smallestBatch = 50;

/** Free pages that stay in the file for what comes next: 4 MB of them. */
const kept = 1_000;
/** Pages that one transaction gives back: each is a page that may have to be moved. */
const pagesAtOnce = 200;

/** Gives back what there is, where it is at least so many pages. Answers whether there is more. */
async function giveBack(core: Core, least: number): Promise<boolean> {
  const slack = await core.store.slack();
  const spare = slack?.returnable ? slack.free - kept : 0;
  if (spare < least) return false;
  await core.store.giveBack(Math.min(pagesAtOnce, spare));
  return spare > pagesAtOnce;
}

/** The batches have given back what they could; here goes what is left of it, and the log of it all. */
async function giveBackSpace(core: Core, startedAt: number, options: PurgeOptions): Promise<void> {
  while (!isOver(core, startedAt, options) && (await giveBack(core, 1))) {
    await rest(core, options.pause, options.interrupted);
  }
  await core.store.flatten();
}
