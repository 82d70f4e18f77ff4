import { describe, expect, test } from "bun:test";
import { anonymous, noClient } from "../../src/core/actors.ts";
import { login } from "../../src/core/login.ts";
import { person, Shell, sessionsOf } from "../support/cli.ts";
import { codeOf, goodPassword } from "../support/core.ts";

type User = {
  readonly id: string;
  readonly email: string;
  readonly roles: readonly string[];
  readonly is_active: boolean;
};

const emails = (users: readonly User[]) => users.map(({ email }) => email);

/** A shell with ada (an admin), bob and eve. */
async function peopled(): Promise<Shell> {
  const shell = new Shell();
  await shell.core(async (core) => {
    await person(core, "ada@example.com", ["admin", "user"]);
    await person(core, "bob@example.com");
    await person(core, "eve@example.com");
  });
  return shell;
}

const signIn = (shell: Shell, identifier: string, password = goodPassword) =>
  shell.core((core) => codeOf(login(core, anonymous(noClient), { identifier, password, credential: "session" })));

describe.concurrent("user list", () => {
  test("has the shape of the HTTP interface", async () => {
    using shell = await peopled();
    const [ada] = await shell.json<User[]>("user list");
    expect(Object.keys(ada!)).toEqual(
      "id email email_verified username full_name locale profile is_active is_admin roles created_at updated_at last_login_at".split(
        " ",
      ),
    );
  });

  test("filters", async () => {
    using shell = await peopled();
    await shell.run("user disable bob@example.com");
    await shell.run("user update eve@example.com --email-verified --username Eve");
    const found = async (flags: string) => emails(await shell.json<User[]>(`user list ${flags}`));
    expect(await found("--role admin")).toEqual(["ada@example.com"]);
    expect(await found("--active")).toEqual(["ada@example.com", "eve@example.com"]);
    expect(await found("--no-active")).toEqual(["bob@example.com"]);
    expect(await found("--email-verified")).toEqual(["eve@example.com"]);
    expect(await found("--no-email-verified")).toEqual(["ada@example.com", "bob@example.com"]);
    expect(await found("--query EV")).toEqual(["eve@example.com"]);
    expect(await found("--query %")).toEqual([]);
    expect(await found("--role nobody")).toEqual([]);
    expect(await found("--sort=-email --active")).toEqual(["eve@example.com", "ada@example.com"]);
  });

  test("goes over the edge of a page to the end, and says where it stopped", async () => {
    using shell = new Shell();
    await shell.core((core) =>
      core.store.write(async (tx) => {
        for (let at = 0; at < 401; at++) {
          const now = core.clock.now();
          const email = `user${at}@example.com`;
          await tx.users.insert({ id: core.random.id(now), email, emailKey: email, createdAt: now, updatedAt: now });
        }
      }),
    );
    const whole = await shell.run("user list --output id");
    expect(new Set(whole.stdout.trim().split("\n")).size).toBe(401);
    expect(whole.stderr).toBe("");
    const some = await shell.run("user list --output id --limit 200");
    expect(some.stdout.trim().split("\n")).toHaveLength(200);
    expect(some.stderr).toContain("more than 200 users");
    expect((await shell.run("user list --limit 401")).stderr).toBe("");
  });

  test.each(["--limit 0", "--limit=-1", "--limit x", "--activ", "--role", "extra", "--no-role"])(
    "refuses %s",
    async (flags) => {
      using shell = new Shell();
      expect((await shell.run(`user list ${flags}`)).code).toBe(2);
    },
  );
});

describe.concurrent("locale and profile", () => {
  const PROFILE_SCHEMA = JSON.stringify({
    type: "object",
    additionalProperties: false,
    properties: { theme: { type: "string" }, plan: { type: "string", readOnly: true } },
  });
  const outside = (profile: unknown) => ({ input: JSON.stringify(profile), env: { PROFILE_SCHEMA } });

  test("are given, merged and cleared, read-only members too", async () => {
    using shell = new Shell();
    await Bun.write(shell.file("profile.json"), '{"plan":"pro"}');
    const created = "user create --email ada@example.com --passwordless --locale de-at --profile-json profile.json";
    expect(await shell.json(created, outside(""))).toMatchObject({ locale: "de-AT", profile: { plan: "pro" } });
    const update = (flags: string, profile: unknown = {}) =>
      shell.json(`user update ada@example.com ${flags}`, outside(profile));
    expect(await update("--profile-json -", { theme: "dark" })).toMatchObject({
      profile: { plan: "pro", theme: "dark" },
    });
    expect(await update("--profile-json -", { plan: null })).toMatchObject({ profile: { theme: "dark" } });
    expect(await update("--clear profile,locale")).toMatchObject({ profile: {}, locale: null });
  });

  test("that do not fit are refused, and nothing is done", async () => {
    using shell = await peopled();
    const update = (flags: string, profile: unknown) =>
      shell.run(`user update bob@example.com ${flags}`, outside(profile));
    expect(await update("--profile-json -", { other: 1 })).toMatchObject({ code: 2, stdout: "" });
    for (const profile of [[], "x", null]) expect((await update("--profile-json -", profile)).code).toBe(2);
    expect((await update("--profile-json nowhere.json", {})).stderr).toContain("--profile-json failed with ENOENT");
    expect((await update("--profile-json - --clear profile", {})).code).toBe(2);
    expect((await update("--locale de_AT", {})).code).toBe(2);
    const both = await shell.run("user create --email x@example.com --profile-json - --password-stdin", outside({}));
    expect(both.code).toBe(2);
  });

  test("a PROFILE_SCHEMA that is none is found before anything starts", async () => {
    using shell = new Shell();
    const env = { PROFILE_SCHEMA: '{"type":"object","requred":["a"]}' };
    const { code, stderr } = await shell.run("config check", { env });
    expect(code).toBe(5);
    expect(stderr).toContain('PROFILE_SCHEMA is no schema that can be used: strict mode: unknown keyword: "requred"');
    const listing = await shell.run("user list", { env });
    expect([listing.code, listing.stderr.includes("PROFILE_SCHEMA")]).toEqual([78, true]);
  });
});

test("user get finds by id, address and user name", async () => {
  using shell = await peopled();
  const bob = await shell.json<User>("user update bob@example.com --username Bob.1");
  for (const name of [bob.id, "BOB@EXAMPLE.COM", "bob.1"])
    expect(await shell.json(`user show ${name}`)).toEqual({ ...bob });
  for (const name of ["nobody", "nobody@example.com", "' OR 1=1 --", "\u001b[31m", "x".repeat(5000)]) {
    const { code, stderr } = await shell.run(["user", "get", name]);
    expect(code).toBe(3);
    expect(stderr).not.toContain("\u001b");
  }
});

describe.concurrent("user create", () => {
  test("makes a user with everything that can be said", async () => {
    using shell = new Shell();
    const words = ["user", "create", "--email", "ada@example.com", "--username", "ada", "--full-name", "Ada King"];
    const flags = ["--role", "admin,user", "--email-verified", "--password-stdin", "--json"];
    const { code, stdout } = await shell.run([...words, ...flags], { input: goodPassword });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      username: "ada",
      full_name: "Ada King",
      roles: ["admin", "user"],
      email_verified: true,
    });
    expect(await signIn(shell, "ada")).toBeUndefined();
  });

  test("makes one who cannot sign in yet: without a password, or disabled", async () => {
    using shell = new Shell();
    expect((await shell.run("user create --email ada@example.com --passwordless")).code).toBe(0);
    const { is_active, password } = await shell.json("user create --email bob@example.com --disabled --generate");
    expect(is_active).toBeFalse();
    expect(await signIn(shell, "ada@example.com", "")).toBe("invalid_credentials");
    expect(await signIn(shell, "bob@example.com", String(password))).toBe("invalid_credentials");
  });

  test("refuses what is taken, unknown or unfit, all of it at once", async () => {
    using shell = await peopled();
    expect((await shell.run("user create --email ADA@example.com --generate")).code).toBe(4);
    expect((await shell.run("user create --email new@example.com --generate --role king")).code).toBe(3);
    const { code, stdout, stderr } = await shell.run("user create --email x --username a --passwordless --json");
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(JSON.parse(stderr)).toMatchObject({
      code: "validation_failed",
      errors: [{ path: "email" }, { path: "username" }],
    });
    expect((await shell.run("user create --email new@example.com --passwordless --generate")).code).toBe(2);
    expect((await shell.run("user create --email new@example.com")).code).toBe(2);
    expect(await shell.json<User[]>("user list")).toHaveLength(3);
  });
});

describe.concurrent("user update", () => {
  test("changes and clears names", async () => {
    using shell = await peopled();
    const named = await shell.json("user update bob@example.com --username bobby --full-name=Bob --email-verified");
    expect(named).toMatchObject({ username: "bobby", full_name: "Bob", email_verified: true });
    expect(await shell.json("user update bobby --clear username,full-name --no-email-verified")).toMatchObject({
      username: null,
      full_name: null,
      email_verified: false,
    });
    expect(await shell.json("user update bob@example.com --email rob@example.com")).toMatchObject({
      email: "rob@example.com",
    });
  });

  test("refuses what is taken, contradictory or nothing at all", async () => {
    using shell = await peopled();
    expect((await shell.run("user update bob@example.com --email eve@example.com")).code).toBe(4);
    expect((await shell.run("user update bob@example.com --username x1 --clear username")).code).toBe(2);
    expect((await shell.run("user update bob@example.com")).code).toBe(2);
    expect((await shell.run("user update bob@example.com --clear email")).code).toBe(2);
    expect((await shell.run("user update nobody --username bobby")).code).toBe(3);
  });
});

describe.concurrent("user disable and enable", () => {
  test("end all sessions, of several users at once, and do nothing twice", async () => {
    using shell = await peopled();
    await shell.core((core) => sessionsOf(core, "bob@example.com", 2));
    const { code, stdout, stderr } = await shell.run(
      "user disable bob@example.com eve@example.com bob@example.com --json",
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "disabled 2 users\n" });
    expect(JSON.parse(stdout).map((user: User) => user.is_active)).toEqual([false, false]);
    expect(await signIn(shell, "bob@example.com")).toBe("invalid_credentials");
    expect(await shell.json("session list")).toEqual([] as never);
    expect((await shell.run("user disable bob@example.com")).code).toBe(0);
    expect((await shell.run("user enable -", { input: "bob@example.com\neve@example.com\n" })).code).toBe(0);
    expect(await signIn(shell, "bob@example.com")).toBeUndefined();
  });

  test("do nothing at all where one is unknown", async () => {
    using shell = await peopled();
    const { code, stderr } = await shell.run("user disable bob@example.com nobody@example.com");
    expect(code).toBe(3);
    expect(stderr).toContain("nobody@example.com is no user's id");
    expect(await shell.json<User[]>("user list --no-active")).toEqual([]);
  });

  test("go on after one who is refused, and say who it was", async () => {
    using shell = await peopled();
    const { code, stdout, stderr } = await shell.run("user disable ada@example.com bob@example.com --output id");
    expect(code).toBe(6);
    expect(stdout.trim().split("\n")).toHaveLength(1);
    expect(stderr).toContain("ada@example.com was refused: The last active admin stays.");
    expect(emails(await shell.json<User[]>("user list --active"))).toEqual(["ada@example.com", "eve@example.com"]);
  });

  test("rehearse", async () => {
    using shell = await peopled();
    expect(await shell.json<User[]>("user disable bob@example.com --dry-run")).toHaveLength(1);
    expect(await shell.json<User[]>("user list --no-active")).toEqual([]);
  });
});

describe.concurrent("user delete", () => {
  test("says what it would do and waits for a yes", async () => {
    using shell = await peopled();
    await shell.core((core) => sessionsOf(core, "bob@example.com", 3));
    const { code, stderr } = await shell.run("user delete bob@example.com");
    expect(code).toBe(2);
    expect(stderr).toContain("This deletes 1 user (bob@example.com) and ends 3 sessions.");
    expect(stderr).toContain("To do it: authctl user delete bob@example.com --yes");
    expect((await shell.run("user rm bob@example.com --yes")).code).toBe(0);
    expect((await shell.run("user get bob@example.com")).code).toBe(3);
    expect(await shell.json("session list --no-active")).toEqual([] as never);
  });

  test("rehearses, and takes names from standard input", async () => {
    using shell = await peopled();
    const rehearsal = await shell.run("user delete - -n", { input: "bob@example.com eve@example.com" });
    expect(rehearsal.stderr).toContain("deletes 2 users (bob@example.com, eve@example.com) and ends 0 sessions");
    expect(await shell.json<User[]>("user list")).toHaveLength(3);
    expect((await shell.run("user delete -", { input: "\n" })).code).toBe(0);
    expect(await shell.json<User[]>("user list")).toHaveLength(3);
    expect((await shell.run("user delete")).code).toBe(2);
  });
});

describe.concurrent("user restore", () => {
  test("brings back who was deleted, and tells what could not be", async () => {
    using shell = await peopled();
    const { id } = await shell.json<User>("user get bob@example.com");
    await shell.run("user disable bob@example.com");
    expect((await shell.run("user delete bob@example.com eve@example.com --yes")).code).toBe(0);
    const deleted = await shell.json<Array<Record<string, string>>>("user list --deleted");
    expect(deleted.map(({ email }) => email)).toEqual(["bob@example.com", "eve@example.com"]);
    expect(Object.keys(deleted[0]!)).toEqual(["id", "email", "username", "deleted_at", "until"]);
    expect(Date.parse(deleted[0]!["until"]!) - Date.parse(deleted[0]!["deleted_at"]!)).toBe(30 * 86_400_000);
    const { code, stdout, stderr } = await shell.run("user restore bob@example.com --json");
    expect([code, JSON.parse(stdout).id]).toEqual([0, id]);
    expect(stderr).toContain("This user is disabled");
    await shell.run("user enable bob@example.com");
    expect(await signIn(shell, "bob@example.com")).toBeUndefined();
    expect((await shell.run("user restore bob@example.com")).code).toBe(3);
    await shell.core((core) => person(core, "eve@example.com"));
    const taken = await shell.run("user restore eve@example.com");
    expect(taken.code).toBe(4);
    expect(taken.stderr).toContain("Another user has the address by now.");
  });

  test("has nobody to bring back where nothing is kept, and lists take no filter", async () => {
    using shell = await peopled();
    const env = { TOMBSTONE_TTL: "0" };
    expect((await shell.run("user delete bob@example.com --yes", { env })).code).toBe(0);
    expect(await shell.json("user list --deleted", { env })).toEqual([] as never);
    expect((await shell.run("user restore bob@example.com", { env })).code).toBe(3);
    for (const flags of ["--active", "--limit 3", "--query a", "--sort email"])
      expect((await shell.run(`user list --deleted ${flags}`)).code).toBe(2);
  });
});

describe.concurrent("user set-password", () => {
  test("sets it, ends every session, and says how many", async () => {
    using shell = await peopled();
    await shell.core((core) => sessionsOf(core, "bob@example.com", 2));
    const next = "a wholly different phrase";
    const { code, stdout, stderr } = await shell.run("user set-password bob@example.com --password-stdin", {
      input: next,
    });
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: "",
      stderr: "set the password of bob@example.com, and ended 2 sessions\n",
    });
    expect(await signIn(shell, "bob@example.com", next)).toBeUndefined();
    expect(await signIn(shell, "bob@example.com")).toBe("invalid_credentials");
  });

  test("prints a generated one, alone or within the JSON", async () => {
    using shell = await peopled();
    const { stdout } = await shell.run("user set-password bob@example.com --generate");
    expect(await signIn(shell, "bob@example.com", stdout.trim())).toBeUndefined();
    const { password, sessions_ended } = await shell.json("user set-password bob@example.com --generate");
    expect(sessions_ended).toBe(1);
    expect(await signIn(shell, "bob@example.com", String(password))).toBeUndefined();
  });

  test("refuses a weak one and shows none", async () => {
    using shell = await peopled();
    const { code, stdout, stderr } = await shell.run("user set-password bob@example.com --password-stdin -v", {
      input: "bob@example.com",
    });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("The password is too weak");
    expect((await shell.run("user set-password nobody --generate")).stdout).toBe("");
  });
});
