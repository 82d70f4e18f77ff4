import type { Core } from "../src/core/core.ts";
import { findTombstone, pagesOfTombstones, restorableUntil, restoreUser } from "../src/core/users/tombstones.ts";
import { getUser } from "../src/core/users.ts";
import { tombstoneView, userView } from "../src/core/views.ts";
import { command } from "./command.ts";
import type { Desk } from "./desk.ts";
import { positional } from "./options.ts";

/** Those who can be restored. */
export async function listDeleted(desk: Desk): Promise<void> {
  await desk.withCore((core) =>
    desk.print(views(core), [
      { title: "id", of: ({ id }) => id, whole: true, spare: true },
      "email",
      "username",
      "deleted_at",
      "until",
    ]),
  );
}

async function* views(core: Core) {
  for await (const page of pagesOfTombstones(core)) {
    yield page.map((tombstone) => tombstoneView(tombstone, restorableUntil(core, tombstone)));
  }
}

export const restore = command({
  description: "Bring a deleted user back, with the password and the roles, as long as TOMBSTONE_TTL allows.",
  effect: "write",
  args: { user: positional("USER", "id, address or user name; of several the one deleted last", { required: true }) },
  examples: ["authctl user list --deleted", "authctl user restore ada@example.com --reason 'deleted by mistake'"],
  exits: { 3: "nobody of this name can be restored", 4: "somebody else has the address or the user name by now" },
  async run({ user }, desk) {
    await desk.withCore(async (core, by) => {
      const { userId, missingRoles } = await restoreUser(core, by, await findTombstone(core, user));
      const restored = await getUser(core, userId);
      await desk.print(userView(restored.user, restored.roles), ["id", "email", "username", "roles", "is_active"]);
      if (missingRoles.length > 0) desk.warn(`There is no longer a role ${missingRoles.join(", ")}: it was left out.`);
      if (restored.user.disabledAt) desk.warn("This user is disabled: `authctl user enable` lets them sign in.");
    });
  },
});
