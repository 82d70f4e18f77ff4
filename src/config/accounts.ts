import {
  duration,
  locale,
  objectSchema,
  page,
  path,
  sender,
  shownSmtpUrl,
  smtpUrl,
  text,
  toggle,
  upTo,
} from "./parsers.ts";
import { optional, required } from "./rows.ts";

const isLocalMail = (smtp: unknown) =>
  typeof smtp !== "string" || /@?(localhost|127\.0\.0\.1|\[::1\])(:\d+)?\/?$/.test(smtp);

/** How people come, change and go. */
export const accounts = {
  REQUIRE_EMAIL_VERIFICATION: required({
    doc: "Whether only who has proved the address may sign in. Registering then answers the same whether the address is taken or not.",
    parse: toggle,
    fallback: "false",
  }),
  VERIFY_EMAIL_TTL: required({
    doc: "The life of a link that verifies an address.",
    parse: duration("5m", "30d"),
    fallback: "24h",
  }),
  CHANGE_EMAIL_TTL: required({
    doc: "The life of a link that confirms a new address.",
    parse: duration("5m", "7d"),
    fallback: "1h",
  }),
  RESET_PASSWORD_TTL: required({
    doc: "The life of a link that sets a new password.",
    parse: duration("5m", "24h"),
    fallback: "30m",
  }),
  TOMBSTONE_TTL: required({
    doc: "How long a deleted user can be restored. Afterwards a purge removes what is known of the person.",
    parse: upTo("3650d"),
    fallback: "30d",
  }),
  PROFILE_SCHEMA: optional({
    doc: "A JSON Schema of the object `profile`, for members of your own. Members with `readOnly` are changed by operators alone. Without it there is no profile.",
    parse: objectSchema,
  }),
} as const;

/** Who administers a database that nobody administers yet. */
export const firstAdmin = {
  ADMIN_EMAIL: optional({
    doc: "The address of the first admin, whom a server makes at its start where there is no active admin.",
    parse: text,
  }),
  ADMIN_USERNAME: optional({ doc: "The user name of the first admin.", parse: text }),
  ADMIN_PASSWORD: optional({
    doc: "The password of the first admin. Not needed any more once there is one.",
    parse: text,
    secret: true,
    shown: () => "set",
  }),
} as const;

/** What they are written, and by which way it goes. */
export const mail = {
  SMTP_URL: optional({
    doc: "The mail server: `smtp://user@mail.example.com:587` (with STARTTLS) or `smtps://user@mail.example.com`. Without it a development server prints mails on the terminal and keeps them, and a production server sends none.",
    parse: smtpUrl,
    secret: true,
    shown: shownSmtpUrl,
  }),
  SMTP_PASSWORD: optional({
    doc: "The password of the mail server, where it does not stand in SMTP_URL.",
    parse: text,
    secret: true,
    shown: () => "set",
  }),
  SMTP_REQUIRE_TLS: required({
    doc: "Whether a mail server that offers no TLS is refused. On this machine (localhost) it may be off.",
    parse: toggle,
    fallback: (chosen) => (isLocalMail(chosen["SMTP_URL"]) ? "off" : "on"),
    fallbackDoc: "on, but for localhost",
  }),
  MAIL_FROM: required({
    doc: "The sender of mails.",
    parse: sender,
    fallback: (chosen) => `no-reply@${new URL(String(chosen["PUBLIC_URL"])).hostname.replace(/^\[.*\]$/, "localhost")}`,
    fallbackDoc: "no-reply@ the host of PUBLIC_URL",
  }),
  MAIL_LOCALE: required({
    doc: "The language of mails to users who have none of their own.",
    parse: locale,
    fallback: "en",
  }),
  MAIL_TEMPLATES: optional({
    doc: "A directory with your own templates, as `LANGUAGE/KIND.txt` and `LANGUAGE/KIND.html`; what is missing there is taken from ours.",
    parse: path,
  }),
  MAIL_RETRY_FOR: required({
    doc: "How long a mail that cannot be handed over is tried again.",
    parse: duration("1m", "7d"),
    fallback: "24h",
  }),
  MAIL_KEEP: required({
    doc: "How long it stays known that a mail was sent or given up, before a purge removes it.",
    parse: duration("1h", "365d"),
    fallback: "7d",
  }),
  MAIL_NEW_DEVICE: required({
    doc: "Whether users are told of a sign-in with a device that they have not used before.",
    parse: toggle,
    fallback: "on",
  }),
  VERIFY_EMAIL_PAGE: required({
    doc: "The page that links to verify or confirm an address lead to; it sends the `token` behind the `#` to POST /api/v1/auth/verify-email.",
    parse: page,
    fallback: (chosen) => `${String(chosen["PUBLIC_URL"])}/verify-email`,
    fallbackDoc: "our own: PUBLIC_URL/verify-email",
  }),
  RESET_PASSWORD_PAGE: required({
    doc: "The page that links to set a new password lead to; it sends the `token` behind the `#` to POST /api/v1/auth/reset-password.",
    parse: page,
    fallback: (chosen) => `${String(chosen["PUBLIC_URL"])}/reset-password`,
    fallbackDoc: "our own: PUBLIC_URL/reset-password",
  }),
} as const;
