/** One-time proofs that are sent by mail (rule TK-4): 256 random bits, stored as a hash, used once, and only by POST. */
import type { Tx } from "../store/store.ts";
import type { Challenge, ChallengePurpose } from "../store/tables.ts";
import type { Core } from "./core.ts";
import type { Email } from "./identifiers.ts";
import { mintSecret, sha256 } from "./secrets.ts";

/** What a token begins with says what it is for, and nothing that begins otherwise is taken for it (rule TK-2). */
const prefixes: Readonly<Record<ChallengePurpose, string>> = {
  "verify-email": "ve_",
  "change-email": "ce_",
  "reset-password": "rp_",
};

const lifeSettings = {
  "verify-email": "VERIFY_EMAIL_TTL",
  "change-email": "CHANGE_EMAIL_TTL",
  "reset-password": "RESET_PASSWORD_TTL",
} as const satisfies Record<ChallengePurpose, string>;

export type Issued = { readonly token: string; readonly expiresAt: Date };

/** Proves, once it comes back, that who holds it reads the mail of `email`. The one of this purpose before it is void. */
export async function issueChallenge(
  core: Core,
  tx: Tx,
  userId: string,
  purpose: ChallengePurpose,
  { email, emailKey }: Email,
): Promise<Issued> {
  const now = core.clock.now();
  const secret = mintSecret(core.random);
  const expiresAt = new Date(now.getTime() + core.settings[lifeSettings[purpose]]);
  await tx.challenges.put({ userId, purpose, secretHash: sha256(secret), email, emailKey, createdAt: now, expiresAt });
  return { token: `${prefixes[purpose]}${secret}`, expiresAt };
}

type Presented = { readonly purpose: ChallengePurpose; readonly secretHash: string };

/** `undefined` where the text has not the form of a token of any of these purposes. */
export function readChallenge(token: string, purposes: readonly ChallengePurpose[]): Presented | undefined {
  const purpose = purposes.find((one) => token.startsWith(prefixes[one]));
  const secret = purpose && token.slice(prefixes[purpose].length);
  return purpose && secret && /^[\w-]{43}$/.test(secret) ? { purpose, secretHash: sha256(secret) } : undefined;
}

/** Uses it up. `undefined` where it is unknown, spent, expired or superseded. */
export const consumeChallenge = async (core: Core, tx: Tx, presented: Presented): Promise<Challenge | undefined> =>
  await tx.challenges.consume(presented.purpose, presented.secretHash, core.clock.now());

/** The token stands behind the `#`, which no browser sends and no server logs (rule TK-5). */
export const linkWith = (page: string, { token }: Issued): string => `${page}#token=${token}`;
