import type { Tx } from "../store/store.ts";
import type { User } from "../store/tables.ts";
import type { Actor, UserActor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import { accepts } from "./secrets/keyrings.ts";
import { open, seal, sealedBy, writingVersion } from "./secrets.ts";
import { giveBackNow, type Reserved, reservePasswordTry, type Subject } from "./tries.ts";

/** The stored form of a password: argon2id of its normalised form, sealed for this user (rules PW-1, PW-7). */
export async function hashPassword(core: Core, userId: string, password: string): Promise<string> {
  return sealHash(core, userId, await core.hashing.hash(password));
}

/** A hash of any scheme, as it is stored for this user. */
export const sealHash = (core: Core, userId: string, hash: string): string =>
  seal(core.keyring, core.random, "password-hash", hash, userId);

export type PasswordTry = {
  readonly right: boolean;
  /** For whoever finds that the password was right, and that it led to something, to give back. */
  readonly reserved: Reserved;
};

/**
 * The only way to check a password: one try of a limited number, reserved before the hash is computed (rule LI-0).
 * A user who is unknown or has no password costs one verification as well, against a hash that nothing matches
 * (rule PW-4). Fails with `rate_limited`, or with `overloaded`, which is no try.
 */
export async function tryPassword(
  core: Core,
  by: Actor,
  subject: Subject,
  password: string,
  waited?: number,
): Promise<PasswordTry> {
  const reserved = await reservePasswordTry(core, by, subject);
  try {
    return { right: await verifyPassword(core, subject.user, password, waited), reserved };
  } catch (error) {
    await giveBackNow(core, reserved);
    throw error;
  }
}

/** Fails with `invalid_credentials` where the password is not the user's, with `rate_limited` where too many were tried before. */
export async function provePassword(
  core: Core,
  by: UserActor,
  user: User,
  password: string,
  path: string,
): Promise<void> {
  const { right, reserved } = await tryPassword(core, by, { user, identifier: user.emailKey }, password);
  if (right) return await giveBackNow(core, reserved);
  await core.store.write((tx) =>
    record(core, tx, by, {
      action: "login.failed",
      userId: user.id,
      sessionId: by.session.id,
      reason: "wrong-password",
    }),
  );
  return fail("invalid_credentials", { detail: `\`${path}\` is not the password of this account.` });
}

async function verifyPassword(core: Core, user: User | undefined, password: string, waited?: number): Promise<boolean> {
  if (user?.passwordHash) await accepts(core, sealedBy(user.passwordHash));
  const stored = user?.passwordHash ? openHash(core, user.id, user.passwordHash) : undefined;
  const right = await core.hashing.verify(password, stored ?? core.hashing.dummyHash, undefined, waited);
  return stored !== undefined && right;
}

/** Whether a password that was right a moment ago still is: part of the same try. */
export const fitsStill = async (core: Core, user: User, password: string): Promise<boolean> =>
  await verifyPassword(core, user, password);

/** Whether a stored hash has the parameters and the secret that a new one would get. */
export function isCurrentHash(core: Core, user: User): boolean {
  if (!user.passwordHash) return false;
  const fresh = sealedBy(user.passwordHash) === writingVersion(core.keyring);
  return fresh && !core.hashing.needsRehash(openHash(core, user.id, user.passwordHash));
}

/**
 * What is to be stored for a password that was just proved: another hash where the parameters are others by now, the
 * same one sealed anew where the secret is. `undefined` where it is as a new one would be.
 */
export async function refreshedHash(core: Core, user: User, password: string): Promise<string | undefined> {
  if (!user.passwordHash || isCurrentHash(core, user)) return undefined;
  const hash = openHash(core, user.id, user.passwordHash);
  return core.hashing.needsRehash(hash) ? await hashPassword(core, user.id, password) : sealHash(core, user.id, hash);
}

/** Whether a user has the same password as before, which may have been sealed anew meanwhile. */
export function hasSamePassword(core: Core, before: User, now: User | undefined): now is User {
  const [one, other] = [before.passwordHash, now?.passwordHash];
  if (one === other) return now !== undefined;
  return !!one && !!other && openHash(core, before.id, one) === openHash(core, before.id, other);
}

/** The text that the password of `user` stands in now; `undefined` where there is another password. */
export async function passwordTextNow(core: Core, tx: Tx, user: User): Promise<string | undefined> {
  const now = await tx.users.byId(user.id);
  return (hasSamePassword(core, user, now) && now.passwordHash) || undefined;
}

/** The hash that `sealHash` sealed. Fails with `secret_mismatch`. */
export const openHash = (core: Core, userId: string, sealed: string): string =>
  open(core.keyring, "password-hash", sealed, userId) ?? fail("secret_mismatch");
