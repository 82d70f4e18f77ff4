import { addBan, liftBan, listBans, parseNetwork } from "../src/core/bans.ts";
import type { Core } from "../src/core/core.ts";
import { DomainError, fail } from "../src/core/errors.ts";
import { disableUser, enableUser, findUser } from "../src/core/users.ts";
import { banView, userView } from "../src/core/views.ts";
import { command, group } from "./command.ts";
import { duration, positional } from "./options.ts";
import type { Column } from "./table.ts";

const columns: readonly Column<ReturnType<typeof banView>>[] = [
  "network",
  { title: "created_at", of: ({ created_at }) => created_at, spare: true },
  "expires_at",
  { title: "created_by", of: ({ created_by }) => created_by, spare: true },
  { title: "reason", of: ({ reason }) => reason, whole: true },
];
const userColumns = ["id", "email", "is_active"] as const;

const target = positional(
  "TARGET",
  "an address, a network such as 192.0.2.0/24, or a user; of IPv6, one address means its /64",
  { required: true },
);

/** Fails with `not_found`, and says what else it could have been. */
async function findBanned(core: Core, whom: string): ReturnType<typeof findUser> {
  try {
    return await findUser(core, whom);
  } catch (error) {
    if (!(error instanceof DomainError && error.code === "not_found")) throw error;
    const detail =
      "This is neither an address, nor a network such as 192.0.2.0/24 or 2001:db8::/48, nor a user; `authctl user list` shows those.";
    return fail("not_found", { detail });
  }
}

const add = command({
  description:
    "Refuse every request of an address or a network, at all servers within five seconds. A user is disabled, which ends every session.",
  args: { target, for: duration("how long; without it, until the ban is removed") },
  effect: "write",
  examples: [
    "authctl ban add 192.0.2.0/24 --for 1d --reason 'credential stuffing'",
    "authctl ban add eve@example.com --reason 'spam'",
  ],
  exits: { 3: "no user has this name, and it is no address or network" },
  async run({ target: whom, for: lasting }, desk) {
    await desk.withCore(async (core, by) => {
      if (parseNetwork(whom) !== undefined) {
        return await desk.print(banView(await addBan(core, by, whom, lasting)), columns);
      }
      if (lasting !== undefined) fail("usage", { detail: "A user is banned until that is lifted: leave --for out." });
      const found = await findBanned(core, whom);
      const { user, roles } = await disableUser(core, by, found.user.id);
      return await desk.print(userView(user, roles), userColumns);
    });
  },
});

const list = command({
  description: "List the banned networks. Users who are banned are in `authctl user list --no-active`.",
  effect: "read",
  async run(_, desk) {
    await desk.withCore(async (core) => desk.print((await listBans(core)).map(banView), columns));
  },
});

const remove = command({
  description: "Take requests of an address, a network or a user again.",
  args: { target },
  effect: "write",
  examples: ["authctl ban remove 192.0.2.0/24"],
  exits: { 3: "it is not banned" },
  async run({ target: whom }, desk) {
    await desk.withCore(async (core, by) => {
      if (parseNetwork(whom) !== undefined) {
        await liftBan(core, by, whom);
        return desk.say("lifted");
      }
      const found = await findBanned(core, whom);
      const { user, roles } = await enableUser(core, by, found.user.id);
      return await desk.print(userView(user, roles), userColumns);
    });
  },
});

export default group({ description: "Whose requests are refused.", verbs: { add, list, remove } });
