import { createTransport, type NodemailerError } from "nodemailer";
import type { Config } from "../config.ts";
import type { Letter, Mailer, MailTrouble } from "../core/core.ts";

type Settings = Pick<Config, "SMTP_URL" | "SMTP_PASSWORD" | "SMTP_REQUIRE_TLS" | "MAIL_FROM">;

/** In milliseconds: of the whole way of a mail, and of each silence on it. */
const limits = { whole: 30_000, step: 10_000 };

/** Hands mails to the mail server that SMTP_URL names, over a few connections that are kept. */
export function createSmtpMailer(settings: Settings & { readonly SMTP_URL: string }, patience = limits.whole) {
  const url = new URL(settings.SMTP_URL);
  const user = decodeURIComponent(url.username);
  const pass = decodeURIComponent(url.password) || settings.SMTP_PASSWORD;
  const secure = url.protocol === "smtps:";
  const transport = createTransport({
    pool: true,
    maxConnections: 5,
    // One that the mail server has closed meanwhile is replaced; anything else is for the outbox to try again.
    maxRequeues: 1,
    idleTimeout: 30_000,
    // An address of IPv6 has brackets in a URL alone.
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: Number(url.port) || (secure ? 465 : 587),
    secure,
    requireTLS: settings.SMTP_REQUIRE_TLS && !secure,
    // Where TLS may be left out a certificate proves nothing: who is in the way would leave it out.
    tls: { rejectUnauthorized: secure || settings.SMTP_REQUIRE_TLS, minVersion: "TLSv1.2" },
    ...(user !== "" && { auth: { user, pass } }),
    dnsTimeout: limits.step,
    connectionTimeout: limits.step,
    greetingTimeout: limits.step,
    socketTimeout: limits.step,
    disableFileAccess: true,
    disableUrlAccess: true,
  });

  const mailer: Mailer = {
    keeps: false,
    async send(letter) {
      try {
        await transport.sendMail({ ...message(settings.MAIL_FROM, letter), signal: AbortSignal.timeout(patience) });
        return undefined;
      } catch (error) {
        return troubleOf(error);
      }
    },
  };
  return {
    ...mailer,
    /** Connects and signs in, and sends nothing. Answers what was in the way. */
    verify: async (): Promise<MailTrouble | undefined> => {
      try {
        await transport.verify();
        return undefined;
      } catch (error) {
        return troubleOf(error);
      }
    },
    close: () => transport.close({ force: true }),
  };
}

const message = (from: string, { messageId, at, to, language, subject, text, html }: Letter) => ({
  from,
  // As an object, which nothing in it can make into two recipients.
  to: { name: to.name, address: to.address },
  subject,
  text,
  ...(html !== undefined && { html }),
  messageId,
  date: at,
  headers: {
    // Nobody's absence note is to answer it (RFC 3834, section 5).
    "Auto-Submitted": "auto-generated",
    "Content-Language": language,
  },
});

/**
 * About this very mail is what was said of its recipient and its content. The sender is the same for all, and so is
 * whatever stood in the way before.
 */
function troubleOf(error: unknown): MailTrouble {
  const { code, originalCode, command, responseCode } = error as NodemailerError;
  const answered = responseCode === undefined ? undefined : String(responseCode);
  const aboutMail = (code === "EENVELOPE" || code === "EMESSAGE") && responseCode !== 421 && command !== "MAIL FROM";
  const told = answered ?? originalCode ?? code ?? "";
  return {
    scope: aboutMail ? "mail" : "server",
    // 503 blames the order of commands, not the mail (RFC 5321, section 4.2.2); without an answer it was our own check.
    permanent: aboutMail && (responseCode === undefined || (responseCode >= 500 && responseCode !== 503)),
    code: /^(\d{3}|[A-Z][A-Z0-9_]{2,40})$/.test(told) ? told : "EUNKNOWN",
  };
}
