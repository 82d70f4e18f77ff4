import { type Source, unknown } from "./foreign-user.ts";
import { scryptText } from "./hash-texts.ts";
import type { Members } from "./members.ts";

/**
 * The users of a bulk export, the hashes that Auth0's support exports, or both joined; also in the form of its bulk
 * import. Of the metadata only the part that users cannot write names roles.
 */
export const auth0: Source = {
  recognises: (record) => record.has("email_verified") && (record.has("_id") || record.has("user_id")),
  read(record) {
    const email = record.text("email");
    const name = record.text("name") ?? namesOf(record);
    return {
      ...unknown,
      // One user, whether the row comes from the one export or the other.
      sourceId: record.text("_id", "user_id")?.replace(/^auth0\|/, "") ?? null,
      email,
      emailVerified: record.flag("email_verified") ?? false,
      username: record.text("username"),
      // Auth0 calls whoever has no name by the address.
      fullName: name === email ? null : name,
      disabled: record.flag("blocked") === true,
      createdAt: record.time("created_at"),
      lastLoginAt: record.time("last_login"),
      passwordHash: record.text("passwordHash", "password_hash") ?? customHash(record.members("custom_password_hash")),
      roles: record.members("app_metadata")?.words("roles") ?? [],
    };
  },
};

const namesOf = (record: Members): string | null =>
  [record.text("given_name"), record.text("family_name")].filter((name) => name !== null).join(" ") || null;

/** Bare digests of one round (MD5, SHA) are not taken: they are as good as the password itself. */
function customHash(custom: Members | null): string | null {
  if (!custom) return null;
  const [algorithm, hash] = [custom.text("algorithm") ?? "", custom.members("hash")];
  const value = hash?.text("value") ?? "";
  if (["argon2", "bcrypt", "pbkdf2"].includes(algorithm)) return value;
  if (algorithm !== "scrypt" || !hash) return algorithm;
  const salt = custom.members("salt");
  const number = (fallback: number, ...names: string[]): number => Number(custom.text(...names) ?? fallback);
  const cost = {
    N: number(16_384, "cost", "N"),
    r: number(8, "blockSize", "r"),
    p: number(1, "parallelization", "p"),
  };
  return scryptText(cost, salt ? base64Of(salt) : "", base64Of(hash));
}

/** A value with its encoding, which is hexadecimal, base64 or the text itself. */
function base64Of(encoded: Members): string {
  const encoding = encoded.text("encoding") ?? "utf8";
  const known = encoding === "hex" || encoding === "base64" ? encoding : "utf8";
  return Buffer.from(encoded.text("value") ?? "", known).toString("base64");
}
