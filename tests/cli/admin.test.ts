import { describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { anonymous, noClient } from "../../src/core/actors.ts";
import { login } from "../../src/core/login.ts";
import { person, Shell } from "../support/cli.ts";
import { authctl } from "../support/command.ts";
import { codeOf, goodPassword } from "../support/core.ts";
import { startServer } from "../support/server.ts";
import { until } from "../support/until.ts";

const signIn = (shell: Shell, identifier: string, password: string) =>
  shell.core((core) => codeOf(login(core, anonymous(noClient), { identifier, password, credential: "session" })));

describe.concurrent("admin seed", () => {
  test("makes an admin who can sign in, once", async () => {
    using shell = new Shell();
    const line = "admin seed --email ada@example.com --username ada --password-stdin";
    const first = await shell.json(line, { input: `${goodPassword}\n` });
    expect(first).toMatchObject({ outcome: "created", email: "ada@example.com", username: "ada", is_admin: true });
    expect(first).not.toHaveProperty("password");
    expect(await shell.json(line, { input: "another phrase altogether" })).toMatchObject({
      outcome: "unchanged",
      id: first.id,
    });
    expect(await signIn(shell, "ada", goodPassword)).toBeUndefined();
  });

  test("gives the role to a user who is there, and leaves the password alone", async () => {
    using shell = new Shell();
    await shell.core((core) => person(core, "ada@example.com"));
    const { code, stdout } = await shell.run("admin seed --email ADA@example.com --generate");
    expect(code).toBe(0);
    expect(stdout).toContain("outcome\tgranted");
    expect(stdout).not.toContain("password");
    expect(await signIn(shell, "ada@example.com", goodPassword)).toBeUndefined();
  });

  test("prints a generated password once, and that one works", async () => {
    using shell = new Shell();
    const { password } = await shell.json<{ password: string }>("admin seed --email ada@example.com --generate");
    expect(await signIn(shell, "ada@example.com", password)).toBeUndefined();
    expect(await shell.json("admin seed --email ada@example.com --generate")).not.toHaveProperty("password");
  });

  test("takes the password from a file", async () => {
    using shell = new Shell();
    writeFileSync(shell.file("secret"), `${goodPassword}\n`, { mode: 0o600 });
    chmodSync(shell.file("secret"), 0o600);
    expect((await shell.run("admin seed --email ada@example.com --password-file secret")).code).toBe(0);
    expect(await signIn(shell, "ada@example.com", goodPassword)).toBeUndefined();
  });

  test("with --if-none makes a second admin only where no active one is left", async () => {
    using shell = new Shell();
    await shell.core((core) => person(core, "ada@example.com", ["admin"]));
    const line = "admin seed --email bob@example.com --if-none --generate";
    expect(await shell.json(line)).toEqual({ outcome: "unchanged" });
    expect((await shell.run("user get bob@example.com")).code).toBe(3);
  });

  test("warns of an admin who cannot sign in", async () => {
    using shell = new Shell();
    await shell.core((core) => person(core, "ada@example.com"));
    await shell.run("user disable ada@example.com");
    expect((await shell.run("admin seed --email ada@example.com")).stderr).toContain("warning: This admin is disabled");
  });

  test("refuses what is weak, missing or on the command line, and repeats no secret", async () => {
    using shell = new Shell();
    const weak = await shell.run("admin seed --email ada@example.com --password-stdin", { input: "hunter2" });
    expect(weak.code).toBe(2);
    expect(weak.stderr).toContain("15 or more");
    const cases = [
      ["admin", "seed", "--email", "ada@example.com"],
      ["admin", "seed", "--generate"],
      ["admin", "seed", "--email", "no address", "--generate"],
      ["admin", "seed", "--email", "ada@example.com", "--password", "hunter2"],
      ["admin", "seed", "--email", "ada@example.com", "--password=hunter2"],
      ["admin", "seed", "--email", "ada@example.com", "--generate", "hunter2"],
    ];
    for (const words of cases) {
      const { code, stdout, stderr } = await shell.run(words);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).not.toContain("hunter2");
    }
    expect((await shell.run("user list")).stdout).toBe("");
  });
});

describe.concurrent("admin grant and revoke", () => {
  test("give and take the role, and do nothing twice", async () => {
    using shell = new Shell();
    await shell.core(async (core) => {
      await person(core, "ada@example.com", ["admin"]);
      await person(core, "bob@example.com");
    });
    expect(await shell.json("admin grant bob@example.com --reason because")).toMatchObject({
      is_admin: true,
      roles: ["admin", "user"],
    });
    expect((await shell.run("admin grant bob@example.com")).stderr).toContain("Nothing to do");
    expect(await shell.json<object[]>("admin list")).toMatchObject([
      { email: "ada@example.com" },
      { email: "bob@example.com" },
    ]);
    expect(await shell.json("admin revoke ada@example.com")).toMatchObject({ is_admin: false });
    expect((await shell.run("admin revoke ada@example.com")).stderr).toContain("is no admin");
    const events = await shell.core((core) => core.store.auditEvents.page({}, 10));
    expect(events.find(({ action }) => action === "user.role_granted")).toMatchObject({
      actorKind: "operator",
      reason: "because",
    });
  });

  test("leave the last active admin alone", async () => {
    using shell = new Shell();
    await shell.core((core) => person(core, "ada@example.com", ["admin"]));
    for (const line of [
      "admin revoke ada@example.com",
      "user disable ada@example.com",
      "user delete ada@example.com --yes",
    ]) {
      const { code, stderr } = await shell.run(`${line} --json`);
      expect(code).toBe(4);
      expect(JSON.parse(stderr)).toMatchObject({ code: "last_admin" });
    }
  });

  test("know nobody who is not there", async () => {
    using shell = new Shell();
    for (const line of ["admin grant nobody", "admin revoke nobody@example.com"])
      expect((await shell.run(line)).code).toBe(3);
    expect((await shell.run("admin grant")).code).toBe(2);
  });
});

describe.concurrent("admin recover", () => {
  test("prints a link that works over HTTP, once", async () => {
    const server = await startServer();
    try {
      const shell = (...args: string[]) => authctl(server.env, args);
      await authctl(server.env, ["admin", "seed", "--email", "ada@example.com", "--password-stdin"], goodPassword);
      const { code, stdout, stderr } = await shell("admin", "recover", "ada@example.com", "--reason", "lost it");
      expect(code).toBe(0);
      expect(stdout).toMatch(/^http:\/\/localhost:8000\/recover#token=rc_[\w-]{43}\n$/);
      expect(stderr).toContain("Open it in a browser until");
      const [path, token] = stdout.trim().replace("http://localhost:8000", "").split("#token=") as [string, string];
      const page = await server.get<undefined>(path);
      expect([page.status, page.text.includes('action="/api/v1/auth/recover"')]).toEqual([200, true]);
      const password = "another good long phrase";
      const use = () => server.post("/api/v1/auth/recover", { token, password });
      expect((await use()).status).toBe(204);
      expect(await use()).toMatchObject({ status: 400, body: { code: "token_invalid" } });
      const again = await server.post("/api/v1/auth/login", { email: "ada@example.com", password });
      expect(again.status).toBe(200);
      await until("the last line of the log", () => server.log.some(({ route }) => route === "/api/v1/auth/login"));
      expect(JSON.stringify(server.log) + server.errors()).not.toContain(token);
    } finally {
      await server.end();
    }
  });

  test("knows nobody who is not there, and sends nobody else away with a link", async () => {
    using shell = new Shell();
    await shell.core((core) => person(core, "bob@example.com"));
    expect((await shell.run("admin recover")).code).toBe(2);
    expect((await shell.run("admin recover nobody")).code).toBe(3);
    const refused = await shell.run("admin recover bob@example.com --json");
    expect([refused.code, refused.stdout, JSON.parse(refused.stderr).code]).toEqual([4, "", "not_an_admin"]);
    const made = await shell.json("admin recover bob@example.com --any-user");
    expect(made).toMatchObject({ email: "bob@example.com", link: expect.stringContaining("#token=rc_") });
  });
});
