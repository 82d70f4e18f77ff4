/** What may be done: `noun:verb`, `noun:*` for every verb of a noun, `*` for everything. */
import type { Role, User } from "../store/tables.ts";
import type { Core } from "./core.ts";
import type { InputError } from "./errors.ts";

/** What this server's own routes ask for. An app may name others. */
export const ownPermissions = [
  "users:read",
  "users:write",
  "sessions:read",
  "sessions:write",
  "roles:read",
  "roles:write",
  "audit:read",
  "metrics:read",
] as const;
export type OwnPermission = (typeof ownPermissions)[number];

const shape = /^(?:\*|[a-z][a-z0-9_.-]{0,63}:(?:\*|[a-z][a-z0-9_.-]{0,63}))$/;

export const isPermission = (text: string): boolean => shape.test(text);

const mostOfOneRole = 100;

/** What a role is to hold: each once, in order. What does not fit is added to `errors`. */
export function readPermissions(texts: readonly string[], errors: InputError[]): string[] {
  for (const [at, text] of texts.entries()) {
    if (!isPermission(text)) {
      errors.push({
        path: `permissions.${at}`,
        message: "is no permission: write `noun:verb`, `noun:*` or `*`, in small letters.",
      });
    }
  }
  const permissions = [...new Set(texts)].toSorted();
  if (permissions.length > mostOfOneRole) {
    errors.push({ path: "permissions", message: `A role holds at most ${mostOfOneRole} permissions.` });
  }
  return permissions;
}

/** Which of the held permissions permits this one. */
export const permittedBy = (held: readonly string[], wanted: string): string | undefined =>
  held.find((one) => one === "*" || one === wanted || (one.endsWith(":*") && wanted.startsWith(one.slice(0, -1))));

/** Those that nobody permits who holds only `held`. */
export const beyond = (held: readonly string[], wanted: readonly string[]): string[] =>
  wanted.filter((one) => permittedBy(held, one) === undefined);

/**
 * Whether a user may do this, and why, in a sentence for an operator. What the role permits is only the last of the
 * conditions: whoever cannot sign in may do nothing.
 */
export async function explainPermission(
  core: Core,
  user: Pick<User, "id" | "disabledAt" | "emailVerifiedAt">,
  permission: string,
): Promise<{ readonly allowed: boolean; readonly because: string }> {
  const refused = (because: string) => ({ allowed: false, because });
  if (user.disabledAt) return refused("The user is disabled, and may do nothing.");
  if (core.settings.REQUIRE_EMAIL_VERIFICATION && !user.emailVerifiedAt) {
    return refused("The address is not verified, and REQUIRE_EMAIL_VERIFICATION keeps the user from signing in.");
  }
  const held = await core.store.roles.heldBy(user.id);
  const permitting = namesOfPermitting(held, permission);
  if (permitting.length > 0)
    return { allowed: true, because: `Permitted by the role ${permitting.join(" and the role ")}.` };
  const names = held.map(({ name }) => name).join(", ");
  const others = namesOfPermitting(await core.store.roles.all(), permission).join(", ");
  const lack = held.length === 0 ? "The user holds no role." : `None of the user's roles permits it: ${names}.`;
  return refused(`${lack} These would: ${others}.`);
}

/** Each with the permission that it holds for this: `support (users:*)`. */
const namesOfPermitting = (roles: ReadonlyArray<Pick<Role, "name" | "permissions">>, permission: string): string[] =>
  roles.flatMap(({ name, permissions }) => {
    const held = permittedBy(permissions, permission);
    return held === undefined ? [] : [`${name} (${held})`];
  });
