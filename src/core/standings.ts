/**
 * Who stands behind a session, and whether it counts: from the database, or, where the operator turned that on,
 * kept in Redis for a few seconds. `forgetting.ts` sees to it that what is kept is forgotten when it changes.
 */
import type { Standing } from "../store/sessions.ts";
import type { Account, CredentialKind, Session } from "../store/tables.ts";
import type { Core, SessionCache } from "./core.ts";
import { standingWhileUnchanged } from "./kept.ts";
import { open, seal } from "./secrets.ts";

/** Each use moves the idle limit on, but it is written at most so often, in milliseconds. */
export const touchInterval = 60_000;

export function idleTtl(core: Core, credential: CredentialKind): number {
  return credential === "tokens" ? core.settings.REFRESH_TOKEN_TTL : core.settings.SESSION_IDLE_TTL;
}

/** How long after its last use another one is written, in milliseconds: once a minute, or oftener where it may rest only briefly. */
const restOf = (core: Core, credential: CredentialKind): number =>
  Math.min(touchInterval, idleTtl(core, credential) / 4);

/** A session that was last used then or before has its use written. */
export const touchDue = (core: Core, credential: CredentialKind, now: Date): Date =>
  new Date(now.getTime() - restOf(core, credential));

/** How long until the use of a session has to be written. */
const untilTouch = (core: Core, { credential, lastSeenAt }: Session, now: Date): number =>
  lastSeenAt.getTime() + restOf(core, credential) - now.getTime();

export const needsTouch = (core: Core, session: Session, now: Date): boolean => untilTouch(core, session, now) <= 0;

/** Whether a session counts: neither revoked, nor past a limit, nor signed out everywhere, and its user active. */
export const isAlive = (session: Session, user: Account, now: Date): boolean =>
  session.revokedAt === null &&
  session.idleExpiresAt.getTime() > now.getTime() &&
  session.epoch === user.epoch &&
  user.disabledAt === null;

/** The form of what is kept in Redis. To be moved on where a standing gets other members, so that no server reads another one's. */
const form = 1;

/** By how much the clocks of two servers on one database may differ, in milliseconds. */
const clockTolerance = 2_000;

type Shared = Standing & { readonly readAt: Date };

/** The standing of a session; `undefined` where there is no such session. */
export async function standingOf(core: Core, sessionId: string): Promise<Standing | undefined> {
  const cache = core.settings.SESSION_CACHE_TTL > 0 ? core.sessionCache : undefined;
  if (cache) return await standingShared(core, cache, sessionId);
  const now = core.clock.now();
  return await standingWhileUnchanged(core, sessionId, (standing) => restOfStanding(core, standing, now));
}

/** One that does not count never rests. One whose use is due is not kept: it would be forgotten with that at once. */
function restOfStanding(core: Core, { session, user }: Standing, now: Date): number | undefined {
  if (!isAlive(session, user, now)) return 0;
  const rest = Math.min(untilTouch(core, session, now), session.idleExpiresAt.getTime() - now.getTime());
  return rest > 0 ? now.getTime() + rest : undefined;
}

async function standingShared(core: Core, cache: SessionCache, sessionId: string): Promise<Standing | undefined> {
  const readAt = core.clock.now();
  const kept = read(core, sessionId, await cache.recall(sessionId), readAt);
  if (kept) return kept;
  const standing = await core.store.sessions.standing(sessionId);
  if (standing && isAlive(standing.session, standing.user, readAt)) {
    // No longer than to the next touch: so the use of a session that is kept never has to be written.
    const life = Math.min(core.settings.SESSION_CACHE_TTL, untilTouch(core, standing.session, readAt));
    if (life > 0) void cache.keep(sessionId, written(core, { ...standing, readAt }), life);
  }
  return standing;
}

/** Sealed: Redis learns nothing of anybody, and whoever writes to it makes no session. */
const written = (core: Core, kept: Shared): string =>
  seal(core.keyring, core.random, "session-cache", JSON.stringify(kept), `${form}|${kept.session.id}`);

/** What is older than it may be does not count, whatever Redis thinks of the time. */
function read(core: Core, sessionId: string, text: string | undefined, now: Date): Standing | undefined {
  const json = text && open(core.keyring, "session-cache", text, `${form}|${sessionId}`);
  if (!json) return undefined;
  const { readAt, ...standing } = JSON.parse(json, revived) as Shared;
  // Whoever read it may have a clock that is ahead of ours.
  if (readAt.getTime() - clockTolerance < core.kept.distrustBefore) return undefined;
  return Math.abs(now.getTime() - readAt.getTime()) <= core.settings.SESSION_CACHE_TTL ? standing : undefined;
}

/** Names that end in `At` are of times. */
const revived = (name: string, value: unknown): unknown =>
  name.endsWith("At") && typeof value === "string" ? new Date(value) : value;
