import type { Tx } from "../store/store.ts";
import { type Actor, clientOf } from "./actors.ts";
import { digestOf, erasure, personalDigestOf, writtenMac } from "./audit/chain.ts";
import type { Core } from "./core.ts";
import { mintSecret } from "./secrets.ts";

/** Everything that leaves a trace, each with what it says of it. */
export const actions = {
  "user.registered": "signed up",
  "user.registered_again": "somebody signed up with the address again",
  "user.created": "was made",
  "user.updated": "was changed",
  "user.disabled": "was disabled",
  "user.enabled": "was enabled",
  "user.deleted": "was deleted",
  "user.restored": "was restored",
  "user.purged": "was removed for good",
  "user.email_verification_requested": "asked for a mail to verify the address",
  "user.email_verified": "had the address verified",
  "user.email_change_requested": "asked for another address",
  "user.email_changed": "got another address",
  "user.password_reset_requested": "asked for a new password",
  "user.recovery_ordered": "was given a one-time link by an operator",
  "users.imported": "users were imported",
  "users.exported": "users were exported",
  "user.password_changed": "got another password",
  "user.role_granted": "was given a role",
  "user.role_revoked": "lost a role",
  "role.created": "a role was made",
  "role.updated": "a role was changed",
  "role.deleted": "a role was deleted",
  "mail.failed": "a mail could not be sent",
  "mail.dropped": "a mail was given up",
  "mail.retried": "a mail was put back into the queue",
  "login.succeeded": "signed in",
  "login.failed": "failed to sign in",
  "session.revoked": "a session was ended",
  "session.all_revoked": "was signed out everywhere",
  "session.proved": "proved the password again",
  "session.client_changed": "a session came from another client",
  "session.network_changed": "a session came from another network",
  "refresh.retried": "a refresh token came twice within its grace",
  "refresh.late_retry": "a refresh token came twice after its grace, once",
  "refresh.reused": "a spent refresh token came back",
  "ban.added": "requests of a network were refused",
  "ban.lifted": "requests of a network were taken again",
  "limit.reset": "tries that were counted were forgotten",
  "key.created": "a signing key was made",
  "key.rotated": "the next signing key began to sign",
  "key.retired": "a signing key was retired",
  "secret.added": "another server secret was accepted",
  "secret.rotated": "another server secret began to write",
  "secret.resealed": "what an older server secret had sealed was sealed anew",
  "secret.retired": "a server secret was retired",
  "purge.done": "what had expired was removed",
  "database.copied": "the database was copied",
  "backup.created": "a backup was made",
  "backup.restored": "a backup was restored",
  "audit.purged": "the beginning of the audit trail was removed",
  "audit.chain_broken": "the audit trail was found without its end",
} as const satisfies Record<string, string>;

export type Action = keyof typeof actions;

export const actionNames = Object.keys(actions) as [Action, ...Action[]];

export type Event = {
  readonly action: Action;
  /** The user that it is about; the actor, where it is a user, is known already. */
  readonly userId?: string;
  readonly sessionId?: string;
  readonly reason?: string;
  /** Never holds a credential, nor what somebody typed. */
  readonly particulars?: Readonly<Record<string, string | number | boolean | null>>;
};

/** How much of a header is remembered, in characters: real ones have about 120. */
const maxUserAgent = 512;

/** Writes what was done into the same transaction as the deed: without its record, no deed. */
export async function record(core: Core, tx: Tx, by: Actor, event: Event): Promise<void> {
  const now = core.clock.now();
  const client = clientOf(by);
  const userAgent = client.userAgent?.slice(0, maxUserAgent) ?? null;
  const personal = { ip: client.ip, userAgent };
  const personalSalt = client.ip === null && userAgent === null ? null : mintSecret(core.random);
  const entry = {
    id: core.random.id(now),
    at: now,
    action: event.action,
    actorKind: by.kind,
    actor: by.kind === "user" ? by.userId : by.kind === "anonymous" ? null : by.name,
    userId: event.userId ?? null,
    sessionId: event.sessionId ?? null,
    requestId: client.requestId,
    reason: event.reason ?? (by.kind === "operator" ? by.reason : null),
    particulars: event.particulars ?? null,
    personalDigest: personalSalt && personalDigestOf(personalSalt, personal),
  };
  const mac = writtenMac(core.keyring, digestOf(entry));
  await tx.auditEvents.insert({ ...entry, ...personal, personalSalt, mac });
}

/**
 * Forgets the addresses and browsers of at most `limit` events by or about a user, for good. What is left still
 * proves that it is as it was written. Answers how many there were.
 */
export const eraseAuditOf = async (core: Core, tx: Tx, userId: string, limit: number): Promise<number> =>
  await tx.auditEvents.erase(userId, erasure(core.keyring, userId), limit);
