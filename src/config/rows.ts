import type { Alias } from "./aliases.ts";
import type { Parser } from "./parsers.ts";

export type Chosen = Readonly<Record<string, unknown>>;

export type Setting<T> = {
  readonly doc: string;
  readonly group: string;
  readonly parse: Parser<T>;
  /** As it would be written in the environment; a function where it follows from settings further up. */
  readonly fallback?: string | ((chosen: Chosen) => string | undefined);
  /** How the fallback is described where it is not one fixed text. */
  readonly fallbackDoc?: string;
  /** Never shown, and may also come from the file that `…_FILE` names. */
  readonly secret?: boolean;
  /** How a secret value is shown after all, without what is secret in it. */
  readonly shown?: (value: T) => string;
  /** Other variables that say the same, by name: those of the templates that people come from. */
  readonly aliases?: Readonly<Record<string, Alias>>;
};

export const required = <T>(row: Omit<Setting<T>, "group">) => row as Setting<T> & { readonly optional?: never };
export const optional = <T>(row: Omit<Setting<T>, "group">) =>
  ({ ...row, optional: true }) as Setting<T> & { readonly optional: true };
