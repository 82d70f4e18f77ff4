/** What was tried on one account or from one address, for operators who want to see it, or to forget it. */
import { isIP } from "node:net";
import type { Store, Tx } from "../store/store.ts";
import type { Actor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { addressKey, quotaOf, type TryName } from "./limits.ts";
import { keyOf, mailboxKeys, pairOf } from "./tries.ts";
import { findUser } from "./users.ts";

export type Count = {
  readonly limit: TryName;
  /** The address or the device, where a limit is of an account and one of those together. */
  readonly together: string | null;
  readonly spent: number;
  readonly most: number;
  readonly endsAt: Date;
};

type Target = { readonly userId: string; readonly emailKey: string } | { readonly address: string };

/** A user, or an address by which limits count. Fails with `not_found`. */
async function targetOf(core: Core, text: string): Promise<Target> {
  if (isIP(text) !== 0) return { address: addressKey(text) };
  const { user } = await findUser(core, text);
  return { userId: user.id, emailKey: user.emailKey };
}

type Place = { readonly limit: TryName; readonly key: string; readonly isPair?: true };

/** Where the tries of one target are counted: of a pair with an account, they are the account's. */
function placesOf(core: Core, target: Target): Place[] {
  const place = (limit: TryName, whose: string): Place => ({ limit, key: keyOf(limit, whose) });
  const pairs = (limit: TryName, account: string): Place => ({ ...place(limit, pairOf(account, "")), isPair: true });
  if ("address" in target) return [place("sign_in_address", target.address), place("mail_address", target.address)];
  return [
    place("sign_in_account", target.userId),
    pairs("sign_in_device", target.userId),
    pairs("sign_in_pair", target.userId),
    ...mailboxKeys(core, target.emailKey).map((whose) => place("mail_account", whose)),
  ];
}

type Found = { readonly key: string; readonly count: Count };

async function find(
  core: Core,
  readers: Pick<Store | Tx, "tries">,
  target: Target,
  only: TryName | undefined,
): Promise<Found[]> {
  const now = core.clock.now();
  const found: Found[] = [];
  for (const { limit, key, isPair } of placesOf(core, target)) {
    if (only !== undefined && only !== limit) continue;
    const rows = isPair ? await readers.tries.beginning(key) : [await readers.tries.byKey(key)];
    for (const row of rows) {
      if (!row || row.spent === 0 || row.endsAt <= now) continue;
      const { most } = quotaOf(core.settings, limit);
      const together = isPair ? row.key.slice(key.length) : null;
      found.push({ key: row.key, count: { limit, together, spent: row.spent, most, endsAt: row.endsAt } });
    }
  }
  return found;
}

/** What is counted of a user or an address now. Fails with `not_found` where there is no such user. */
export async function listCounts(core: Core, text: string, only?: TryName): Promise<Count[]> {
  return (await find(core, core.store, await targetOf(core, text), only)).map(({ count }) => count);
}

/** Forgets what is counted of a user or an address, and of nobody else; answers what that was. Fails as `listCounts`. */
export async function resetCounts(core: Core, by: Actor, text: string, only?: TryName): Promise<Count[]> {
  const target = await targetOf(core, text);
  return await core.store.write(async (tx) => {
    const found = await find(core, tx, target, only);
    for (const { key } of found) await tx.tries.forget(key);
    const limits = [...new Set(found.map(({ count }) => count.limit))].join(" ");
    if (found.length > 0) {
      await record(core, tx, by, {
        action: "limit.reset",
        ...("userId" in target && { userId: target.userId }),
        particulars: { limits, ...("address" in target && { address: target.address }) },
      });
    }
    return found.map(({ count }) => count);
  });
}
