import type { Actor } from "../actors.ts";
import type { Core } from "../core.ts";
import { adminRole, defaultRole, giveRole } from "../roles.ts";
import { createUser, type Member, memberOf, type Registration } from "../users.ts";
import { emailOf } from "./identities.ts";

export type Seeded = Member & { readonly outcome: "created" | "granted" | "unchanged" };

/** What `password` answers is asked for only where a user has to be made. */
export type Seed = Omit<Registration, "password"> & { readonly password: () => Promise<string> };

/**
 * Sees to it that there is an admin with this address: makes one, or gives the role to the user who has the
 * address, whose password stays as it is. The same call again changes nothing.
 */
export async function seedAdmin(core: Core, by: Actor, input: Seed): Promise<Seeded> {
  const { emailKey } = emailOf(input.email);
  const holder = async () => await core.store.users.byEmailKey(emailKey);
  let known = await holder();
  if (!known) {
    const password = await input.password();
    const admin = { ...input, password, roles: [adminRole, defaultRole], emailVerified: true };
    try {
      return { ...(await createUser(core, by, admin)), outcome: "created" };
    } catch (error) {
      // Another run was faster: then what this one wanted is there.
      known = await holder();
      if (!known) throw error;
    }
  }
  const { id } = known;
  return await core.store.write(async (tx) => {
    const granted = await giveRole(core, tx, by, id, adminRole);
    return { ...(await memberOf(tx, id)), outcome: granted ? "granted" : "unchanged" };
  });
}
