import type { Core } from "../src/core/core.ts";
import { fail } from "../src/core/errors.ts";
import { dropMails, getMails, glanceAt, lookInto, pagesOfMails, retryMails } from "../src/core/mail/mail-queue.ts";
import { mailView } from "../src/core/views.ts";
import type { Mail, MailState } from "../src/store/tables.ts";
import { counted } from "./arguments.ts";
import { command, group } from "./command.ts";
import type { Desk } from "./desk.ts";
import { choice, positional, toggle } from "./options.ts";

const list = command({
  description:
    "List the mails in the outbox in the order of their making, to the end; in development with their links.",
  effect: "read",
  args: { state: choice("only those in this state", ["asked", "queued", "sent", "dead"]) },
  examples: ["authctl mail queue list --state dead", "authctl mail queue list --state sent --json"],
  async run({ state }, desk) {
    await desk.withCore((core) =>
      desk.print(views(core, state, desk), [
        "id",
        "kind",
        "state",
        "to",
        { title: "attempts", of: (mail) => mail.attempts, spare: true },
        { title: "due", of: (mail) => mail.due_at, spare: true },
        { title: "created", of: (mail) => mail.created_at, spare: true },
        "problem",
      ]),
    );
  },
});

async function* views(core: Core, state: MailState | undefined, desk: Desk) {
  for await (const page of pagesOfMails(core, state)) {
    const insights = page.map(async (mail) => (desk.json ? await lookInto(core, mail) : glanceAt(core, mail)));
    yield (await Promise.all(insights)).map((insight, at) => mailView(page[at] as Mail, insight));
  }
}

const retry = command({
  description: "Have mails tried again at once that were given up, or that wait after a failure.",
  effect: "write",
  dryRun: true,
  args: {
    ids: positional("ID", "mails", { many: true }),
    allDead: toggle("every mail that was given up"),
  },
  examples: [
    "authctl mail queue retry --all-dead",
    "authctl mail queue list --state dead --output id | authctl mail queue retry -",
  ],
  exits: { 3: "no mail has this id: nothing was done" },
  async run({ ids, allDead }, desk) {
    if (ids.length > 0 === allDead) fail("usage", { detail: "Say which mails: ids, or --all-dead." });
    await desk.withCore(async (core, by) => {
      const batches = allDead ? pagesOfMails(core, "dead") : [await getMails(core, ids)];
      let [named, retried] = [0, 0];
      for await (const batch of batches) {
        named += batch.length;
        if (!desk.dryRun) retried += await retryMails(core, by, batch);
        if (desk.interrupted.aborted) break;
      }
      if (desk.json) await desk.print({ mails: named, retried });
      if (desk.dryRun) desk.say(`would try ${counted(named, "mail")} again`);
      else
        desk.say(
          `${counted(retried, "mail")} will be tried again${named > retried ? "; the others were not waiting" : ""}`,
        );
    });
  },
});

const drop = command({
  description: "Delete mails from the outbox. One that is on its way at this moment may still arrive.",
  effect: "destructive",
  dryRun: true,
  args: { ids: positional("ID", "mails", { many: true, required: true }) },
  examples: ["authctl mail queue list --state dead --output id | authctl mail queue drop - --yes"],
  exits: { 3: "no mail has this id: nothing was done" },
  async run({ ids }, desk) {
    await desk.withCore(async (core, by) => {
      const mails = await getMails(core, ids);
      const extent = counted(mails.length, "mail");
      await desk.confirm(`deletes ${extent}`);
      const dropped = desk.dryRun ? 0 : await dropMails(core, by, mails);
      if (desk.json) await desk.print({ mails: mails.length, dropped });
      desk.say(desk.dryRun ? `would delete ${extent}` : `deleted ${counted(dropped, "mail")}`);
    });
  },
});

export const queue = group({
  description: "The outbox: mails that were asked for, wait, were sent, or were given up.",
  verbs: { list, retry, drop },
});
