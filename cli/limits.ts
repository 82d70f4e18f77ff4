import { listCounts, resetCounts } from "../src/core/limit-counts.ts";
import { tryNames } from "../src/core/limits.ts";
import { countView } from "../src/core/views.ts";
import { command, group } from "./command.ts";
import { choice, positional } from "./options.ts";

const columns = ["limit", "together_with", "spent", "most", "ends_at"] as const;

const target = positional("TARGET", "a user (id, address or user name), or a client address; of IPv6, its /64", {
  required: true,
});
const exits = { 3: "no user has this name" };

const show = command({
  description:
    "Show what is counted of a user or a client address in the database: passwords that were tried, and mails that were asked for. Rates of requests are counted in Redis or in memory, and are not shown.",
  args: { target, limit: choice("only this limit", tryNames, { hint: "NAME" }) },
  effect: "read",
  examples: ["authctl limit show ada@example.com", "authctl limit show 192.0.2.7"],
  exits,
  async run({ target: whose, limit }, desk) {
    await desk.withCore(async (core) => desk.print((await listCounts(core, whose, limit)).map(countView), columns));
  },
});

const reset = command({
  description:
    "Forget what is counted of a user or a client address in the database, so that it starts from nothing. What is counted of anybody else stays, and so do rates of requests.",
  args: { target, limit: choice("only this limit", tryNames, { hint: "NAME" }) },
  effect: "write",
  examples: [
    "authctl limit reset ada@example.com --reason 'locked out by a stranger'",
    "authctl limit reset 192.0.2.7 --limit sign_in_address",
  ],
  exits,
  async run({ target: whose, limit }, desk) {
    await desk.withCore(async (core, by) => {
      const forgotten = await resetCounts(core, by, whose, limit);
      if (forgotten.length === 0) desk.say("Nothing was counted.");
      await desk.print(forgotten.map(countView), columns);
    });
  },
});

export default group({ description: "What is counted, and let through no more.", verbs: { show, reset } });
