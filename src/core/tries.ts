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
import { sign } from "./secrets.ts";

/** Whose password is tried: a user, or whoever a name could have meant. */
export type Subject = { readonly user: User | undefined; readonly identifier: string };

/** What was counted, and in which window. */
export type Reserved = ReadonlyArray<{ readonly key: string; readonly endsAt: Date }>;

/** Reserves one try of a password. Fails with `rate_limited`, the same whether there is such a user or not. */
export async function reservePasswordTry(core: Core, by: Actor, subject: Subject): Promise<Reserved> {
  const { ip } = clientOf(by);
  return await reserve(core, {
    sign_in_account: accountKey(core, subject),
    ...(ip !== null && { sign_in_address: addressKey(ip) }),
  });
}

/** A name that nobody has is counted too. What was typed is not stored: people type passwords there. */
function accountKey(core: Core, { user, identifier }: Subject): string {
  if (user) return user.id;
  const key = identifierKey(identifier);
  const name = !key ? identifier : "emailKey" in key ? key.emailKey : key.usernameKey;
  return sign(core.keyring, "tries", name);
}

/** All of them or none. Every transaction takes them in the order in which they stand here, so none waits for another in a circle. */
async function reserve(core: Core, wanted: Partial<Record<TryName, string>>): Promise<Reserved> {
  if (!core.settings.RATE_LIMITS) return [];
  const verdict = await core.store.write(async (tx) => {
    const now = core.clock.now();
    const reserved: Array<Reserved[number]> = [];
    for (const [name, whose] of Object.entries(wanted)) {
      const limit = name as TryName;
      const { most, window } = quotaOf(core.settings, limit);
      const key = `${limit}:${whose}`;
      const endsAt = await tx.tries.reserve(key, most, now, new Date(now.getTime() + window));
      if (!endsAt) {
        await giveBack(tx, reserved);
        const spent = await tx.tries.byKey(key);
        return { limit, resetsIn: Math.max(1, Math.ceil(((spent?.endsAt ?? now).getTime() - now.getTime()) / 1000)) };
      }
      reserved.push({ key, endsAt });
    }
    return { reserved };
  });
  if ("reserved" in verdict) {
    for (const limit of Object.keys(wanted) as TryName[]) core.meter.limit(limit, true);
    return verdict.reserved;
  }
  const { limit, resetsIn } = verdict;
  core.meter.limit(limit, false);
  const allowance = { limit, quota: quotaOf(core.settings, limit), remaining: 0, resetsIn };
  return fail("rate_limited", { allowance, retryAfter: resetsIn });
}

/** Gives tries back in a transaction of its own, where there are any. */
export async function giveBackNow(core: Core, reserved: Reserved): Promise<void> {
  if (reserved.length > 0) await core.store.write((tx) => giveBack(tx, reserved));
}

/** A try that succeeded, or that came to nothing, is none. */
export async function giveBack(tx: Tx, reserved: Reserved): Promise<void> {
  for (const { key, endsAt } of reserved) await tx.tries.giveBack(key, endsAt);
}
