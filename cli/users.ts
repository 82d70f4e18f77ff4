import type { Core } from "../src/core/core.ts";
import { DomainError, fail, type InputError } from "../src/core/errors.ts";
import { listSessions } from "../src/core/sessions.ts";
import { setPassword } from "../src/core/users/new-passwords.ts";
import { pagesOfUsers, type UserQuery, userSorts } from "../src/core/users/user-lists.ts";
import {
  createUser,
  deleteUser,
  disableUser,
  enableUser,
  findUser,
  type Member,
  type MemberChange,
  updateUser,
} from "../src/core/users.ts";
import { userView } from "../src/core/views.ts";
import { counted, either } from "./arguments.ts";
import { timeline } from "./audit.ts";
import { command, group } from "./command.ts";
import { listDeleted, restore } from "./deleted-users.ts";
import type { Desk } from "./desk.ts";
import { choice, number, positional, text, toggle } from "./options.ts";
import { profileJson, readProfile } from "./profile-json.ts";
import { secretArgs } from "./secret.ts";
import type { Column } from "./table.ts";
import exportCommand from "./user-export.ts";
import importCommand from "./user-import.ts";
import { sendReset, verifyEmail } from "./user-mails.ts";
import { role } from "./user-roles.ts";

const viewOf = ({ user, roles }: Member) => userView(user, roles);
const columns: readonly Column<ReturnType<typeof viewOf>>[] = [
  { title: "id", of: ({ id }) => id, whole: true, spare: true },
  "email",
  "username",
  "roles",
  "is_active",
  { title: "last_login_at", of: ({ last_login_at }) => last_login_at, spare: true },
];
const oneUser = { user: positional("USER", "id, address or user name", { required: true }) };
const someUsers = { users: positional("USER", "ids, addresses or user names", { required: true, many: true }) };

const list = command({
  description: "List users to the end: in the order of their making, or as well as they match a --query.",
  effect: "read",
  args: {
    role: text("only those who hold this role", { hint: "ROLE" }),
    active: either("only those who may sign in, or may not"),
    emailVerified: either("only those whose address is verified, or is not"),
    query: text("only those whose address, user name or full name begins so", { hint: "PREFIX" }),
    sort: choice("by created_at, email or updated_at; from its end: --sort=-email", userSorts, { hint: "ORDER" }),
    limit: number("at most so many", { min: 1 }),
    deleted: toggle("those who were deleted and can be restored"),
  },
  examples: ["authctl user list --no-active --output csv", "authctl user list --role admin --json"],
  async run({ role, active, emailVerified, query, sort, limit, deleted }, desk) {
    const wanted: UserQuery = {
      ...(role !== undefined && { role }),
      ...(active !== undefined && { active }),
      ...(emailVerified !== undefined && { emailVerified }),
      ...(query !== undefined && { query }),
      ...(sort !== undefined && { sort }),
    };
    if (deleted && (limit !== undefined || Object.keys(wanted).length > 0)) {
      fail("usage", { detail: "--deleted lists all who can be restored: it takes no filter." });
    }
    if (deleted) return await listDeleted(desk);
    return await desk.withCore((core) => desk.print(views(core, wanted, limit, desk), columns));
  },
});

async function* views(core: Core, wanted: UserQuery, limit = Number.POSITIVE_INFINITY, desk: Pick<Desk, "say">) {
  let left = limit;
  for await (const page of pagesOfUsers(core, wanted)) {
    yield page.slice(0, left).map(viewOf);
    if (page.length > left) {
      desk.say(`There are more than ${counted(limit, "user")}: --limit ended the list.`);
      return;
    }
    left -= page.length;
  }
}

const get = command({
  description: "Show one user.",
  effect: "read",
  args: oneUser,
  async run({ user }, desk) {
    await desk.withCore(async (core) => desk.print(viewOf(await findUser(core, user))));
  },
});

const create = command({
  description: "Make a user.",
  effect: "write",
  args: {
    email: text("the address", { required: true }),
    username: text("the user name"),
    fullName: text("the full name"),
    locale: text("the language, such as en or de-AT", { hint: "TAG" }),
    profileJson,
    role: text("a role; without any, `user`", { many: true, hint: "ROLE" }),
    emailVerified: toggle("the address counts as verified"),
    disabled: toggle("may not sign in until enabled"),
    passwordless: toggle("without a password: it can be set later"),
    ...secretArgs,
  },
  examples: [
    "authctl user create --email ada@example.com --generate",
    "authctl user create --email ada@example.com --role admin --role user --passwordless",
  ],
  exits: { 4: "the address or the user name is taken" },
  async run(
    { email, username, fullName, locale, profileJson: file, role, emailVerified, disabled, passwordless, ...secret },
    desk,
  ) {
    if (passwordless && (secret.generate || secret.passwordStdin || secret.passwordFile !== undefined)) {
      fail("usage", { detail: "--passwordless and a password exclude each other." });
    }
    if (file === "-" && secret.passwordStdin) {
      fail("usage", { detail: "Standard input is either the password or the profile." });
    }
    const profile = file === undefined ? undefined : await readProfile(desk, file);
    await desk.withCore(async (core, by) => {
      const made = await createUser(core, by, {
        email,
        ...(username !== undefined && { username }),
        ...(fullName !== undefined && { fullName }),
        ...(locale !== undefined && { locale }),
        ...(profile && { profile }),
        ...(role.length > 0 && { roles: role }),
        ...(!passwordless && { password: await desk.secret(`Password of ${email}`, secret) }),
        emailVerified,
        active: !disabled,
      });
      await desk.print(viewOf(made));
    });
  },
});

const clearable = ["username", "full-name", "locale", "profile"] as const;

const update = command({
  description: "Change what is known of a user, or whether the address is verified.",
  effect: "write",
  args: {
    ...oneUser,
    email: text("the new address; it counts as not verified"),
    username: text("the new user name"),
    fullName: text("the new full name"),
    locale: text("the language, such as en or de-AT", { hint: "TAG" }),
    profileJson,
    emailVerified: either("the address counts as verified, or as not verified"),
    clear: choice("take something away", clearable, { many: true }),
  },
  examples: [
    "authctl user update ada@example.com --full-name 'Ada King'",
    "authctl user update ada --clear username",
    `echo '{"plan":"pro"}' | authctl user update ada --profile-json -`,
  ],
  exits: { 4: "the address or the user name is taken" },
  async run({ user, email, username, fullName, locale, profileJson: file, emailVerified, clear }, desk) {
    const given = { username, "full-name": fullName, locale, profile: file };
    if (clear.some((name) => given[name] !== undefined)) {
      fail("usage", { detail: "Nothing can be set and cleared at once." });
    }
    const profile = file === undefined ? undefined : await readProfile(desk, file);
    const change: MemberChange = {
      ...(email !== undefined && { email }),
      ...(username !== undefined && { username }),
      ...(fullName !== undefined && { fullName }),
      ...(locale !== undefined && { locale }),
      ...(profile && { profile: { how: "merge", members: profile } }),
      ...(emailVerified !== undefined && { emailVerified }),
      ...(clear.includes("username") && { username: null }),
      ...(clear.includes("full-name") && { fullName: null }),
      ...(clear.includes("locale") && { locale: null }),
      ...(clear.includes("profile") && { profile: { how: "replace", members: {} } }),
    };
    if (Object.keys(change).length === 0) fail("usage", { detail: "Say what to change: --email, --username, …" });
    await desk.withCore(async (core, by) => {
      const { id } = (await findUser(core, user)).user;
      await desk.print(viewOf(await updateUser(core, by, id, change)));
    });
  },
});

const disable = command({
  description: "Keep users from signing in, and end all their sessions.",
  effect: "write",
  dryRun: true,
  args: someUsers,
  exits: { 4: "nobody else could administer" },
  async run({ users }, desk) {
    await desk.withCore(async (core, by) => {
      const named = await usersNamed(core, users);
      await withEach(desk, named, "disabled", ({ user }) => disableUser(core, by, user.id));
    });
  },
});

const enable = command({
  description: "Let users sign in again.",
  effect: "write",
  dryRun: true,
  args: someUsers,
  async run({ users }, desk) {
    await desk.withCore(async (core, by) => {
      const named = await usersNamed(core, users);
      await withEach(desk, named, "enabled", ({ user }) => enableUser(core, by, user.id));
    });
  },
});

const remove = command({
  description: "Delete users. As long as TOMBSTONE_TTL allows, `authctl user restore` brings them back.",
  effect: "destructive",
  dryRun: true,
  args: someUsers,
  examples: [
    "authctl user delete ada@example.com",
    "authctl user list --no-active --output id | authctl user delete - --yes",
  ],
  exits: { 4: "nobody else could administer" },
  async run({ users }, desk) {
    await desk.withCore(async (core, by) => {
      const named = await usersNamed(core, users);
      let sessions = 0;
      for (const { user } of named) sessions += (await listSessions(core, user.id)).length;
      const deed = `deletes ${counted(named.length, "user")} (${someOf(named)}) and ends ${counted(sessions, "session")}`;
      if (desk.dryRun) desk.say(`A rehearsal: it ${deed}.`);
      await desk.confirm(deed);
      await withEach(desk, named, "deleted", async (member) => {
        await deleteUser(core, by, member.user.id);
        return member;
      });
    });
  },
});

const password = command({
  description: "Set a user's password. Ends every session of the user.",
  effect: "write",
  args: { ...oneUser, ...secretArgs },
  examples: ["authctl user set-password ada@example.com --generate"],
  async run({ user, ...secret }, desk) {
    await desk.withCore(async (core, by) => {
      const { id, email } = (await findUser(core, user)).user;
      const ended = await setPassword(core, by, id, await desk.secret(`New password of ${email}`, secret));
      if (desk.json) await desk.print({ id, email, sessions_ended: ended });
      desk.say(`set the password of ${email}, and ended ${counted(ended, "session")}`);
    });
  },
});

export default group({
  description: "The people.",
  verbs: {
    list,
    get,
    create,
    update,
    disable,
    enable,
    delete: remove,
    restore,
    "set-password": password,
    "send-reset": sendReset,
    "verify-email": verifyEmail,
    timeline,
    role,
    import: importCommand,
    export: exportCommand,
  },
});

/** Everybody who is named, once. Fails before anything is done where somebody is unknown. */
async function usersNamed(core: Core, references: readonly string[]): Promise<Member[]> {
  const found = new Map<string, Member>();
  const errors: InputError[] = [];
  for (const reference of references) {
    try {
      const member = await findUser(core, reference);
      found.set(member.user.id, member);
    } catch (error) {
      if (!(error instanceof DomainError && error.code === "not_found")) throw error;
      errors.push({ path: reference, message: "is no user's id, address or user name." });
    }
  }
  if (errors.length > 0)
    fail("not_found", { detail: "Nothing was done. `authctl user list` shows who there is.", errors });
  return [...found.values()];
}

/** Does `act` with each; one who is refused keeps nobody else from it, and is told at the end. Prints those with whom it was done. */
async function withEach(
  desk: Desk,
  members: readonly Member[],
  done: string,
  act: (member: Member) => Promise<Member>,
): Promise<void> {
  if (desk.dryRun) return desk.print(members.map(viewOf), columns);
  const finished: Member[] = [];
  const refused: { readonly email: string; readonly error: DomainError }[] = [];
  for (const member of members) {
    if (desk.interrupted.aborted) break;
    try {
      finished.push(await act(member));
    } catch (error) {
      if (!(error instanceof DomainError && ["conflict", "missing", "forbidden"].includes(error.kind))) throw error;
      refused.push({ email: member.user.email, error });
    }
  }
  if (members.length === 1 && refused[0]) throw refused[0].error;
  await desk.print(finished.map(viewOf), columns);
  desk.say(`${done} ${counted(finished.length, "user")}`);
  if (finished.length < members.length) {
    fail("partly_done", {
      detail: `${finished.length} of ${counted(members.length, "user")} ${done}.`,
      errors: refused.map(({ email, error }) => ({ path: email, message: `was refused: ${error.title}.` })),
    });
  }
}

function someOf(members: readonly Member[]): string {
  const shown = members.slice(0, 3).map(({ user }) => user.email);
  const more = members.length - shown.length;
  return more > 0 ? `${shown.join(", ")} and ${counted(more, "other")}` : shown.join(", ");
}
