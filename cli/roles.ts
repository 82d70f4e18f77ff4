import { fail } from "../src/core/errors.ts";
import {
  addPermissions,
  builtInRoles,
  countHolders,
  createRole,
  deleteRole,
  getRole,
  listRoles,
  removePermissions,
  updateRole,
} from "../src/core/roles.ts";
import { roleView } from "../src/core/views.ts";
import { counted } from "./arguments.ts";
import { command, group } from "./command.ts";
import { positional, text } from "./options.ts";

const name = positional("NAME", "the role", { required: true });
const permissions = positional("PERMISSION", "such as billing:refund, billing:* or *", { required: true, many: true });
const columns = ["name", "permissions", "description"] as const;

const list = command({
  description: "List the roles and what they permit.",
  effect: "read",
  async run(_, desk) {
    await desk.withCore(async (core) => desk.print((await listRoles(core)).map(roleView), columns));
  },
});

const get = command({
  description: "Show one role.",
  effect: "read",
  args: { name },
  async run({ name }, desk) {
    await desk.withCore(async (core) => desk.print(roleView(await getRole(core, name))));
  },
});

const create = command({
  description: "Make a role.",
  effect: "write",
  args: {
    name,
    description: text("what it is for"),
    permission: text("what it permits", { many: true, hint: "PERMISSION" }),
  },
  examples: [
    "authctl role create support --description 'Helps people' --permission users:read,sessions:*",
    "authctl role create cashier --permission billing:read --permission billing:refund",
  ],
  exits: { 4: "there is a role of this name" },
  async run({ name, description = "", permission }, desk) {
    await desk.withCore(async (core, by) => {
      await desk.print(roleView(await createRole(core, by, name, { description, permissions: permission })));
    });
  },
});

const update = command({
  description:
    "Change what a role is for, or replace what it permits. It counts from the next request of its holders on.",
  effect: "write",
  args: {
    name,
    description: text("what it is for"),
    permission: text("what it permits instead", { many: true, hint: "PERMISSION" }),
  },
  examples: ["authctl role update support --permission users:read,sessions:read"],
  exits: { 4: "what admin permits cannot be changed" },
  async run({ name, description, permission }, desk) {
    if (description === undefined && permission.length === 0) {
      fail("usage", { detail: "Say what to change: --description, --permission." });
    }
    await desk.withCore(async (core, by) => {
      const content = {
        ...(description !== undefined && { description }),
        ...(permission.length > 0 && { permissions: permission }),
      };
      await desk.print(roleView(await updateRole(core, by, name, content)));
    });
  },
});

const remove = command({
  description: "Delete a role, and take it from everybody who holds it.",
  effect: "destructive",
  dryRun: true,
  args: { name },
  examples: ["authctl role delete support --dry-run", "authctl role delete support --yes"],
  exits: { 4: "the role is built in" },
  async run({ name }, desk) {
    await desk.withCore(async (core, by) => {
      await getRole(core, name);
      if (builtInRoles.includes(name)) fail("role_built_in");
      const loss = `the role ${name} and takes it from ${counted(await countHolders(core, name), "user")}`;
      if (desk.dryRun) return desk.say(`would delete ${loss.replace(" takes ", " take ")}`);
      await desk.confirm(`deletes ${loss}`);
      const holders = await deleteRole(core, by, name);
      if (desk.json) await desk.print({ name, holders });
      return desk.say(`deleted the role ${name}, which ${counted(holders, "user")} held`);
    });
  },
});

const add = command({
  description: "Let a role permit more.",
  effect: "write",
  args: { name, permissions },
  examples: ["authctl role permission add support users:write 'billing:*'"],
  exits: { 4: "what admin permits cannot be changed" },
  async run({ name, permissions }, desk) {
    await desk.withCore(async (core, by) => desk.print(roleView(await addPermissions(core, by, name, permissions))));
  },
});

const take = command({
  description: "Let a role permit less. What it does not hold changes nothing.",
  effect: "write",
  args: { name, permissions },
  examples: ["authctl role permission remove support users:write"],
  exits: { 4: "what admin permits cannot be changed" },
  async run({ name, permissions }, desk) {
    await desk.withCore(async (core, by) => desk.print(roleView(await removePermissions(core, by, name, permissions))));
  },
});

export default group({
  description: "What roles permit.",
  verbs: {
    list,
    get,
    create,
    update,
    delete: remove,
    permission: group({ description: "The permissions of a role.", verbs: { add, remove: take } }),
  },
});
