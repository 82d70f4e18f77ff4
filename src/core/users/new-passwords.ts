/** Every way to a new password: by the old one, by an operator, by a mail, and by a link that an operator hands over. */
import type { Tx } from "../../store/store.ts";
import type { User } from "../../store/tables.ts";
import type { Actor, UserActor } from "../actors.ts";
import { record } from "../audit.ts";
import { consumeChallenge, type Issued, issueChallenge, readChallenge } from "../challenges.ts";
import type { Core } from "../core.ts";
import { fail } from "../errors.ts";
import { notify } from "../mail/notices.ts";
import { addresseeOf, askForMail, queueMail, sendsMail } from "../mail.ts";
import { hashPassword, passwordTextNow, provePassword } from "../passwords.ts";
import { adminRole, requireAuthorityOver } from "../roles.ts";
import { endAllSessions } from "../sessions.ts";
import { forgiveTries, reserveMail } from "../tries.ts";
import { checkPasswordOf, getUser } from "../users.ts";
import { activeUser, markVerified } from "./addresses.ts";
import { emailOf } from "./identities.ts";

/** Changes one's own password. Every other session ends; the one that asked lives on. */
export async function changePassword(core: Core, by: UserActor, current: string, next: string): Promise<void> {
  const user = (await core.store.users.byId(by.userId)) ?? fail("unauthenticated");
  await provePassword(core, by, user, current, "current_password");
  await checkPasswordOf(core, next, user, "new_password");
  const passwordHash = await hashPassword(core, user.id, next);
  await core.store.write(async (tx) => {
    const replace = async (from: string | null | undefined): Promise<boolean> =>
      from !== undefined && (await tx.users.replacePassword(user.id, from, passwordHash, core.clock.now()));
    // A rotation of the server secret may have sealed it anew.
    const replaced = (await replace(user.passwordHash)) || (await replace(await passwordTextNow(core, tx, user)));
    if (!replaced) return fail("invalid_credentials", { detail: "The password was changed a moment ago." });
    // From here on nobody else can move the epoch: whoever was signed out before this stays signed out.
    const fresh = await tx.users.byId(user.id);
    if (fresh?.epoch !== by.session.epoch) return fail("unauthenticated");
    return await tx.sessions.adoptEpoch(by.session.id, await recordNewPassword(core, tx, by, user));
  });
}

/** Sets anybody's password, for operators. Every session of the user ends; answers how many were alive. */
export async function setPassword(core: Core, by: Actor, id: string, password: string): Promise<number> {
  const { user } = await getUser(core, id);
  await checkPasswordOf(core, password, user);
  const passwordHash = await hashPassword(core, id, password);
  return await core.store.write(async (tx) => {
    await requireAuthorityOver(core, tx, by, id);
    const now = core.clock.now();
    if (!(await tx.users.update(id, { passwordHash, updatedAt: now }))) return fail("not_found");
    const alive = await tx.sessions.ofUser(id, now);
    await recordNewPassword(core, tx, by, user);
    return alive.length;
  });
}

/** Asks for a link that sets a new password. Nobody learns whether anybody has the address. */
export async function forgotPassword(core: Core, by: Actor, address: string): Promise<void> {
  const { emailKey } = emailOf(address);
  await core.store.write(async (tx) => {
    await reserveMail(core, tx, by, emailKey);
    await askForMail(core, tx, "reset-password", emailKey);
  });
}

/** Sends a user the link, for operators. Fails with `user_disabled`, `mail_not_configured`. */
export async function orderReset(core: Core, by: Actor, id: string): Promise<Issued> {
  if (!sendsMail(core)) fail("mail_not_configured");
  return await core.store.write(async (tx) => {
    const user = await activeUser(tx, id);
    const issued = await issueChallenge(core, tx, user.id, "reset-password", user);
    await queueMail(core, tx, addresseeOf(user), "reset-password", issued.facts);
    await record(core, tx, by, { action: "user.password_reset_requested", userId: user.id });
    return issued;
  });
}

/**
 * Makes a link that sets a new password, for an admin who has lost the password and the mailbox: the operator at the
 * shell hands it over. It lives for a quarter of an hour, and the one before it is void. Fails with `not_an_admin`
 * where it is for admins only, and with `user_disabled`.
 */
export async function orderRecovery(
  core: Core,
  by: Actor,
  id: string,
  { anyUser }: { readonly anyUser: boolean },
): Promise<Issued> {
  return await core.store.write(async (tx) => {
    const user = await activeUser(tx, id);
    if (!anyUser && !(await tx.users.rolesOf(user.id)).includes(adminRole)) fail("not_an_admin");
    const issued = await issueChallenge(core, tx, user.id, "recover", user);
    await record(core, tx, by, { action: "user.recovery_ordered", userId: user.id });
    return issued;
  });
}

/**
 * Sets the password of whoever was handed the token, and signs nobody in. It says nothing of the address, which nobody
 * has shown to read the mail of. Fails as `resetPassword` does.
 */
export async function recoverAccount(core: Core, by: Actor, token: string, password: string): Promise<void> {
  await setByToken(core, by, "recover", token, password);
}

/**
 * Sets the password of whoever the token was sent to, and signs nobody in. What a stranger may have set up with the
 * address before its owner came ends here: the password, every session, every other link (rules PW-8, REG-5). Fails
 * with `token_invalid`, and with `weak_password`, which leaves the token as it is.
 */
export async function resetPassword(core: Core, by: Actor, token: string, password: string): Promise<void> {
  await setByToken(core, by, "reset-password", token, password);
}

const reasons = { "reset-password": "reset", recover: "recovered" } as const;

async function setByToken(
  core: Core,
  by: Actor,
  purpose: keyof typeof reasons,
  token: string,
  password: string,
): Promise<void> {
  const presented = readChallenge(token, [purpose]) ?? fail("token_invalid");
  const known = await core.store.challenges.bySecret(presented.purpose, presented.secretHash, core.clock.now());
  const owner = (known && (await core.store.users.byId(known.userId))) ?? fail("token_invalid");
  await checkPasswordOf(core, password, owner);
  const passwordHash = await hashPassword(core, owner.id, password);
  await core.store.write(async (tx) => {
    const { challenge, user } = await consumeChallenge(core, tx, presented);
    if (user.emailKey !== challenge.emailKey) fail("token_invalid");
    await tx.users.update(user.id, { passwordHash, updatedAt: core.clock.now() });
    if (purpose === "reset-password") await markVerified(core, tx, by, user);
    await forgiveTries(tx, by, user.id);
    await recordNewPassword(core, tx, by, user, reasons[purpose]);
  });
}

/** What a new password brings with it (rule PW-8): no session and no link lives on, and the owner is told. Answers the new epoch. */
async function recordNewPassword(
  core: Core,
  tx: Tx,
  by: Actor,
  user: User,
  reason?: "reset" | "recovered",
): Promise<number> {
  await tx.challenges.spendAll(user.id);
  await notify(core, tx, by, user, "password-changed");
  await record(core, tx, by, { action: "user.password_changed", userId: user.id, ...(reason && { reason }) });
  return await endAllSessions(core, tx, by, user.id);
}
