/**
 * Tries of what could be guessed. A try is reserved before anything is compared and given back where it
 * succeeded, in the database: neither parallel requests nor several servers nor a restart try more than the
 * limit (rule LI-0).
 */
import type { Tx } from "../store/store.ts";
import type { User } from "../store/tables.ts";
import { type Actor, clientOf } from "./actors.ts";
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import { identifierKey } from "./identifiers.ts";
import { addressKey, quotaOf, type TryName } from "./limits.ts";
import { oldestSignature, signatures } from "./secrets.ts";

/** Whose password is tried: a user, or whoever a name could have meant. */
export type Subject = {
  readonly user: User | undefined;
  readonly identifier: string;
  /** What the client is known by to this user (see `knownDevice`). */
  readonly device?: string | undefined;
};

/** What was counted, and in which window. */
export type Reserved = ReadonlyArray<{ readonly key: string; readonly endsAt: Date }>;

/**
 * Reserves one try of a password. Fails with `rate_limited`, the same whether there is such a user or not. A known
 * device has tries of its own, and so has a session: those of the account, and of an address that many share, may
 * have been spent by a stranger (rule LI-2).
 */
export async function reservePasswordTry(core: Core, by: Actor, subject: Subject): Promise<Reserved> {
  if (!core.settings.RATE_LIMITS) return [];
  return await core.store.write((tx) => reserve(core, tx, wantedOf(core, by, subject)));
}

function wantedOf(core: Core, by: Actor, subject: Subject): Wanted {
  const account = accountKey(core, subject);
  if (by.kind === "user") return { sign_in_device: pairOf(account, by.session.id) };
  const address = addressOf(by);
  if (subject.device !== undefined)
    return {
      sign_in_device: pairOf(account, subject.device),
      ...(address !== undefined && { sign_in_address: address }),
    };
  return {
    sign_in_account: account,
    ...(address !== undefined && { sign_in_address: address, sign_in_pair: pairOf(account, address) }),
  };
}

/**
 * Reserves one mail to an address, for somebody who is not its proven owner. Fails with `rate_limited`, the same
 * whether anybody has the address or not.
 */
export async function reserveMail(core: Core, tx: Tx, by: Actor, emailKey: string): Promise<void> {
  if (!core.settings.RATE_LIMITS) return;
  const mail_account = mailboxKeys(core, emailKey);
  const mail_address = addressOf(by);
  await reserve(core, tx, { mail_account, ...(mail_address !== undefined && { mail_address }) });
}

/** Whose mails are counted together: most mail servers put what is sent to any `+tag` of an address into one mailbox. */
export const mailboxKeys = (core: Core, emailKey: string): string[] =>
  signatures(core.keyring, "tries", emailKey.replace(/\+[^@]*/, ""));

/** Forgets the passwords that were tried on one account: a stranger's tries must not keep its owner out (rule LI-2). */
export async function forgiveTries(tx: Tx, by: Actor, userId: string): Promise<void> {
  const address = addressOf(by);
  await tx.tries.forget(keyOf("sign_in_account", userId));
  await tx.tries.forgetAll(keyOf("sign_in_device", pairOf(userId, "")));
  if (address !== undefined) await tx.tries.forget(keyOf("sign_in_pair", pairOf(userId, address)));
}

function addressOf(by: Actor): string | undefined {
  const { ip } = clientOf(by);
  return ip === null ? undefined : addressKey(ip);
}

export const pairOf = (account: string, other: string): string => `${account}|${other}`;

/** Each limit with whose tries it counts: of an address once under each server secret, so that a new secret forgets none. */
type Wanted = Partial<Record<TryName, string | readonly string[]>>;

export const keyOf = (limit: TryName, whose: string): string => `${limit}:${whose}`;

/**
 * A name that nobody has is counted too, with as many statements as one that somebody has. What was typed is not
 * stored: people type passwords there.
 */
function accountKey(core: Core, { user, identifier }: Subject): string {
  if (user) return user.id;
  const key = identifierKey(identifier);
  const name = !key ? identifier : "emailKey" in key ? key.emailKey : key.usernameKey;
  return oldestSignature(core.keyring, "tries", name);
}

/**
 * All of them or none: where one is spent already, the failure takes the others back with the transaction. Every
 * transaction takes them in the order in which they stand here, so none waits for another in a circle.
 */
async function reserve(core: Core, tx: Tx, wanted: Wanted): Promise<Reserved> {
  const now = core.clock.now();
  const reserved: Array<Reserved[number]> = [];
  const counted = Object.entries(wanted).flatMap(([name, whose]) =>
    [whose].flat().map((one) => ({ limit: name as TryName, key: keyOf(name as TryName, one) })),
  );
  for (const { limit, key } of counted) {
    const quota = quotaOf(core.settings, limit);
    const endsAt = await tx.tries.reserve(key, quota.most, now, new Date(now.getTime() + quota.window));
    if (!endsAt) {
      const over = (await tx.tries.byKey(key))?.endsAt ?? now;
      const resetsIn = Math.max(1, Math.ceil((over.getTime() - now.getTime()) / 1000));
      core.meter.limit(limit, false);
      fail("rate_limited", { allowance: { limit, quota, remaining: 0, resetsIn }, retryAfter: resetsIn });
    }
    reserved.push({ key, endsAt });
  }
  for (const limit of Object.keys(wanted) as TryName[]) core.meter.limit(limit, true);
  return reserved;
}

/** Gives tries back in a transaction of its own, where there are any. */
export async function giveBackNow(core: Core, reserved: Reserved): Promise<void> {
  if (reserved.length > 0) await core.store.write((tx) => giveBack(tx, reserved));
}

/** A try that succeeded, or that came to nothing, is none. */
export async function giveBack(tx: Tx, reserved: Reserved): Promise<void> {
  for (const { key, endsAt } of reserved) await tx.tries.giveBack(key, endsAt);
}
