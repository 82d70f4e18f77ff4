/** How the passwords are hashed that are there. */
import type { Core } from "../core.ts";
import { openHash } from "../passwords.ts";
import { readHash } from "./stored-hashes.ts";

/** Rows that are in memory at a time. */
const pageSize = 500;

export type HashKind = {
  /** `none` where users have no password, `unknown` where nobody could sign in with it. */
  readonly scheme: string;
  /** As the stored text has them: `m=19456,t=2,p=1`, or the cost of bcrypt. */
  readonly parameters: string;
  readonly users: number;
  /** Whether a new password is hashed so; whatever else there is changes with the next sign-in. */
  readonly current: boolean;
};

/** The most frequent first. Reads a page at a time, so that it takes no more memory for a million users, and holds up nobody. */
export async function countHashes(core: Core, onPage: (users: number) => void): Promise<HashKind[]> {
  const kinds = new Map<string, HashKind>();
  for (let after: string | undefined; ; ) {
    const page = await core.store.userBatches.hashes(pageSize, after);
    for (const { id, passwordHash } of page) {
      const text = passwordHash && openHash(core, id, passwordHash);
      const kind = text ? kindOf(core, text) : { scheme: "none", parameters: "", current: true };
      const key = `${kind.scheme} ${kind.parameters}`;
      kinds.set(key, { ...kind, users: (kinds.get(key)?.users ?? 0) + 1 });
    }
    onPage(page.length);
    after = page.at(-1)?.id;
    if (page.length < pageSize) break;
  }
  return [...kinds.values()].toSorted((one, other) => other.users - one.users);
}

/** What the text says of itself but salt, hash and keys. */
function kindOf(core: Core, text: string): Omit<HashKind, "users"> {
  const known = readHash(text, core.settings.ARGON2_MEMORY_KIB);
  if (!known?.bearable) return { scheme: "unknown", parameters: "", current: false };
  const [, scheme = "", ...rest] = text.split("$");
  const parameters = rest.slice(0, -2).filter((part) => part !== "v=19");
  const isBcrypt = known.scheme === "bcrypt";
  return {
    scheme: isBcrypt ? "bcrypt" : scheme,
    parameters: isBcrypt ? `cost=${Number(rest[0])}` : parameters.join(",").replace(/,s[sk]=[^,]*/g, ""),
    current: !core.hashing.needsRehash(text),
  };
}
