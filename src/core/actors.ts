import type { Session } from "../store/tables.ts";
import { withoutCredentials } from "./redaction.ts";

/** Where a request came from, as the door saw it. */
export type Client = {
  readonly ip: string | null;
  readonly userAgent: string | null;
  readonly requestId: string | null;
};

/** A client by what it says of itself, which is stored and shown: but for a credential that stands in it. */
export const clientFrom = ({ ip, userAgent, requestId }: Client): Client => ({
  ip,
  userAgent: userAgent && withoutCredentials(userAgent),
  requestId,
});

/**
 * Who acts. Every act is given one, so that the audit trail always knows who it was.
 * An operator has the shell of the machine, and may do everything that the command line offers.
 */
export type Actor =
  | { readonly kind: "anonymous"; readonly client: Client }
  | { readonly kind: "user"; readonly userId: string; readonly session: Session; readonly client: Client }
  | { readonly kind: "operator"; readonly name: string; readonly reason: string | null }
  | { readonly kind: "job"; readonly name: string };

export type UserActor = Extract<Actor, { kind: "user" }>;
export type OperatorActor = Extract<Actor, { kind: "operator" }>;

export const anonymous = (client: Client): Actor => ({ kind: "anonymous", client });

/** @param name `<os user>@<host>` */
export const operator = (name: string, reason?: string): OperatorActor => ({
  kind: "operator",
  name,
  reason: reason ?? null,
});

export const job = (name: string): Actor => ({ kind: "job", name });

/** Nobody: for what comes from no request. */
export const noClient: Client = { ip: null, userAgent: null, requestId: null };

export const clientOf = (by: Actor): Client => ("client" in by ? by.client : noClient);
