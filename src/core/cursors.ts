/**
 * Where a page of a list ended, as the caller is given it to ask for the next one. Sealed, because the place may be
 * somebody's address, and addresses of requests stand in the logs of proxies.
 */
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import { open, seal } from "./secrets.ts";

/** What the list is of, its filters and its order: a cursor is good for this list alone. */
export type ListName = readonly [noun: string, ...about: unknown[]];

export const writeCursor = (core: Core, list: ListName, position: unknown): string =>
  seal(core.keyring, core.random, "cursor", JSON.stringify(position), JSON.stringify(list));

/** Fails with `validation_failed` where it is no cursor of this list. What it holds is as it was written. */
export function readCursor(core: Core, list: ListName, cursor: string): unknown {
  const text = open(core.keyring, "cursor", cursor, JSON.stringify(list));
  return text === undefined
    ? fail("validation_failed", {
        errors: [{ path: "cursor", message: "must be the `next_cursor` of a page with the same filters and order" }],
      })
    : JSON.parse(text);
}

export type PageWanted = { readonly limit: number; readonly cursor?: string | undefined };

/** `nextCursor` is undefined where the list has ended. */
export type Page<T> = { readonly items: readonly T[]; readonly nextCursor: string | undefined };
