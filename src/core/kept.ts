/**
 * What a process keeps of what it has read, for as long as nobody has written anything: the database tells by a
 * number that it costs next to nothing to ask for. Where it has none, nothing is kept.
 */
import type { Standing } from "../store/sessions.ts";
import type { Session } from "../store/tables.ts";
import type { Core } from "./core.ts";
import { sha256 } from "./secrets.ts";

export type Kept = {
  /** What others have read before this time and kept in Redis counts for nothing any more, in milliseconds. */
  distrustBefore: number;
  /** What follows is of this version of the database, and true as long as it is of no other. */
  version: number | undefined;
  /** By the session's id. */
  readonly standings: Map<string, Standing>;
  /** Those of session tokens that were found to be good, by the token's hash. */
  readonly ofTokens: Map<string, Standing>;
  /** Sessions of a user that were neither revoked nor over when they were read, by the user's id. */
  readonly sessions: Map<string, readonly Session[]>;
};

/** More are not in use at once in most places; some 15 MB. */
const mostKept = 10_000;

export const keepNothing = (): Kept => ({
  distrustBefore: Number.NEGATIVE_INFINITY,
  version: undefined,
  standings: new Map(),
  ofTokens: new Map(),
  sessions: new Map(),
});

export function forgetAll(kept: Kept): void {
  kept.standings.clear();
  kept.ofTokens.clear();
  kept.sessions.clear();
}

/** What is kept, where nobody has written anything since it was read; `undefined` where that cannot be known. */
export function stillKept({ kept, store }: Pick<Core, "kept" | "store">): Kept | undefined {
  const version = store.version();
  if (version !== kept.version) {
    forgetAll(kept);
    kept.version = version;
  }
  return version === undefined ? undefined : kept;
}

function keep<T>(all: Map<string, T>, name: string, one: T): void {
  if (all.size >= mostKept) all.clear();
  all.set(name, one);
}

type Read = { readonly standings: Standing; readonly sessions: readonly Session[] };

/** Nobody is signed in at so many places; a program that signs in for every errand must not fill the memory. */
const isSmall = (found: object): boolean => !Array.isArray(found) || found.length <= 50;

/** Reads what is not kept, and keeps what is there. */
export async function whileUnchanged<What extends keyof Read>(
  core: Pick<Core, "kept" | "store">,
  what: What,
  name: string,
  read: () => Promise<Read[What] | undefined>,
): Promise<Read[What] | undefined> {
  const kept = stillKept(core);
  const all = kept?.[what] as Map<string, Read[What]> | undefined;
  const known = all?.get(name);
  if (known) return known;
  const version = kept?.version;
  const found = await read();
  // Whoever has asked meanwhile may have found that something was written.
  if (found && all && kept?.version === version && isSmall(found)) keep(all, name, found);
  return found;
}

/** Keeps that a session token was found to be good, where the standing that it was found by is kept itself. */
export function keepToken({ kept }: Pick<Core, "kept">, token: string, standing: Standing): void {
  if (kept.standings.get(standing.session.id) === standing) keep(kept.ofTokens, sha256(token), standing);
}
