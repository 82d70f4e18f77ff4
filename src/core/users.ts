import type { Store, Tx } from "../store/store.ts";
import type { User } from "../store/tables.ts";
import type { UserChange, UserFilter } from "../store/users.ts";
import type { Actor, UserActor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { fail, type InputError } from "./errors.ts";
import { type Email, identifierKey, parseEmail, parseFullName, parseUsername } from "./identifiers.ts";
import { checkPassword } from "./password-policy.ts";
import { hashPassword, tryPassword } from "./passwords.ts";
import { adminRole, defaultRole, giveRole, keepAnAdmin, requireAuthorityToGive } from "./roles.ts";
import { endAllSessions } from "./sessions.ts";
import { giveBackNow } from "./tries.ts";

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

/** Signs a new person up. Fails with `email_taken`, `username_taken`, `weak_password`, `validation_failed`. */
export async function register(core: Core, by: Actor, input: Registration): Promise<Member> {
  const { email, password, username, fullName } = input;
  return await createMember(
    core,
    by,
    { email, password, username: username ?? null, fullName: fullName ?? null },
    "user.registered",
  );
}

/** Makes a user as an operator wants it. One without a password cannot sign in with one until it is set. */
export async function createUser(core: Core, by: Actor, input: NewMember): Promise<Member> {
  return await createMember(core, by, input, "user.created");
}

async function createMember(
  core: Core,
  by: Actor,
  input: NewMember,
  action: "user.registered" | "user.created",
): Promise<Member> {
  const identity = { ...parseIdentity(input), ...emailOf(input.email) };
  if (input.password !== undefined) await checkPasswordOf(core, input.password, identity);
  const id = core.random.id(core.clock.now());
  const passwordHash = input.password === undefined ? null : await hashPassword(core, id, input.password);
  const now = core.clock.now();
  const roles = new Set(input.roles ?? [defaultRole]);
  return await core.store.write(async (tx) => {
    // Whoever registers gets what everybody gets, and needs nobody's leave.
    if (action === "user.created") await requireAuthorityToGive(core, tx, by, [...roles]);
    const inserted = await tx.users.insert({
      id,
      ...identity,
      emailVerifiedAt: input.emailVerified ? now : null,
      passwordHash,
      disabledAt: input.active === false ? now : null,
      createdAt: now,
      updatedAt: now,
    });
    if (!inserted) return await failTaken(tx, identity);
    for (const role of roles) await tx.users.grantRole(id, role, now);
    await record(core, tx, by, { action, userId: id });
    return await member(tx, id);
  });
}

type Identity = Pick<UserChange, "email" | "emailKey" | "username" | "usernameKey" | "fullName" | "fullNameKey">;

/** An address in both its forms; a problem has been told before. */
function emailOf(text: string): Email {
  const email = parseEmail(text);
  return "problem" in email
    ? fail("validation_failed", { errors: [{ path: "email", message: email.problem }] })
    : email;
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

async function checkPasswordOf(core: Core, password: string, identity: Identity, path = "password"): Promise<void> {
  const words = [identity.email, identity.username, identity.fullName];
  const { PASSWORD_MIN_LENGTH: minLength, PASSWORD_REFUSE_VARIANTS } = core.settings;
  await checkPassword(password, { minLength, words, path, exact: !PASSWORD_REFUSE_VARIANTS });
}

/** Which of the two unique names it was that another user has. */
async function failTaken(tx: Tx, identity: Identity, except?: string): Promise<never> {
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
    await record(core, tx, by, { action: "user.updated", userId: id, particulars: { members } });
    return await member(tx, id);
  });
}

/** Changes one's own password. Every other session ends; the one that asked lives on. */
export async function changePassword(core: Core, by: UserActor, current: string, next: string): Promise<void> {
  const user = (await core.store.users.byId(by.userId)) ?? fail("unauthenticated");
  await provePassword(core, by, user, current, "current_password");
  await checkPasswordOf(core, next, user, "new_password");
  const passwordHash = await hashPassword(core, user.id, next);
  await core.store.write(async (tx) => {
    const replaced = await tx.users.replacePassword(user.id, user.passwordHash, passwordHash, core.clock.now());
    if (!replaced) return fail("invalid_credentials", { detail: "The password was changed a moment ago." });
    // From here on nobody else can move the epoch: whoever was signed out before this stays signed out.
    const fresh = await tx.users.byId(user.id);
    if (fresh?.epoch !== by.session.epoch) return fail("unauthenticated");
    await record(core, tx, by, { action: "user.password_changed", userId: user.id });
    return await tx.sessions.adoptEpoch(by.session.id, await endAllSessions(core, tx, by, user.id));
  });
}

/** Sets anybody's password, for operators. Every session of the user ends; answers how many were alive. */
export async function setPassword(core: Core, by: Actor, id: string, password: string): Promise<number> {
  const { user } = await getUser(core, id);
  await checkPasswordOf(core, password, user);
  const passwordHash = await hashPassword(core, id, password);
  return await core.store.write(async (tx) => {
    const now = core.clock.now();
    if (!(await tx.users.update(id, { passwordHash, updatedAt: now }))) return fail("not_found");
    const alive = await tx.sessions.ofUser(id, now);
    await record(core, tx, by, { action: "user.password_changed", userId: id });
    await endAllSessions(core, tx, by, id);
    return alive.length;
  });
}

/** Fails with `invalid_credentials` where the password is not the user's, with `rate_limited` where too many were tried before. */
async function provePassword(core: Core, by: UserActor, user: User, password: string, path: string): Promise<void> {
  const { right, reserved } = await tryPassword(core, by, { user, identifier: user.emailKey }, password);
  if (right) return await giveBackNow(core, reserved);
  await core.store.write((tx) =>
    record(core, tx, by, {
      action: "login.failed",
      userId: user.id,
      sessionId: by.session.id,
      reason: "wrong-password",
    }),
  );
  return fail("invalid_credentials", { detail: `\`${path}\` is not the password of this account.` });
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
    if (!(await tx.users.delete(id))) return fail("not_found");
    return await record(core, tx, by, { action: "user.deleted", userId: id });
  });
}

/** Keeps a user from signing in, and ends every session. Nothing happens where that is so already. Fails with `last_admin`. */
export async function disableUser(core: Core, by: Actor, id: string): Promise<Member> {
  return await core.store.write(async (tx) => {
    await keepAnAdmin(tx, id);
    if (await tx.users.disable(id, core.clock.now())) {
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
