import type { Tx } from "../store/store.ts";
import { issueChallenge, linkWith } from "./challenges.ts";
import type { Core } from "./core.ts";
import { type Addressee, type AskedKind, addresseeOf, type MailFacts } from "./mail.ts";

export type Settled = { readonly to: Addressee; readonly facts: MailFacts[AskedKind] };

/**
 * What becomes of a mail that somebody asked for, when its turn has come: `undefined` where nobody has the
 * address, or where its owner has no use for the mail.
 */
export async function settleAsked(core: Core, tx: Tx, kind: AskedKind, emailKey: string): Promise<Settled | undefined> {
  const user = await tx.users.byEmailKey(emailKey);
  if (!user || user.disabledAt !== null) return undefined;
  if (kind === "verify-email" && user.emailVerifiedAt !== null) return undefined;
  const page = core.settings[kind === "verify-email" ? "VERIFY_EMAIL_PAGE" : "RESET_PASSWORD_PAGE"];
  const issued = await issueChallenge(core, tx, user.id, kind, user);
  const minutes = Math.round((issued.expiresAt.getTime() - core.clock.now().getTime()) / 60_000);
  return { to: addresseeOf(user), facts: { link: linkWith(page, issued), minutes } };
}
