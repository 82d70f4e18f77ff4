/** The admin that the settings name. */
import { afterEach, describe, expect, test } from "bun:test";
import { anonymous, noClient } from "../../src/core/actors.ts";
import { DomainError } from "../../src/core/errors.ts";
import { login } from "../../src/core/login.ts";
import { seedAdmin } from "../../src/core/users/admins.ts";
import { seedFirstAdmin } from "../../src/core/users/first-admin.ts";
import { register } from "../../src/core/users/registration.ts";
import { pagesOfUsers } from "../../src/core/users/user-lists.ts";
import { updateUser } from "../../src/core/users.ts";
import { goodPassword, openTestCore, registerAda, root, type TestCore, visitor } from "../support/core.ts";
import { dump } from "../support/database.ts";

const ada = { ADMIN_EMAIL: "ada@acme.dev", ADMIN_USERNAME: "ada", ADMIN_PASSWORD: goodPassword };

let core: TestCore;
afterEach(() => core.close());

const open = async (env: Record<string, string> = {}) => (core = await openTestCore(env));

async function admins(): Promise<string[]> {
  const emails: string[] = [];
  for await (const page of pagesOfUsers(core, { role: "admin" })) emails.push(...page.map(({ user }) => user.email));
  return emails;
}

/** What is said where a server of these settings does not start on the data that there is. */
async function refusal(env: Record<string, string>) {
  const again = await core.again(env).catch((error: unknown) => error);
  if (again instanceof DomainError) return { code: again.code, errors: again.errors };
  throw new Error("it starts");
}

describe("a server that starts where nobody administers", () => {
  test("makes the admin, who can sign in at once", async () => {
    await open(ada);
    expect(await admins()).toEqual(["ada@acme.dev"]);
    const signIn = { identifier: "ada", password: goodPassword, credential: "tokens" } as const;
    const { standing } = await login(core, anonymous(noClient), signIn);
    expect(standing.roles.toSorted()).toEqual(["admin", "user"]);
    expect(standing.user.emailVerifiedAt).not.toBeNull();
  });

  test("makes one, however many start at once", async () => {
    await open();
    const others = await Promise.all(Array.from({ length: 20 }, () => core.again(ada)));
    await Promise.all(others.map((one) => one.close()));
    expect(await admins()).toEqual(["ada@acme.dev"]);
    const { users = [], audit_events: events = [] } = await dump(core);
    expect(users).toHaveLength(1);
    expect(events.filter(({ action }) => action === "user.created")).toHaveLength(1);
  });

  test("gives the role to a user who has verified the address", async () => {
    await open();
    const { user } = await registerAda(core, ada.ADMIN_EMAIL);
    await updateUser(core, root, user.id, { emailVerified: true });
    await (await core.again(ada)).close();
    expect(await admins()).toEqual([ada.ADMIN_EMAIL]);
  });

  test("gives nothing to whoever has signed up with the address first", async () => {
    await open();
    await registerAda(core, ada.ADMIN_EMAIL);
    expect(await refusal(ada)).toMatchObject({
      code: "config_invalid",
      errors: [{ path: "ADMIN_EMAIL", message: expect.stringContaining("authctl admin grant") }],
    });
    expect(await admins()).toEqual([]);
  });

  test.each<[string, Record<string, string>, string]>([
    ["a weak password", { ...ada, ADMIN_PASSWORD: "password123" }, "ADMIN_PASSWORD"],
    ["no password", { ADMIN_EMAIL: "ada@acme.dev" }, "ADMIN_PASSWORD"],
    ["no address", { ...ada, ADMIN_EMAIL: "ada" }, "ADMIN_EMAIL"],
    ["a reserved name", { ...ada, ADMIN_USERNAME: "admin" }, "ADMIN_USERNAME"],
    ["a name that somebody has", { ...ada, ADMIN_USERNAME: "grace" }, "ADMIN_USERNAME"],
  ])("refuses %s, and names the variable", async (_, env, path) => {
    await open();
    await register(core, visitor, { email: "grace@acme.dev", username: "grace", password: goodPassword });
    const { code, errors = [] } = await refusal(env);
    expect([code, ...new Set(errors.map((one) => one.path))]).toEqual(["config_invalid", path]);
    expect(JSON.stringify(errors)).not.toContain("password123");
    expect(await admins()).toEqual([]);
  });

  test("writes the password into no log", async () => {
    await open(ada);
    expect(JSON.stringify([core.lines, await dump(core)])).not.toContain(goodPassword);
  });
});

describe("a server that starts where somebody administers", () => {
  test("makes nobody, and asks for no password", async () => {
    await open();
    await seedAdmin(core, root, { email: "grace@acme.dev", password: () => Promise.resolve(goodPassword) });
    for (const env of [ada, { ADMIN_EMAIL: "ada@acme.dev" }, { ...ada, ADMIN_PASSWORD: "weak" }]) {
      await (await core.again(env)).close();
    }
    expect(await admins()).toEqual(["grace@acme.dev"]);
    expect(await seedFirstAdmin({ ...core, settings: { ...core.settings, ...ada } }, root)).toBeUndefined();
  });
});
