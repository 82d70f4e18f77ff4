/** The outbox as operators see it. */
import type { Mail, MailState } from "../../store/tables.ts";
import type { Actor } from "../actors.ts";
import { type Action, record } from "../audit.ts";
import type { Core } from "../core.ts";
import { fail } from "../errors.ts";
import { openContent } from "../mail.ts";
import { wordsOf } from "./letters.ts";

const pageSize = 200;

export async function* pagesOfMails(core: Core, state?: MailState): AsyncGenerator<Mail[]> {
  for (let after: string | undefined; ; ) {
    const page = await core.store.mails.page(state, pageSize, after);
    if (page.length > 0) yield page;
    after = page.at(-1)?.id;
    if (page.length < pageSize) return;
  }
}

/** What a mail says, as far as that is known and may be shown. */
export type Insight = {
  /** Null once it is sent and wiped. Of what was asked for, the address that was given: whether anybody has it is not known yet. */
  readonly to: string | null;
  readonly subject: string | null;
  /** In development alone: a link is a proof, and in production only its addressee may hold it. */
  readonly link: string | null;
};

const nothing: Insight = { to: null, subject: null, link: null };

/** The addressee alone, which costs little. */
export function glanceAt(core: Core, mail: Mail): Insight {
  const content = openContent(core, mail);
  return content ? { ...nothing, to: "asked" in content ? content.asked : content.to.email } : nothing;
}

export async function lookInto(core: Core, mail: Mail): Promise<Insight> {
  const content = openContent(core, mail);
  if (!content || "asked" in content) return glanceAt(core, mail);
  const { link } = content.facts;
  const mayBeShown = core.settings.NODE_ENV !== "production" && typeof link === "string";
  // Of a kind that only another version knows, there are no words here.
  const words = await wordsOf(core, mail.kind, content).catch(() => undefined);
  return { to: content.to.email, subject: words?.subject ?? null, link: mayBeShown ? link : null };
}

/** Fails with `not_found` where there is no such mail, before anything is done. */
export async function getMails(core: Core, ids: readonly string[]): Promise<Mail[]> {
  const mails: Mail[] = [];
  const unknown: string[] = [];
  for (const id of new Set(ids)) {
    const mail = await core.store.mails.byId(id);
    if (mail) mails.push(mail);
    else unknown.push(id);
  }
  if (unknown.length === 0) return mails;
  return fail("not_found", {
    detail: "Nothing was done. `authctl mail queue list` shows the mails.",
    errors: unknown.map((id) => ({ path: id, message: "is no mail's id." })),
  });
}

/** Has mails tried at once that were given up, or that wait after a failure. Answers how many that were. */
export async function retryMails(core: Core, by: Actor, mails: ReadonlyArray<Pick<Mail, "id">>): Promise<number> {
  return await change(core, by, mails, "mail.retried");
}

/** Deletes mails, whatever became of them. One that is on its way at this moment may still arrive. Answers how many there were. */
export async function dropMails(core: Core, by: Actor, mails: ReadonlyArray<Pick<Mail, "id">>): Promise<number> {
  return await change(core, by, mails, "mail.dropped");
}

async function change(
  core: Core,
  by: Actor,
  mails: ReadonlyArray<Pick<Mail, "id">>,
  action: Extract<Action, "mail.retried" | "mail.dropped">,
): Promise<number> {
  const ids = mails.map(({ id }) => id);
  return await core.store.write(async (tx) => {
    const now = core.clock.now();
    const changed = action === "mail.retried" ? await tx.mails.retry(ids, now) : await tx.mails.drop(ids);
    for (const { id, kind, userId } of changed) {
      const particulars = { mail_id: id, kind };
      await record(core, tx, by, { action, particulars, ...(userId !== null && { userId }) });
    }
    return changed.length;
  });
}
