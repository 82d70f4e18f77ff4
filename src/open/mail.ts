/** The way out for mails, and what they say. Loaded with the first mail: most commands send none. */
import { resolve } from "node:path";
import { createTerminalMailer } from "../adapters/terminal-mailer.ts";
import type { Config } from "../config.ts";
import type { Core } from "../core/core.ts";

export function openMail(
  config: Config,
  cwd: string,
): Pick<Core, "mailer" | "mailTemplates"> & { readonly close: () => void } {
  const directory = config.MAIL_TEMPLATES && resolve(cwd, config.MAIL_TEMPLATES);
  const templates = once(async () => (await import("../adapters/mail-templates.ts")).createMailTemplates(directory));
  const mailTemplates: Core["mailTemplates"] = {
    render: async (kind, languages, variables) => (await templates()).render(kind, languages, variables),
  };

  const { SMTP_URL } = config;
  if (SMTP_URL === undefined) {
    const mailer = config.NODE_ENV === "production" ? undefined : createTerminalMailer();
    return { mailer, mailTemplates, close: () => {} };
  }
  let close = (): void => {};
  const smtp = once(async () => {
    const { createSmtpMailer } = await import("../adapters/smtp-mailer.ts");
    const mailer = createSmtpMailer({ ...config, SMTP_URL });
    close = mailer.close;
    return mailer;
  });
  return {
    mailer: { keeps: false, send: async (letter) => (await smtp()).send(letter) },
    mailTemplates,
    close: () => close(),
  };
}

/** Whoever asks first makes it; everybody gets the same. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
