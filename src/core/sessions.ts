import type { SessionFilter, Standing } from "../store/sessions.ts";
import type { Tx } from "../store/store.ts";
import type { CredentialKind, Session, User } from "../store/tables.ts";
import { claimsAtHand, verifyAccessToken } from "./access-tokens.ts";
import type { Actor, Client, UserActor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { type ListName, type Page, type PageWanted, readCursor, writeCursor } from "./cursors.ts";
import { describeDevice, rememberedClient, sameClient } from "./devices.ts";
import { fail } from "./errors.ts";
import { type Kept, type KeptStanding, keepToken, keepUntil, sessionsWhileUnchanged, stillKept } from "./kept.ts";
import { addressKey } from "./limits.ts";
import { requireAuthorityOver } from "./roles.ts";
import { mintSecret, sameText, sha256, sign, verify, writingVersion } from "./secrets.ts";
import { keysAtHand } from "./signing-keys.ts";
import { idleTtl, isAlive, needsTouch, standingOf } from "./standings.ts";

/** Who is signed in, and the actor that the request's acts are done by. */
export type Principal = Standing & { readonly by: UserActor };
/** The same where nothing is done by them but to look. */
export type Onlooker = Omit<Principal, "by">;

export type RevokeReason =
  | "logout"
  | "revoked-by-user"
  | "revoked-by-operator"
  | "refresh-token-reused"
  | "refresh-generation-ahead"
  | "another-client"
  | "secret-retired";

const tokenPrefix = "st_";

const absoluteTtl = (core: Core, credential: CredentialKind): number =>
  credential === "tokens" ? core.settings.REFRESH_ABSOLUTE_TTL : core.settings.SESSION_ABSOLUTE_TTL;

/** When a session ends that rests from now on. */
export const idleLimit = (
  core: Core,
  { credential, expiresAt }: Pick<Session, "credential" | "expiresAt">,
  now: Date,
): Date => new Date(Math.min(now.getTime() + idleTtl(core, credential), expiresAt.getTime()));

/** Begins a session: always a new one, with new secrets (ASVS 5.0, 7.2.4). */
export async function startSession(
  core: Core,
  tx: Tx,
  client: Client,
  user: User,
  credential: CredentialKind,
): Promise<{ session: Session; token: string | null }> {
  const now = core.clock.now();
  const id = core.random.id(now);
  const device = describeDevice(client.userAgent);
  const expiresAt = new Date(now.getTime() + absoluteTtl(core, credential));
  const secret = credential === "session" ? mintSecret(core.random) : null;
  const session: Session = {
    id,
    userId: user.id,
    credential,
    secretHash: secret && sha256(secret),
    secretVersion: secret && writingVersion(core.keyring),
    epoch: user.epoch,
    createdAt: now,
    authenticatedAt: now,
    lastSeenAt: now,
    idleExpiresAt: idleLimit(core, { credential, expiresAt }, now),
    expiresAt,
    ip: client.ip,
    ...rememberedClient(client),
    clientKind: device.kind,
    revokedAt: null,
    revokeReason: null,
  };
  await tx.sessions.insert(session);
  const signed = `${id}.${secret}`;
  return { session, token: secret && `${tokenPrefix}${signed}.${sign(core.keyring, "session-token", signed)}` };
}

/** Whether a session was given to this client, as far as SESSION_BINDING wants to know. */
export function clientFits(core: Core, session: Session, userAgent: string | null): boolean {
  const binding = core.settings.SESSION_BINDING;
  return binding === "off" || sameClient(binding === "ua-strict" ? binding : "ua-family", session, userAgent);
}

/** Moves the idle limit on; what it is now. A change of network is recorded, and never a reason to end a session. */
export async function touchSession(core: Core, tx: Tx, by: UserActor): Promise<Date> {
  const { session, client } = by;
  const now = core.clock.now();
  if (session.ip !== null && client.ip !== null && addressKey(session.ip) !== addressKey(client.ip)) {
    const about = { userId: by.userId, sessionId: session.id };
    // The event has the new address, as every event has; the one before stands in those before.
    if (await tx.sessions.move(session.id, session.ip, client.ip))
      await record(core, tx, by, { action: "session.network_changed", ...about });
  }
  const idleExpiresAt = idleLimit(core, session, now);
  await tx.sessions.touch(session.id, now, idleExpiresAt, client.ip ?? session.ip);
  return idleExpiresAt;
}

const tokenShape = /^st_[\w-]{1,64}\.[\w-]{43}\.[\w-]{43}$/;

/**
 * The signature is checked before the database is asked, so that a forged token costs no look-up.
 * `undefined` where the text is no session token of ours.
 */
export function sessionOfToken(core: Core, token: string): { id: string; secret: string } | undefined {
  if (!tokenShape.test(token)) return undefined;
  const end = token.lastIndexOf(".");
  const signed = token.slice(tokenPrefix.length, end);
  if (!verify(core.keyring, "session-token", signed, token.slice(end + 1))) return undefined;
  const [id = "", secret = ""] = signed.split(".");
  return { id, secret };
}

/**
 * Who presents this credential: a session token or an access token. The session behind it is asked for every
 * time, so that what was revoked is dead with the next request. Fails with `unauthenticated`, or with
 * `session_hijack_suspected` where the session was given to another client: then it is revoked, for good.
 */
export async function authenticate(core: Core, token: string, client: Client): Promise<Principal> {
  const now = core.clock.now();
  const standing = token.startsWith(tokenPrefix)
    ? await standingOfSessionToken(core, token)
    : await standingOfAccessToken(core, token);
  if (!standing || !isAlive(standing.session, standing.user, now)) return fail("unauthenticated");
  const { session, user } = standing;
  const by: UserActor = { kind: "user", userId: user.id, session, client };
  const isDue = needsTouch(core, session, now);
  const observed = core.settings.SESSION_BINDING === "observe";
  // What is only observed is recorded as often as the use of a session is, not with every request.
  if (!clientFits(core, session, client.userAgent) && (isDue || !observed)) await suspectHijack(core, by, observed);
  if (isDue) {
    // A check that only reads goes on where nothing can be written.
    await core.store
      .write((tx) => touchSession(core, tx, by))
      .catch((error: unknown) => core.log.error("session_touch_failed", { session_id: session.id }, error));
  }
  return { ...standing, by };
}

/**
 * The same at once, where everything that it takes is known already: a credential that was found to be good, a
 * session of which nobody has written anything since, and a client that it was given to. Or `forged`, where the
 * token's own signature is wrong. `undefined` where it takes more to know: `authenticate` decides then.
 */
export function recognise(
  core: Core,
  token: string,
  { userAgent, now }: { readonly userAgent: string | null; readonly now: Date },
): Onlooker | "forged" | undefined {
  const kept = stillKept(core);
  const isSessionToken = token.startsWith(tokenPrefix);
  // What an access token was found to be counts for as long as its keys need not be read again.
  const known = kept && (isSessionToken || keysAtHand(core, now)) ? kept.ofTokens.get(sha256(token)) : undefined;
  const standing = known ?? (kept && !isSessionToken ? standingAtHand(core, kept, token, now) : undefined);
  if (standing === "forged") return standing;
  if (!standing) return isSessionToken && !sessionOfToken(core, token) ? "forged" : undefined;
  return now.getTime() < standing.restsUntil && clientFits(core, standing.session, userAgent) ? standing : undefined;
}

function standingAtHand(core: Core, kept: Kept, token: string, now: Date): KeptStanding | "forged" | undefined {
  const claims = claimsAtHand(core, token, now);
  if (claims === "forged") return claims;
  const standing = claims && kept.standings.get(claims.sessionId);
  if (!standing || standing.session.userId !== claims.userId) return undefined;
  keepUntil(kept, token, standing, claims.expiresAt * 1000);
  return standing;
}

async function standingOfSessionToken(core: Core, token: string): Promise<Standing | undefined> {
  const presented = sessionOfToken(core, token);
  const standing = presented && (await standingOf(core, presented.id));
  const hash = standing?.session.secretHash;
  if (!presented || !hash || !sameText(sha256(presented.secret), hash)) return undefined;
  keepToken(core, token, standing);
  return standing;
}

async function standingOfAccessToken(core: Core, token: string): Promise<Standing | undefined> {
  const claims = await verifyAccessToken(core, token);
  const standing = claims && (await standingOf(core, claims.sessionId));
  return standing?.user.id === claims?.userId ? standing : undefined;
}

async function suspectHijack(core: Core, by: UserActor, observed: boolean): Promise<void> {
  const recorded = core.store.write((tx) => recordAnotherClient(core, tx, by, observed));
  if (!observed) {
    await recorded;
    fail("session_hijack_suspected");
  }
  // What is only observed goes on where nothing can be written, as every check does.
  await recorded.catch((error: unknown) =>
    core.log.error("client_change_not_recorded", { session_id: by.session.id }, error),
  );
}

/** The session came from another client than it was given to: revoked, unless it is only observed. */
export async function recordAnotherClient(core: Core, tx: Tx, by: UserActor, observed: boolean): Promise<void> {
  const { session } = by;
  // Of many requests at once only the one that ends the session is worth a record.
  if (!observed && (await revoke(core, tx, by, [session], "another-client")).length === 0) return;
  const particulars = { browser: session.browser, os: session.os };
  await record(core, tx, by, {
    action: "session.client_changed",
    userId: by.userId,
    sessionId: session.id,
    particulars,
  });
}

/** Ends sessions. Those that had ended already stay as they were. Answers the ids of the others. */
export async function revoke(
  core: Core,
  tx: Tx,
  by: Actor,
  sessions: ReadonlyArray<Pick<Session, "id">>,
  reason: RevokeReason,
): Promise<string[]> {
  const ids = sessions.map(({ id }) => id);
  const ended = await tx.sessions.revoke(ids, core.clock.now(), reason);
  const owners = new Map(ended.map(({ id, userId }) => [id, userId]));
  // In the order in which they were given, whatever the database's is.
  for (const id of ids) {
    const userId = owners.get(id);
    if (userId !== undefined)
      await record(core, tx, by, { action: "session.revoked", userId, sessionId: id, particulars: { why: reason } });
  }
  return [...owners.keys()];
}

/**
 * Signs a user out everywhere, in one row: every session of an older epoch is dead. Answers how many were alive.
 * Fails with `not_found`, `forbidden`.
 */
export async function signOutEverywhere(core: Core, by: Actor, userId: string): Promise<number> {
  return await core.store.write(async (tx) => {
    if (!(await tx.users.byId(userId))) return fail("not_found");
    await requireAuthorityOver(core, tx, by, userId);
    const alive = await tx.sessions.ofUser(userId, core.clock.now());
    await endAllSessions(core, tx, by, userId);
    return alive.length;
  });
}

export async function endAllSessions(core: Core, tx: Tx, by: Actor, userId: string): Promise<number> {
  const epoch = await tx.users.advanceEpoch(userId);
  await record(core, tx, by, { action: "session.all_revoked", userId, particulars: { epoch } });
  return epoch;
}

/** The live sessions of a user, newest first. */
export async function listSessions(core: Core, userId: string): Promise<Session[]> {
  const now = core.clock.now();
  return stillAlive(core, await sessionsWhileUnchanged(core, userId, now));
}

/** The same at once, where they are known. */
export function sessionsAtHand(core: Core, userId: string): Session[] | undefined {
  const known = stillKept(core)?.sessions.get(userId);
  return known && stillAlive(core, known);
}

/** Sessions end by themselves, without anybody who writes that. */
function stillAlive({ clock }: Core, sessions: readonly Session[]): Session[] {
  const now = clock.now();
  return sessions.filter(({ idleExpiresAt }) => idleExpiresAt > now);
}

/** A page of the live sessions of anybody, newest first. Fails with `not_found` where there is no such user. */
export async function listSessionsOf(
  core: Core,
  userId: string,
  { limit, cursor }: PageWanted,
): Promise<Page<Session>> {
  const list: ListName = ["sessions", userId];
  const before = cursor === undefined ? undefined : (readCursor(core, list, cursor) as string);
  if (!(await core.store.users.byId(userId))) return fail("not_found");
  const found = await core.store.sessions.pageOfUser(userId, core.clock.now(), limit + 1, before);
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, nextCursor: found.length > limit && last ? writeCursor(core, list, last.id) : undefined };
}

/** Ends one session of somebody. Fails with `not_found` where it is not theirs, and with `forbidden`. */
export async function revokeSessionOf(core: Core, by: Actor, userId: string, id: string): Promise<void> {
  await core.store.write(async (tx) => {
    const session = await tx.sessions.byId(id);
    if (session?.userId !== userId) return fail("not_found");
    await requireAuthorityOver(core, tx, by, userId);
    return await revoke(core, tx, by, [session], "revoked-by-operator");
  });
}

/** Ends one of the actor's own sessions; those of others are as unknown as those that never were. */
export async function revokeOwnSession(core: Core, by: UserActor, id: string): Promise<void> {
  const found = await core.store.write(async (tx) => {
    const session = await tx.sessions.byId(id);
    if (session?.userId !== by.userId) return false;
    await revoke(core, tx, by, [session], "revoked-by-user");
    return true;
  });
  if (!found) fail("not_found");
}

/** One session of anybody, for operators. */
export async function getSession(core: Core, id: string): Promise<Standing> {
  return (
    (await core.store.sessions.standing(id)) ??
    fail("not_found", { detail: "No session has this id; `authctl session list` shows them." })
  );
}

/** Sessions of anybody, a page at a time, to the end. */
export async function* pagesOfSessions(core: Core, filter: SessionFilter) {
  for (let after: string | undefined; ; ) {
    const page = await core.store.sessions.page(filter, 200, after);
    if (page.length > 0) yield page;
    after = page.at(-1)?.session.id;
    if (page.length < 200) return;
  }
}

export const countSessions = async (core: Core, filter: SessionFilter) => await core.store.sessions.count(filter);

/** Ends sessions of anybody, for operators; each batch is a transaction of its own. Answers how many were alive. */
export async function revokeSessions(
  core: Core,
  by: Actor,
  sessions: ReadonlyArray<Pick<Session, "id" | "userId">>,
): Promise<number> {
  return await core.store.write(async (tx) => (await revoke(core, tx, by, sessions, "revoked-by-operator")).length);
}
