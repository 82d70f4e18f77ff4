import type { Tx } from "../store/store.ts";
import { type Actor, clientOf } from "./actors.ts";
import type { Core } from "./core.ts";

/** Everything that leaves a trace. */
export type Action =
  | "user.registered"
  | "user.registered_again"
  | "user.created"
  | "user.updated"
  | "user.disabled"
  | "user.enabled"
  | "user.deleted"
  | "user.restored"
  | "user.purged"
  | "user.email_verification_requested"
  | "user.email_verified"
  | "user.email_change_requested"
  | "user.email_changed"
  | "user.password_reset_requested"
  | "users.imported"
  | "users.exported"
  | "user.password_changed"
  | "user.role_granted"
  | "user.role_revoked"
  | "role.created"
  | "role.updated"
  | "role.deleted"
  | "mail.failed"
  | "mail.dropped"
  | "mail.retried"
  | "login.succeeded"
  | "login.failed"
  | "session.revoked"
  | "session.all_revoked"
  | "session.client_changed"
  | "refresh.retried"
  | "refresh.late_retry"
  | "refresh.reused"
  | "ban.added"
  | "ban.lifted"
  | "key.created"
  | "key.rotated"
  | "key.retired"
  | "purge.done"
  | "database.copied";

export type Event = {
  readonly action: Action;
  /** The user that it is about; the actor, where it is a user, is known already. */
  readonly userId?: string;
  readonly sessionId?: string;
  readonly reason?: string;
  /** Never holds a credential, nor what somebody typed. */
  readonly particulars?: Readonly<Record<string, string | number | boolean | null>>;
};

/** Writes what was done into the same transaction as the deed: without its record, no deed. */
export async function record(core: Core, tx: Tx, by: Actor, event: Event): Promise<void> {
  const now = core.clock.now();
  const client = clientOf(by);
  await tx.auditEvents.insert({
    id: core.random.id(now),
    at: now,
    action: event.action,
    actorKind: by.kind,
    actor: by.kind === "user" ? by.userId : by.kind === "anonymous" ? null : by.name,
    userId: event.userId ?? null,
    sessionId: event.sessionId ?? null,
    ip: client.ip,
    userAgent: client.userAgent,
    requestId: client.requestId,
    reason: event.reason ?? (by.kind === "operator" ? by.reason : null),
    particulars: event.particulars ?? null,
  });
}
