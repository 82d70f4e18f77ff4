import type { Standing } from "../store/sessions.ts";
import type { Tx } from "../store/store.ts";
import type { RefreshFamily, Session } from "../store/tables.ts";
import { firstPartyClient } from "./access-tokens.ts";
import { type Actor, clientOf, type UserActor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { type Credentials, tokenCredentials } from "./credentials.ts";
import { rememberedClient, sameClient } from "./devices.ts";
import { fail } from "./errors.ts";
import { notify } from "./mail/notices.ts";
import type { RefreshOutcome } from "./meter.ts";
import { allOf, grantsOf } from "./roles.ts";
import { accepts } from "./secrets/keyrings.ts";
import { mac, mintSecret, saltedKey, sameText, successorVersion, writingVersion } from "./secrets.ts";
import { clientFits, idleLimit, recordAnotherClient, revoke, touchSession } from "./sessions.ts";
import { idleTtl, isAlive, needsTouch, touchDue } from "./standings.ts";

/** How often the token before the current one is answered inside the grace. */
const mostRetries = 20;
/** How long after one late retry another one is reuse, in milliseconds. */
const lateRetryInterval = 24 * 3_600_000;

type Presented = {
  readonly version: string;
  readonly family: string;
  readonly generation: number;
  /** Tokens from before it stood in them have none. */
  readonly nonce: string | undefined;
  readonly mac: string;
};

/** Begins the refresh tokens of a session: one row, however often they rotate. */
export async function startFamily(core: Core, tx: Tx, session: Session): Promise<RefreshFamily> {
  const family: RefreshFamily = {
    id: core.random.id(session.createdAt),
    sessionId: session.id,
    clientId: firstPartyClient,
    nonce: mintSecret(core.random),
    generation: 1,
    rotatedAt: null,
    retries: 0,
    lateRetriedAt: null,
    secretVersion: writingVersion(core.keyring),
    createdAt: session.createdAt,
  };
  await tx.refreshFamilies.insert(family);
  return family;
}

/**
 * The refresh token of a generation, made by the secret of `version`. Always the same text for the same generation and
 * secret, so that a retry gets no second branch.
 */
export function refreshToken(
  core: Core,
  family: Pick<RefreshFamily, "id" | "nonce">,
  generation: number,
  version = writingVersion(core.keyring),
): string {
  const proof = macOf(core, family, version, `rt2|${generation}`);
  if (!proof) throw new Error("the secret of a refresh token is missing");
  return `rt2.${version}.${family.id}.${generation}.${family.nonce}.${proof}`;
}

/** The MAC key is derived from the server secret and the family's row: neither alone can make a token. */
function macOf(core: Core, family: Pick<RefreshFamily, "id" | "nonce">, version: string, text: string) {
  const key = saltedKey(core.keyring, version, "refresh-token", family.nonce, family.id);
  return key && mac(key, text);
}

/** Whether a handle says of itself that it is one. */
export const isRefreshToken = (handle: string): boolean => /^rt[12]\./.test(handle);

function parse(token: string): Presented | undefined {
  const [, version, family, generation, first, second] =
    /^rt1\.([\w-]{8})\.([\w-]{1,64})\.([1-9]\d{0,8})\.([\w-]{43})$/.exec(token) ??
    /^rt2\.([\w-]{8})\.([\w-]{1,64})\.([1-9]\d{0,8})\.([\w-]{43})\.([\w-]{43})$/.exec(token) ??
    [];
  if (!version || !family || !generation || !first) return undefined;
  const [nonce, mac] = second ? [first, second] : [undefined, first];
  return { version, family, generation: Number(generation), nonce, mac };
}

/** Whether the MAC of a token is right, by the nonce that it brings; whether that is its family's, the row says. */
function isSigned(core: Core, { version, family: id, generation, nonce, mac }: Presented): boolean {
  const expected = nonce && macOf(core, { id, nonce }, version, `rt2|${generation}`);
  return expected !== undefined && sameText(expected, mac);
}

/** What a token says. `undefined` where it is surely none of ours, which takes no look at the database. */
async function read(core: Core, token: string): Promise<Presented | undefined> {
  const presented = parse(token);
  if (!presented || !(await accepts(core, presented.version))) return undefined;
  return presented.nonce === undefined || isSigned(core, presented) ? presented : undefined;
}

/** The family of a token that we made, whether it is spent or not. */
async function familyOf(core: Core, presented: Presented): Promise<Known | undefined> {
  const { version, generation, nonce, mac } = presented;
  const family = await core.store.refreshFamilies.byId(presented.family);
  if (!family) return undefined;
  const isOurs =
    nonce === undefined
      ? sameText(macOf(core, family, version, `${family.clientId}|${generation}`) ?? "", mac)
      : sameText(family.nonce, nonce);
  return isOurs ? { presented, family } : undefined;
}

/** The same of its text. Nothing is written for any other. */
export async function familyOfRefreshToken(core: Core, token: string): Promise<Known | undefined> {
  const presented = await read(core, token);
  return presented && (await familyOf(core, presented));
}

export const sessionOfRefreshToken = async (core: Core, token: string): Promise<string | undefined> =>
  (await familyOfRefreshToken(core, token))?.family.sessionId;

type Refusal = "unauthenticated" | "refresh_token_reused" | "session_hijack_suspected";

type Verdict =
  | { readonly outcome: RefreshOutcome; readonly refused: Refusal }
  | {
      readonly outcome: RefreshOutcome;
      readonly standing: Standing;
      readonly family: Pick<RefreshFamily, "id" | "nonce">;
      /** Of the secret that made the token which was presented. */
      readonly version: string;
      readonly successor: number;
      readonly idleExpiresAt: Date;
      readonly permissions: readonly string[];
    };

/**
 * Trades a refresh token for its successor and a fresh access token. Any number of parallel calls with one
 * token get the same successor. A token that was spent before that ends the session, and the end is
 * committed although the answer is an error: `refresh_token_reused` (RFC 9700, section 4.14.2).
 */
export async function refresh(core: Core, by: Actor, token: string): Promise<Credentials> {
  const presented = await read(core, token);
  const verdict = (presented && ((await rotate(core, by, presented)) ?? (await judge(core, by, presented)))) ?? unknown;
  core.meter.refresh(verdict.outcome);
  if ("refused" in verdict) return fail(verdict.refused);
  const { standing, family, successor } = verdict;
  return await tokenCredentials(core, standing, {
    permissions: verdict.permissions,
    refreshToken: refreshToken(core, family, successor, successorVersion(core.keyring, verdict.version)),
    idleExpiresAt: verdict.idleExpiresAt,
  });
}

type Known = { readonly presented: Presented; readonly family: RefreshFamily };

const unknown: Verdict = { outcome: "refused", refused: "unauthenticated" };

/**
 * The ordinary case: the token is the newest one, its session is alive, and its client the one that it was given to.
 * One statement asks for all of that, and changes nothing where any of it is otherwise: then `judge` finds out why.
 */
async function rotate(core: Core, by: Actor, presented: Presented): Promise<Verdict | undefined> {
  const { family: id, generation, nonce, version } = presented;
  if (nonce === undefined) return undefined;
  const now = core.clock.now();
  const client = clientOf(by);
  const { SESSION_BINDING: binding } = core.settings;
  const rotated = await core.store.refreshFamilies.rotate({
    id,
    nonce,
    generation,
    at: now,
    secretVersion: version,
    // What is only observed is recorded, which is out of the ordinary.
    binding: binding === "observe" ? "ua-family" : binding,
    ...rememberedClient(client),
    ip: client.ip,
    touchBefore: touchDue(core, "tokens", now),
    idleExpiresAt: new Date(now.getTime() + idleTtl(core, "tokens")),
  });
  if (!rotated) return undefined;
  const { session } = rotated;
  return {
    outcome: "rotated",
    standing: rotated,
    family: { id, nonce },
    version,
    successor: generation + 1,
    idleExpiresAt: needsTouch(core, session, now) ? idleLimit(core, session, now) : session.idleExpiresAt,
    permissions: allOf(rotated.permissions),
  };
}

/** Whatever is not ordinary, or was not when the statement of `rotate` looked. */
async function judge(core: Core, by: Actor, presented: Presented): Promise<Verdict | undefined> {
  const known = await familyOf(core, presented);
  return known && (await core.store.write((tx) => decide(core, tx, by, known)));
}

/**
 * Everything that decides is read inside; what may have changed since is asked for by the conditional statements of
 * `spend`. The family was read before, to know the token: all of it that counts here is its generation.
 */
async function decide(core: Core, tx: Tx, by: Actor, { presented, family }: Known): Promise<Verdict> {
  const now = core.clock.now();
  const standing = await tx.sessions.standing(family.sessionId);
  if (!standing || !isAlive(standing.session, standing.user, now)) {
    return { outcome: "refused", refused: "unauthenticated" };
  }
  const { session, user } = standing;
  const actor: UserActor = { kind: "user", userId: user.id, session, client: clientOf(by) };

  if (!clientFits(core, session, actor.client.userAgent)) {
    const observed = core.settings.SESSION_BINDING === "observe";
    await recordAnotherClient(core, tx, actor, observed);
    if (!observed) return { outcome: "another-client", refused: "session_hijack_suspected" };
  }

  const spent = await spend(core, tx, actor, family, presented);
  if (spent === "refresh-token-reused" || spent === "refresh-generation-ahead") {
    const ended = await revoke(core, tx, actor, [session], spent);
    if (ended.length > 0) await notify(core, tx, actor, user, "session-compromised");
    return { outcome: "reused", refused: "refresh_token_reused" };
  }
  const idleExpiresAt = needsTouch(core, session, now) ? await touchSession(core, tx, actor) : session.idleExpiresAt;
  const { permissions } = await grantsOf(tx, user.id);
  const { generation, version } = presented;
  return { outcome: spent, standing, family, version, successor: generation + 1, idleExpiresAt, permissions };
}

/**
 * Spends a generation and says how, or says why the session has to end. Generations order, never clocks: a clock only
 * says whether the generation before the current one is still inside its grace.
 */
async function spend(
  core: Core,
  tx: Tx,
  by: UserActor,
  read: RefreshFamily,
  { generation, version }: Presented,
): Promise<"rotated" | "retried" | "late" | "refresh-token-reused" | "refresh-generation-ahead"> {
  const now = core.clock.now();
  // The presented one may come again, and its successor is of no older secret.
  const isNext = generation === read.generation;
  if (isNext && (await tx.refreshFamilies.advance(read.id, generation, now, version))) return "rotated";
  // Another request was faster, or this one is late: the family as it is now says which.
  const family = (await tx.refreshFamilies.byId(read.id)) ?? read;

  const about = { userId: by.userId, sessionId: by.session.id };
  const spentAt = family.rotatedAt?.getTime() ?? 0;
  const particulars = {
    presented: generation,
    current: family.generation,
    spent_ms_ago: generation === family.generation - 1 ? now.getTime() - spentAt : null,
  };
  if (generation === family.generation - 1) {
    const inGrace = now.getTime() - spentAt <= core.settings.REFRESH_GRACE;
    if (inGrace && (await tx.refreshFamilies.countRetry(family.id, generation, mostRetries))) return "retried";
    const mayBeLate = core.settings.REFRESH_LATE_RETRY && sameClient("ua-family", by.session, by.client.userAgent);
    const notSince = new Date(now.getTime() - lateRetryInterval);
    if (!inGrace && mayBeLate && (await tx.refreshFamilies.countLateRetry(family.id, generation, now, notSince))) {
      await record(core, tx, by, { action: "refresh.late_retry", ...about, particulars });
      return "late";
    }
  }
  const ahead = generation > family.generation;
  await record(core, tx, by, { action: "refresh.reused", ...about, particulars });
  // A generation that was never given out means that the database went back in time.
  if (ahead) core.log.error("storage_rolled_back", { session_id: by.session.id, ...particulars });
  return ahead ? "refresh-generation-ahead" : "refresh-token-reused";
}
