/**
 * The keys that sign access tokens: next → active → retiring → retired. Which one signs is said by their states in
 * the database alone, whatever the settings of a server say; TOKEN_ALGORITHM is what is wanted.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import type { JWK } from "jose";
import type { SigningAlgorithm, SigningKey } from "../store/tables.ts";
import type { Actor } from "./actors.ts";
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import { adminRole } from "./roles.ts";
import { open, sha256 } from "./secrets.ts";
import { mintKey, publishKey } from "./signing-keys/minting.ts";

/** How long a client may keep the published keys, in seconds. */
export const jwksMaxAge = 300;
/** Clocks of machines that differ by less are no trouble (RFC 7519, section 4.1.4), in milliseconds. */
export const clockSkew = 60_000;
/** How long a server goes on with the keys that it has read, in milliseconds. */
export const freshFor = 5_000;
/** An unknown `kid` makes the keys be read again; for so long after that was in vain it does not, in milliseconds. */
const rereadAfter = 1_000;

/** A part of a key pair as node:crypto takes it, which signs and verifies at once. */
export type NamedKey = Pick<SigningKey, "kid" | "algorithm"> & { readonly key: KeyObject };

export type Keys = {
  readonly readAt: number;
  /** Which keys there are, each in its state. */
  readonly states: string;
  readonly signing: NamedKey & Pick<SigningKey, "longestLife">;
  readonly verifying: ReadonlyMap<string, NamedKey>;
  /** The JWKS (RFC 7517, section 5), and its ETag. */
  readonly document: string;
  readonly etag: string;
};

/** The keys as this process last read them. */
export type KeyCache = { keys?: Keys; reading?: Promise<Keys>; inVainAt?: number };

/** Also where the clock has been set back. */
const isWithin = (interval: number, at: number, now: number): boolean => Math.abs(now - at) < interval;

/** The keys that count now. Read again every few seconds, so that a rotation needs no restart. */
export const currentKeys = async (core: Core): Promise<Keys> =>
  keysAtHand(core, core.clock.now()) ?? (await readKeys(core));

/** The same, where they need not be read again. */
export function keysAtHand({ keyCache: { keys } }: Pick<Core, "keyCache">, now: Date): Keys | undefined {
  return keys && isWithin(freshFor, keys.readAt, now.getTime()) ? keys : undefined;
}

/**
 * The key to sign with now. Nobody is asked which: a server that hears of a rotation a few seconds later signs with
 * a key that still verifies everywhere, and where a key has leaked all servers are called to read them anew. Whose
 * tokens live longer than the key knows of says so before it signs, so that the key is not retired before them.
 */
export async function signingKey(core: Core): Promise<Keys["signing"]> {
  const { ACCESS_TOKEN_TTL } = core.settings;
  const { signing } = await currentKeys(core);
  if (signing.longestLife >= ACCESS_TOKEN_TTL) return signing;
  await core.store.write((tx) => tx.signingKeys.lengthen(signing.kid, ACCESS_TOKEN_TTL));
  // It may have been replaced meanwhile.
  await rereadKeys(core);
  return await signingKey(core);
}

/** The keys, after one more look at the database where none of them has this `kid`. */
export async function keysWith(core: Core, kid: string): Promise<Keys> {
  const keys = await currentKeys(core);
  const now = core.clock.now().getTime();
  const { inVainAt } = core.keyCache;
  if (keys.verifying.has(kid) || (inVainAt !== undefined && isWithin(rereadAfter, inVainAt, now))) return keys;
  const reread = await readKeys(core);
  if (!reread.verifying.has(kid)) core.keyCache.inVainAt = now;
  return reread;
}

/** One reading for all who ask at the same time. */
async function readKeys(core: Core): Promise<Keys> {
  const { keyCache } = core;
  keyCache.reading ??= loadKeys(core)
    .then((keys) => {
      // What was verified by other keys is to be verified anew.
      if (keys.verifying !== keyCache.keys?.verifying) core.kept.ofTokens.clear();
      return (keyCache.keys = keys);
    })
    .finally(() => delete keyCache.reading);
  return await keyCache.reading;
}

/** Reads the keys as they are now. A reading that is under way may have begun before whatever the caller knows of. */
export async function rereadKeys(core: Core): Promise<void> {
  await core.keyCache.reading?.catch(() => {});
  await readKeys(core);
}

/** The key that signs. Where a database has several from before there could be only one, all servers choose the same one. */
export const activeOf = (keys: readonly SigningKey[]): SigningKey | undefined =>
  keys
    .filter(({ state }) => state === "active")
    .toSorted((one, other) => Number(one.activatedAt) - Number(other.activatedAt) || (one.kid < other.kid ? -1 : 1))
    .at(-1);

async function loadKeys(core: Core): Promise<Keys> {
  const now = core.clock.now();
  const rows = (await core.store.signingKeys.current()).filter((row) => !row.retiresAt || row.retiresAt > now);
  const active = activeOf(rows);
  // Keys that have not changed stay the same `verifying`, by which it is remembered what they have verified.
  const before = core.keyCache.keys;
  const states = rows.map((row) => `${row.kid} ${row.state} ${row.longestLife}`).join("\n");
  if (before?.states === states) return { ...before, readAt: now.getTime() };
  if (!active)
    return fail("unavailable", {
      detail: "There is no active signing key: `authctl key rotate --now` makes one.",
      retryAfter: 5,
    });
  const verifying = rows.map(({ kid, algorithm, publicJwk }): [string, NamedKey] => [
    kid,
    { kid, algorithm, key: createPublicKey({ key: publicJwk, format: "jwk" }) },
  ]);
  const { kid, algorithm, longestLife } = active;
  const key = createPrivateKey({ key: privatePart(core, active), format: "jwk" });
  const document = JSON.stringify({ keys: rows.map(publicJwkOf) });
  return {
    readAt: now.getTime(),
    states,
    signing: { kid, algorithm, key, longestLife },
    verifying: new Map(verifying),
    document,
    etag: `"${sha256(document).slice(0, 22)}"`,
  };
}

/** A member of the JWKS. */
export const publicJwkOf = ({ publicJwk, kid, algorithm }: SigningKey) => ({
  ...publicJwk,
  kid,
  alg: algorithm,
  use: "sig",
});

function privatePart(core: Core, row: SigningKey): JWK {
  const text = row.privateJwk && open(core.keyring, "signing-key", row.privateJwk, row.kid);
  return text ? (JSON.parse(text) as JWK) : fail("secret_mismatch");
}

/**
 * Sees to it that there is a key to sign with, and one of the wanted algorithm to come after it. Any number of
 * processes may do this at once, with whatever algorithms: they take turns, and the first key is that of the first.
 * An algorithm that is new to this database does not sign because of a setting: its key is published, and
 * `key rotate` lets it sign.
 */
export async function ensureSigningKeys(core: Core, by: Actor): Promise<void> {
  const algorithm = core.settings.TOKEN_ALGORITHM;
  const rows = await core.store.signingKeys.current();
  const missing = missingOf(rows, algorithm);
  if (missing.length === 0) return;
  // Nothing is sealed under a secret that is not the one of this database.
  if (activeOf(rows)) await currentKeys(core);
  const minted = await Promise.all(missing.map(async (state) => ({ state, key: await mintKey(core, algorithm) })));
  await core.store.write(async (tx) => {
    // Before there is a first key there is none to be claimed; this role is there as soon as the tables are.
    await tx.users.claimRole(adminRole);
    await tx.signingKeys.claim();
    const still = missingOf(await tx.signingKeys.current(), algorithm);
    for (const { state, key } of minted) if (still.includes(state)) await publishKey(core, tx, by, state, key);
  });
}

function missingOf(rows: readonly SigningKey[], wanted: SigningAlgorithm): Array<"active" | "next"> {
  const isNext = ({ state, algorithm }: SigningKey) => state === "next" && algorithm === wanted;
  return [...(activeOf(rows) ? [] : (["active"] as const)), ...(rows.some(isNext) ? [] : (["next"] as const))];
}
