/** What is sent, and to whom: rows of the outbox, written in the same transaction as their cause. */
import type { Tx } from "../store/store.ts";
import type { Mail, User } from "../store/tables.ts";
import type { Core } from "./core.ts";
import { open, seal } from "./secrets.ts";

type Link = { readonly link: string /** How long the link lives. */; readonly minutes: number };
type Place = { /** As in "Firefox on Linux". */ readonly device: string; readonly ip: string; readonly at: string };

/** Every kind of mail, with what its templates may say beside APP_NAME, PUBLIC_URL and the recipient. */
export type MailFacts = {
  "verify-email": Link;
  /** To the owner of an address that somebody registered with, or wanted to change to, once more. The link leads to a new password. */
  "account-exists": { readonly link: string };
  "reset-password": Link;
  /** To the new address. */
  "confirm-email": Link;
  /** To the old address, before it is replaced. */
  "email-change-requested": { readonly new_email: string };
  /** To the old address, once it is replaced. */
  "email-changed": { readonly new_email: string };
  "password-changed": Place;
  "new-device": Place;
  "session-compromised": Place;
  "account-deleted": { readonly days: number };
  /** To see whether mails arrive. */
  test: { readonly at: string };
};
export type MailKind = keyof MailFacts;

/** What may be asked for by somebody who is not signed in. */
export type AskedKind = "reset-password" | "verify-email";

export type Addressee = {
  readonly userId: string | null;
  readonly email: string;
  /** Null where MAIL_LOCALE decides. */
  readonly locale: string | null;
  readonly name: string | null;
};

/** What a row of the outbox holds, sealed: who asks for a mail is not known to anybody yet. */
export type Content = { readonly asked: string } | Addressed;

export type Addressed = {
  readonly to: Addressee;
  readonly facts: Readonly<Record<string, string | number>>;
  /** When its link has expired: nobody has any use for the mail then. */
  readonly goodUntil?: string;
};

/** Whether mails go anywhere: to the mail server, or in development to the terminal. */
export const sendsMail = ({ mailer }: Core): boolean => mailer !== undefined;

export const addresseeOf = (user: Pick<User, "id" | "email" | "locale" | "fullName" | "username">): Addressee => ({
  userId: user.id,
  email: user.email,
  locale: user.locale,
  name: user.fullName ?? user.username,
});

/** Puts a mail into the outbox. Nothing happens where mails go nowhere. */
export async function queueMail<K extends MailKind>(
  core: Core,
  tx: Tx,
  to: Addressee,
  kind: K,
  facts: MailFacts[K],
): Promise<void> {
  if (sendsMail(core)) await insert(core, tx, kind, "queued", to.userId, addressed(core, to, facts));
}

/**
 * Notes that somebody asked for a mail to this address. Whether anybody has it is looked up when the mail is
 * sent: so the answer takes the same time whether somebody does or not (rule PW-4).
 */
export async function askForMail(core: Core, tx: Tx, kind: AskedKind, emailKey: string): Promise<void> {
  if (sendsMail(core)) await insert(core, tx, kind, "asked", null, { asked: emailKey });
}

/** What a mail holds once it is known who gets it. */
export function addressed(core: Core, to: Addressee, facts: MailFacts[MailKind]): Addressed {
  if (!("minutes" in facts)) return { to, facts };
  const goodUntil = new Date(core.clock.now().getTime() + facts.minutes * 60_000);
  return { to, facts, goodUntil: goodUntil.toISOString() };
}

async function insert(
  core: Core,
  tx: Tx,
  kind: MailKind,
  state: "asked" | "queued",
  userId: string | null,
  content: Content,
): Promise<void> {
  const now = core.clock.now();
  const id = core.random.id(now);
  await tx.mails.insert({
    id,
    kind,
    state,
    userId,
    content: sealContent(core, id, content),
    dueAt: now,
    createdAt: now,
  });
}

export const sealContent = (core: Core, id: string, content: Content): string =>
  seal(core.keyring, core.random, "mail", JSON.stringify(content), id);

/** `undefined` where the mail was sent and wiped, or where the secret does not fit. */
export function openContent(core: Core, mail: Pick<Mail, "id" | "content">): Content | undefined {
  const text = mail.content === null ? undefined : open(core.keyring, "mail", mail.content, mail.id);
  return text === undefined ? undefined : JSON.parse(text);
}
