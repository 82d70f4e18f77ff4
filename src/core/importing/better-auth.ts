import { type Source, unknown } from "./foreign-user.ts";
import { scryptText } from "./hash-texts.ts";
import type { Members } from "./members.ts";

/** The table `user`, each row with the `password` of its credential account, or with its `accounts`. */
export const betterAuth: Source = {
  recognises: (record) => record.has("emailVerified", "name") && (record.has("password") || record.has("accounts")),
  read(record, { now }) {
    const banEnds = record.time("banExpires", "ban_expires");
    return {
      ...unknown,
      sourceId: record.text("id"),
      email: record.text("email"),
      emailVerified: record.flag("emailVerified", "email_verified") ?? false,
      username: record.text("displayUsername", "display_username", "username"),
      fullName: record.text("name"),
      disabled: record.flag("banned") === true && (banEnds === null || banEnds > now),
      createdAt: record.time("createdAt", "created_at"),
      passwordHash: hashOf(passwordOf(record)),
      roles: record.words("role"),
    };
  },
};

const passwordOf = (record: Members): string | null =>
  record
    .each("accounts")
    .find((account) => account.text("providerId", "provider_id") === "credential")
    ?.text("password") ?? record.text("password");

/** `salt:key` in hexadecimal; the salt is used as the text that it is. Others come from a hash function of the app's own. */
function hashOf(password: string | null): string | null {
  const [, salt, key] = /^([0-9a-f]{32}):([0-9a-f]{128})$/i.exec(password ?? "") ?? [];
  if (!salt || !key) return password;
  const cost = { N: 16_384, r: 16, p: 1 };
  return scryptText(cost, Buffer.from(salt).toString("base64"), Buffer.from(key, "hex").toString("base64"));
}
