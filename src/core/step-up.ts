/** Sensitive changes want a password that was proved a short time ago, so that a session that was left open is not enough (rule AZ-4). */
import type { Tx } from "../store/store.ts";
import type { Actor, UserActor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import { provePassword } from "./passwords.ts";
import { isAlive } from "./standings.ts";

/**
 * Fails with `step_up_required` where a user acts who has neither signed in nor proved the password within
 * STEP_UP_TTL, and with `unauthenticated` where the session has ended meanwhile. An operator has the shell of the machine.
 */
export async function requireRecentProof(core: Core, tx: Tx, by: Actor): Promise<void> {
  const ttl = core.settings.STEP_UP_TTL;
  if (by.kind !== "user" || ttl === 0) return;
  const now = core.clock.now();
  const standing = await tx.sessions.standing(by.session.id);
  if (!standing || !isAlive(standing.session, standing.user, now)) return fail("unauthenticated");
  // A time to come is of a clock that was set back since: it must not make a proof last.
  const age = Math.abs(now.getTime() - standing.session.authenticatedAt.getTime());
  if (age > ttl) fail("step_up_required");
}

/** Proves the password again, for this session. Fails with `invalid_credentials`, `rate_limited`, `unauthenticated`. */
export async function proveAgain(core: Core, by: UserActor, password: string): Promise<void> {
  const user = (await core.store.users.byId(by.userId)) ?? fail("unauthenticated");
  await provePassword(core, by, user, password, "password");
  await core.store.write(async (tx) => {
    // The password was right a moment ago; where it was changed since, or everybody signed out, this session is none of the user's.
    if (!(await tx.sessions.prove(by.session.id, user.epoch, core.clock.now()))) return fail("unauthenticated");
    return await record(core, tx, by, { action: "session.proved", userId: user.id, sessionId: by.session.id });
  });
}
