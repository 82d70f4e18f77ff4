/** One-time proofs that are sent by mail, or handed over by an operator (rule TK-4): 256 random bits, stored as a hash, used once, and only by POST. */
import type { Tx } from "../store/store.ts";
import type { Challenge, ChallengePurpose, User } from "../store/tables.ts";
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import type { Email } from "./identifiers.ts";
import type { AskedKind, MailFacts } from "./mail.ts";
import { mintSecret, sha256 } from "./secrets.ts";

/** What a token begins with says what it is for, and nothing that begins otherwise is taken for it (rule TK-2). */
const prefixes: Readonly<Record<ChallengePurpose, string>> = {
  "verify-email": "ve_",
  "change-email": "ce_",
  "reset-password": "rp_",
  recover: "rc_",
};

/** How long one that an operator hands over lives, in milliseconds. */
const recoveryLife = 15 * 60_000;

type Form = { readonly life: number; readonly page: string };

/** How long one lives, in milliseconds, and which page its link leads to. */
const forms: Readonly<Record<ChallengePurpose, (settings: Core["settings"]) => Form>> = {
  "verify-email": (of) => ({ life: of.VERIFY_EMAIL_TTL, page: of.VERIFY_EMAIL_PAGE }),
  "change-email": (of) => ({ life: of.CHANGE_EMAIL_TTL, page: of.VERIFY_EMAIL_PAGE }),
  "reset-password": (of) => ({ life: of.RESET_PASSWORD_TTL, page: of.RESET_PASSWORD_PAGE }),
  // Always a page of ours: whoever needs it may have lost the app, too.
  recover: (of) => ({ life: recoveryLife, page: `${of.PUBLIC_URL}/recover` }),
};

export type Issued = { readonly facts: MailFacts[AskedKind]; readonly expiresAt: Date };

/**
 * Proves, once it comes back, that who holds it reads the mail of `email`, or was handed it by an operator. The one of this purpose before it is
 * void. The token stands behind the `#` of the link, which no browser sends and no server logs (rule TK-5).
 */
export async function issueChallenge(
  core: Core,
  tx: Tx,
  userId: string,
  purpose: ChallengePurpose,
  { email, emailKey }: Email,
): Promise<Issued> {
  const { life, page } = forms[purpose](core.settings);
  const now = core.clock.now();
  const secret = mintSecret(core.random);
  const expiresAt = new Date(now.getTime() + life);
  await tx.challenges.put({ userId, purpose, secretHash: sha256(secret), email, emailKey, createdAt: now, expiresAt });
  const link = `${page}#token=${prefixes[purpose]}${secret}`;
  return { facts: { link, minutes: Math.round(life / 60_000) }, expiresAt };
}

type Presented = { readonly purpose: ChallengePurpose; readonly secretHash: string };

/** `undefined` where the text has not the form of a token of any of these purposes. */
export function readChallenge(token: string, purposes: readonly ChallengePurpose[]): Presented | undefined {
  const purpose = purposes.find((one) => token.startsWith(prefixes[one]));
  const secret = purpose && token.slice(prefixes[purpose].length);
  return purpose && secret && /^[\w-]{43}$/.test(secret) ? { purpose, secretHash: sha256(secret) } : undefined;
}

/**
 * Uses it up, once, and claims the user whose it is: nobody else changes that user before this is done. Fails with
 * `token_invalid` where it is unknown, spent, expired or superseded, or where its user may not sign in. The user
 * comes first, so that everybody who changes a user and spends challenges locks them in one order.
 */
export async function consumeChallenge(
  core: Core,
  tx: Tx,
  { purpose, secretHash }: Presented,
): Promise<{ challenge: Challenge; user: User }> {
  const now = core.clock.now();
  const known = await tx.challenges.bySecret(purpose, secretHash, now);
  const user = known && (await tx.users.claim(known.userId));
  const challenge = user && (await tx.challenges.consume(purpose, secretHash, now));
  return challenge && user.disabledAt === null ? { challenge, user } : fail("token_invalid");
}
