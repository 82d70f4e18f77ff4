import { type Source, unknown } from "./foreign-user.ts";
import { modularText } from "./hash-texts.ts";

/** The table of fastapi-users, and those that FastAPI's own tutorials and templates make after it. */
export const fastapiUsers: Source = {
  recognises: (record) => record.has("hashed_password"),
  read(record) {
    const hash = record.text("hashed_password");
    return {
      ...unknown,
      sourceId: record.text("id", "uuid"),
      email: record.text("email"),
      emailVerified: record.flag("is_verified", "email_verified") ?? false,
      username: record.text("username"),
      fullName: record.text("full_name", "name"),
      disabled: record.flag("is_active") === false || record.flag("disabled") === true,
      createdAt: record.time("created_at"),
      lastLoginAt: record.time("last_login_at", "last_login"),
      passwordHash: hash === null ? null : modularText(hash),
      roles: [...(record.flag("is_superuser", "is_admin") ? ["admin"] : []), ...record.words("roles", "role")],
    };
  },
};
