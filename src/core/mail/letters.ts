/** From what is known of a mail to what somebody reads. */
import type { Core, Letter, MailVariables, Words } from "../core.ts";
import type { Addressed, Addressee, MailFacts, MailKind } from "../mail.ts";

/** What templates may say of each kind, as an example: for a preview, and to know every kind there is. */
export const sampleFacts: MailFacts = {
  "verify-email": { link: "https://app.example.com/verify-email#token=ve_example", minutes: 1440 },
  "account-exists": { link: "https://app.example.com/reset-password" },
  "reset-password": { link: "https://app.example.com/reset-password#token=rp_example", minutes: 30 },
  "confirm-email": { link: "https://app.example.com/verify-email#token=ce_example", minutes: 60 },
  "email-change-requested": { new_email: "ada.new@example.com" },
  "email-changed": { new_email: "ada.new@example.com" },
  "password-changed": { device: "Firefox on Linux", ip: "192.0.2.7", at: "2026-01-31 09:00 UTC" },
  "new-device": { device: "Firefox on Linux", ip: "192.0.2.7", at: "2026-01-31 09:00 UTC" },
  "session-compromised": { device: "Firefox on Linux", ip: "192.0.2.7", at: "2026-01-31 09:00 UTC" },
  "account-deleted": { days: 30 },
  test: { at: "2026-01-31 09:00 UTC" },
};

export const mailKinds = Object.keys(sampleFacts) as MailKind[];

/** The words of a mail, in the language of whom it goes to. */
export async function wordsOf(core: Core, kind: string, { to, facts }: Addressed): Promise<Words> {
  const known = mailKinds.find((one) => one === kind);
  if (!known) throw new Error("a mail of a kind that this version does not know");
  return await core.mailTemplates.render(known, languagesFor(core, to.locale), variablesOf(core, to, facts));
}

/** What goes out. Templates of the operator's that are broken are told in the log. */
export async function letterOf(core: Core, mail: { id: string; kind: string }, content: Addressed): Promise<Letter> {
  const { language, subject, text, html, broken } = await wordsOf(core, mail.kind, content);
  for (const { file } of broken) core.log.error("mail_template_broken", { kind: mail.kind, language, file });
  const { email, name } = content.to;
  return {
    messageId: `<${mail.id}@${senderHost(core.settings.MAIL_FROM)}>`,
    at: core.clock.now(),
    to: { name: spoken(name) ?? "", address: oneLine(email) },
    language,
    subject: oneLine(subject),
    text,
    html,
  };
}

/** As wanted, then without what is special about it: `de-AT`, `de`, then what the operator chose, then English. */
function languagesFor(core: Core, locale: string | null): string[] {
  const wanted = [locale, core.settings.MAIL_LOCALE, "en"].filter((one) => one !== null);
  return [...new Set(wanted.flatMap((one) => [one, one.split("-")[0] ?? one]))];
}

function variablesOf({ settings }: Core, to: Addressee, facts: Addressed["facts"]): MailVariables {
  const variables = {
    ...facts,
    app_name: settings.APP_NAME,
    public_url: settings.PUBLIC_URL,
    email: to.email,
    name: spoken(to.name),
  };
  const cleaned = Object.entries(variables).map(([name, value]) => [
    name,
    typeof value === "string" ? oneLine(value) : value,
  ]);
  return Object.fromEntries(cleaned);
}

/** Nothing that would begin another header, another paragraph, or run the other way (rule BR-5). */
const oneLine = (text: string): string =>
  text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu, " ").trim();

/**
 * How somebody is addressed. Whoever registers with another's address chooses the name in the mail to that address,
 * so one that reads like an address of the web is left out: it would be made into a link, in a mail from us.
 */
function spoken(name: string | null): string | null {
  const plain = oneLine(name ?? "");
  return plain === "" || plain.length > 100 || /[/@:<>]|\S[.。．｡]\p{L}{2}/u.test(plain) ? null : plain;
}

const senderHost = (from: string): string => /@([^\s<>@]+?)>?$/.exec(from)?.[1] ?? "localhost";
