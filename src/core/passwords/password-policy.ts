/**
 * What a password must be (rules PW-2 and PW-3): long, and not what a guesser tries first. Everything else is
 * allowed: any script, spaces, no composition rules (NIST SP 800-63B-4, section 3.1.1.2).
 *
 * A length is counted in code points of the normalised text. All work is linear in the password, whose size is bounded first.
 */
import { fail, type InputError } from "../errors.ts";

/** Bytes of UTF-8 beyond which a password is refused before any work is done with it (rule PW-5). */
export const maxPasswordBytes = 1024;
const maxPasswordLength = 256;

/** The form that is measured and hashed, so that one password typed on two keyboards stays one (NFKC, rule PW-2). */
export function normalizePassword(text: string): string {
  return text.normalize("NFKC");
}

/** Whether the text is at most `maxPasswordBytes` long. Looks at no more than that many characters. */
export function fitsPasswordBytes(text: string): boolean {
  return text.length <= maxPasswordBytes && Buffer.byteLength(text) <= maxPasswordBytes;
}

export type PasswordPolicy = {
  /** The least number of code points: the setting PASSWORD_MIN_LENGTH. */
  readonly minLength: number;
  /** What names the account: its address, user name and full name, as far as it has them. */
  readonly words: readonly (string | null | undefined)[];
  /** The member of the input that `errors` blames; `password` unless said otherwise. */
  readonly path?: string;
  /** Whether a common password and a name are refused only as they stand, and not with a little added: the setting PASSWORD_REFUSE_VARIANTS. */
  readonly exact?: boolean;
};

/** Refuses a password that would be guessed: throws `weak_password`, with every reason that applies in `errors`. */
export async function checkPassword(password: string, policy: PasswordPolicy): Promise<void> {
  const reasons = await weaknesses(password, policy);
  if (reasons.length === 0) return;
  const path = policy.path ?? "password";
  const errors: InputError[] = reasons.map((message) => ({ path, message }));
  fail("weak_password", { detail: `${reasons.join(" ")} Several unrelated words make a good password.`, errors });
}

async function weaknesses(password: string, { minLength, words, exact }: PasswordPolicy): Promise<string[]> {
  const normal = fitsPasswordBytes(password) ? normalizePassword(password) : undefined;
  const length = normal === undefined ? Number.POSITIVE_INFINITY : Array.from(normal).length;
  if (normal === undefined || length > maxPasswordLength || !fitsPasswordBytes(normal)) {
    return [`It is too long; up to ${maxPasswordLength} characters and ${maxPasswordBytes} bytes would do.`];
  }
  const reasons: string[] = [];
  if (length < minLength) {
    reasons.push(`It is ${characters(length)} long; ${minLength} or more would do.`);
  }
  if (/\p{Cc}/u.test(normal) || !normal.isWellFormed()) {
    reasons.push("It holds a character that cannot be typed; letters, digits, punctuation and spaces would do.");
  }
  const folded = fold(normal);
  const readings = exact ? [folded] : readingsOf(folded);
  const common = await loadCommonPasswords();
  const names = namesIn(words);
  const isNear = (words: readonly string[], reading: string): boolean =>
    exact ? words.includes(reading) : isLittleMoreThan(words, reading, common);
  if (readings.some((reading) => common.all.has(reading) || isNear(common.favourites, reading))) {
    reasons.push("It is a common password, or one with little added; words that nobody would put together would do.");
  }
  if (readings.some((reading) => isNear(names, reading))) {
    reasons.push(
      "It is little more than a name or address that belongs to the account or to authctl; leave these out.",
    );
  }
  if (isForetold(folded)) {
    reasons.push("It runs along the keyboard, the alphabet or the digits; words in no such order would do.");
  }
  const part = readings.find((one) => 2 * one.length > folded.length && repeats(one) && period(one) < minLength);
  if (part !== undefined) {
    reasons.push(`It repeats a part of ${characters(period(part))}; ${minLength} or more that do not repeat would do.`);
  }
  return reasons;
}

function characters(count: number): string {
  return count === 1 ? "1 character" : `${count} characters`;
}

/** The text as the rules of a guesser see it: without case, accents and compatibility forms. */
function fold(text: string): string {
  return text
    .normalize("NFKD")
    .toLowerCase()
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "");
}

/** What stands for a letter in "p4$$w0rd", and the letters: a 1 stands for two, so there are two alphabets. */
const leetSigns = "0123456789@$+!|";
const leetAlphabets = ["oizeasgtbgastii", "olzeasgtbgastll"];

/** The text as it stands, then with leet undone, once by each alphabet. */
function unleetings(text: string): string[] {
  const undone = leetAlphabets.map((letters) =>
    text.replace(/[0-9@$+!|]/g, (sign) => letters.charAt(leetSigns.indexOf(sign))),
  );
  return [text, ...undone];
}

/** Every way to read a password as one word with something added: without the digits and punctuation at either end, without all punctuation, and with leet undone. */
function readingsOf(folded: string): readonly string[] {
  const [first, last] = ends(folded);
  const cuts = [
    folded,
    folded.slice(first),
    folded.slice(0, last),
    folded.slice(first, last),
    folded.replace(/[^\p{L}\p{N}]/gu, ""),
  ];
  return [...new Set(cuts.flatMap(unleetings))].filter((reading) => reading !== "");
}

/** Where the first letter begins and the last one ends; `[0, 0]` where there is none. */
function ends(text: string): [number, number] {
  let first = -1;
  let end = 0;
  let at = 0;
  for (const character of text) {
    if (/\p{L}/u.test(character)) {
      if (first < 0) first = at;
      end = at + character.length;
    }
    at += character.length;
  }
  return [Math.max(first, 0), end];
}

type CommonPasswords = {
  /** About 49,000, folded as they come. */
  readonly all: ReadonlySet<string>;
  /** The words among the very first: a password that is one of these and another common one is no better. */
  readonly favourites: readonly string[];
};

let commonPasswords: Promise<CommonPasswords> | undefined;

/** Decompressed by the first password that is set (about 20 ms, once), never by the start of a process. */
function loadCommonPasswords(): Promise<CommonPasswords> {
  commonPasswords ??= import("@zxcvbn-ts/language-common").then(({ dictionary }) => {
    const ranked = dictionary["passwords-common"];
    return { all: new Set(ranked), favourites: ranked.slice(0, 100).filter((word) => /^\p{L}{4,}$/u.test(word)) };
  });
  return commonPasswords;
}

/** The least length of a name that is looked for: shorter ones are parts of too many words. */
const minNameLength = 3;

/** The words that name the account and the product, folded, the longest first. */
function namesIn(texts: PasswordPolicy["words"]): readonly string[] {
  const names = ["authctl", ...texts.map((text) => fold(text ?? ""))]
    .flatMap((text) => [text, text.split(/[@\s]/u), text.split(/[^\p{L}\p{N}]/u)].flat())
    .flatMap(unleetings)
    .filter((name) => name.length >= minNameLength);
  return [...new Set(names)].toSorted((one, other) => other.length - one.length);
}

/** Whether a reading is made of such words and otherwise only of a few letters, of digits, or of a common password. A sentence that mentions one is more. */
function isLittleMoreThan(words: readonly string[], reading: string, common: CommonPasswords): boolean {
  const rest = takeOut(words, reading);
  if (rest === reading) return false;
  const unknown = takeOut(common.favourites, rest);
  return (unknown.match(/\p{L}/gu) ?? []).length < 4 || common.all.has(rest.slice(...ends(rest)));
}

function takeOut(words: readonly string[], text: string): string {
  return words.reduce((rest, word) => rest.replaceAll(word, " "), text);
}

/** Rows of keys that lie above one another, then rows of other layouts. */
const rows = ["1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./"] as const;
const otherRows = [
  "!@#$%^&*()_+",
  "qwertzuiop",
  "azertyuiop",
  "qsdfghjklm",
  "йцукенгшщзхъ",
  "фывапролджэ",
  "ячсмитьбю",
];

let pairs: ReadonlySet<string> | undefined;

/** Pairs of keys that touch: along the rows, and down the columns both ways (1qaz, q2w3). */
const touching = (): ReadonlySet<string> =>
  (pairs ??= new Set([...touchingAlong([...rows, ...otherRows]), ...touchingDown(rows)]));

function* touchingAlong(rows: readonly string[]): Generator<string> {
  for (const row of rows.map(fold)) {
    for (let at = 1; at < row.length; at++) yield* bothWays(row.charAt(at - 1), row.charAt(at));
  }
}

function* touchingDown(rows: readonly string[]): Generator<string> {
  for (const [below, row] of rows.slice(1).entries()) {
    const above = rows[below] ?? "";
    for (let at = 0; at < row.length; at++) {
      yield* bothWays(row.charAt(at), above.charAt(at));
      yield* bothWays(row.charAt(at), above.charAt(at + 1));
    }
  }
}

function bothWays(one: string, other: string): string[] {
  return [one + other, other + one];
}

/** Whether the next character could have been told from the one before: the same, the next in the alphabet, or the next key. */
function follows(one: string, next: string): boolean {
  return Math.abs((one.codePointAt(0) ?? 0) - (next.codePointAt(0) ?? 0)) <= 1 || touching().has(one + next);
}

/** Whether almost every character follows from the one before it. Prose and random text hold many that do not. */
function isForetold(folded: string): boolean {
  const all = Array.from(folded);
  const surprises = all.filter((one, at) => at === 0 || !follows(all[at - 1] ?? "", one)).length;
  return surprises <= Math.min(5, all.length / 3);
}

/** The length of the shortest part that makes the whole text when repeated, its last copy perhaps cut off (Knuth, Morris and Pratt's failure function). */
function period(text: string): number {
  const borders = [0];
  let border = 0;
  for (let at = 1; at < text.length; at++) {
    while (border > 0 && text[at] !== text[border]) border = borders[border - 1] ?? 0;
    if (text[at] === text[border]) border++;
    borders.push(border);
  }
  return text.length - border;
}

function repeats(text: string): boolean {
  return 2 * period(text) <= text.length;
}
