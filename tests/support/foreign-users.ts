/** Users as other systems write them out: each with the password `foreignPassword`, hashed as that system does, but cheaply. */
import { createCipheriv, pbkdf2Sync, scryptSync } from "node:crypto";
import type { Core } from "../../src/core/core.ts";
import type { Incoming } from "../../src/core/importing/candidates.ts";
import type { SourceName } from "../../src/core/importing/foreign-user.ts";
import { type Imported, type ImportOptions, importUsers } from "../../src/core/importing.ts";
import { root } from "./core.ts";

export const foreignPassword = "an old password";
export const emailOf = (source: SourceName, at: number): string => `${source}-${at}@example.com`;
const createdAt = (at: number): Date => new Date(Date.UTC(2024, 0, 1) + at * 1000);
const uuid = (at: number): string => `6f1b2c3d-0000-4000-8000-${at.toString(16).padStart(12, "0")}`;
const base64 = (bytes: Buffer): string => bytes.toString("base64");

const salt = Buffer.from("sixteen salt byt");
const bcrypt = await Bun.password.hash(foreignPassword, { algorithm: "bcrypt", cost: 4 });
const argon2 = await Bun.password.hash(foreignPassword, { algorithm: "argon2id", memoryCost: 16, timeCost: 2 });
const pbkdf2 = pbkdf2Sync(foreignPassword, salt, 10, 64, "sha256");

const hexSalt = salt.toString("hex");
const betterAuthHash = `${hexSalt}:${scryptSync(foreignPassword, hexSalt, 64, { N: 16_384, r: 16, p: 1, maxmem: 2 ** 26 }).toString("hex")}`;

const signerKey = Buffer.alloc(64, 7);
const firebaseCost = { N: 2 ** 4, r: 8, p: 1 };
const firebaseKey = scryptSync(foreignPassword, Buffer.concat([salt, Buffer.from([7])]), 32, firebaseCost);
const firebaseHash = createCipheriv("aes-256-ctr", firebaseKey, Buffer.alloc(16)).update(signerKey);
/** As the console of a project shows it. */
export const hashConfig = `hash_config {
  algorithm: SCRYPT,
  base64_signer_key: ${base64(signerKey)},
  base64_salt_separator: Bw==,
  rounds: 8,
  mem_cost: 4,
}
`;
export const firebaseConfig = {
  signerKey: base64(signerKey).replace(/=+$/, ""),
  saltSeparator: "Bw",
  rounds: 8,
  memoryCost: 4,
};
const urlSafe = (bytes: Buffer): string => base64(bytes).replaceAll("+", "-").replaceAll("/", "_");

const common = (source: SourceName, at: number) => ({ id: uuid(at), email: emailOf(source, at) });

/** One user of each system, as its export has it. The first is an admin there, where that system knows such. */
export const foreignUser: Readonly<Record<SourceName, (at: number) => Record<string, unknown>>> = {
  authctl: (at) => ({
    id: `018cc251-f400-7000-8000-${at.toString(16).padStart(12, "0")}`,
    email: emailOf("authctl", at),
    email_verified: true,
    username: `person.${at}`,
    full_name: `Person ${at}`,
    locale: "de",
    profile: { plan: "gold" },
    is_active: true,
    is_admin: at === 0,
    roles: at === 0 ? ["admin", "user"] : ["user"],
    created_at: createdAt(at).toISOString(),
    updated_at: createdAt(at).toISOString(),
    last_login_at: null,
    password_hash: argon2,
  }),
  "fastapi-users": (at) => ({
    id: at + 1,
    email: emailOf("fastapi-users", at),
    username: `person.${at}`,
    full_name: `Person ${at}`,
    hashed_password: bcrypt,
    is_active: true,
    is_superuser: at === 0,
    is_verified: true,
    created_at: createdAt(at).toISOString().replace("T", " ").replace("Z", "123"),
  }),
  supabase: (at) => ({
    instance_id: uuid(0),
    ...common("supabase", at),
    aud: "authenticated",
    role: "authenticated",
    encrypted_password: bcrypt.replace("$2b$", "$2a$"),
    email_confirmed_at: createdAt(at).toISOString(),
    raw_app_meta_data: { provider: "email" },
    raw_user_meta_data: { full_name: `Person ${at}`, role: "admin" },
    is_super_admin: at === 0 ? true : null,
    created_at: createdAt(at).toISOString(),
    last_sign_in_at: createdAt(at + 60).toISOString(),
    banned_until: null,
    deleted_at: null,
  }),
  "better-auth": (at) => ({
    ...common("better-auth", at),
    name: `Person ${at}`,
    emailVerified: true,
    image: null,
    createdAt: createdAt(at).toISOString(),
    updatedAt: createdAt(at).toISOString(),
    username: `person.${at}`,
    displayUsername: `Person.${at}`,
    role: at === 0 ? "admin" : "user",
    banned: false,
    accounts: [
      { providerId: "google", accountId: "1", password: null },
      { providerId: "credential", accountId: uuid(at), password: betterAuthHash },
    ],
  }),
  keycloak: (at) => ({
    ...common("keycloak", at),
    createdTimestamp: createdAt(at).getTime(),
    username: `person.${at}`,
    enabled: true,
    totp: false,
    emailVerified: true,
    firstName: "Person",
    lastName: String(at),
    credentials: [
      {
        id: uuid(at),
        type: "password",
        createdDate: createdAt(at).getTime(),
        secretData: JSON.stringify({ value: base64(pbkdf2), salt: base64(salt), additionalParameters: {} }),
        credentialData: JSON.stringify({ hashIterations: 10, algorithm: "pbkdf2-sha256", additionalParameters: {} }),
      },
    ],
    realmRoles: [at === 0 ? "admin" : "offline_access", "default-roles-shop"],
    notBefore: 0,
    groups: [],
  }),
  firebase: (at) => ({
    localId: `Zk3Qx8Wm2VbN${at}`,
    email: emailOf("firebase", at),
    emailVerified: true,
    passwordHash: urlSafe(firebaseHash),
    salt: urlSafe(salt),
    displayName: `Person ${at}`,
    lastSignedInAt: String(createdAt(at + 60).getTime()),
    createdAt: String(createdAt(at).getTime()),
    disabled: false,
    providerUserInfo: [],
  }),
  auth0: (at) => ({
    _id: { $oid: `5f8f8c44b4${at.toString(16).padStart(14, "0")}` },
    email_verified: true,
    email: emailOf("auth0", at),
    passwordHash: bcrypt,
    password_set_date: { $date: createdAt(at).toISOString() },
    tenant: "shop",
    connection: "Username-Password-Authentication",
    created_at: createdAt(at).toISOString(),
    name: `Person ${at}`,
    app_metadata: { roles: at === 0 ? ["admin"] : [] },
    user_metadata: { roles: ["admin"] },
    _tmp_is_unique: true,
  }),
};

export const foreignUsers = (source: SourceName, number: number): Record<string, unknown>[] =>
  Array.from({ length: number }, (_, at) => foreignUser[source](at));

export const ndjson = (records: readonly object[]): string => records.map((one) => `${JSON.stringify(one)}\n`).join("");

export const csv = (records: readonly Record<string, unknown>[]): string => {
  const names = Object.keys(records[0] ?? {});
  const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  const cell = (value: unknown) =>
    value === null || value === undefined ? "" : `"${text(value).replaceAll('"', '""')}"`;
  return [names.join(","), ...records.map((one) => names.map((name) => cell(one[name])).join(","))].join("\r\n");
};

/** Imports records that no file was read for. */
export async function importRecords(
  core: Core,
  source: SourceName,
  values: readonly unknown[],
  options: Partial<ImportOptions> = {},
): Promise<Imported> {
  async function* records(): AsyncGenerator<Incoming> {
    for (const [at, value] of values.entries()) yield { line: at + 1, value };
  }
  return await importUsers(core, root, records(), {
    source,
    firebase: firebaseConfig,
    drop: new Set(),
    rolesMap: new Map(),
    rehearsal: false,
    ...options,
  });
}
