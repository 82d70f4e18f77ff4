import type { Content } from "../store/contents.ts";
import type { Migration } from "../store/dialects/dialect.ts";
import type { Account, Session, SigningKey } from "../store/tables.ts";
import type { Credentials } from "./credentials.ts";
import type { Check } from "./health.ts";
import { type countIssued, type Inspection, type Owned, sessionState, whyDead } from "./inspection.ts";
import { sqlName } from "./moving.ts";
import { adminRole } from "./roles.ts";

/**
 * What may be shown of each noun: explicit lists of members, the same through both doors (ASVS 5.0, 15.3.1).
 */

const time = (at: Date | null): string | null => at && at.toISOString();

export const userView = (user: Account, roles: readonly string[]) => ({
  id: user.id,
  email: user.email,
  email_verified: user.emailVerifiedAt !== null,
  username: user.username,
  full_name: user.fullName,
  locale: user.locale,
  profile: user.profile ?? {},
  is_active: user.disabledAt === null,
  is_admin: roles.includes(adminRole),
  roles,
  created_at: user.createdAt.toISOString(),
  updated_at: user.updatedAt.toISOString(),
  last_login_at: time(user.lastLoginAt),
});

/** `expires_at` is when the session ends if it is not used again. */
export const sessionView = (session: Session, currentId?: string) => ({
  id: session.id,
  current: session.id === currentId,
  created_at: session.createdAt.toISOString(),
  last_seen_at: session.lastSeenAt.toISOString(),
  expires_at: session.idleExpiresAt.toISOString(),
  ip: session.ip,
  user_agent: session.userAgent,
  device: { browser: session.browser, os: session.os, kind: session.clientKind },
});

/** A session as operators see it: whose it is, and whether it counts. */
export function ownedSessionView(owned: Owned, now: Date) {
  const { session, user } = owned;
  const state = sessionState(owned, now);
  return {
    ...sessionView(session),
    user: { id: user.id, email: user.email },
    credential: session.credential,
    state,
    why: state === "alive" ? null : whyDead(owned, now),
  };
}

/** @param inBody whether the secrets stand in the answer, or go into cookies */
export function credentialsView(credentials: Credentials, inBody: boolean) {
  const { session, user, roles } = credentials.standing;
  const about = { token_type: "Bearer" as const, expires_in: credentials.expiresIn };
  const whose = { session_id: session.id, user: userView(user, roles) };
  if (credentials.credential === "session") {
    return { ...(inBody && { session_token: credentials.sessionToken }), ...about, ...whose };
  }
  return {
    ...(inBody && { access_token: credentials.accessToken, refresh_token: credentials.refreshToken }),
    ...about,
    refresh_expires_in: credentials.refreshExpiresIn,
    ...whose,
  };
}

export const signingKeyView = (key: SigningKey) => ({
  kid: key.kid,
  algorithm: key.algorithm,
  state: key.state,
  published_at: key.publishedAt.toISOString(),
  activated_at: time(key.activatedAt),
  retires_at: time(key.retiresAt),
  retired_at: time(key.retiredAt),
});

export const inspectionView = (found: Inspection) => ({
  kind: found.kind,
  genuine: found.genuine,
  alive: found.alive,
  why: found.why,
  session_id: found.sessionId,
  user_id: found.userId,
  decoded: found.decoded,
});

export const issuedView = (issued: Awaited<ReturnType<typeof countIssued>>) => ({
  sessions_stored: issued.stored,
  sessions_alive: issued.alive,
  sessions_expired: issued.expired,
  sessions_revoked: issued.revoked,
  users_signed_in: issued.users,
  refresh_families: issued.refreshFamilies,
  signing_keys: issued.keys,
  database_bytes: issued.databaseSize,
});

export const migrationView = (migration: Migration) => ({
  id: migration.id,
  state: migration.state,
  applied_at: time(migration.appliedAt),
});

export const contentsView = ({ table, ...held }: { table: Content; rows: number; checksum?: string }) => ({
  table: sqlName(table),
  ...held,
});

export const checkView = ({ name, ok, latency, age }: Check) => ({ name, ok, latency_ms: latency, age_ms: age });
