import type { Store, Tx } from "../store/store.ts";
import type { User } from "../store/tables.ts";
import type { UserChange, UserFilter } from "../store/users.ts";
import type { Actor, UserActor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { fail, type InputError } from "./errors.ts";
import { type Email, identifierKey, parseEmail, parseFullName, parseUsername } from "./identifiers.ts";
import { addresseeOf, queueMail } from "./mail.ts";
import { checkPassword } from "./password-policy.ts";
import { hashPassword, provePassword } from "./passwords.ts";
import { adminRole, defaultRole, giveRole, keepAnAdmin } from "./roles.ts";
import { endAllSessions } from "./sessions.ts";

/** A user with the names of the roles: what both doors show. */
export type Member = { readonly user: User; readonly roles: readonly string[] };

export type Registration = {
  readonly email: string;
  readonly password: string;
  readonly username?: string | null;
  readonly fullName?: string | null;
};

export type NewMember = Omit<Registration, "password"> & {
  readonly password?: string;
  readonly roles?: readonly string[];
  readonly active?: boolean;
  readonly emailVerified?: boolean;
};

/** `null` takes a name away; what is missing stays. */
export type ProfileChange = { readonly username?: string | null; readonly fullName?: string | null };
export type MemberChange = ProfileChange & { readonly email?: string; readonly emailVerified?: boolean };

/** Makes a user as an operator wants it. One without a password cannot sign in with one until it is set. */
export async function createUser(core: Core, by: Actor, input: NewMember): Promise<Member> {
  const draft = await draftMember(core, input);
  return await core.store.write(async (tx) => {
    const known = await tx.roles.names();
    const unknown = draft.roles.find((role) => !known.includes(role));
    if (unknown) fail("not_found", { detail: `There is no role ${unknown}; there are ${known.join(", ")}.` });
    return (await insertMember(core, tx, by, draft, "user.created")) ?? (await failTaken(tx, draft.user));
  });
}

/** Checks what is wanted of a new user, and hashes the password: all that is to be done before anything is written. */
export async function draftMember(core: Core, input: NewMember): Promise<Member> {
  const identity = { ...parseIdentity(input), ...emailOf(input.email) };
  if (input.password !== undefined) await checkPasswordOf(core, input.password, identity);
  const id = core.random.id(core.clock.now());
  const passwordHash = input.password === undefined ? null : await hashPassword(core, id, input.password);
  const now = core.clock.now();
  const user: User = {
    id,
    username: null,
    usernameKey: null,
    fullName: null,
    fullNameKey: null,
    ...identity,
    emailVerifiedAt: input.emailVerified ? now : null,
    locale: null,
    profile: null,
    passwordHash,
    disabledAt: input.active === false ? now : null,
    createdAt: now,
    updatedAt: now,
    lastLoginAt: null,
    epoch: 0,
    revision: 0,
  };
  return { user, roles: [...new Set(input.roles ?? [defaultRole])].toSorted() };
}

/** Its roles are there. `undefined` where the address or the user name is taken: the unique indexes decide, in any race. */
export async function insertMember(
  core: Core,
  tx: Tx,
  by: Actor,
  draft: Member,
  action: "user.registered" | "user.created",
): Promise<Member | undefined> {
  const { user, roles } = draft;
  if (!(await tx.users.insert(user))) return undefined;
  for (const role of roles) await tx.users.grantRole(user.id, role, user.createdAt);
  await record(core, tx, by, { action, userId: user.id });
  return draft;
}

type Identity = Pick<UserChange, "email" | "emailKey" | "username" | "usernameKey" | "fullName" | "fullNameKey">;

/** An address in both its forms. Fails with `validation_failed`. */
export function emailOf(text: string, path = "email"): Email {
  const email = parseEmail(text);
  return "problem" in email ? fail("validation_failed", { errors: [{ path, message: email.problem }] }) : email;
}

/** Checks what was given, all of it at once. */
function parseIdentity(input: MemberChange): Identity {
  const errors: InputError[] = [];
  const identity: Identity = {};
  if (input.email !== undefined) {
    const email = parseEmail(input.email);
    if ("problem" in email) errors.push({ path: "email", message: email.problem });
    else Object.assign(identity, email);
  }
  if (input.username === null) Object.assign(identity, { username: null, usernameKey: null });
  else if (input.username !== undefined) {
    const username = parseUsername(input.username);
    if ("problem" in username) errors.push({ path: "username", message: username.problem });
    else Object.assign(identity, username);
  }
  if (input.fullName === null) Object.assign(identity, { fullName: null, fullNameKey: null });
  else if (input.fullName !== undefined) {
    const fullName = parseFullName(input.fullName);
    if ("problem" in fullName) errors.push({ path: "full_name", message: fullName.problem });
    else Object.assign(identity, fullName);
  }
  if (errors.length > 0) fail("validation_failed", { errors });
  return identity;
}

export async function checkPasswordOf(
  core: Core,
  password: string,
  identity: Identity,
  path = "password",
): Promise<void> {
  const words = [identity.email, identity.username, identity.fullName];
  await checkPassword(password, { minLength: core.settings.PASSWORD_MIN_LENGTH, words, path });
}

/** Which of the two unique names it was that another user has. */
export async function failTaken(tx: Tx, identity: Identity, except?: string): Promise<never> {
  const holder = identity.emailKey ? await tx.users.byEmailKey(identity.emailKey) : undefined;
  return fail(holder && holder.id !== except ? "email_taken" : "username_taken");
}

async function member(tx: Pick<Store, "users">, id: string): Promise<Member> {
  const user = await tx.users.byId(id);
  return user ? { user, roles: await tx.users.rolesOf(id) } : fail("not_found");
}

export const getUser = async (core: Core, id: string): Promise<Member> => await member(core.store, id);

/** A user by id, address or user name. */
export async function findUser(core: Core, reference: string): Promise<Member> {
  const key = identifierKey(reference);
  const user =
    (await core.store.users.byId(reference)) ??
    (key &&
      ("emailKey" in key
        ? await core.store.users.byEmailKey(key.emailKey)
        : await core.store.users.byUsernameKey(key.usernameKey)));
  if (!user)
    return fail("not_found", { detail: "No user has this id, address or user name; `authctl user list` shows them." });
  return { user, roles: await core.store.users.rolesOf(user.id) };
}

/** Users in the order of their making, a page at a time, to the end. */
export async function* pagesOfUsers(core: Core, filter: UserFilter): AsyncGenerator<Member[]> {
  for (let after: string | undefined; ; ) {
    const users = await core.store.users.page(filter, 200, after);
    if (users.length > 0) {
      yield await Promise.all(users.map(async (user) => ({ user, roles: await core.store.users.rolesOf(user.id) })));
    }
    after = users.at(-1)?.id;
    if (users.length < 200) return;
  }
}

/** Changes what a user is called. Fails with `email_taken`, `username_taken`, `validation_failed`. */
export async function updateUser(core: Core, by: Actor, id: string, change: MemberChange): Promise<Member> {
  const identity = parseIdentity(change);
  return await core.store.write(async (tx) => {
    const now = core.clock.now();
    const before = await tx.users.byId(id);
    if (!before) return fail("not_found");
    for (const holder of [
      identity.emailKey && (await tx.users.byEmailKey(identity.emailKey)),
      identity.usernameKey && (await tx.users.byUsernameKey(identity.usernameKey)),
    ]) {
      if (holder && holder.id !== id) await failTaken(tx, identity, id);
    }
    const moved = identity.emailKey !== undefined && identity.emailKey !== before.emailKey;
    const verified = change.emailVerified ?? (moved ? false : undefined);
    const emailVerifiedAt = verified === undefined ? undefined : verified ? (before.emailVerifiedAt ?? now) : null;
    const members = Object.keys(change).toSorted().join(" ");
    await tx.users.update(id, {
      ...identity,
      ...(emailVerifiedAt !== undefined && { emailVerifiedAt }),
      updatedAt: now,
    });
    if (moved) await tx.challenges.spendAll(id);
    await record(core, tx, by, { action: "user.updated", userId: id, particulars: { members } });
    return await member(tx, id);
  });
}

/** Deletes one's own account. Fails with `last_admin`, `invalid_credentials`. */
export async function deleteOwnAccount(core: Core, by: UserActor, password: string): Promise<void> {
  const user = (await core.store.users.byId(by.userId)) ?? fail("unauthenticated");
  await provePassword(core, by, user, password, "password");
  await deleteUser(core, by, user.id);
}

/** Deletes a user with everything but the audit trail. Fails with `last_admin`. */
export async function deleteUser(core: Core, by: Actor, id: string): Promise<void> {
  await core.store.write(async (tx) => {
    await keepAnAdmin(tx, id);
    // Whoever signs in as this user meanwhile waits here, so that no session begins that nobody ends.
    await tx.users.advanceEpoch(id);
    const user = await tx.users.byId(id);
    if (!user || !(await tx.users.delete(id))) return fail("not_found");
    const days = Math.ceil(core.settings.TOMBSTONE_TTL / 86_400_000);
    await queueMail(core, tx, addresseeOf(user), "account-deleted", { days });
    return await record(core, tx, by, { action: "user.deleted", userId: id });
  });
}

/** Keeps a user from signing in, and ends every session. Nothing happens where that is so already. Fails with `last_admin`. */
export async function disableUser(core: Core, by: Actor, id: string): Promise<Member> {
  return await core.store.write(async (tx) => {
    await keepAnAdmin(tx, id);
    if (await tx.users.disable(id, core.clock.now())) {
      // Nor does any link that is under way count, once the user may sign in again.
      await tx.challenges.spendAll(id);
      await record(core, tx, by, { action: "user.disabled", userId: id });
      await endAllSessions(core, tx, by, id);
    }
    return await member(tx, id);
  });
}

/** Lets a user sign in again. Nothing happens where that is so already. */
export async function enableUser(core: Core, by: Actor, id: string): Promise<Member> {
  return await core.store.write(async (tx) => {
    const enabled = await tx.users.enable(id, core.clock.now());
    if (enabled) await record(core, tx, by, { action: "user.enabled", userId: id });
    return await member(tx, id);
  });
}

export type Seeded = Member & { readonly outcome: "created" | "granted" | "unchanged" };

/** What `password` answers is asked for only where a user has to be made. */
export type Seed = Omit<Registration, "password"> & { readonly password: () => Promise<string> };

/**
 * Sees to it that there is an admin with this address: makes one, or gives the role to the user who has the
 * address, whose password stays as it is. The same call again changes nothing.
 */
export async function seedAdmin(core: Core, by: Actor, input: Seed): Promise<Seeded> {
  const { emailKey } = emailOf(input.email);
  const holder = async () => await core.store.users.byEmailKey(emailKey);
  let known = await holder();
  if (!known) {
    const password = await input.password();
    const admin = { ...input, password, roles: [adminRole, defaultRole], emailVerified: true };
    try {
      return { ...(await createUser(core, by, admin)), outcome: "created" };
    } catch (error) {
      // Another run was faster: then what this one wanted is there.
      known = await holder();
      if (!known) throw error;
    }
  }
  const { id } = known;
  return await core.store.write(async (tx) => {
    const granted = await giveRole(core, tx, by, id, adminRole);
    return { ...(await member(tx, id)), outcome: granted ? "granted" : "unchanged" };
  });
}
