import { fail } from "../src/core/errors.ts";
import { explainPermission, isPermission } from "../src/core/permissions.ts";
import { findUser } from "../src/core/users.ts";
import { command, group } from "./command.ts";
import { exitCodes } from "./exit.ts";
import { text } from "./options.ts";

const authz = command({
  description: "Say whether a user may do something, and why or why not.",
  effect: "read",
  args: {
    user: text("id, address or user name", { required: true, hint: "USER" }),
    permission: text("such as users:read or billing:refund", { required: true, hint: "PERMISSION" }),
  },
  examples: ["authctl check authz --user ada@example.com --permission users:write"],
  exits: { 5: "the user may not" },
  async run({ user: reference, permission }, desk) {
    if (!isPermission(permission)) {
      fail("usage", { detail: "--permission takes `noun:verb`, `noun:*` or `*`, in small letters." });
    }
    return await desk.withCore(async (core) => {
      const { user } = await findUser(core, reference);
      const { allowed, because } = await explainPermission(core, user, permission);
      const whose = { id: user.id, email: user.email };
      await desk.print({ allowed, user: whose, permission, because }, [
        "allowed",
        { title: "user", of: () => user.email },
        "permission",
        "because",
      ]);
      return allowed ? 0 : exitCodes.finding;
    });
  },
});

export default group({ description: "Why, or why not.", verbs: { authz } });
