import { writeSync } from "node:fs";
import type { Mailer } from "../core/core.ts";

const standardError = 2;

/** For development without a mail server: a mail is printed, and stays in the outbox. */
export function createTerminalMailer(print = (text: string): void => void writeSync(standardError, text)): Mailer {
  return {
    keeps: true,
    async send({ to, subject, text }) {
      const lines = [`To: ${to.address}`, `Subject: ${subject}`, "", ...text.trimEnd().split("\n")];
      print(`\n┌─ mail\n${lines.map((line) => `│ ${line}`.trimEnd()).join("\n")}\n└─\n`);
      return undefined;
    },
  };
}
