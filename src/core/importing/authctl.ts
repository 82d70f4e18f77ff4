import type { Source } from "./foreign-user.ts";

/** Our own `user export`, with or without hashes. */
export const authctl: Source = {
  recognises: (record) => record.has("email_verified", "is_active", "is_admin", "roles", "locale", "profile"),
  read: (record) => ({
    sourceId: record.text("id"),
    email: record.text("email"),
    emailVerified: record.flag("email_verified") ?? false,
    username: record.text("username"),
    fullName: record.text("full_name"),
    locale: record.text("locale"),
    profile: record.members("profile")?.plain() ?? null,
    disabled: record.flag("is_active") === false,
    createdAt: record.time("created_at"),
    lastLoginAt: record.time("last_login_at"),
    passwordHash: record.text("password_hash"),
    roles: record.words("roles"),
  }),
};
