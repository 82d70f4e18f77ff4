/**
 * What is told of a person: address, user name, full name and language. Each name has a form that is shown, as it
 * was typed, and a key that is compared. Problems are sentences and never repeat the input (rule IO-3).
 */
import { domainToASCII } from "node:url";

export type Problem = { readonly problem: string };
export type Email = { readonly email: string; readonly emailKey: string };
export type Username = { readonly username: string; readonly usernameKey: string };
export type FullName = { readonly fullName: string; readonly fullNameKey: string };

/** Octets of an address and of its local part (RFC 5321, section 4.5.3.1, with erratum 1690 of RFC 3696). */
const maxEmailBytes = 254;
const maxLocalBytes = 64;

/** RFC 5321's dot-atom, with the letters of RFC 6531: no quoted strings, comments, lists, line breaks or invisible characters. */
const localPart = /^[\p{L}\p{M}\p{N}!#$%&'*+\-/=?^_`{|}~]+(?:\.[\p{L}\p{M}\p{N}!#$%&'*+\-/=?^_`{|}~]+)*$/u;
const unicodeDomain = /^[\p{L}\p{M}\p{N}.-]+$/u;
const asciiLabel = /^(?!-)[a-z0-9-]{1,63}(?<!-)$/;

/**
 * Reads one address (rules REG-4 and IO-2). Its key has the domain in A-label form and no upper case; dots and
 * `+tags` of the local part are kept, since only its own server knows what they mean.
 */
export function parseEmail(text: string): Email | Problem {
  const email = text.trim();
  const problem = { problem: "This is not an e-mail address; one such as name@example.com would do." };
  if (!fits(email, maxEmailBytes)) {
    return { problem: `This is longer than an e-mail address can be; up to ${maxEmailBytes} bytes would do.` };
  }
  if (!email.isWellFormed() || email.normalize("NFKC") !== email) {
    return { problem: "This address holds characters that look like others; type it with plain letters." };
  }
  const [local, domain, ...more] = email.split("@");
  if (!local || !domain || more.length > 0 || !localPart.test(local)) return problem;
  const localKey = local.toLowerCase().normalize("NFKC");
  const domainKey = parseDomain(domain);
  if (!domainKey || !fits(local, maxLocalBytes) || !fits(localKey, maxLocalBytes)) return problem;
  const emailKey = `${localKey}@${domainKey}`;
  return fits(emailKey, maxEmailBytes) ? { email, emailKey } : problem;
}

/** The domain in A-label form; undefined where it is no name in the DNS (RFC 1123, section 2.1), with `localhost` as the one exception. */
function parseDomain(domain: string): string | undefined {
  if (!unicodeDomain.test(domain)) return undefined;
  const ascii = domainToASCII(domain).toLowerCase();
  const labels = ascii.split(".");
  const named = ascii === "localhost" || (labels.length > 1 && !/^\d+$/.test(labels.at(-1) ?? ""));
  return named && labels.every((label) => asciiLabel.test(label)) ? ascii : undefined;
}

function fits(text: string, bytes: number): boolean {
  return text.length <= bytes && Buffer.byteLength(text) <= bytes;
}

/** 3 to 30 characters: too few for a UUID, and without @, so that no user name is ever taken for an id or an address. */
const usernameShape = /^(?=.{3,30}$)(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]$/;

/** Names that others would take for the operator's, or that paths and programs use, without their punctuation. */
const reservedUsernames: ReadonlySet<string> = new Set(
  `abuse account accounts admin administrator admins all anonymous api auth authctl bot config daemon everyone false
   guest help helpdesk host hostmaster info internal legal localhost login logout mail mailerdaemon me moderator nan
   nobody none noreply null official operator owner password payments postmaster privacy public register root sales
   security self server service session sessions settings signin signup ssladmin staff status superuser support sysadmin
   system team test true undefined unknown user username users webmaster wellknown www you`.split(/\s+/),
);

/** Reads a user name. Its key is its lower case. */
export function parseUsername(text: string): Username | Problem {
  const username = text.trim();
  if (!usernameShape.test(username)) {
    return {
      problem:
        "A user name has 3 to 30 letters (A to Z), digits, dots, hyphens or underscores; it begins and ends with a letter or digit, and no two dots touch.",
    };
  }
  const usernameKey = username.toLowerCase();
  if (reservedUsernames.has(usernameKey.replace(/[._-]/g, ""))) {
    return { problem: "This user name is reserved; choose another one." };
  }
  return { username, usernameKey };
}

const maxFullNameLength = 200;
/** Control characters, line and paragraph separators, and what turns the direction of the text after it (UAX #9, section 2). */
export const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u;

/** Reads a person's name: one line of any script, at most 200 code points. */
export function parseFullName(text: string): FullName | Problem {
  const fullName = text.trim();
  if (fullName === "") return { problem: "A name has at least one character; leave the member out to have none." };
  if (fullName.length > 2 * maxFullNameLength || Array.from(fullName).length > maxFullNameLength) {
    return { problem: `A name has at most ${maxFullNameLength} characters.` };
  }
  if (!fullName.isWellFormed() || unprintable.test(fullName)) {
    return { problem: "A name is one line of text, without control characters." };
  }
  return { fullName, fullNameKey: fullName.normalize("NFKC").toLowerCase() };
}

/** As long as a tag of registered parts can be (RFC 5646, section 4.4.1). */
const maxLocaleLength = 35;

/** A language tag in its usual spelling (BCP 47): `de-AT`. */
export function parseLocale(text: string): string | undefined {
  try {
    const [locale] = text.length > maxLocaleLength ? [] : Intl.getCanonicalLocales(text);
    return locale && locale.length <= maxLocaleLength ? locale : undefined;
  } catch {
    return undefined;
  }
}

/** What the keys begin with of whoever is named by a beginning: of an address whose domain is whole, the ASCII form. */
export function prefixKeys(text: string): { readonly emailKey: string; readonly nameKey: string } {
  const nameKey = text.trim().normalize("NFKC").toLowerCase();
  const [, local, domain] = /^([^@]+)@([^@]+)$/.exec(nameKey) ?? [];
  return { emailKey: local && domain ? `${local}@${domainToASCII(domain) || domain}` : nameKey, nameKey };
}

/** By which key to look for the user that this names; undefined where it can name nobody. A reserved name may be an old user's. */
export function identifierKey(
  text: string,
): { readonly emailKey: string } | { readonly usernameKey: string } | undefined {
  if (text.includes("@")) {
    const email = parseEmail(text);
    return "emailKey" in email ? { emailKey: email.emailKey } : undefined;
  }
  const username = text.trim();
  return usernameShape.test(username) ? { usernameKey: username.toLowerCase() } : undefined;
}
