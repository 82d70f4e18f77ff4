import { exportSPKI, importJWK } from "jose";
import type { SigningKey } from "../../store/tables.ts";
import type { Core } from "../core.ts";
import { fail } from "../errors.ts";
import { clockSkew, publicJwkOf } from "../signing-keys.ts";
import { touchInterval } from "../standings.ts";
import { knownAt } from "./rotation.ts";

export type ListedKey = SigningKey & {
  /** From when on it may sign: every client knows it. None where it has begun to. */
  readonly knownAt: Date | null;
  /** How many sessions may hold a token that it signed and that is alive, at most. */
  readonly heldByAtMost: number;
};

/** Every key that there ever was, oldest first. */
export async function listSigningKeys(core: Core): Promise<ListedKey[]> {
  const listed: ListedKey[] = [];
  for (const key of await core.store.signingKeys.all()) {
    const heldByAtMost = await countHolders(core, key);
    listed.push({ ...key, knownAt: key.state === "next" ? knownAt(key) : null, heldByAtMost });
  }
  return listed;
}

/**
 * No token is stored, so what is counted are the sessions that could have been given one: those that live, were
 * there while the key signed, and have been used since it could have signed a token that still lives.
 */
async function countHolders(core: Core, key: SigningKey): Promise<number> {
  const now = core.clock.now();
  const { state, activatedAt, retiresAt } = key;
  const isOver = retiresAt !== null && retiresAt <= now;
  if ((state !== "active" && state !== "retiring") || activatedAt === null || isOver) return 0;
  const life = Math.max(key.longestLife, core.settings.ACCESS_TOKEN_TTL);
  const since = Math.max(activatedAt.getTime(), now.getTime() - life) - touchInterval;
  const until = retiresAt === null ? now : new Date(retiresAt.getTime() - life - clockSkew);
  return await core.store.sessions.countTokenHolders(now, new Date(since), until);
}

/** The public keys as the server publishes them; or the one that is named, even where it is retired. */
export async function exportSigningKeys(core: Core, kid?: string) {
  const now = core.clock.now();
  const isPublished = ({ state, retiresAt }: SigningKey) => state !== "retired" && (!retiresAt || retiresAt > now);
  const rows = (await core.store.signingKeys.all()).filter((row) =>
    kid === undefined ? isPublished(row) : row.kid === kid,
  );
  if (rows.length === 0) {
    return fail("not_found", { detail: "There is no such key. `authctl key list` shows those that there are." });
  }
  return { keys: rows.map(publicJwkOf) };
}

/** The same keys as PEM (SubjectPublicKeyInfo, RFC 7468), for programs that know no JWKS. */
export async function exportSigningPems(core: Core, kid?: string): Promise<string> {
  const { keys } = await exportSigningKeys(core, kid);
  const pems = keys.map(async (jwk) => {
    const key = await importJWK(jwk, jwk.alg, { extractable: true });
    return key instanceof Uint8Array ? "" : `${await exportSPKI(key)}\n`;
  });
  return (await Promise.all(pems)).join("").trimEnd();
}
