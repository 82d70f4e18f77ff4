import type { Actor } from "../actors.ts";
import { record } from "../audit.ts";
import { issueChallenge } from "../challenges.ts";
import type { Core } from "../core.ts";
import { fail } from "../errors.ts";
import { reserveMail } from "../tries.ts";
import { draftMember, failTaken, insertMember, type Member, type Registration } from "../users.ts";
import { sendVerification, tellOfAccount } from "./addresses.ts";

/**
 * Signs a new person up, and sends what proves the address. Fails with `email_taken`, `username_taken`,
 * `weak_password`, `validation_failed`. Where an address must be verified before sign-in, nobody learns from the
 * answer whether it is taken, nor from the time it takes: its owner is told by as many statements as make a new user.
 * `rate_limited` keeps the owner from being told too often.
 */
export async function register(core: Core, by: Actor, input: Registration): Promise<Member> {
  const { email, password, username, fullName, locale, profile } = input;
  const named = { email, username: username ?? null, fullName: fullName ?? null, locale: locale ?? null };
  const draft = await draftMember(core, { ...named, password, ...(profile && { profile }) }, { own: true });
  const { user } = draft;
  const hidesTaken = core.settings.REQUIRE_EMAIL_VERIFICATION;
  return await core.store.write(async (tx) => {
    if (hidesTaken) {
      await reserveMail(core, tx, by, user.emailKey);
      // First of all: a name that is taken says nothing of the address, as long as it is refused whoever has that.
      if (user.usernameKey !== null && (await tx.users.byUsernameKey(user.usernameKey))) return fail("username_taken");
    }
    if (await insertMember(core, tx, by, draft, "user.registered")) {
      await sendVerification(core, tx, user);
      return draft;
    }
    const owner = await tx.users.byEmailKey(user.emailKey);
    if (!hidesTaken || !owner) return await failTaken(tx, user);
    await record(core, tx, by, { action: "user.registered_again", userId: owner.id });
    const { facts } = await issueChallenge(core, tx, owner.id, "reset-password", owner);
    await tellOfAccount(core, tx, owner, facts.link);
    return draft;
  });
}
