import { fail } from "../src/core/errors.ts";
import { mailKinds } from "../src/core/mail/letters.ts";
import { previewMail, testMail } from "../src/core/mail/mail-trials.ts";
import { flushMail, leftOf } from "../src/core/mail/postman.ts";
import { command, group } from "./command.ts";
import { queue } from "./mail-queue.ts";
import { choice, duration, positional, text, toggle } from "./options.ts";
import { unlessLocked } from "./unless-locked.ts";

const flush = command({
  description: "Send what is due, as a running server does by itself. For cron: silent unless there is trouble.",
  effect: "write",
  args: {
    maxTime: duration("end after this time", { default: 300_000 }),
    lock: choice("where another flush runs: fail with exit code 75, or skip this one", ["fail", "skip"], {
      default: "fail",
    }),
  },
  examples: ["authctl mail flush --verbose", "* * * * * authctl mail flush --lock skip"],
  exits: { 6: "some mails could not be delivered, or the time ended with mails left", 75: "another flush is running" },
  async run({ maxTime, lock }, desk) {
    await desk.withCore(async (core, by) => {
      const progress = desk.progress(undefined, "sending mails");
      const onBatch = (mails: number) => progress.advance(mails);
      const flushed = await unlessLocked(lock, () =>
        flushMail(core, by, { maxTime, interrupted: desk.interrupted, onBatch }),
      );
      progress.end();
      if (!flushed) return desk.detail("Another run is on its way. Nothing to do.");
      const { trouble, finished, ...counts } = flushed;
      if (desk.json || desk.verbose) await desk.print({ ...counts, problem: trouble?.code ?? null, finished });
      const detail = leftOf(flushed);
      if (detail !== undefined) fail("partly_done", { detail });
    });
  },
});

const preview = command({
  description:
    "Show a mail as a user would get it, with made-up facts; with the templates of MAIL_TEMPLATES where there are any.",
  effect: "read",
  args: {
    kind: positional("KIND", `what the mail is about: ${mailKinds.join(", ")}`, { required: true }),
    locale: text("the language of the user, such as de or de-AT; without it, MAIL_LOCALE", { hint: "LANGUAGE" }),
    html: toggle("the HTML instead of the text"),
  },
  examples: ["authctl mail preview reset-password --locale de", "authctl mail preview verify-email --html > mail.html"],
  exits: { 5: "a template of MAIL_TEMPLATES is broken, and ours was used in its place" },
  async run({ kind, locale, html }, desk) {
    const known = mailKinds.find((one) => one === kind);
    if (!known) return fail("usage", { detail: `There is no such kind of mail. There are ${mailKinds.join(", ")}.` });
    return await desk.withCore(async (core) => {
      const words = await previewMail(core, known, locale ?? null);
      const { language, subject, text: plain, html: page = "" } = words;
      if (desk.json) await desk.print({ kind: known, language, subject, text: plain, html: words.html ?? null });
      else await desk.print(html ? page : `Subject: ${subject}\n\n${plain}`);
      for (const { file, message } of words.broken) desk.warn(`${file}: ${message}. Ours was used instead.`);
      return words.broken.length > 0 ? 5 : 0;
    });
  },
});

const test = command({
  description: "Send a mail at once to see whether it arrives, past the outbox.",
  effect: "write",
  args: { address: positional("ADDRESS", "where it is to go", { required: true }) },
  examples: ["authctl mail test ada@example.com"],
  exits: { 69: "the mail server did not take it", 78: "there is no mail server in the settings" },
  async run({ address }, desk) {
    await desk.withCore(async (core) => {
      const sent = await testMail(core, address);
      if (desk.json) await desk.print(sent);
      desk.say(`sent a mail to ${sent.to}`);
    });
  },
});

export default group({
  description: "What users are written: the outbox, its delivery, and how mails look.",
  verbs: { queue, flush, preview, test },
});
