import type { Actor } from "../src/core/actors.ts";
import type { Core } from "../src/core/core.ts";
import { adminRole, grantRole, hasActiveAdmin, revokeRole } from "../src/core/roles.ts";
import { seedAdmin } from "../src/core/users/admins.ts";
import { orderRecovery } from "../src/core/users/new-passwords.ts";
import { pagesOfUsers } from "../src/core/users/user-lists.ts";
import { findUser, getUser } from "../src/core/users.ts";
import { userView } from "../src/core/views.ts";
import { command, group } from "./command.ts";
import type { Desk } from "./desk.ts";
import { positional, text, toggle } from "./options.ts";
import { secretArgs } from "./secret.ts";

const seed = command({
  description: "See to it that there is an admin. Makes the user, or gives the role; again, it changes nothing.",
  effect: "write",
  args: {
    email: text("the address", { required: true }),
    username: text("the user name of a new user"),
    fullName: text("the full name of a new user"),
    ifNone: toggle("do nothing where an active admin exists already"),
    ...secretArgs,
  },
  examples: [
    "authctl admin seed --email ada@example.com",
    "authctl admin seed --email ada@example.com --if-none --password-file /run/secrets/admin",
  ],
  async run({ email, username, fullName, ifNone, ...secret }, desk) {
    await desk.withCore(async (core, by) => {
      if (ifNone && (await hasActiveAdmin(core))) {
        desk.say("There is an active admin already. Nothing to do.");
        if (desk.json) await desk.print({ outcome: "unchanged" });
        return;
      }
      const { user, roles, outcome } = await seedAdmin(core, by, {
        email,
        username: username ?? null,
        fullName: fullName ?? null,
        password: () => desk.secret(`Password of ${email}`, secret),
      });
      await desk.print({ outcome, ...userView(user, roles) }, ["outcome", "id", "email", "username"]);
      if (outcome !== "created") desk.detail("The user was there already: names and password stay as they are.");
      if (user.disabledAt) desk.warn("This admin is disabled: `authctl user enable` lets them sign in.");
    });
  },
});

const list = command({
  description: "List the admins, the disabled ones too.",
  effect: "read",
  async run(_, desk) {
    await desk.withCore((core) =>
      desk.print(admins(core), [
        { title: "id", of: ({ id }) => id, whole: true, spare: true },
        "email",
        "username",
        "is_active",
        { title: "last_login_at", of: ({ last_login_at }) => last_login_at, spare: true },
      ]),
    );
  },
});

async function* admins(core: Core) {
  for await (const page of pagesOfUsers(core, { role: adminRole })) {
    yield page.map(({ user, roles }) => userView(user, roles));
  }
}

const userArg = positional("USER", "id, address or user name", { required: true });

const grant = command({
  description: "Make a user an admin.",
  effect: "write",
  args: { user: userArg },
  examples: ["authctl admin grant ada@example.com --reason 'on call'"],
  async run({ user }, desk) {
    await change(desk, user, grantRole, "is an admin already");
  },
});

const revoke = command({
  description: "Take the admin role from a user. The last active admin keeps it.",
  effect: "write",
  args: { user: userArg },
  exits: { 4: "nobody else could administer" },
  async run({ user }, desk) {
    await change(desk, user, revokeRole, "is no admin");
  },
});

const recover = command({
  description:
    "Make a one-time link that sets a new password, for an admin who has lost the password and the mailbox. Good for 15 minutes, and once.",
  effect: "write",
  args: { user: userArg, anyUser: toggle("also for a user who is no admin") },
  examples: ["authctl admin recover ada@example.com --reason 'lost the phone'"],
  exits: { 4: "the user is no admin, or is disabled" },
  async run({ user, anyUser }, desk) {
    await desk.withCore(async (core, by) => {
      const { id, email } = (await findUser(core, user)).user;
      const { facts, expiresAt } = await orderRecovery(core, by, id, { anyUser });
      const { link } = facts;
      if (desk.json) await desk.print({ id, email, link, expires_at: expiresAt.toISOString() });
      else await desk.print(link);
      desk.say(
        `Open it in a browser until ${expiresAt.toISOString()}. Whoever has it can become ${email}: hand it to nobody else.`,
      );
    });
  },
});

type Act = (core: Core, by: Actor, userId: string, role: string) => Promise<boolean>;

async function change(desk: Desk, reference: string, act: Act, otherwise: string): Promise<void> {
  await desk.withCore(async (core, by) => {
    const { id, email } = (await findUser(core, reference)).user;
    if (!(await act(core, by, id, adminRole))) desk.say(`${email} ${otherwise}. Nothing to do.`);
    const { user, roles } = await getUser(core, id);
    await desk.print(userView(user, roles), ["id", "email", "roles"]);
  });
}

export default group({ description: "Who administers.", verbs: { seed, list, grant, revoke, recover } });
