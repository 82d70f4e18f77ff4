import { type Source, unknown } from "./foreign-user.ts";
import { plainBase64 } from "./hash-texts.ts";

/** What a project hashes by, from its console. The signer key is a secret: without it the hashes tell nothing. */
export type FirebaseHashConfig = {
  readonly signerKey: string;
  readonly saltSeparator: string;
  readonly rounds: number;
  readonly memoryCost: number;
};

/** Reads `hash_config { algorithm: SCRYPT, base64_signer_key: …, }`, as the console shows it, or the same as JSON; `undefined` where it is neither. */
export function parseHashConfig(text: string): FirebaseHashConfig | undefined {
  const member = (name: string): string | undefined =>
    new RegExp(`\\b${name}["']?\\s*[:=]\\s*["']?([A-Za-z0-9+/_-]*=*)`).exec(text)?.[1];
  const [signerKey, saltSeparator] = [member("base64_signer_key"), member("base64_salt_separator")];
  const [rounds, memoryCost] = [Number(member("rounds")), Number(member("mem_cost"))];
  if (!signerKey || saltSeparator === undefined || !Number.isInteger(rounds) || !Number.isInteger(memoryCost)) {
    return undefined;
  }
  return { signerKey: plainBase64(signerKey), saltSeparator: plainBase64(saltSeparator), rounds, memoryCost };
}

/** The users of `firebase auth:export`. Custom claims are not read: what they mean is the app's own. */
export const firebase: Source = {
  recognises: (record) => record.has("localId"),
  read(record, { firebase: config }) {
    const [hash, salt] = [record.text("passwordHash"), record.text("salt")];
    return {
      ...unknown,
      sourceId: record.text("localId"),
      email: record.text("email"),
      emailVerified: record.flag("emailVerified") ?? false,
      fullName: record.text("displayName"),
      disabled: record.flag("disabled") === true,
      createdAt: record.time("createdAt"),
      lastLoginAt: record.time("lastSignedInAt", "lastLoginAt"),
      // Without the parameters it is a text that nobody can compare with.
      passwordHash: hash !== null && config ? hashText(config, salt ?? "", hash) : hash,
      roles: [],
    };
  },
};

function hashText(config: FirebaseHashConfig, salt: string, hash: string): string {
  const { signerKey, saltSeparator, rounds, memoryCost } = config;
  const cost = `v=1,n=${memoryCost},r=${rounds},p=1,ss=${saltSeparator},sk=${signerKey}`;
  return `$fbscrypt$${cost}$${plainBase64(salt)}$${plainBase64(hash)}`;
}
