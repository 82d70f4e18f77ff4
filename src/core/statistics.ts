/** How much there is of everything, and what went on within a day: for an operator who wants to know how things stand. */
import type { SessionState } from "../store/sessions.ts";
import type { Core } from "./core.ts";
import { previewPurge, purgeKinds, type Removable } from "./purging.ts";

export type Statistics = {
  readonly users: {
    readonly stored: number;
    readonly disabled: number;
    /** Those who can still be restored. */
    readonly deleted: number;
    /** Those who have a session that is alive. */
    readonly signedIn: number;
  };
  readonly sessions: Readonly<Record<SessionState, number>>;
  /** Within the last 24 hours. */
  readonly signIns: { readonly succeeded: number; readonly failed: number };
  readonly removable: readonly Removable[];
  readonly databaseBytes: number;
  /** Of those, what holds nothing any more; null where the database sees to that by itself. */
  readonly freeBytes: number | null;
};

const day = 24 * 3_600_000;

/** Counts all of it: takes as long as there is much. */
export async function gatherStatistics(core: Core): Promise<Statistics> {
  const { store, settings } = core;
  const now = core.clock.now();
  const yesterday = new Date(now.getTime() - day);
  const [stored, disabled] = [await store.users.count(), await store.users.countDisabled()];
  const databaseBytes = await store.size();
  const slack = await store.slack();
  return {
    users: {
      stored,
      disabled,
      deleted: await store.tombstones.countSince(new Date(now.getTime() - settings.TOMBSTONE_TTL)),
      signedIn: await store.sessions.countSignedIn(now),
    },
    sessions: await store.sessions.tally(now),
    signIns: {
      succeeded: await store.auditEvents.countOf("login.succeeded", yesterday),
      failed: await store.auditEvents.countOf("login.failed", yesterday),
    },
    removable: await previewPurge(core, { kinds: purgeKinds, olderThan: 0 }),
    databaseBytes,
    freeBytes: slack ? Math.round((databaseBytes * slack.free) / Math.max(1, slack.total)) : null,
  };
}
