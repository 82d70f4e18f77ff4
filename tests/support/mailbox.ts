/** A mail server as the core sees it, for tests that send mails without one. */
import type { Core, Letter, Mailer, MailTrouble } from "../../src/core/core.ts";
import { type Addressee, queueMail } from "../../src/core/mail.ts";

export type Mailbox = Mailer & {
  readonly letters: Letter[];
  /** What stands in the way of the next mails: one answer for all, or one for each. */
  trouble: MailTrouble | undefined | ((letter: Letter) => MailTrouble | undefined | Promise<MailTrouble | undefined>);
};

export const isDown: MailTrouble = { scope: "server", permanent: false, code: "ECONNREFUSED" };
export const isBusy: MailTrouble = { scope: "mail", permanent: false, code: "450" };
export const isRefused: MailTrouble = { scope: "mail", permanent: true, code: "550" };

export function createMailbox({ keeps = false } = {}): Mailbox {
  const mailbox: Mailbox = {
    keeps,
    letters: [],
    trouble: undefined,
    async send(letter) {
      const { trouble } = mailbox;
      const answer = typeof trouble === "function" ? await trouble(letter) : trouble;
      if (!answer) mailbox.letters.push(letter);
      return answer;
    },
  };
  return mailbox;
}

/** The core sends its mails there. */
export const sendTo = <C extends Core>(core: C, mailer: Mailer): C => Object.assign(core, { mailer });

export const ada: Addressee = { userId: null, email: "ada@example.com", locale: "en", name: "Ada" };

/** Puts a test mail for each of the addresses into the outbox. */
export async function queueTests(core: Core, ...emails: readonly string[]): Promise<void> {
  await core.store.write(async (tx) => {
    for (const email of emails) await queueMail(core, tx, { ...ada, email }, "test", { at: "noon" });
  });
}
