/** Why a session is alive or dead, since when, and by whom: from its row, and from what the audit trail tells of it. */
import type { AuditFilter } from "../../store/audit-events.ts";
import type { AuditEvent } from "../../store/tables.ts";
import type { Action } from "../audit.ts";
import type { Core } from "../core.ts";
import { fail } from "../errors.ts";
import type { Owned } from "../inspection.ts";
import { isAlive } from "../standings.ts";
import { clientName, whereOf, whoOf } from "./narration.ts";
import { pagesOfAudit } from "./trail.ts";

export type Explanation = {
  readonly sessionId: string;
  readonly userId: string | null;
  readonly alive: boolean;
  /** One sentence. */
  readonly why: string;
  /** When it began to be so; null where nobody knows any more. */
  readonly since: Date | null;
  readonly by: string | null;
};

/** What ended it, or would have: the earliest of these counts. */
type End = { readonly at: Date | null; readonly why: string; readonly by: AuditEvent | undefined };

/** How far entries of one deed lie apart, in milliseconds: each has a time of its own. */
const oneDeed = 2_000;

/** Fails with `not_found` where neither the database nor the audit trail knows of such a session. */
export async function explainSession(core: Core, id: string): Promise<Explanation> {
  const standing = await core.store.sessions.standing(id);
  return standing ? await explainStored(core, standing) : await explainGone(core, id);
}

async function explainStored(core: Core, owned: Owned): Promise<Explanation> {
  const { session, user } = owned;
  const now = core.clock.now();
  const about = { sessionId: session.id, userId: user.id };
  if (isAlive(session, user, now)) {
    const limits = `until ${time(session.idleExpiresAt)} if it is not used again, and until ${time(session.expiresAt)} at the latest`;
    const lastUse = `last used ${time(session.lastSeenAt)} by ${clientName(session)}${session.ip === null ? "" : ` from ${session.ip}`}`;
    return { ...about, alive: true, why: `alive ${limits}; ${lastUse}`, since: session.createdAt, by: null };
  }
  const own = await eventsOf(core, { sessionId: session.id });
  const ends = [
    revocation(owned, own),
    await disabling(core, owned),
    await signOut(core, owned),
    expiry(owned, now),
  ].filter((end) => end !== undefined);
  const end = ends.reduce((first, one) => (one.at && (!first.at || one.at < first.at) ? one : first));
  return { ...about, alive: false, why: end.why, since: end.at, by: end.by ? whoOf(end.by) : null };
}

function revocation({ session }: Owned, own: readonly AuditEvent[]): End | undefined {
  if (!session.revokedAt) return undefined;
  const by = last(own, "session.revoked");
  const why = `revoked ${time(session.revokedAt)} by ${session.revokeReason}`;
  return { at: session.revokedAt, why: withDetail(why, revocationDetail(session.revokeReason, own, by)), by };
}

function revocationDetail(reason: string | null, own: readonly AuditEvent[], by: AuditEvent | undefined): string {
  const reused = last(own, "refresh.reused");
  if (reused && reason?.startsWith("refresh-")) return reuse(reused);
  const stranger = last(own, "session.client_changed");
  if (stranger && reason === "another-client") {
    const given = { browser: textOf(stranger, "browser"), os: textOf(stranger, "os") };
    return `given to ${clientName(given)}, presented by ${somewhere(stranger)}`;
  }
  return by ? deedOf(by) : "";
}

/** "generation 41 presented by Firefox on Linux from 198.51.100.7, 38 s after it was spent" */
function reuse(event: AuditEvent): string {
  const { presented, current, spent_ms_ago: spent } = event.particulars ?? {};
  const when =
    typeof spent === "number"
      ? `${lengthOf(spent)} after it was spent`
      : `when generation ${current} was the current one`;
  return `generation ${presented} presented by ${somewhere(event)}, ${when}`;
}

async function disabling(core: Core, { user }: Owned): Promise<End | undefined> {
  if (!user.disabledAt) return undefined;
  const by = last(await eventsOf(core, { userId: user.id, action: "user.disabled" }), "user.disabled");
  const why = withDetail(`dead since its user was disabled ${time(user.disabledAt)}`, by ? deedOf(by) : "");
  return { at: user.disabledAt, why, by };
}

async function signOut(core: Core, { session, user }: Owned): Promise<End | undefined> {
  if (session.epoch === user.epoch) return undefined;
  const all = await eventsOf(core, { userId: user.id, action: "session.all_revoked" });
  const by = all.find(({ particulars }) => Number(particulars?.["epoch"]) > session.epoch);
  if (!by) return { at: null, why: "signed out with every session of its user; the entry that told of it is gone", by };
  const cause = await causeOf(core, by);
  const detail = [cause, deedOf(by)].filter(Boolean).join(", ");
  return { at: by.at, why: withDetail(`signed out with every session of its user ${time(by.at)}`, detail), by };
}

/** What a sign-out everywhere was a part of. */
const causes: Partial<Record<Action, string>> = {
  "user.password_changed": "the password was changed",
  "user.email_changed": "the address was changed",
  "user.disabled": "the user was disabled",
};

async function causeOf(core: Core, { at, userId, actor, requestId }: AuditEvent): Promise<string> {
  if (userId === null) return "";
  const since = new Date(at.getTime() - oneDeed);
  const around = await eventsOf(core, { userId, since, until: new Date(at.getTime() + oneDeed) });
  const same = around.find((one) => one.action in causes && one.actor === actor && one.requestId === requestId);
  return (same && causes[same.action as Action]) ?? "";
}

function expiry({ session }: Owned, now: Date): End | undefined {
  if (session.idleExpiresAt > now) return undefined;
  const isOver = session.expiresAt <= session.idleExpiresAt;
  const why = isOver
    ? `expired ${time(session.expiresAt)}: it reached its absolute limit, ${lengthOf(Number(session.expiresAt) - Number(session.createdAt))} after it began`
    : `expired ${time(session.idleExpiresAt)}: it was last used ${time(session.lastSeenAt)}, and rested for too long`;
  return { at: session.idleExpiresAt, why, by: undefined };
}

/** Of a session whose row is gone, the trail may still know. */
async function explainGone(core: Core, sessionId: string): Promise<Explanation> {
  const own = await eventsOf(core, { sessionId });
  const [first] = own;
  if (!first) return fail("not_found", { detail: "Neither a session nor an entry of the audit trail has this id." });
  const { userId } = first;
  const about = { sessionId, userId, alive: false };
  const revoked = last(own, "session.revoked");
  if (revoked) {
    const reason = textOf(revoked, "why");
    const why = withDetail(`revoked ${time(revoked.at)} by ${reason}`, revocationDetail(reason, own, revoked));
    return { ...about, why: `${why}; its row has been removed since`, since: revoked.at, by: whoOf(revoked) };
  }
  const deleted =
    userId === null ? undefined : last(await eventsOf(core, { userId, action: "user.deleted" }), "user.deleted");
  if (deleted) {
    const why = withDetail(`gone since its user was deleted ${time(deleted.at)}`, deedOf(deleted));
    return { ...about, why, since: deleted.at, by: whoOf(deleted) };
  }
  const why = `gone: it began ${time(first.at)}, and was removed after it had ended`;
  return { ...about, why, since: null, by: null };
}

/** Oldest first. */
async function eventsOf(core: Core, filter: AuditFilter): Promise<AuditEvent[]> {
  const all: AuditEvent[] = [];
  for await (const page of pagesOfAudit(core, filter)) all.push(...page);
  return all;
}

const last = (events: readonly AuditEvent[], action: Action): AuditEvent | undefined =>
  events.findLast((event) => event.action === action);

const deedOf = (event: AuditEvent): string => [`by ${whoOf(event)}`, whereOf(event)].filter(Boolean).join(", ");

const somewhere = (event: AuditEvent): string => whereOf(event) || "a client whose traces were erased";

const withDetail = (sentence: string, detail: string): string => (detail === "" ? sentence : `${sentence}: ${detail}`);

const textOf = ({ particulars }: AuditEvent, name: string): string | null => {
  const value = particulars?.[name];
  return typeof value === "string" ? value : null;
};

const time = (at: Date): string => at.toISOString().replace(/\.\d+Z$/, "Z");

const units = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1_000, "s"],
] as const;

/** "38 s": in whole units of the largest that fits twice. */
function lengthOf(milliseconds: number): string {
  const [unit, name] = units.find(([one]) => milliseconds >= 2 * one) ?? ([1, "ms"] as const);
  return `${Math.floor(milliseconds / unit)} ${name}`;
}
