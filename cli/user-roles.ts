import type { Actor } from "../src/core/actors.ts";
import type { Core } from "../src/core/core.ts";
import { adminRole, getRole, grantRole, revokeRole } from "../src/core/roles.ts";
import { findUser, getUser } from "../src/core/users.ts";
import { userView } from "../src/core/views.ts";
import { command, group } from "./command.ts";
import type { Desk } from "./desk.ts";
import { positional } from "./options.ts";

const args = {
  user: positional("USER", "id, address or user name", { required: true }),
  roles: positional("ROLE", "names of roles", { required: true, many: true }),
};

const add = command({
  description: "Give a user roles. Those that the user holds already stay.",
  effect: "write",
  args,
  examples: ["authctl user role add ada@example.com support --reason 'on call'"],
  exits: { 3: "no such user or role: nothing was done" },
  async run({ user, roles }, desk) {
    await change(desk, user, roles, grantRole, "holds them already");
  },
});

const remove = command({
  description: "Take roles from a user. The last active admin stays one.",
  effect: "write",
  args,
  examples: ["authctl user role remove ada@example.com support"],
  exits: { 3: "no such user or role: nothing was done", 4: "nobody else could administer: nothing was done" },
  async run({ user, roles }, desk) {
    // What alone may be refused comes first.
    const ordered = roles.toSorted((one, other) => Number(other === adminRole) - Number(one === adminRole));
    await change(desk, user, ordered, revokeRole, "holds none of them");
  },
});

/** `authctl user role` */
export const role = group({ description: "The roles that a user holds.", verbs: { add, remove } });

type Act = (core: Core, by: Actor, userId: string, role: string) => Promise<boolean>;

async function change(
  desk: Desk,
  reference: string,
  roles: readonly string[],
  act: Act,
  otherwise: string,
): Promise<void> {
  await desk.withCore(async (core, by) => {
    const { id, email } = (await findUser(core, reference)).user;
    for (const name of roles) await getRole(core, name);
    let changed = 0;
    for (const name of roles) if (await act(core, by, id, name)) changed++;
    if (changed === 0) desk.say(`${email} ${otherwise}. Nothing to do.`);
    const after = await getUser(core, id);
    await desk.print(userView(after.user, after.roles), ["id", "email", "roles"]);
  });
}
