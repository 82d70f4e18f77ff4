import { type Source, unknown } from "./foreign-user.ts";
import { pbkdf2Text, plainBase64 } from "./hash-texts.ts";
import type { Members } from "./members.ts";

/** The users of an exported realm. */
export const keycloak: Source = {
  recognises: (record) => record.has("createdTimestamp", "username") || record.has("realmRoles", "username"),
  read(record) {
    const names = [record.text("firstName"), record.text("lastName")].filter((name) => name !== null);
    const email = record.text("email");
    const username = record.text("username");
    const password = record.each("credentials").find((credential) => credential.text("type") === "password");
    return {
      ...unknown,
      sourceId: record.text("id"),
      email,
      emailVerified: record.flag("emailVerified") ?? false,
      // Realms that sign in by address keep the address as user name.
      username: username?.includes("@") && username.toLowerCase() === email?.toLowerCase() ? null : username,
      fullName: names.length > 0 ? names.join(" ") : null,
      disabled: record.flag("enabled") === false,
      createdAt: record.time("createdTimestamp"),
      passwordHash: password ? hashOf(password) : null,
      roles: record.words("realmRoles"),
    };
  },
};

/** Keycloak's names of its hash functions: `pbkdf2` alone is the one with SHA-1. */
const digests: Readonly<Record<string, string>> = {
  pbkdf2: "sha1",
  "pbkdf2-sha1": "sha1",
  "pbkdf2-sha256": "sha256",
  "pbkdf2-sha512": "sha512",
};

function hashOf(credential: Members): string | null {
  const [how, secret] = [credential.members("credentialData"), credential.members("secretData")];
  const [algorithm, iterations] = [how?.text("algorithm") ?? "", how?.text("hashIterations") ?? ""];
  const [salt, hash] = [secret?.text("salt") ?? "", secret?.text("value") ?? ""];
  const digest = Object.hasOwn(digests, algorithm) ? digests[algorithm] : undefined;
  if (digest !== undefined) return pbkdf2Text(digest, iterations, salt, hash);
  if (algorithm !== "argon2") return algorithm;
  const more = how?.members("additionalParameters");
  const first = (name: string): string => more?.words(name)[0] ?? "";
  const version = first("version") === "1.3" ? "19" : first("version");
  const cost = `m=${first("memory")},t=${iterations},p=${first("parallelism")}`;
  return `$argon2${first("type")}$v=${version}$${cost}$${plainBase64(salt)}$${plainBase64(hash)}`;
}
