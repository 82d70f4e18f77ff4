import type { Standing } from "../store/sessions.ts";
import type { Tx } from "../store/store.ts";
import type { RefreshFamily, Session } from "../store/tables.ts";
import { firstPartyClient } from "./access-tokens.ts";
import { type Actor, clientOf, type UserActor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { type Credentials, tokenCredentials } from "./credentials.ts";
import { sameClient } from "./devices.ts";
import { fail } from "./errors.ts";
import { notify } from "./mail/notices.ts";
import type { RefreshOutcome } from "./meter.ts";
import { grantsOf } from "./roles.ts";
import { accepts } from "./secrets/keyrings.ts";
import { mac, mintSecret, saltedKey, sameText, successorVersion, writingVersion } from "./secrets.ts";
import { clientFits, recordAnotherClient, revoke, touchSession } from "./sessions.ts";
import { isAlive, needsTouch } from "./standings.ts";

/** How often the token before the current one is answered inside the grace. */
const mostRetries = 20;
/** How long after one late retry another one is reuse, in milliseconds. */
const lateRetryInterval = 24 * 3_600_000;

type Presented = {
  readonly version: string;
  readonly family: string;
  readonly generation: number;
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
  family: RefreshFamily,
  generation: number,
  version = writingVersion(core.keyring),
): string {
  const proof = macOf(core, family, version, generation);
  if (!proof) throw new Error("the secret of a refresh token is missing");
  return `rt1.${version}.${family.id}.${generation}.${proof}`;
}

/** The MAC key is derived from the server secret and the family's row: neither alone can make a token. */
function macOf(core: Core, family: RefreshFamily, version: string, generation: number): string | undefined {
  const key = saltedKey(core.keyring, version, "refresh-token", family.nonce, family.id);
  return key && mac(key, `${family.clientId}|${generation}`);
}

function parse(token: string): Presented | undefined {
  const [, version, family, generation, proof] =
    /^rt1\.([\w-]{8})\.([\w-]{1,64})\.([1-9]\d{0,8})\.([\w-]{43})$/.exec(token) ?? [];
  return version && family && generation && proof
    ? { version, family, generation: Number(generation), mac: proof }
    : undefined;
}

/** The family of a token that we made, whether it is spent or not. Nothing is written for any other. */
export async function familyOfRefreshToken(
  core: Core,
  token: string,
): Promise<{ presented: Presented; family: RefreshFamily } | undefined> {
  const presented = parse(token);
  if (!presented || !(await accepts(core, presented.version))) return undefined;
  const family = await core.store.refreshFamilies.byId(presented.family);
  const expected = family && macOf(core, family, presented.version, presented.generation);
  return expected && sameText(expected, presented.mac) ? { presented, family } : undefined;
}

export const sessionOfRefreshToken = async (core: Core, token: string): Promise<string | undefined> =>
  (await familyOfRefreshToken(core, token))?.family.sessionId;

type Refusal = "unauthenticated" | "refresh_token_reused" | "session_hijack_suspected";

type Verdict =
  | { readonly outcome: RefreshOutcome; readonly refused: Refusal }
  | {
      readonly outcome: RefreshOutcome;
      readonly standing: Standing;
      readonly family: RefreshFamily;
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
  const known = await familyOfRefreshToken(core, token);
  if (!known) {
    core.meter.refresh("refused");
    return fail("unauthenticated");
  }
  const verdict = await core.store.write((tx) => decide(core, tx, by, known));
  core.meter.refresh(verdict.outcome);
  if ("refused" in verdict) return fail(verdict.refused);
  const { standing, family, successor } = verdict;
  return await tokenCredentials(core, standing, {
    permissions: verdict.permissions,
    refreshToken: refreshToken(core, family, successor, successorVersion(core.keyring, known.presented.version)),
    idleExpiresAt: verdict.idleExpiresAt,
  });
}

type Known = { readonly presented: Presented; readonly family: RefreshFamily };

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

  if (!clientFits(core, session, actor.client)) {
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
  const successor = presented.generation + 1;
  return { outcome: spent, standing, family, successor, idleExpiresAt, permissions };
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
