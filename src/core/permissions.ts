/** What may be done: `noun:verb`, `noun:*` for every verb of a noun, `*` for everything. */
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
