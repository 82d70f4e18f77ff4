import type { Actor } from "../actors.ts";
import type { Core } from "../core.ts";
import { DomainError, fail } from "../errors.ts";
import { parseEmail } from "../identifiers.ts";
import { hasActiveAdmin } from "../roles.ts";
import { type Seeded, seedAdmin } from "./admins.ts";

/**
 * Where nobody administers, makes the admin that the settings name; any number of servers may do so at once.
 * Answers what was done; `undefined` where there was nothing to do. Fails with `config_invalid`, which names the variable.
 */
export async function seedFirstAdmin(core: Core, by: Actor): Promise<Seeded | undefined> {
  const { ADMIN_EMAIL: email, ADMIN_USERNAME: username, ADMIN_PASSWORD } = core.settings;
  if (email === undefined || (await hasActiveAdmin(core))) return undefined;
  await refuseStranger(core, email);
  const password = () =>
    Promise.resolve(ADMIN_PASSWORD ?? refuse("ADMIN_PASSWORD", "is not set: the first admin needs one."));
  try {
    return await seedAdmin(core, by, { email, username: username ?? null, password });
  } catch (error) {
    throw error instanceof DomainError ? blamed(error) : error;
  }
}

/** Whoever has signed up with the address of an admin to be has not thereby shown to be the one. */
async function refuseStranger(core: Core, email: string): Promise<void> {
  const parsed = parseEmail(email);
  const holder = "emailKey" in parsed && (await core.store.users.byEmailKey(parsed.emailKey));
  if (!holder || holder.emailVerifiedAt) return;
  const remedy = "make this user an admin with `authctl admin grant`, or name another address.";
  refuse("ADMIN_EMAIL", `belongs to somebody who has signed up and has not verified it: ${remedy}`);
}

const detail = "Correct the settings that are listed, and start again.";

const refuse = (path: string, message: string): never =>
  fail("config_invalid", { detail, errors: [{ path, message }] });

const variables: Readonly<Record<string, string>> = {
  email: "ADMIN_EMAIL",
  username: "ADMIN_USERNAME",
  password: "ADMIN_PASSWORD",
};

/** The failure in the words of the settings, where it is theirs. */
function blamed(error: DomainError): DomainError {
  const errors =
    error.code === "username_taken" ? [{ path: "username", message: "Another user has it." }] : error.errors;
  if (!errors) return error;
  return new DomainError("config_invalid", {
    detail,
    errors: errors.map(({ path, message }) => ({ path: variables[path] ?? path, message: `does not fit: ${message}` })),
  });
}
