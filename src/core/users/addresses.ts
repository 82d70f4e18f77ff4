/** Who reads the mail of an address: proving it, and changing it. */
import type { Tx } from "../../store/store.ts";
import type { Challenge, User } from "../../store/tables.ts";
import type { Actor, UserActor } from "../actors.ts";
import { record } from "../audit.ts";
import { consumeChallenge, type Issued, issueChallenge, readChallenge } from "../challenges.ts";
import type { Core } from "../core.ts";
import { fail } from "../errors.ts";
import { addresseeOf, askForMail, queueMail, sendsMail } from "../mail.ts";
import { hasSamePassword, provePassword } from "../passwords.ts";
import { reserveMail } from "../tries.ts";
import { getUser, type Member } from "../users.ts";
import { emailOf } from "./identities.ts";

/** Sends a link that proves the address of a user. */
export async function sendVerification(core: Core, tx: Tx, user: User): Promise<Issued> {
  const issued = await issueChallenge(core, tx, user.id, "verify-email", user);
  await queueMail(core, tx, addresseeOf(user), "verify-email", issued.facts);
  return issued;
}

/** Tells the owner of an address that somebody wanted to have an account with it: there is one, and a link to a new password. */
export async function tellOfAccount(core: Core, tx: Tx, owner: User, link: string): Promise<void> {
  await queueMail(core, tx, addresseeOf(owner), "account-exists", { link });
}

/** Asks for another link. Nobody learns whether there is such an address, or whether it is verified. */
export async function resendVerification(core: Core, by: Actor, address: string): Promise<void> {
  const { emailKey } = emailOf(address);
  await core.store.write(async (tx) => {
    await reserveMail(core, tx, by, emailKey);
    await askForMail(core, tx, "verify-email", emailKey);
  });
}

/**
 * Takes the token of a mail: the address that it was sent to is verified, or takes the place of the one before.
 * Fails with `token_invalid`, and with `email_taken` where somebody else has the new address by now.
 */
export async function proveAddress(core: Core, by: Actor, token: string): Promise<void> {
  const presented = readChallenge(token, ["verify-email", "change-email"]) ?? fail("token_invalid");
  await core.store.write(async (tx) => {
    const { challenge, user } = await consumeChallenge(core, tx, presented);
    if (presented.purpose === "change-email") await changeAddress(core, tx, by, user, challenge);
    else if (user.emailKey === challenge.emailKey) await markVerified(core, tx, by, user);
    else fail("token_invalid");
  });
}

/** Nothing happens where the address is verified already. */
export async function markVerified(core: Core, tx: Tx, by: Actor, user: User): Promise<void> {
  if (user.emailVerifiedAt !== null) return;
  const now = core.clock.now();
  await tx.users.update(user.id, { emailVerifiedAt: now, updatedAt: now });
  await record(core, tx, by, { action: "user.email_verified", userId: user.id });
}

async function changeAddress(core: Core, tx: Tx, by: Actor, user: User, { email, emailKey }: Challenge): Promise<void> {
  const holder = await tx.users.byEmailKey(emailKey);
  if (holder && holder.id !== user.id) fail("email_taken");
  const now = core.clock.now();
  // Where somebody takes the address in this very moment, the unique index has this begun anew, and then it is seen.
  await tx.users.update(user.id, { email, emailKey, emailVerifiedAt: now, updatedAt: now });
  // Links that went to the address before prove nothing any more.
  await tx.challenges.spendAll(user.id);
  await queueMail(core, tx, addresseeOf(user), "email-changed", { new_email: email });
  await record(core, tx, by, { action: "user.email_changed", userId: user.id });
}

/**
 * Asks the new address to confirm that it is the user's, and tells the old one, which stays the address until then.
 * Does the same where somebody else has the new one, who is told instead: so nobody learns that. Fails with
 * `validation_failed`, `invalid_credentials`, `rate_limited`.
 */
export async function requestEmailChange(core: Core, by: UserActor, address: string, password: string): Promise<void> {
  const next = emailOf(address, "new_email");
  const user = (await core.store.users.byId(by.userId)) ?? fail("unauthenticated");
  if (next.emailKey === user.emailKey) {
    fail("validation_failed", { errors: [{ path: "new_email", message: "is the address of this account already" }] });
  }
  await provePassword(core, by, user, password, "password");
  await core.store.write(async (tx) => {
    await reserveMail(core, tx, by, next.emailKey);
    // The password was right a moment ago; since then it may have been changed, or everybody signed out.
    const current = await tx.users.claim(user.id);
    if (!hasSamePassword(core, user, current) || current.epoch !== by.session.epoch) fail("unauthenticated");
    const holder = await tx.users.byEmailKey(next.emailKey);
    const { facts } = await issueChallenge(core, tx, user.id, "change-email", next);
    // Without a token, which would be one statement more: the page then asks for the address.
    if (holder) await tellOfAccount(core, tx, holder, core.settings.RESET_PASSWORD_PAGE);
    else await queueMail(core, tx, { ...addresseeOf(user), email: next.email }, "confirm-email", facts);
    await queueMail(core, tx, addresseeOf(user), "email-change-requested", { new_email: next.email });
    await record(core, tx, by, { action: "user.email_change_requested", userId: user.id });
  });
}

/** Takes an operator's word for it that the address is the user's. Fails with `user_disabled`. */
export async function vouchForAddress(core: Core, by: Actor, id: string): Promise<Member> {
  await core.store.write(async (tx) => await markVerified(core, tx, by, await activeUser(tx, id)));
  return await getUser(core, id);
}

/**
 * Sends a user the link that proves the address. Nothing happens where it is verified already: then the answer is
 * `undefined`. Fails with `user_disabled`, `mail_not_configured`.
 */
export async function orderVerification(core: Core, by: Actor, id: string): Promise<Issued | undefined> {
  if (!sendsMail(core)) fail("mail_not_configured");
  return await core.store.write(async (tx) => {
    const user = await activeUser(tx, id);
    if (user.emailVerifiedAt !== null) return undefined;
    await record(core, tx, by, { action: "user.email_verification_requested", userId: user.id });
    return await sendVerification(core, tx, user);
  });
}

/** A user who may sign in. Fails with `not_found`, `user_disabled`. */
export async function activeUser(tx: Tx, id: string): Promise<User> {
  const user = (await tx.users.byId(id)) ?? fail("not_found");
  return user.disabledAt === null ? user : fail("user_disabled");
}
