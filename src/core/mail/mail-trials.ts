/** What an operator tries out: how a mail looks, and whether one arrives. */
import type { Core, Words } from "../core.ts";
import { fail } from "../errors.ts";
import { parseEmail } from "../identifiers.ts";
import type { Addressee, MailKind } from "../mail.ts";
import { letterOf, sampleFacts, wordsOf } from "./letters.ts";

const sample: Addressee = { userId: null, email: "ada@example.com", locale: null, name: "Ada Lovelace" };

/** A mail of this kind as a user of this language would get it, with made-up facts. */
export async function previewMail(core: Core, kind: MailKind, locale: string | null): Promise<Words> {
  return await wordsOf(core, kind, { to: { ...sample, locale }, facts: sampleFacts[kind] });
}

/** Sends a mail at once, past the outbox. Fails with what the mail server has against it. */
export async function testMail(core: Core, address: string): Promise<{ readonly to: string }> {
  const parsed = parseEmail(address);
  if ("problem" in parsed) {
    return fail("validation_failed", {
      detail: "Name the address that the mail is to go to.",
      errors: [{ path: "ADDRESS", message: parsed.problem }],
    });
  }
  const mailer = core.mailer ?? fail("mail_not_configured");
  const now = core.clock.now();
  const mail = { id: core.random.id(now), kind: "test" };
  const to = { ...sample, email: parsed.email, name: null };
  const letter = await letterOf(core, mail, { to, facts: { at: now.toISOString() } });
  const trouble = await mailer.send(letter);
  if (!trouble) return { to: parsed.email };
  const detail =
    trouble.scope === "mail"
      ? `The mail server refused this mail (${trouble.code}). Check the address, and MAIL_FROM.`
      : `The mail server did not get as far as taking a mail (${trouble.code}). Check SMTP_URL, SMTP_PASSWORD, SMTP_REQUIRE_TLS and MAIL_FROM.`;
  return fail("mail_undeliverable", { detail });
}
