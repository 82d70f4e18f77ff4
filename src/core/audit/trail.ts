/** The audit trail, to be read: whole, by whom and by what, or as it goes on. */
import type { AuditFilter } from "../../store/audit-events.ts";
import type { AuditEvent } from "../../store/tables.ts";
import type { Core } from "../core.ts";
import { type ListName, type Page, type PageWanted, readCursor, writeCursor } from "../cursors.ts";
import { rest } from "../upkeep.ts";
import { sealAudit } from "./sealing.ts";

const pageSize = 200;
/** How often whoever follows the trail looks for what is new, in milliseconds. */
const lookAgainAfter = 500;

/** Oldest first, a page at a time, to the end; or only the newest `newest`. */
export async function* pagesOfAudit(
  core: Core,
  filter: AuditFilter,
  newest?: number,
): AsyncGenerator<AuditEvent[], void> {
  let after = newest === undefined ? undefined : await beforeNewest(core, filter, newest);
  for (;;) {
    const page = await core.store.auditEvents.pageOnwards(filter, pageSize, after);
    if (page.length > 0) yield page;
    after = page.at(-1)?.id;
    if (page.length < pageSize) return;
  }
}

/** The last entry that is not among the newest; `undefined` where all are. */
async function beforeNewest(core: Core, filter: AuditFilter, newest: number): Promise<string | undefined> {
  let before: string | undefined;
  for (let left = newest; ; ) {
    const page = await core.store.auditEvents.page(filter, Math.min(pageSize, left + 1), before);
    if (page.length > left) return page[left]?.id;
    left -= page.length;
    before = page.at(-1)?.id;
    if (page.length < pageSize) return undefined;
  }
}

/**
 * The newest entries, and then each new one once, until `interrupted`. New ones come in the order of the chain: one
 * whose transaction took long is sealed after younger ones, and would be missed by their ids.
 */
export async function* followAudit(
  core: Core,
  filter: AuditFilter,
  newest: number,
  interrupted: AbortSignal,
): AsyncGenerator<AuditEvent[], void> {
  let seen = (await core.store.auditEvents.lastSealed())?.seq ?? 0;
  const shown = new Set<string>();
  for await (const page of pagesOfAudit(core, filter, newest)) {
    for (const { id, seq } of page) if (seq === null || seq > seen) shown.add(id);
    yield page;
  }
  while (!interrupted.aborted) {
    const page = await core.store.auditEvents.pageSealed(filter, pageSize, seen);
    const fresh = page.filter(({ id }) => !shown.delete(id));
    if (fresh.length > 0) yield fresh;
    seen = page.at(-1)?.seq ?? seen;
    if (page.length < pageSize) await rest(core, lookAgainAfter, interrupted);
  }
}

/** The chain behind a place, to its end, with everything that is committed by now. */
export async function* chainAfter(core: Core, seq: number): AsyncGenerator<AuditEvent[], void> {
  await sealAudit(core);
  for (let after = seq; ; ) {
    const page = await core.store.auditEvents.pageSealed({}, pageSize, after);
    if (page.length > 0) yield page;
    after = page.at(-1)?.seq ?? after;
    if (page.length < pageSize) return;
  }
}

/** Newest first; a cursor is good for the same filter alone. */
export async function pageOfAudit(
  core: Core,
  filter: AuditFilter,
  { limit, cursor }: PageWanted,
): Promise<Page<AuditEvent>> {
  const list: ListName = ["audit-events", filter];
  const before = cursor === undefined ? undefined : (readCursor(core, list, cursor) as string);
  const found = await core.store.auditEvents.page(filter, limit + 1, before);
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, nextCursor: last && found.length > limit ? writeCursor(core, list, last.id) : undefined };
}
