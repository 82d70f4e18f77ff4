import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
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
  | "backup";

type Secret = { readonly version: string; readonly material: string; readonly keys: Map<string, Buffer> };

/**
 * The server secrets, newest first. The first one seals and signs, all of them open and verify. A secret's
 * version is derived from the secret itself, so that no two machines can disagree about it.
 */
export type Keyring = { readonly secrets: readonly [Secret, ...Secret[]] };

const derive = (material: string, salt: string, info: string): Buffer =>
  Buffer.from(hkdfSync("sha256", material, salt, info, 32));

export function createKeyring(materials: readonly string[]): Keyring {
  const [first, ...rest] = materials.map((material): Secret => {
    const version = derive(material, "", "authctl|version").toString("base64url").slice(0, 8);
    return { version, material, keys: new Map() };
  });
  if (!first) throw new Error("a keyring without a secret");
  return { secrets: [first, ...rest] };
}

export const versionsOf = (keyring: Keyring): string[] => keyring.secrets.map(({ version }) => version);

export const newestVersion = (keyring: Keyring): string => keyring.secrets[0].version;

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

export const mac = (key: Buffer, text: string): string => createHmac("sha256", key).update(text).digest("base64url");

export const sha256 = (text: string): string => createHash("sha256").update(text).digest("base64url");

/** Compares in a time that does not tell where the first difference is. */
export function sameText(one: string, other: string): boolean {
  const left = Buffer.from(one);
  const right = Buffer.from(other);
  return left.length === right.length && timingSafeEqual(left, right);
}

/** 256 random bits, as they are sent to a client (ASVS 5.0, 7.2.3). */
export const mintSecret = (random: Random): string => Buffer.from(random.bytes(32)).toString("base64url");

/** The newest secret's signature. */
export const sign = (keyring: Keyring, purpose: Purpose, text: string): string =>
  mac(keyOf(keyring.secrets[0], purpose), text);

/** Whether any accepted secret made the signature. */
export const verify = (keyring: Keyring, purpose: Purpose, text: string, signature: string): boolean =>
  keyring.secrets.some((secret) => sameText(mac(keyOf(secret, purpose), text), signature));

/** A signature that also tells which secret made it: for what outlives the secrets. */
export const prove = (keyring: Keyring, purpose: Purpose, text: string): string =>
  `${newestVersion(keyring)}.${sign(keyring, purpose, text)}`;

export const provenBy = (proof: string | null): string => proof?.split(".")[0] ?? "";

export type Proven = "genuine" | "forged" | "unknown secret";

/** Whether a proof is of this text; an unknown secret is one that this server no longer accepts, or never did. */
export function checkProof(keyring: Keyring, purpose: Purpose, text: string, proof: string): Proven {
  const [, version, signature] = /^([\w-]{8})\.([\w-]{43})$/.exec(proof) ?? [];
  if (!version || !signature) return "forged";
  const secret = secretOf(keyring, version);
  if (!secret) return "unknown secret";
  return sameText(mac(keyOf(secret, purpose), text), signature) ? "genuine" : "forged";
}

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
