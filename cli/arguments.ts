import { type Argument, toggle } from "./options.ts";

/** A toggle of three states: undefined where neither `--name` nor `--no-name` stands there. */
export function either(description: string): Argument<boolean | undefined> {
  const base = toggle(description, { negatable: true });
  return {
    ...base,
    fallback: undefined,
    read: (words, now) => (words.length === 0 ? undefined : base.read(words, now)),
  };
}

/** `1 session`, `1,204 sessions`. */
export function counted(number: number, noun: string): string {
  return `${number.toLocaleString("en-US")} ${noun}${number === 1 ? "" : "s"}`;
}
