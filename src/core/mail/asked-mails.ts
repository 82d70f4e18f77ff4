import type { Tx } from "../../store/store.ts";
import { job } from "../actors.ts";
import { type Action, record } from "../audit.ts";
import { issueChallenge } from "../challenges.ts";
import type { Core } from "../core.ts";
import { type Addressee, type AskedKind, addresseeOf, type MailFacts } from "../mail.ts";

export type Settled = { readonly to: Addressee; readonly facts: MailFacts[AskedKind] };

const actions = {
  "reset-password": "user.password_reset_requested",
  "verify-email": "user.email_verification_requested",
} as const satisfies Record<AskedKind, Action>;

/**
 * What becomes of a mail that somebody asked for, when its turn has come: `undefined` where nobody has the
 * address, or where its owner has no use for the mail.
 */
export async function settleAsked(core: Core, tx: Tx, kind: AskedKind, emailKey: string): Promise<Settled | undefined> {
  const user = await tx.users.byEmailKey(emailKey);
  if (!user || user.disabledAt !== null) return undefined;
  if (kind === "verify-email" && user.emailVerifiedAt !== null) return undefined;
  const { facts } = await issueChallenge(core, tx, user.id, kind, user);
  // Only now is it known whose account it is; which address asked for it is in the log of requests.
  await record(core, tx, job("mail"), { action: actions[kind], userId: user.id });
  return { to: addresseeOf(user), facts };
}
