import type { Actor } from "../actors.ts";
import { record } from "../audit.ts";
import type { Core } from "../core.ts";
import { fail } from "../errors.ts";
import { identifierKey } from "../identifiers.ts";
import { mintSecret } from "../secrets.ts";
import { createUser } from "../users.ts";

/** No mail is ever delivered there (RFC 2606). */
const email = "doctor@authctl.invalid";

export type Probe = { readonly id: string; readonly email: string; readonly password: string };

/**
 * A user without any role who is there for as long as `work` takes. One that a killed run has left goes first. Fails
 * with `lock_held` where another run has one.
 */
export async function withProbe<T>(core: Core, by: Actor, work: (probe: Probe) => Promise<T>): Promise<T> {
  const release = await core.store.lock("doctor");
  if (!release)
    return fail("lock_held", { detail: "Another `authctl doctor --outside` is running. Wait for it to end." });
  try {
    const key = identifierKey(email);
    const left = key && "emailKey" in key ? await core.store.users.byEmailKey(key.emailKey) : undefined;
    if (left) await remove(core, by, left.id);
    const password = mintSecret(core.random);
    const { user } = await createUser(core, by, { email, password, roles: [], emailVerified: true });
    try {
      return await work({ id: user.id, email, password });
    } finally {
      await remove(core, by, user.id);
    }
  } finally {
    await release();
  }
}

/** With all that came of the sign-in; the audit trail keeps that it was there. */
async function remove(core: Core, by: Actor, id: string): Promise<void> {
  await core.store.write(async (tx) => {
    await tx.users.delete(id);
    await tx.mails.forget(id);
    await record(core, tx, by, { action: "user.purged", userId: id });
  });
}
