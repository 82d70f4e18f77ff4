import { fail } from "../src/core/errors.ts";
import { explainPermission, isPermission } from "../src/core/permissions.ts";
import { findUser } from "../src/core/users.ts";
import { settle } from "../src/open.ts";
import { reachable, urlOf } from "./addresses.ts";
import { command, group } from "./command.ts";
import { exitCodes } from "./exit.ts";
import { number, text } from "./options.ts";

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

/** How long a server may take to answer, in milliseconds. */
const patience = 4_000;

const server = command({
  description:
    "Ask the server of these settings, on this machine, whether it is ready. For the health check of a container.",
  effect: "read",
  args: { port: number("the port that it listens on, instead of PORT", { min: 1, max: 65_535 }) },
  examples: ["authctl check server"],
  exits: {
    5: "it answers, and is not ready: a part that it needs is down, or it is about to stop",
    69: "nobody answers",
  },
  async run({ port }, desk) {
    const { HOST, PORT } = settle(desk.place);
    const url = urlOf(reachable(HOST), port ?? PORT);
    const signal = AbortSignal.any([desk.interrupted, AbortSignal.timeout(patience)]);
    const answer = await fetch(`${url}/readyz`, { signal }).catch(() => undefined);
    desk.interrupted.throwIfAborted();
    if (!answer)
      return fail("server_unreachable", { detail: `Nobody answers at ${url}. Start it with \`authctl serve\`.` });
    await desk.print({ ready: answer.ok, url, status: answer.status });
    return answer.ok ? 0 : exitCodes.finding;
  },
});

export default group({ description: "Why, or why not.", verbs: { authz, server } });
