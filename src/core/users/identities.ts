/** Reads what a person is called, all of it at once. */
import type { UserChange } from "../../store/users.ts";
import { fail, type InputError } from "../errors.ts";
import { type Email, parseEmail, parseFullName, parseLocale, parseUsername } from "../identifiers.ts";

/** What a person can say of themselves; `null` takes it away, and what is missing stays. */
export type Named = {
  readonly email?: string;
  readonly username?: string | null;
  readonly fullName?: string | null;
  readonly locale?: string | null;
};

export type Identity = Pick<
  UserChange,
  "email" | "emailKey" | "username" | "usernameKey" | "fullName" | "fullNameKey" | "locale"
>;

/** An address in both its forms. Fails with `validation_failed`. */
export function emailOf(text: string, path = "email"): Email {
  const email = parseEmail(text);
  return "problem" in email ? fail("validation_failed", { errors: [{ path, message: email.problem }] }) : email;
}

/** Checks what was given, all of it at once. */
export function parseIdentity(input: Named): Identity {
  const errors: InputError[] = [];
  const identity: Identity = {};
  if (input.email !== undefined) {
    const email = parseEmail(input.email);
    if ("problem" in email) errors.push({ path: "email", message: email.problem });
    else Object.assign(identity, email);
  }
  if (input.username === null) Object.assign(identity, { username: null, usernameKey: null });
  else if (input.username !== undefined) {
    const username = parseUsername(input.username);
    if ("problem" in username) errors.push({ path: "username", message: username.problem });
    else Object.assign(identity, username);
  }
  if (input.fullName === null) Object.assign(identity, { fullName: null, fullNameKey: null });
  else if (input.fullName !== undefined) {
    const fullName = parseFullName(input.fullName);
    if ("problem" in fullName) errors.push({ path: "full_name", message: fullName.problem });
    else Object.assign(identity, fullName);
  }
  if (input.locale === null) Object.assign(identity, { locale: null });
  else if (input.locale !== undefined) {
    const locale = parseLocale(input.locale);
    if (locale === undefined) errors.push({ path: "locale", message: "A language tag such as en or de-AT would do." });
    else Object.assign(identity, { locale });
  }
  if (errors.length > 0) fail("validation_failed", { errors });
  return identity;
}
