import { decodeJwt, decodeProtectedHeader } from "jose";
import type { SessionState, Standing } from "../store/sessions.ts";
import type { SigningKey } from "../store/tables.ts";
import { verifyAccessToken } from "./access-tokens.ts";
import type { Core } from "./core.ts";
import { familyOfRefreshToken, isRefreshToken } from "./refresh-tokens.ts";
import { sessionOfToken } from "./sessions.ts";
import { isAlive } from "./standings.ts";

export type Inspection = {
  readonly kind: "access token" | "refresh token" | "session token" | "unknown";
  /** Whether this server made it. */
  readonly genuine: boolean;
  /** Whether it would be accepted now. */
  readonly alive: boolean;
  /** Why, in a few words. */
  readonly why: string;
  readonly sessionId: string | null;
  readonly userId: string | null;
  /** What can be read in it without any key. */
  readonly decoded: Readonly<Record<string, unknown>> | null;
};

const unknown: Inspection = {
  kind: "unknown",
  genuine: false,
  alive: false,
  why: "it is no token of this server",
  sessionId: null,
  userId: null,
  decoded: null,
};

/** Tells what a token is and whether it counts, for operators. Changes nothing: a refresh token is not spent. */
export async function inspectToken(core: Core, token: string): Promise<Inspection> {
  if (token.startsWith("st_")) {
    const presented = sessionOfToken(core, token);
    return presented
      ? withSession(
          { ...unknown, kind: "session token", genuine: true },
          core,
          await core.store.sessions.standing(presented.id),
        )
      : { ...unknown, kind: "session token", why: "its signature is wrong" };
  }
  if (isRefreshToken(token)) return await inspectRefreshToken(core, token);
  return await inspectAccessToken(core, token);
}

function withSession(found: Inspection, core: Core, standing: Standing | undefined): Inspection {
  if (!standing) return { ...found, why: "its session is gone" };
  const { session, user } = standing;
  const about = { ...found, sessionId: session.id, userId: user.id };
  const now = core.clock.now();
  if (isAlive(session, user, now)) return { ...about, alive: true, why: "its session is alive" };
  return { ...about, why: whyDead(standing, now) };
}

/** A session and whose it is, where the roles do not matter. */
export type Owned = Pick<Standing, "session" | "user">;

/** Whether a session counts, and in two words why not. */
export function sessionState({ session, user }: Owned, now: Date): SessionState {
  if (isAlive(session, user, now)) return "alive";
  if (session.revokedAt) return "revoked";
  if (user.disabledAt) return "user disabled";
  return session.epoch === user.epoch ? "expired" : "signed out everywhere";
}

/** Why a session does not count, for people. */
export function whyDead({ session, user }: Owned, now: Date): string {
  if (session.revokedAt)
    return `its session was revoked at ${session.revokedAt.toISOString()} (${session.revokeReason})`;
  if (user.disabledAt) return `its user was disabled at ${user.disabledAt.toISOString()}`;
  if (session.epoch !== user.epoch) return "its user was signed out everywhere";
  if (session.expiresAt <= now) return `its session reached its absolute limit at ${session.expiresAt.toISOString()}`;
  return `its session rested for too long: it ended at ${session.idleExpiresAt.toISOString()}`;
}

async function inspectRefreshToken(core: Core, token: string): Promise<Inspection> {
  const known = await familyOfRefreshToken(core, token);
  if (!known) return { ...unknown, kind: "refresh token", why: "its MAC is wrong, or its family is gone" };
  const { family, presented } = known;
  const decoded = { family: family.id, generation: presented.generation, current_generation: family.generation };
  const found = withSession(
    { ...unknown, kind: "refresh token", genuine: true, decoded },
    core,
    await core.store.sessions.standing(family.sessionId),
  );
  if (!found.alive || presented.generation === family.generation) return found;
  const spent = presented.generation < family.generation;
  return {
    ...found,
    alive: false,
    why: spent ? "it is spent: a newer one was given out" : "it is of a generation that was never given out",
  };
}

async function inspectAccessToken(core: Core, token: string): Promise<Inspection> {
  let decoded: { readonly header: object; readonly claims: { readonly iss?: string } };
  try {
    decoded = { header: decodeProtectedHeader(token), claims: decodeJwt(token) };
  } catch {
    return unknown;
  }
  const read: Inspection = { ...unknown, kind: "access token", decoded };
  const claims = await verifyAccessToken(core, token, { expired: true });
  if (!claims) return { ...read, why: whyRefused(core, decoded.claims.iss) };
  const found = withSession({ ...read, genuine: true }, core, await core.store.sessions.standing(claims.sessionId));
  const end = new Date(claims.expiresAt * 1000);
  return end <= core.clock.now() ? { ...found, alive: false, why: `it expired at ${end.toISOString()}` } : found;
}

/** A server that was started with another address is what an operator most often has forgotten: then this names both. */
function whyRefused({ settings }: Core, issuer: string | undefined): string {
  if (issuer === settings.PUBLIC_URL) return "its signature, key, type or audience is wrong";
  return `its issuer is ${issuer ?? "missing"}, and these settings say PUBLIC_URL=${settings.PUBLIC_URL}`;
}

/** How much there is of everything that was issued. Sizes are in bytes. */
export async function countIssued(core: Core) {
  const { store } = core;
  const now = core.clock.now();
  const sessions = await store.sessions.tally(now);
  const keys = await store.signingKeys.all();
  const keysThatAre = (state: SigningKey["state"]) => keys.filter((key) => key.state === state).length;
  return {
    sessions,
    usersSignedIn: await store.sessions.countSignedIn(now),
    refreshFamilies: await store.refreshFamilies.count(),
    keys: {
      next: keysThatAre("next"),
      active: keysThatAre("active"),
      retiring: keysThatAre("retiring"),
      retired: keysThatAre("retired"),
    },
    databaseSize: await store.size(),
  };
}
