import type { Store, Tx } from "../store/store.ts";
import type { Profile, User } from "../store/tables.ts";
import type { Actor, UserActor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import { identifierKey } from "./identifiers.ts";
import { addresseeOf, queueMail } from "./mail.ts";
import { checkPassword } from "./passwords/password-policy.ts";
import { hashPassword, provePassword } from "./passwords.ts";
import { defaultRole, keepAnAdmin, requireAuthorityOver, requireAuthorityToGive } from "./roles.ts";
import { endAllSessions } from "./sessions.ts";
import { requireRecentProof } from "./step-up.ts";
import { emailOf, type Identity, type Named, parseIdentity } from "./users/identities.ts";
import { editedProfile, type ProfileEdit } from "./users/profiles.ts";
import { bury } from "./users/tombstones.ts";

/** A user with the names of the roles: what both doors show. */
export type Member = { readonly user: User; readonly roles: readonly string[] };

export type Registration = Named & {
  readonly email: string;
  readonly password: string;
  readonly profile?: Profile;
};

export type NewMember = Omit<Registration, "password"> & {
  readonly password?: string;
  readonly roles?: readonly string[];
  readonly active?: boolean;
  readonly emailVerified?: boolean;
};

/** What users change of themselves. What is missing stays. */
export type OwnChange = Omit<Named, "email"> & { readonly profile?: ProfileEdit };
export type MemberChange = Named & {
  readonly profile?: ProfileEdit;
  readonly active?: boolean;
  readonly emailVerified?: boolean;
};

/**
 * Makes a user as an operator wants it. One without a password cannot sign in with one until it is set. Fails with
 * `forbidden` where the roles permit what the actor may not do.
 */
export async function createUser(core: Core, by: Actor, input: NewMember): Promise<Member> {
  const draft = await draftMember(core, input, { own: false });
  return await core.store.write(async (tx) => {
    await requireAuthorityToGive(core, tx, by, draft.roles);
    return (await insertMember(core, tx, by, draft, "user.created")) ?? (await failTaken(tx, draft.user));
  });
}

/**
 * Checks what is wanted of a new user, and hashes the password: all that is to be done before anything is written.
 * Whoever makes an `own` account may not say everything of it.
 */
export async function draftMember(core: Core, input: NewMember, { own }: { readonly own: boolean }): Promise<Member> {
  const identity = { ...parseIdentity(input), ...emailOf(input.email) };
  const profile =
    input.profile && editedProfile(core.profileForm, null, { how: "replace", members: input.profile }, { own });
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
    locale: null,
    ...identity,
    emailVerifiedAt: input.emailVerified ? now : null,
    profile: profile ?? null,
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

export async function checkPasswordOf(
  core: Core,
  password: string,
  identity: Identity,
  path = "password",
): Promise<void> {
  const words = [identity.email, identity.username, identity.fullName];
  const { PASSWORD_MIN_LENGTH: minLength, PASSWORD_REFUSE_VARIANTS } = core.settings;
  await checkPassword(password, { minLength, words, path, exact: !PASSWORD_REFUSE_VARIANTS });
}

/** Which of the two unique names it was that another user has. */
export async function failTaken(tx: Tx, identity: Identity, except?: string): Promise<never> {
  const holder = identity.emailKey ? await tx.users.byEmailKey(identity.emailKey) : undefined;
  return fail(holder && holder.id !== except ? "email_taken" : "username_taken");
}

export async function memberOf(tx: Pick<Store, "users">, id: string): Promise<Member> {
  const user = await tx.users.byId(id);
  return user ? { user, roles: await tx.users.rolesOf(id) } : fail("not_found");
}

export const getUser = async (core: Core, id: string): Promise<Member> => await memberOf(core.store, id);

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

/**
 * Lets only one transaction at a time change a user, and moves the revision on. Fails with `precondition_failed`
 * where it is none of `expected`, so that nobody overwrites what they have not seen.
 */
async function claimUser(tx: Tx, id: string, expected: readonly number[] | undefined): Promise<User> {
  const user = await tx.users.claim(id, expected);
  return user ?? fail((await tx.users.byId(id)) ? "precondition_failed" : "not_found");
}

type Condition = {
  /** The revisions of the user that the change may be made to; without it, any. */
  readonly expected?: readonly number[] | undefined;
};

/** Changes what users say of themselves. Fails as `updateUser` does. */
export async function updateOwnAccount(
  core: Core,
  by: UserActor,
  change: OwnChange,
  condition: Condition = {},
): Promise<Member> {
  return await changeMember(core, by, by.userId, change, { ...condition, own: true });
}

/**
 * Changes a user. One whose address changes has it verified no more; one who is disabled is signed out everywhere.
 * Fails with `email_taken`, `username_taken`, `validation_failed`, `precondition_failed`, `last_admin`, `forbidden`;
 * with `step_up_required` where the address changes.
 */
export async function updateUser(
  core: Core,
  by: Actor,
  id: string,
  change: MemberChange,
  condition: Condition = {},
): Promise<Member> {
  return await changeMember(core, by, id, change, { ...condition, own: false });
}

async function changeMember(
  core: Core,
  by: Actor,
  id: string,
  change: MemberChange,
  { own, expected }: Condition & { readonly own: boolean },
): Promise<Member> {
  const identity = parseIdentity(change);
  return await core.store.write(async (tx) => {
    const now = core.clock.now();
    await requireAuthorityOver(core, tx, by, id);
    if (change.active === false) await keepAnAdmin(tx, id);
    const before = await claimUser(tx, id, expected);
    for (const holder of [
      identity.emailKey && (await tx.users.byEmailKey(identity.emailKey)),
      identity.usernameKey && (await tx.users.byUsernameKey(identity.usernameKey)),
    ]) {
      if (holder && holder.id !== id) await failTaken(tx, identity, id);
    }
    const profile = change.profile && editedProfile(core.profileForm, before.profile, change.profile, { own });
    const moved = identity.emailKey !== undefined && identity.emailKey !== before.emailKey;
    if (moved && !own) await requireRecentProof(core, tx, by);
    const verified = change.emailVerified ?? (moved ? false : undefined);
    const stillVerified = moved ? null : before.emailVerifiedAt;
    const { active, ...rest } = change;
    const toggled = active !== undefined && active !== (before.disabledAt === null);
    await tx.users.update(id, {
      ...identity,
      ...(profile && { profile }),
      ...(verified !== undefined && { emailVerifiedAt: verified ? (stillVerified ?? now) : null }),
      ...(toggled && { disabledAt: active ? null : now }),
      updatedAt: now,
    });
    // What was sent to the old address proves nothing any more, nor does what was sent to whoever is disabled.
    if (moved || (toggled && !active)) await tx.challenges.spendAll(id);
    const members = Object.keys(rest).toSorted().join(" ");
    if (members !== "" || !toggled) {
      await record(core, tx, by, { action: "user.updated", userId: id, particulars: { members } });
    }
    if (toggled) await record(core, tx, by, { action: active ? "user.enabled" : "user.disabled", userId: id });
    if (toggled && !active) await endAllSessions(core, tx, by, id);
    return await memberOf(tx, id);
  });
}

/** Deletes one's own account. Fails with `last_admin`, `invalid_credentials`, `precondition_failed`. */
export async function deleteOwnAccount(
  core: Core,
  by: UserActor,
  password: string,
  condition: Condition = {},
): Promise<void> {
  const user = (await core.store.users.byId(by.userId)) ?? fail("unauthenticated");
  await provePassword(core, by, user, password, "password");
  await core.store.write((tx) => removeUser(core, tx, by, user.id, condition));
}

/**
 * Deletes a user: everything goes at once but the audit trail, and what is needed to restore the user for as long as
 * TOMBSTONE_TTL says. Fails with `last_admin`, `forbidden`, `step_up_required`, `precondition_failed`.
 */
export async function deleteUser(core: Core, by: Actor, id: string, condition: Condition = {}): Promise<void> {
  await core.store.write(async (tx) => {
    await requireAuthorityOver(core, tx, by, id);
    await requireRecentProof(core, tx, by);
    await removeUser(core, tx, by, id, condition);
  });
}

async function removeUser(core: Core, tx: Tx, by: Actor, id: string, { expected }: Condition): Promise<void> {
  await keepAnAdmin(tx, id);
  // Whoever signs in as this user meanwhile waits here, so that no session begins that nobody ends.
  const user = await claimUser(tx, id, expected);
  const roles = await tx.users.rolesOf(id);
  await tx.users.delete(id);
  await record(core, tx, by, { action: "user.deleted", userId: id });
  await bury(core, tx, user, roles);
  const days = Math.ceil(core.settings.TOMBSTONE_TTL / 86_400_000);
  // Of nobody: what is removed of the person later must not take the word of it along.
  await queueMail(core, tx, { ...addresseeOf(user), userId: null }, "account-deleted", { days });
}

/** Keeps a user from signing in, and ends every session. Nothing happens where that is so already. Fails with `last_admin`, `forbidden`. */
export async function disableUser(core: Core, by: Actor, id: string): Promise<Member & { readonly changed: boolean }> {
  return await core.store.write(async (tx) => {
    await requireAuthorityOver(core, tx, by, id);
    await keepAnAdmin(tx, id);
    const changed = await tx.users.disable(id, core.clock.now());
    if (changed) {
      // Nor does any link that is under way count, once the user may sign in again.
      await tx.challenges.spendAll(id);
      await record(core, tx, by, { action: "user.disabled", userId: id });
      await endAllSessions(core, tx, by, id);
    }
    return { ...(await memberOf(tx, id)), changed };
  });
}

/** Lets a user sign in again. Nothing happens where that is so already. Fails with `forbidden`. */
export async function enableUser(core: Core, by: Actor, id: string): Promise<Member> {
  return await core.store.write(async (tx) => {
    await requireAuthorityOver(core, tx, by, id);
    const enabled = await tx.users.enable(id, core.clock.now());
    if (enabled) await record(core, tx, by, { action: "user.enabled", userId: id });
    return await memberOf(tx, id);
  });
}
