import { formatDuration, parseDuration } from "../src/config/durations.ts";
import { fail, type InputError } from "../src/core/errors.ts";
import { parseInstant } from "../src/core/instants.ts";
import { didYouMean } from "./nearest.ts";

export type ArgumentType = "text" | "number" | "duration" | "time" | "choice" | "toggle";

/** One flag or positional of a command: how it is written, what it means, and how its words become a value. */
export type Argument<T = unknown> = {
  readonly type: ArgumentType;
  readonly description: string;
  /** What stands for the value in help: `FILE`, `30d`, `USER`. */
  readonly hint: string;
  readonly place: "flag" | "positional";
  readonly required: boolean;
  readonly many: boolean;
  readonly negatable: boolean;
  readonly short: string | undefined;
  readonly choices: readonly string[] | undefined;
  /** The default, as it would be written on the command line. */
  readonly fallback: string | undefined;
  /** The value of the words that were given for it, in their order; throws `Unfit` at words that it cannot take. */
  read(words: readonly string[], now: Date): T;
};

/** The arguments of a command. A flag's key is its name in camel case: `olderThan` is written `--older-than`. */
export type Args = Readonly<Record<string, Argument>>;

/** What `run` gets for its arguments: every key, parsed. */
export type ArgsOf<A extends Args> = { readonly [K in keyof A]: A[K] extends Argument<infer T> ? T : never };

/** What an argument takes instead, in words that follow its name: "takes a whole number". Never quotes the word itself, which may be a slipped secret. */
export class Unfit extends Error {}

type Options<T> = {
  readonly hint?: string;
  readonly short?: string;
  /** A missing one is a usage error. */
  readonly required?: boolean;
  /** May stand several times, and a flag's word may hold several separated by commas: the value is an array. */
  readonly many?: boolean;
  readonly default?: T;
};

type Value<T, O> = O extends { many: true }
  ? readonly T[]
  : O extends { required: true } | { default: string | number | boolean }
    ? T
    : T | undefined;

type Shape<T> = Pick<Argument, "type" | "hint"> & {
  readonly place?: Argument["place"];
  readonly choices?: readonly string[];
  readonly parse: (word: string, now: Date) => T;
  readonly write?: (value: T) => string;
};

function argument<T, O extends Options<T>>(
  description: string,
  options: O | undefined,
  shape: Shape<T>,
): Argument<Value<T, O>> {
  const { required = false, many = false, hint = shape.hint, short, default: value } = options ?? {};
  const fallback = value === undefined ? undefined : (shape.write ?? String)(value);
  return {
    type: shape.type,
    description,
    hint,
    place: shape.place ?? "flag",
    required,
    many,
    negatable: false,
    short,
    choices: shape.choices,
    fallback,
    read(words, now) {
      const given = words.length === 0 && fallback !== undefined ? [fallback] : words;
      const values = given.map((word) => shape.parse(word, now));
      if (required && given.length === 0) throw new Unfit("is required");
      // The condition of `Value`, which the compiler cannot follow
      return (many ? values : values[0]) as Value<T, O>;
    },
  };
}

/** A text, as it was typed. */
export function text<const O extends Options<string>>(description: string, options?: O): Argument<Value<string, O>> {
  return argument(description, options, { type: "text", hint: "TEXT", parse: (word) => word });
}

/** A whole number from `min` to `max`. */
export function number<const O extends Options<number> & { readonly min?: number; readonly max?: number }>(
  description: string,
  options?: O,
): Argument<Value<number, O>> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = options ?? {};
  const range = max === Number.MAX_SAFE_INTEGER ? `from ${min}` : `from ${min} to ${max}`;
  return argument<number, O>(description, options, {
    type: "number",
    hint: "N",
    parse(word) {
      const value = /^-?\d{1,16}$/.test(word) ? Number(word) : Number.NaN;
      return value >= min && value <= max ? value : unfit(`takes a whole number ${range}`);
    },
  });
}

/** A length of time such as `20ms`, `15m` or `30d`, in milliseconds. */
export function duration<const O extends Options<number>>(
  description: string,
  options?: O,
): Argument<Value<number, O>> {
  return argument<number, O>(description, options, {
    type: "duration",
    hint: "DURATION",
    parse: (word) => parseDuration(word) ?? unfit("takes a length of time such as 20ms, 90s, 15m, 12h or 30d"),
    write: formatDuration,
  });
}

/** A point in time: RFC 3339 with its offset, or relative to now (`-7d`, `+12h`). */
export function time<const O extends Options<never>>(description: string, options?: O): Argument<Value<Date, O>> {
  return argument<Date, O>(description, options, {
    type: "time",
    hint: "TIME",
    parse: (word, now) =>
      parseTime(word, now) ?? unfit("takes a time such as 2026-01-31T09:00:00Z, or -7d for a week ago"),
  });
}

/** One of a few words. */
export function choice<const C extends string, const O extends Options<C>>(
  description: string,
  choices: readonly C[],
  options?: O,
): Argument<Value<C, O>> {
  return argument<C, O>(description, options, {
    type: "choice",
    hint: choices.join("|"),
    choices,
    parse: (word) =>
      choices.find((one) => one === word) ??
      unfit(`takes ${listed(choices)}.${didYouMean(word, choices)}`.replace(/\.$/, "")),
  });
}

/** Off unless it stands there. A `negatable` one can also be written `--no-…`, and may be on by default. */
export function toggle(
  description: string,
  options: { readonly short?: string; readonly negatable?: true; readonly default?: boolean } = {},
): Argument<boolean> {
  const base = argument<boolean, Options<boolean> & { default: boolean }>(
    description,
    { ...options, default: options.default ?? false },
    { type: "toggle", hint: "", parse: (word) => switches.get(word.toLowerCase()) ?? unfit("takes on or off") },
  );
  return { ...base, negatable: options.negatable ?? false };
}

/** Words without a flag, in the order of the record's keys. Only the last one may be `many`; for that one `-` reads from standard input. */
export function positional<const O extends Omit<Options<string>, "hint" | "short">>(
  name: Uppercase<string>,
  description: string,
  options?: O,
): Argument<Value<string, O>> {
  return argument<string, O>(description, options, {
    type: "text",
    hint: name,
    place: "positional",
    // An unset variable in a script (`get "$ID"`) must not name anything.
    parse: (word) => (word === "" ? unfit("is empty") : word),
  });
}

/** Values of all `args`; every word that does not fit is told at once, as a usage error with `detail`. */
export function readAll<A extends Args>(
  args: A,
  wordsOf: (key: string, argument: Argument) => readonly string[],
  circumstances: { readonly now: Date; readonly detail: string },
): ArgsOf<A> {
  const errors: InputError[] = [];
  const values = Object.entries(args).map(([key, argument]) => {
    try {
      return [key, argument.read(wordsOf(key, argument), circumstances.now)];
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      errors.push({ path: nameOf(key, argument), message: error.message });
      return [key, undefined];
    }
  });
  if (errors.length > 0) fail("usage", { detail: circumstances.detail, errors });
  // One value for each key, by that key's own reader
  return Object.fromEntries(values) as ArgsOf<A>;
}

/** `olderThan` → `older-than`. */
export function kebab(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** How people write the argument: `--older-than`, or `USER` for a positional. */
export function nameOf(key: string, argument: Argument): string {
  return argument.place === "positional" ? argument.hint : `--${kebab(key)}`;
}

const switches: ReadonlyMap<string, boolean> = new Map([
  ...["true", "on", "yes", "1"].map((word) => [word, true] as const),
  ...["false", "off", "no", "0"].map((word) => [word, false] as const),
]);

function unfit(wanted: string): never {
  throw new Unfit(wanted);
}

function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

function parseTime(word: string, now: Date): Date | undefined {
  const [, sign, length] = /^([+-])(.+)$/.exec(word) ?? [];
  const away = sign && length ? parseDuration(length) : undefined;
  if (away === undefined) return parseInstant(word);
  const time = new Date(now.getTime() + (sign === "-" ? -away : away));
  return Number.isNaN(time.getTime()) ? undefined : time;
}
