import { type CryptoKey, exportJWK, generateKeyPair, importJWK, type JWK } from "jose";
import type { Tx } from "../store/store.ts";
import type { SigningAlgorithm, SigningKey } from "../store/tables.ts";
import type { Actor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import { open, seal, sha256 } from "./secrets.ts";

/** How long a client may keep the published keys, in seconds. */
export const jwksMaxAge = 300;
/** Clocks of machines that differ by less are no trouble (RFC 7519, section 4.1.4), in milliseconds. */
export const clockSkew = 60_000;
/** How long this server goes on with the keys that it has read, in milliseconds. */
const freshFor = 5_000;
/** An unknown `kid` makes the keys be read again; for so long after that was in vain it does not, in milliseconds. */
const rereadAfter = 1_000;

export type VerifyingKey = { readonly kid: string; readonly algorithm: SigningAlgorithm; readonly key: CryptoKey };

export type Keys = {
  readonly readAt: number;
  /** Which keys there are, each in its state. */
  readonly states: string;
  readonly signing: VerifyingKey;
  readonly verifying: ReadonlyMap<string, VerifyingKey>;
  /** The JWKS (RFC 7517, section 5), and its ETag. */
  readonly document: string;
  readonly etag: string;
};

/** The keys as this process last read them. */
export type KeyCache = { keys?: Keys; reading?: Promise<Keys>; inVainAt?: number };

/** Also where the clock has been set back. */
const isWithin = (interval: number, at: number, now: number): boolean => Math.abs(now - at) < interval;

/** The keys that count now. Read again every few seconds, so that a rotation needs no restart. */
export const currentKeys = async (core: Core): Promise<Keys> => keysAtHand(core) ?? (await readKeys(core));

/** The same, where they need not be read again. */
export function keysAtHand({ keyCache: { keys }, clock }: Pick<Core, "keyCache" | "clock">): Keys | undefined {
  return keys && isWithin(freshFor, keys.readAt, clock.now().getTime()) ? keys : undefined;
}

/**
 * The key to sign with now. The database is asked for its name each time: after a rotation by another process a
 * token that the old key signs here would be refused there. Whoever asks has committed what the token is for, so
 * a database that fails at this moment is no reason to give them none.
 */
export async function signingKey(core: Core): Promise<VerifyingKey> {
  const { signing } = await currentKeys(core);
  const active = await core.store.signingKeys.activeKid(core.settings.TOKEN_ALGORITHM).catch(() => signing.kid);
  if (signing.kid === active) return signing;
  // A reading that had begun before the rotation may be the one that is shared.
  const read = await readKeys(core);
  return read.signing.kid === active ? read.signing : (await readKeys(core)).signing;
}

/** The key that a token names. `undefined` where there is none, after one more look at the database. */
export async function verifyingKey(core: Core, kid: string): Promise<VerifyingKey | undefined> {
  const keys = await currentKeys(core);
  const known = keys.verifying.get(kid);
  const now = core.clock.now().getTime();
  const { inVainAt } = core.keyCache;
  if (known || (inVainAt !== undefined && isWithin(rereadAfter, inVainAt, now))) return known;
  const found = (await readKeys(core)).verifying.get(kid);
  if (!found) core.keyCache.inVainAt = now;
  return found;
}

/** One reading for all who ask at the same time. */
async function readKeys(core: Core): Promise<Keys> {
  const { keyCache } = core;
  keyCache.reading ??= loadKeys(core).finally(() => delete keyCache.reading);
  keyCache.keys = await keyCache.reading;
  return keyCache.keys;
}

async function loadKeys(core: Core): Promise<Keys> {
  const now = core.clock.now();
  const rows = (await core.store.signingKeys.current()).filter((row) => !row.retiresAt || row.retiresAt > now);
  const active = rows.find((row) => row.state === "active" && row.algorithm === core.settings.TOKEN_ALGORITHM);
  // Keys that have not changed stay the same `verifying`, by which it is remembered what they have verified.
  const before = core.keyCache.keys;
  const states = rows.map((row) => `${row.kid} ${row.state}`).join("\n");
  if (before?.states === states) return { ...before, readAt: now.getTime() };
  if (!active)
    return fail("unavailable", {
      detail: "There is no active signing key: `authctl key rotate --now` makes one.",
      retryAfter: 5,
    });
  const verifying = new Map<string, VerifyingKey>();
  for (const row of rows) verifying.set(row.kid, await imported(row, row.publicJwk));
  const keys = rows.map((row) => ({ ...row.publicJwk, kid: row.kid, alg: row.algorithm, use: "sig" }));
  const document = JSON.stringify({ keys });
  return {
    readAt: now.getTime(),
    states,
    signing: await imported(active, privatePart(core, active)),
    verifying,
    document,
    etag: `"${sha256(document).slice(0, 22)}"`,
  };
}

async function imported(row: SigningKey, jwk: JWK): Promise<VerifyingKey> {
  return { kid: row.kid, algorithm: row.algorithm, key: (await importJWK(jwk, row.algorithm)) as CryptoKey };
}

function privatePart(core: Core, row: SigningKey): JWK {
  const text = row.privateJwk && open(core.keyring, "signing-key", row.privateJwk, row.kid);
  return text ? (JSON.parse(text) as JWK) : fail("secret_mismatch");
}

type Minted = { readonly kid: string; readonly publicJwk: Record<string, string>; readonly privateJwk: string };

async function mintKey(core: Core, algorithm: SigningAlgorithm): Promise<Minted> {
  const pair = await generateKeyPair(algorithm, { extractable: true, modulusLength: 2048 });
  const kid = core.random.id(core.clock.now());
  const publicJwk = (await exportJWK(pair.publicKey)) as Record<string, string>;
  const secret = JSON.stringify(await exportJWK(pair.privateKey));
  return { kid, publicJwk, privateJwk: seal(core.keyring, core.random, "signing-key", secret, kid) };
}

/**
 * Sees to it that there is a key to sign with and one to come after it. Any number of processes may do
 * this at once: an index of the database lets one of them win.
 */
export async function ensureSigningKeys(core: Core, by: Actor): Promise<void> {
  const algorithm = core.settings.TOKEN_ALGORITHM;
  const there = (await core.store.signingKeys.current()).filter((row) => row.algorithm === algorithm);
  const missing = (["active", "next"] as const).filter((state) => !there.some((row) => row.state === state));
  const minted = await Promise.all(missing.map(async (state) => ({ state, key: await mintKey(core, algorithm) })));
  if (minted.length === 0) return;
  await core.store.write(async (tx) => {
    for (const { state, key } of minted) await insertKey(core, tx, by, algorithm, state, key);
  });
}

async function insertKey(
  core: Core,
  tx: Tx,
  by: Actor,
  algorithm: SigningAlgorithm,
  state: "next" | "active",
  key: Minted,
) {
  const now = core.clock.now();
  const activatedAt = state === "active" ? now : null;
  const made = await tx.signingKeys.insert({ ...key, algorithm, state, publishedAt: now, activatedAt });
  if (made) await record(core, tx, by, { action: "key.created", particulars: { kid: key.kid, algorithm, state } });
}

export type Rotation = {
  readonly algorithm: SigningAlgorithm;
  readonly activated: string;
  readonly replaced: string | null;
};

/**
 * Lets the next key sign, and publishes another one to come after it. The old key verifies until the last
 * token that it signed has expired. Fails with `key_not_due` while clients may still hold a JWKS without the
 * next key; `immediately` is for a leaked key: it waits for nobody, and the old key's tokens die at once.
 */
export async function rotateSigningKey(
  core: Core,
  by: Actor,
  options: { algorithm?: SigningAlgorithm; immediately: boolean },
): Promise<Rotation> {
  const algorithm = options.algorithm ?? core.settings.TOKEN_ALGORITHM;
  const successor = await mintKey(core, algorithm);
  const spare = await mintKey(core, algorithm);
  const verdict = await core.store.write(async (tx) => {
    const now = core.clock.now();
    await tx.signingKeys.claim(algorithm);
    const rows = (await tx.signingKeys.current()).filter((row) => row.algorithm === algorithm);
    const old = rows.find((row) => row.state === "active");
    let next = rows.find((row) => row.state === "next");
    if (!next) {
      await insertKey(core, tx, by, algorithm, "next", successor);
      next = (await tx.signingKeys.current()).find((row) => row.kid === successor.kid);
    }
    if (!next) throw new Error("the next key was not stored");
    const dueAt = new Date(next.publishedAt.getTime() + jwksMaxAge * 1000 + clockSkew);
    if (old && !options.immediately && dueAt > now) return { dueAt };

    const lastTokenExpires = new Date(now.getTime() + core.settings.ACCESS_TOKEN_TTL + clockSkew + freshFor);
    await tx.signingKeys.deactivate(algorithm, options.immediately ? now : lastTokenExpires);
    await tx.signingKeys.activate(next.kid, now);
    await insertKey(core, tx, by, algorithm, "next", spare);
    await record(core, tx, by, {
      action: "key.rotated",
      particulars: { algorithm, activated: next.kid, replaced: old?.kid ?? null, immediately: options.immediately },
    });
    await retireSigningKeys(core, tx, by);
    return { algorithm, activated: next.kid, replaced: old?.kid ?? null };
  });
  if ("dueAt" in verdict) {
    const detail = `The next key is due at ${verdict.dueAt.toISOString()}: clients may still hold the keys without it. Repeat the command then, or use --now where a key has leaked.`;
    return fail("key_not_due", { detail });
  }
  delete core.keyCache.keys;
  return verdict;
}

/** Retires the keys whose last token has expired. */
export async function retireSigningKeys(core: Core, tx: Tx, by: Actor): Promise<string[]> {
  const retired = await tx.signingKeys.retireExpired(core.clock.now());
  for (const kid of retired) await record(core, tx, by, { action: "key.retired", particulars: { kid } });
  return retired;
}

export const listSigningKeys = async (core: Core): Promise<SigningKey[]> => await core.store.signingKeys.all();
