/** Entries of the audit trail as sentences for people. */
import type { AuditEvent } from "../../store/tables.ts";
import { type Action, actions } from "../audit.ts";
import { describeDevice } from "../devices.ts";

/** What only programs can make something of. */
const inward: ReadonlySet<string> = new Set(["epoch"]);
/** What needs no name beside its action. */
const evident: ReadonlySet<string> = new Set(["why", "role"]);

/** What was done, with all that is known of how. */
export function whatOf({ action, actorKind, reason, particulars }: AuditEvent): string {
  const details = Object.entries(particulars ?? {}).flatMap(([name, value]) =>
    value === null || inward.has(name)
      ? []
      : [evident.has(name) ? String(value) : `${name.replaceAll("_", " ")} ${value}`],
  );
  // An operator's reason stands with the operator.
  if (reason !== null && actorKind !== "operator") details.unshift(reason);
  // An entry of a newer version may have an action that this one does not know.
  const phrase: string = actions[action as Action] ?? action;
  return details.length > 0 ? `${phrase}: ${details.join(", ")}` : phrase;
}

/** What nobody can do to a user but who holds the password, a token or a mail of the user. */
const byOwner: ReadonlySet<string> = new Set<Action>([
  "user.registered",
  "user.email_verified",
  "user.email_changed",
  "user.password_changed",
  "login.succeeded",
  "session.revoked",
]);

/** Who did it, as seen from whom it was done to. */
export function whoOf({ action, actorKind, actor, userId, reason }: AuditEvent): string {
  switch (actorKind) {
    case "user":
      return actor === userId ? "its user" : `user ${actor}`;
    case "operator":
      return `operator ${actor}${reason === null ? "" : ` (${reason})`}`;
    case "job":
      return `job ${actor}`;
    default:
      return byOwner.has(action) ? "its user" : "somebody not signed in";
  }
}

/** From where: "Firefox on Linux from 192.0.2.7". Nothing of what came from no request, or was erased. */
export function whereOf({ ip, userAgent }: Pick<AuditEvent, "ip" | "userAgent">): string {
  const client = userAgent === null ? "" : clientName(describeDevice(userAgent));
  return [client, ip === null ? "" : `from ${ip}`].filter(Boolean).join(" ");
}

export function clientName({ browser, os }: { readonly browser: string | null; readonly os: string | null }): string {
  const named = browser ?? "an unknown client";
  return os === null ? named : `${named} on ${os}`;
}
