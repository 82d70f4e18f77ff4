/** What the settings are called by the templates that people come from, and what a value there means here. */
import { unfit, yesWords } from "./parsers.ts";

export type Alias = {
  /** What is written there, where that differs from our own setting; to follow "as". */
  readonly takes?: string;
  /** The value in the words of our setting; `undefined` where it says nothing about it. Throws `Unfit`. */
  readonly translate: (text: string) => string | undefined;
};

export const asItIs: Alias = { translate: (text) => text };

const number =
  (of: string, unit: "m" | "d"): Alias["translate"] =>
  (text) =>
    /^\d{1,7}$/.test(text) ? `${text}${unit}` : unfit(`a whole number of ${of}`);

export const minutes: Alias = { takes: "a number of minutes", translate: number("minutes", "m") };
export const days: Alias = { takes: "a number of days", translate: number("days", "d") };

/** What signs with the server's own secret is not offered: whoever verifies could sign as well. */
export const isSharedSecret = (algorithm: string): boolean => /^HS(256|384|512)$/i.test(algorithm);

export const algorithm: Alias = {
  takes: "ES256, EdDSA or RS256; HS256 is understood, and changes nothing",
  translate: (text) => (isSharedSecret(text) ? undefined : text),
};

/** Other programs read DEBUG, too, and write other things into it. */
export const debug: Alias = {
  takes: "True for `debug`; False changes nothing",
  translate: (text) => (yesWords.includes(text.toLowerCase()) ? "debug" : undefined),
};

export const sqlitePath: Alias = { takes: "the path of a SQLite file", translate: (text) => `sqlite:${text}` };
