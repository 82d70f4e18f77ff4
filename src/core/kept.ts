/**
 * What a process keeps of what it has read, for as long as nobody has written anything: the database tells by a
 * number that it costs next to nothing to ask for. Where it has none, nothing is kept.
 */
import type { Standing } from "../store/sessions.ts";
import type { Session } from "../store/tables.ts";
import type { Core } from "./core.ts";
import { sha256 } from "./secrets.ts";

export type KeptStanding = Standing & {
  /** Until when a check of it is nothing but an answer: what it takes to know that, read once. In milliseconds. */
  readonly restsUntil: number;
};

export type Kept = {
  /** What others have read before this time and kept in Redis counts for nothing any more, in milliseconds. */
  distrustBefore: number;
  /** What follows is of this version of the database, and true as long as it is of no other. */
  version: number | undefined;
  /** By the session's id. */
  readonly standings: Map<string, KeptStanding>;
  /** Those of tokens that were found to be good, by the token's hash; of access tokens only while their keys count. */
  readonly ofTokens: Map<string, KeptStanding>;
  /** Sessions of a user that were neither revoked nor over when they were read, by the user's id. */
  readonly sessions: Map<string, readonly Session[]>;
  /** What many rows say in the same words. */
  readonly texts: Map<string, string>;
};

/** More are not in use at once in most places; some 20 MB. */
const mostKept = 10_000;
/** More than so many texts are not those that many rows have. */
const mostTexts = 500;

export const keepNothing = (): Kept => ({
  distrustBefore: Number.NEGATIVE_INFINITY,
  version: undefined,
  standings: new Map(),
  ofTokens: new Map(),
  sessions: new Map(),
  texts: new Map(),
});

export function forgetAll(kept: Kept): void {
  kept.standings.clear();
  kept.ofTokens.clear();
  kept.sessions.clear();
  kept.texts.clear();
}

/** What is kept, where nobody has written anything since it was read; `undefined` where that cannot be known. */
export function stillKept({ kept, store }: Pick<Core, "kept" | "store">): Kept | undefined {
  const version = store.version();
  if (version !== kept.version) {
    forgetAll(kept);
    kept.version = version;
  }
  return version === undefined ? undefined : kept;
}

function keep<T>(all: Map<string, T>, name: string, one: T): void {
  if (all.size >= mostKept) all.clear();
  all.set(name, one);
}

/** Each row comes with texts of its own. Where they say the same, one of them is enough. */
function shared<Text extends string | null>({ texts }: Kept, text: Text): Text {
  if (text === null) return text;
  const known = texts.get(text);
  if (known !== undefined) return known as Text;
  if (texts.size < mostTexts) texts.set(text, text);
  return text;
}

const leanSession = (kept: Kept, session: Session, userId: string): Session => ({
  ...session,
  userId,
  credential: shared(kept, session.credential),
  secretVersion: shared(kept, session.secretVersion),
  ip: shared(kept, session.ip),
  userAgent: shared(kept, session.userAgent),
  browser: shared(kept, session.browser),
  os: shared(kept, session.os),
  clientKind: shared(kept, session.clientKind),
});

function keepStanding(kept: Kept, { session, user, roles }: Standing, restsUntil: number): Standing {
  const standing = {
    session: leanSession(kept, session, user.id),
    user: user.emailKey === user.email ? { ...user, emailKey: user.email } : user,
    roles: roles.map((role) => shared(kept, role)),
    restsUntil,
  };
  // By the row's own text: one that was presented may be a piece of a token, and would keep the whole.
  keep(kept.standings, standing.session.id, standing);
  return standing;
}

/** Nobody is signed in at so many places; a program that signs in for every errand must not fill the memory. */
const mostOfUser = 50;

function keepSessions(kept: Kept, userId: string, sessions: readonly Session[]): readonly Session[] {
  if (sessions.length > mostOfUser) return sessions;
  // Of the same version of the database, and so the same.
  const lean = sessions.map((one) => kept.standings.get(one.id)?.session ?? leanSession(kept, one, userId));
  keep(kept.sessions, userId, lean);
  return lean;
}

/** Reads what is not kept with `read`, and keeps what is there with `keeping`. */
async function whileUnchanged<T>(
  core: Pick<Core, "kept" | "store">,
  known: (kept: Kept) => T | undefined,
  read: () => Promise<T>,
  keeping: (kept: Kept, found: T) => T,
): Promise<T> {
  const kept = stillKept(core);
  const one = kept && known(kept);
  if (one) return one;
  const version = kept?.version;
  const found = await read();
  // Whoever has asked meanwhile may have found that something was written.
  return kept?.version === version && kept ? keeping(kept, found) : found;
}

/** @param restOf until when a standing rests; `undefined` for one that is not to be kept */
export const standingWhileUnchanged = (
  core: Pick<Core, "kept" | "store">,
  sessionId: string,
  restOf: (standing: Standing) => number | undefined,
): Promise<Standing | undefined> =>
  whileUnchanged(
    core,
    ({ standings }) => standings.get(sessionId),
    () => core.store.sessions.standing(sessionId),
    (kept, found) => {
      if (!found) return found;
      const restsUntil = restOf(found);
      return restsUntil === undefined ? found : keepStanding(kept, found, restsUntil);
    },
  );

export const sessionsWhileUnchanged = (
  core: Pick<Core, "kept" | "store">,
  userId: string,
  now: Date,
): Promise<readonly Session[]> =>
  whileUnchanged(
    core,
    ({ sessions }) => sessions.get(userId),
    () => core.store.sessions.ofUser(userId, now),
    (kept, found) => keepSessions(kept, userId, found),
  );

/** Keeps that a session token was found to be good, where the standing that it was found by is kept itself. */
export function keepToken({ kept }: Pick<Core, "kept">, token: string, standing: Standing): void {
  const known = kept.standings.get(standing.session.id);
  if (known === standing) keep(kept.ofTokens, sha256(token), known);
}

/** Keeps that an access token was found to be good, which ends at `end`, in milliseconds. */
export function keepUntil({ ofTokens }: Kept, token: string, standing: KeptStanding, end: number): void {
  const { session, user, roles, restsUntil } = standing;
  keep(ofTokens, sha256(token), { session, user, roles, restsUntil: Math.min(restsUntil, end) });
}
