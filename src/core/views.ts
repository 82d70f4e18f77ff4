import type { Content } from "../store/contents.ts";
import type { Migration } from "../store/dialects/dialect.ts";
import type { Server } from "../store/servers.ts";
import type { SessionState } from "../store/sessions.ts";
import type { Account, AuditEvent, Ban, Mail, Role, Session, Tombstone } from "../store/tables.ts";
import type { Explanation } from "./audit/explanation.ts";
import { markText, type Verified } from "./audit/verification.ts";
import type { Examined } from "./backups/examination.ts";
import type { Credentials } from "./credentials.ts";
import type { Page } from "./cursors.ts";
import type { Check } from "./health.ts";
import type { Imported } from "./importing.ts";
import { type countIssued, type Inspection, type Owned, sessionState, whyDead } from "./inspection.ts";
import type { JobStatus } from "./jobs.ts";
import type { Count } from "./limit-counts.ts";
import type { Insight } from "./mail/mail-queue.ts";
import { sqlName } from "./moving.ts";
import { adminRole } from "./roles.ts";
import type { Need, SecretState, Verified as VerifiedSecrets } from "./secrets/needs.ts";
import type { Answered } from "./servers.ts";
import type { ListedKey } from "./signing-keys/listing.ts";
import type { previewRetirement } from "./signing-keys/retirement.ts";
import type { Rotation } from "./signing-keys/rotation.ts";
import type { Statistics } from "./statistics.ts";
import type { BulkDisabled } from "./users/disabling.ts";

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

/** Members of a tombstone that tell who it was, and until when it can be restored. */
export const tombstoneView = (tombstone: Tombstone, until: Date) => ({
  id: tombstone.id,
  email: tombstone.email,
  username: tombstone.username,
  deleted_at: tombstone.deletedAt.toISOString(),
  until: until.toISOString(),
});

export const bulkDisabledView = ({ disabled, unchanged, refused }: BulkDisabled) => ({
  disabled,
  unchanged,
  refused: refused.map(({ id, error: { code, title } }) => ({ id, code, title })),
});

export const pageView = <T, V>({ items, nextCursor }: Page<T>, view: (item: T) => V) => ({
  items: items.map(view),
  next_cursor: nextCursor ?? null,
  has_more: nextCursor !== undefined,
});

export const roleView = ({ name, description, permissions }: Role) => ({ name, description, permissions });

/** @param hash the hash of the password, where hashes are wanted: null for whoever has none */
export const exportedUserView = (user: Account, roles: readonly string[], hash: string | null | undefined) => ({
  ...userView(user, roles),
  ...(hash !== undefined && { password_hash: hash }),
});

export const importedView = (done: Imported) => ({
  rows: done.rows,
  imported: done.imported,
  already: done.already,
  refused: done.refused,
  refusals: done.refusals,
  admins: done.admins,
  without_password: done.withoutPassword,
  hashes: done.hashes,
  without: done.without,
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

export const banView = (ban: Ban) => ({
  network: ban.network,
  reason: ban.reason,
  created_at: ban.createdAt.toISOString(),
  created_by: ban.createdBy,
  expires_at: time(ban.expiresAt),
});

export const countView = (counted: Count) => ({
  limit: counted.limit,
  together_with: counted.together,
  spent: counted.spent,
  most: counted.most,
  ends_at: counted.endsAt.toISOString(),
});

/** `subject` is the user that it was done to, `seq` its place in the chain, once it has one. */
export const auditEventView = (event: AuditEvent) => ({
  id: event.id,
  at: event.at.toISOString(),
  action: event.action,
  actor: { kind: event.actorKind, id: event.actor },
  subject: event.userId,
  session_id: event.sessionId,
  ip: event.ip,
  user_agent: event.userAgent,
  request_id: event.requestId,
  reason: event.reason,
  particulars: event.particulars ?? {},
  seq: event.seq,
});

/** With all that it takes to follow the chain without the server secret. */
export const chainedEventView = (event: AuditEvent) => ({
  ...auditEventView(event),
  particulars: event.particulars,
  personal_digest: event.personalDigest,
  personal_salt: event.personalSalt,
  hash: event.hash,
  mac: event.mac,
});

export const explanationView = (explained: Explanation) => ({
  session_id: explained.sessionId,
  user_id: explained.userId,
  alive: explained.alive,
  since: time(explained.since),
  by: explained.by,
  why: explained.why,
});

export const verifiedView = (verified: Verified) => ({
  sealed: verified.sealed,
  unsealed: verified.unsealed,
  adopted: verified.adopted,
  erased: verified.erased,
  unproven: verified.unproven,
  begins_after: verified.anchor.seq === 0 ? null : markText(verified.anchor),
  head: markText(verified.head),
  found: verified.found,
  findings: verified.findings,
});

export const secretView = (secret: SecretState) => ({
  version: secret.version,
  state: secret.state,
  accepted: secret.accepted,
  added_at: time(secret.addedAt),
  activated_at: time(secret.activatedAt),
  retired_at: time(secret.retiredAt),
  sealed: secret.sealed,
  audit_heads: secret.auditHeads,
  audit_events: secret.auditEvents,
  sessions: secret.sessions,
  refresh_families: secret.refreshFamilies,
  last_session_ends_at: time(secret.lastSessionEnds),
  servers: {
    accepting: secret.servers.accepting.map(serverName),
    refusing: secret.servers.refusing.map(serverName),
  },
});

const serverName = ({ id, host }: Server): string => `${host}/${id}`;

export const secretNeedView = ({ version, what, rows, until }: Need) => ({ version, what, rows, until: time(until) });

export const verifiedSecretsView = ({ writing, examined, needs, droppable }: VerifiedSecrets) => ({
  writing,
  examined,
  needs: needs.map(secretNeedView),
  droppable,
});

/** `known_at` is from when on a key that is still to come may sign; `held_by_at_most` counts sessions. */
export const signingKeyView = (key: ListedKey) => ({
  kid: key.kid,
  algorithm: key.algorithm,
  state: key.state,
  published_at: key.publishedAt.toISOString(),
  known_at: time(key.knownAt),
  activated_at: time(key.activatedAt),
  held_by_at_most: key.heldByAtMost,
  retires_at: time(key.retiresAt),
  retired_at: time(key.retiredAt),
});

export const rotationView = (rotation: Rotation) => ({
  algorithm: rotation.algorithm,
  activated: rotation.activated,
  replaced: rotation.replaced,
  rotated_at: rotation.rotatedAt.toISOString(),
});

export const retirementPreviewView = (preview: Awaited<ReturnType<typeof previewRetirement>>) => ({
  retired: preview.retired,
  activated: preview.activated,
  held_by_at_most: preview.heldByAtMost,
});

/** How far a call to the servers came. */
export const answeredView = ({ heard, silent, took }: Answered) => ({
  servers_heard: heard.length,
  servers_silent: silent.map(({ id, host }) => ({ id, host })),
  waited_ms: took,
});

/** `due_at` is when it is tried next; of one that is over, when that was. */
export const mailView = (mail: Mail, insight: Insight) => ({
  id: mail.id,
  kind: mail.kind,
  state: mail.state,
  to: insight.to,
  subject: insight.subject,
  link: insight.link,
  user_id: mail.userId,
  attempts: mail.attempts,
  due_at: mail.dueAt.toISOString(),
  created_at: mail.createdAt.toISOString(),
  sent_at: time(mail.sentAt),
  problem: mail.problem,
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

/** The states of the sessions add up to those that are stored. */
const talliedView = (sessions: Readonly<Record<SessionState, number>>) => ({
  sessions_stored: Object.values(sessions).reduce((sum, one) => sum + one, 0),
  sessions_alive: sessions.alive,
  sessions_expired: sessions.expired,
  sessions_revoked: sessions.revoked,
  sessions_signed_out: sessions["signed out everywhere"],
  sessions_of_disabled: sessions["user disabled"],
});

export const issuedView = (issued: Awaited<ReturnType<typeof countIssued>>) => ({
  ...talliedView(issued.sessions),
  users_signed_in: issued.usersSignedIn,
  refresh_families: issued.refreshFamilies,
  signing_keys: issued.keys,
  database_bytes: issued.databaseSize,
});

/** `purgeable` is what a purge would remove now, by kind. */
export const statisticsView = (found: Statistics) => ({
  users: found.users.stored,
  users_disabled: found.users.disabled,
  users_deleted: found.users.deleted,
  users_signed_in: found.users.signedIn,
  ...talliedView(found.sessions),
  sign_ins_of_last_day: found.signIns.succeeded,
  failures_of_last_day: found.signIns.failed,
  purgeable: Object.fromEntries(found.removable.map(({ kind, rows }) => [kind, rows])),
  database_bytes: found.databaseBytes,
  database_free_bytes: found.freeBytes,
});

/** `failed_at` only where it has not succeeded since. */
export const jobView = ({ name, does, every, success, failure, dueAt }: JobStatus, now: Date) => ({
  name,
  does,
  every_seconds: every / 1000,
  last_success: success ? success.succeededAt.toISOString() : null,
  did: success?.summary ?? null,
  due_at: dueAt ? dueAt.toISOString() : null,
  overdue: !dueAt || dueAt <= now,
  failed_at: failure ? failure.failedAt.toISOString() : null,
  problem: failure?.problem ?? null,
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

export const backupView = ({ manifest, tables }: Examined) => ({
  made_at: manifest.made_at,
  version: manifest.version,
  database: manifest.database,
  rows: tables.reduce((sum, { rows }) => sum + rows, 0),
  tables: Object.fromEntries(tables.map(({ table, rows }) => [table, rows])),
  secrets: manifest.secrets,
});

export const checkView = ({ name, ok, latency, age }: Check) => ({ name, ok, latency_ms: latency, age_ms: age });
