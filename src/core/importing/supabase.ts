import { Refused, type Source, unknown } from "./foreign-user.ts";

/**
 * Rows of `auth.users`. Of the metadata that users write themselves only a name is read: never a role.
 */
export const supabase: Source = {
  recognises: (record) => record.has("encrypted_password"),
  read(record, { now }) {
    if (record.time("deleted_at")) throw new Refused("deleted");
    const about = record.members("raw_user_meta_data");
    const bannedUntil = record.text("banned_until");
    return {
      ...unknown,
      sourceId: record.text("id"),
      email: record.text("email"),
      emailVerified: record.time("email_confirmed_at", "confirmed_at") !== null,
      fullName: about?.text("full_name", "name") ?? null,
      disabled: bannedUntil === "infinity" || (record.time("banned_until") ?? now) > now,
      createdAt: record.time("created_at"),
      lastLoginAt: record.time("last_sign_in_at"),
      passwordHash: record.text("encrypted_password"),
      roles: record.flag("is_super_admin") ? ["admin"] : [],
    };
  },
};
