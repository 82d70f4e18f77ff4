import { describe, expect, test } from "bun:test";
import { createRole } from "../../src/core/roles.ts";
import { person, Shell } from "../support/cli.ts";
import { root } from "../support/core.ts";

const support = { name: "support", description: "Helps people", permissions: ["sessions:*", "users:read"] };

/** A shell with ada, and a role that she does not hold. */
async function shellWithSupport(): Promise<Shell> {
  const shell = new Shell();
  await shell.core(async (core) => {
    await person(core, "ada@example.com");
    await createRole(core, root, support.name, support);
  });
  return shell;
}

describe.concurrent("role", () => {
  test("makes, shows, changes and lists a role", async () => {
    using shell = new Shell();
    const line = "role create support --permission users:read,sessions:* --permission users:read --json";
    const made = await shell.run([...line.split(" "), "--description", "Helps people"]);
    expect(JSON.parse(made.stdout)).toEqual(support);
    expect(await shell.json("role get support")).toEqual(support);
    expect(await shell.json("role update support --permission billing:refund")).toEqual({
      ...support,
      permissions: ["billing:refund"],
    });
    expect(await shell.json("role update support --description Cashiers")).toMatchObject({
      description: "Cashiers",
      permissions: ["billing:refund"],
    });
    expect(await shell.json<object[]>("role ls")).toMatchObject([
      { name: "admin", permissions: ["*"] },
      { name: "guest" },
      { name: "support" },
      { name: "user" },
    ]);
    expect((await shell.run("role create support")).code).toBe(4);
    expect((await shell.run("role update support")).code).toBe(2);
    expect((await shell.run("role get nobody")).code).toBe(3);
  });

  test("adds and removes permissions, of arguments and of standard input", async () => {
    using shell = await shellWithSupport();
    const added = await shell.json<{ permissions: string[] }>("role permission add support users:write app:*");
    expect(added.permissions).toEqual(["app:*", "sessions:*", "users:read", "users:write"]);
    const input = "users:write\napp:*\n";
    const removed = await shell.json<{ permissions: string[] }>("role permission remove support -", { input });
    expect(removed.permissions).toEqual(support.permissions);
    const { code, stderr } = await shell.run("role permission add support users:write Users");
    expect(code).toBe(2);
    expect(stderr).toContain("permissions.1 is no permission");
    expect(await shell.json("role get support")).toEqual(support);
    expect((await shell.run("role permission add admin users:read")).code).toBe(4);
    expect((await shell.run("role permission")).code).toBe(2);
  });

  test("deletes a role once it has said from whom that takes it", async () => {
    using shell = await shellWithSupport();
    await shell.run("user role add ada@example.com support");
    const asked = await shell.run("role delete support");
    expect(asked.code).toBe(2);
    expect(asked.stderr).toContain("takes it from 1 user. To do it: authctl role delete support --yes");
    expect((await shell.run("role delete support --dry-run")).stderr).toContain("from 1 user");
    expect(await shell.json("role get support")).toEqual(support);
    expect(await shell.json("role delete support --yes")).toEqual({ name: "support", holders: 1 });
    expect((await shell.run("role delete support --yes")).code).toBe(3);
    expect(await shell.json("user get ada@example.com")).toMatchObject({ roles: ["user"] });
    for (const name of ["admin", "user", "guest"])
      expect((await shell.run(`role delete ${name} --dry-run`)).code).toBe(4);
  });
});

describe.concurrent("user role", () => {
  test("gives and takes several roles, and does nothing twice", async () => {
    using shell = await shellWithSupport();
    const add = "user role add ada@example.com support guest";
    expect(await shell.json(`${add} --reason because`)).toMatchObject({ roles: ["guest", "support", "user"] });
    expect((await shell.run(add)).stderr).toContain("Nothing to do");
    const remove = "user role remove ada@example.com support guest user";
    expect(await shell.json(remove)).toMatchObject({ roles: [] });
    expect((await shell.run(remove)).stderr).toContain("Nothing to do");
    const events = await shell.core((core) => core.store.auditEvents.page({}, 50));
    expect(events.filter(({ action }) => action === "user.role_granted")).toMatchObject([
      { actorKind: "operator", reason: "because" },
      { actorKind: "operator", reason: "because" },
    ]);
  });

  test("does nothing at all where one of the roles is unknown, or the last admin would be lost", async () => {
    using shell = await shellWithSupport();
    expect((await shell.run("user role add ada@example.com support owner")).code).toBe(3);
    expect((await shell.run("user role add nobody support")).code).toBe(3);
    expect((await shell.run("user role add ada@example.com")).code).toBe(2);
    expect(await shell.json("user get ada@example.com")).toMatchObject({ roles: ["user"] });
    await shell.run("user role add ada@example.com admin");
    const { code, stderr } = await shell.run("user role remove ada@example.com user admin --json");
    expect([code, JSON.parse(stderr).code]).toEqual([4, "last_admin"]);
    expect(await shell.json("user get ada@example.com")).toMatchObject({ roles: ["admin", "user"] });
  });
});

describe.concurrent("check authz", () => {
  const check = "check authz --user ada@example.com --permission";

  test("says yes with the role that permits it", async () => {
    using shell = await shellWithSupport();
    await shell.run("user role add ada@example.com support");
    expect(await shell.json(`${check} sessions:write`)).toEqual({
      allowed: true,
      user: { id: expect.any(String), email: "ada@example.com" },
      permission: "sessions:write",
      because: "Permitted by the role support (sessions:*).",
    });
  });

  test("says no with exit 5, and why, on standard output", async () => {
    using shell = await shellWithSupport();
    const refusal = await shell.json<{ allowed: boolean; because: string }>(`${check} users:read`, {}, 5);
    expect(refusal).toMatchObject({
      allowed: false,
      because: "None of the user's roles permits it: user. These would: admin (*), support (users:read).",
    });
    const { stdout, stderr } = await shell.run(`${check} users:read`);
    expect(stdout).toStartWith("allowed\tfalse\nuser\tada@example.com\npermission\tusers:read\nbecause\tNone");
    expect(stderr).toBe("");
    await shell.run("user disable ada@example.com");
    expect(await shell.json(`${check} users:read`, {}, 5)).toMatchObject({
      because: expect.stringContaining("disabled"),
    });
  });

  test("refuses what is no permission, and knows nobody who is not there", async () => {
    using shell = await shellWithSupport();
    for (const permission of ["users", "Users:read", "*:read", "users:read,users:write"])
      expect((await shell.run(`${check} ${permission}`)).code).toBe(2);
    expect((await shell.run("check authz --user nobody --permission users:read")).code).toBe(3);
    expect((await shell.run("check authz --user ada@example.com")).code).toBe(2);
  });
});
