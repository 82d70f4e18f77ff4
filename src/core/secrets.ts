import { createCipheriv, createDecipheriv, hash, hkdfSync, timingSafeEqual } from "node:crypto";
import type { Random } from "./core.ts";

/** What a derived key is for. No key serves two uses (rule TK-7). */
export type Purpose =
  | "session-token"
  | "refresh-token"
  | "password-hash"
  | "signing-key"
  | "tries"
  | "session-cache"
  | "mail"
  | "cursor"
  | "csrf"
  | "device"
  | "audit"
  | "audit-key"
  | "backup";

type Secret = { readonly version: string; readonly material: string; readonly keys: Map<string, Buffer> };

/**
 * The server secrets. The first one seals and signs, all of them open and verify: behind the first they stand newest
 * first. A secret's version is derived from the secret itself, so that no two machines can disagree about it. What
 * it holds changes while the server runs (see `secrets/keyrings.ts`).
 */
export type Keyring = {
  secrets: readonly [Secret, ...Secret[]];
  /** Versions that are accepted and have never written yet, as far as this process knows. */
  awaited: ReadonlySet<string>;
  /** Of secrets that are no longer accepted: what checks the MACs of the audit trail, by version. */
  auditKeys: ReadonlyMap<string, Buffer>;
  /** When an unknown version last made the secrets be read again, in milliseconds. */
  soughtAt: number;
};

const derive = (material: string, salt: string, info: string): Buffer =>
  Buffer.from(hkdfSync("sha256", material, salt, info, 32));

/** The secrets of these materials; the first one writes. */
export function createKeyring(materials: readonly string[]): Keyring {
  const [first, ...rest] = materials.map(secretFrom);
  if (!first) throw new Error("a keyring without a secret");
  return { secrets: [first, ...rest], awaited: new Set(), auditKeys: new Map(), soughtAt: Number.NEGATIVE_INFINITY };
}

export function secretFrom(material: string): Secret {
  const version = derive(material, "", "authctl|version").toString("base64url").slice(0, 8);
  return { version, material, keys: new Map() };
}

export const writingVersion = (keyring: Keyring): string => keyring.secrets[0].version;

export const isAccepted = (keyring: Keyring, version: string): boolean => secretOf(keyring, version) !== undefined;

/** What the successor of a token is made by: never an older secret than the token itself. */
export const successorVersion = (keyring: Keyring, presented: string): string =>
  // Another server has been told sooner than this one that it writes.
  keyring.awaited.has(presented) ? presented : writingVersion(keyring);

export const versionsOf = (keyring: Keyring): string[] => keyring.secrets.map(({ version }) => version);

const secretOf = (keyring: Keyring, version: string): Secret | undefined =>
  keyring.secrets.find((one) => one.version === version);

/** The key of a purpose (HKDF, RFC 5869). Kept, as it is asked for with every request. */
function keyOf(secret: Secret, purpose: Purpose): Buffer {
  const known = secret.keys.get(purpose) ?? derive(secret.material, "", `authctl|${purpose}`);
  secret.keys.set(purpose, known);
  return known;
}

/** A key that also needs `salt`, a random value of one row: neither the database nor the secret alone makes it. */
export function saltedKey(
  keyring: Keyring,
  version: string,
  purpose: Purpose,
  salt: string,
  info: string,
): Buffer | undefined {
  const secret = secretOf(keyring, version);
  return secret && derive(secret.material, salt, `authctl|${purpose}|${info}`);
}

// Half the price of node:crypto's.
export const mac = (key: Buffer, text: string): string =>
  new Bun.CryptoHasher("sha256", key).update(text).digest("base64url");

export const sha256 = (text: string): string => hash("sha256", text, "base64url");

/** Where texts of up to `shortText` characters are compared: to make room each time costs more than to compare. */
const shortText = 64;
const room = [Buffer.alloc(3 * shortText), Buffer.alloc(3 * shortText)] as const;

/** Compares in a time that does not tell where the first difference is. */
export function sameText(one: string, other: string): boolean {
  const [left, right] = one.length > shortText ? [Buffer.from(one), Buffer.from(other)] : room;
  if (one.length !== other.length || left.length !== right.length) return false;
  left.fill(0).write(one);
  right.fill(0).write(other);
  return timingSafeEqual(left, right);
}

/** 256 random bits, as they are sent to a client (ASVS 5.0, 7.2.3). */
export const mintSecret = (random: Random): string => Buffer.from(random.bytes(32)).toString("base64url");

/** The signature of the secret that writes. */
export const sign = (keyring: Keyring, purpose: Purpose, text: string): string =>
  mac(keyOf(keyring.secrets[0], purpose), text);

/** The same by each accepted secret. */
export const signatures = (keyring: Keyring, purpose: Purpose, text: string): string[] =>
  keyring.secrets.map((secret) => mac(keyOf(secret, purpose), text));

/** The same by the oldest accepted secret: for what must not begin anew when there is a newer one. */
export const oldestSignature = (keyring: Keyring, purpose: Purpose, text: string): string =>
  mac(keyOf(keyring.secrets.at(-1) ?? keyring.secrets[0], purpose), text);

/** Whether any accepted secret made the signature. */
export const verify = (keyring: Keyring, purpose: Purpose, text: string, signature: string): boolean =>
  keyring.secrets.some((secret) => sameText(mac(keyOf(secret, purpose), text), signature));

/** A signature that also tells which secret made it: for what outlives the secrets. */
export const prove = (keyring: Keyring, purpose: Purpose, text: string): string =>
  `${writingVersion(keyring)}.${sign(keyring, purpose, text)}`;

export const provenBy = (proof: string | null): string => proof?.split(".")[0] ?? "";

export type Proven = "genuine" | "forged" | "unknown secret";

/**
 * Whether a proof is of this text; an unknown secret is one that this server no longer accepts, or never did. What
 * stands in the audit trail is also checked by what is left of secrets that are retired.
 */
export function checkProof(keyring: Keyring, purpose: Purpose, text: string, proof: string): Proven {
  const [, version, signature] = /^([\w-]{8})\.([\w-]{43})$/.exec(proof) ?? [];
  if (!version || !signature) return "forged";
  const secret = secretOf(keyring, version);
  const key = secret ? keyOf(secret, purpose) : purpose === "audit" ? keyring.auditKeys.get(version) : undefined;
  if (!key) return "unknown secret";
  return sameText(mac(key, text), signature) ? "genuine" : "forged";
}

/** The same without what is left of secrets that are retired. */
export const withoutRetired = (keyring: Keyring): Keyring => ({ ...keyring, auditKeys: new Map() });

/** What checks the audit trail's MACs of a version, as it is kept when the secret is retired. */
export const auditKeyOf = (keyring: Keyring, version: string): string | undefined => {
  const secret = secretOf(keyring, version);
  return secret && keyOf(secret, "audit").toString("base64url");
};

/**
 * Encrypts what is stored (AES-256-GCM). `context` names the row that it belongs to: sealed text that is
 * moved to another row does not open.
 */
export function seal(keyring: Keyring, random: Random, purpose: Purpose, text: string, context: string): string {
  const [secret] = keyring.secrets;
  const nonce = random.bytes(12);
  const cipher = createCipheriv("aes-256-gcm", keyOf(secret, purpose), nonce);
  cipher.setAAD(Buffer.from(`${purpose}|${context}`));
  const body = Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
  return `v1.${secret.version}.${body.toString("base64url")}`;
}

/** `undefined` where no accepted secret opens it: another server's secret, another row, or altered. */
export function open(keyring: Keyring, purpose: Purpose, sealed: string, context: string): string | undefined {
  const [form, version = "", encoded = ""] = sealed.split(".");
  const secret = secretOf(keyring, version);
  const body = Buffer.from(encoded, "base64url");
  if (form !== "v1" || !secret || body.length < 12 + 16) return undefined;
  const decipher = createDecipheriv("aes-256-gcm", keyOf(secret, purpose), body.subarray(0, 12));
  decipher.setAAD(Buffer.from(`${purpose}|${context}`));
  decipher.setAuthTag(body.subarray(-16));
  try {
    return decipher.update(body.subarray(12, -16), undefined, "utf8") + decipher.final("utf8");
  } catch {
    return undefined;
  }
}

export const sealedBy = (sealed: string): string => sealed.split(".")[1] ?? "";
