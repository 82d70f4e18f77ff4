import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { chmodSync, readdirSync, writeFileSync } from "node:fs";
import { commands, completeName } from "../../cli/run.ts";
import { anonymous, noClient } from "../../src/core/actors.ts";
import { addBan } from "../../src/core/bans.ts";
import { resendVerification } from "../../src/core/users/addresses.ts";
import { deleteUser, findUser } from "../../src/core/users.ts";
import { person, Shell, sessionsOf } from "../support/cli.ts";
import { root } from "../support/core.ts";
import { freePort } from "../support/free-port.ts";
import { program } from "../support/program.ts";
import { type } from "./toy.ts";

/** What is offered behind `line`, whose last word is being typed. */
async function offered(line: string, shell?: Shell): Promise<string[]> {
  const words = [completeName, ...line.split(" ")];
  const where = shell ? { cwd: shell.directory, env: shell.env } : {};
  const { code, stdout, stderr } = await type(words, { tree: commands, ...where });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout
    .split("\n")
    .slice(0, -1)
    .map((one) => one.split("\t")[0]!);
}

async function peopled(): Promise<Shell> {
  const shell = new Shell();
  await shell.core(async (core) => {
    for (const email of ["ada@example.com", "adele@example.com", "bob@example.com"]) await person(core, email);
    await sessionsOf(core, "ada@example.com", 2);
  });
  return shell;
}

describe("names that stand in the program", () => {
  test.each([
    ["vers", ["version"]],
    ["user ex", ["export"]],
    ["user role ", ["add", "remove"]],
    ["help user ex", ["export"]],
    ["user list --so", ["--sort"]],
    ["user list --email-v", ["--email-verified"]],
    ["user list --no-a", ["--no-active"]],
    ["user list --sort cr", ["created_at"]],
    ["user list --sort=cr", ["--sort=created_at"]],
    ["--json key r", ["rotate", "retire"]],
    ["--env-file x.env key r", ["rotate", "retire"]],
    ["token purge --kind sessions,mai", ["--kind sessions,mails"]],
    ["config explain TOKEN_AL", ["TOKEN_ALGORITHM"]],
    ["mail preview new-d", ["new-device"]],
    ["user import ./us", [":file"]],
    ["backup create --out ./ba", [":file"]],
    ["backup create --recipient age", []],
    ["job run audit", ["audit-purge"]],
    ["job print-cron purge key-", ["key-rotation"]],
    ["job print-k8s --secret ma", []],
    ["job print-systemd --user ro", []],
    ["user nonsense ", []],
    ["nonsense --", []],
    ["user list --nonsense=x", []],
    ["key list ", []],
    ["user get x ", []],
  ])("%s", async (line, expected) => {
    const words = await offered(line);
    expect(words).toEqual(expected.map((one) => one.split(" ").at(-1)!));
  });

  test("every command, every flag and nothing twice", async () => {
    expect(await offered("")).toEqual(Object.keys(commands));
    expect(await offered("user list --quiet --qu")).not.toContain("--quiet");
    expect(await offered("user create --role user --ro")).toContain("--role");
  });
});

describe("names that stand in the database", () => {
  test("users, sessions, roles, permissions and keys, as they are named", async () => {
    using shell = await peopled();
    expect(await offered("user get ad", shell)).toEqual(["ada@example.com", "adele@example.com"]);
    expect(await offered("user disable bob@example.com AD", shell)).toHaveLength(2);
    expect(await offered("session list --user=bo", shell)).toEqual(["--user=bob@example.com"]);
    expect(await offered("user create --role admin,g", shell)).toEqual(["admin,guest"]);
    expect(await offered("role get u", shell)).toEqual(["user"]);
    expect(await offered("check authz --permission aud", shell)).toContain("audit:read");
    const sessions = await offered("session revoke ", shell);
    expect(sessions).toHaveLength(2);
    expect(await offered(`session get ${sessions[1]!.slice(0, -1)}`, shell)).toEqual([sessions[1]!]);
  });

  test("mails, bans, secrets, and those who were deleted", async () => {
    using shell = await peopled();
    const [mail, network] = await shell.core(async (core) => {
      await resendVerification(core, anonymous(noClient), "bob@example.com");
      await deleteUser(core, root, (await findUser(core, "adele@example.com")).user.id);
      const ban = await addBan(core, root, "192.0.2.0/24", undefined);
      const [first] = await core.store.mails.page(undefined, 1);
      return [first!.id, ban.network];
    });
    expect(await offered("mail queue retry ", shell)).toContain(mail);
    expect(await offered(`mail queue drop ${mail} ${mail.slice(0, 20)}`, shell)).toContain(mail);
    expect(await offered("ban remove 192", shell)).toEqual([network]);
    expect(await offered("ban add bo", shell)).toEqual(["bob@example.com"]);
    expect(await offered("limit show bo", shell)).toEqual(["bob@example.com"]);
    expect(await offered("user restore ad", shell)).toEqual(["adele@example.com"]);
    expect(await offered("secret retire ", shell)).toHaveLength(1);
  });

  test("are those of the settings that the line names", async () => {
    using shell = await peopled();
    using elsewhere = new Shell();
    writeFileSync(elsewhere.file("there.env"), `DATA_DIR=${shell.file("data")}\n`);
    expect(await offered("--env-file there.env user get bo", elsewhere)).toEqual(["bob@example.com"]);
    expect(await offered("user get bo", elsewhere)).toEqual([]);
  });

  test("are few, and none of them could be taken for something else", async () => {
    using shell = new Shell();
    await shell.core(async (core) => {
      for (let made = 0; made < 60; made++) await person(core, `user${made}@example.com`);
    });
    expect(await offered("user get user", shell)).toHaveLength(50);
  });
});

describe("nothing is said, made or waited for", () => {
  test("where there is no database", async () => {
    using shell = new Shell();
    expect(await offered("user get a", shell)).toEqual([]);
    expect(readdirSync(shell.directory)).toEqual([]);
  });

  test.each([
    ["is broken", (file: string) => writeFileSync(file, "not a database".repeat(1000))],
    ["is empty", (file: string) => writeFileSync(file, "")],
    ["may not be read", (file: string) => chmodSync(file, 0o000)],
  ])("where it %s", async (_, harm) => {
    using shell = await peopled();
    harm(shell.file("data/auth.db"));
    // An administrator may read what nobody may.
    const isAllowed = process.getuid?.() === 0 && _ === "may not be read";
    expect(await offered("user get ada", shell)).toEqual(isAllowed ? ["ada@example.com"] : []);
  });

  test("where another program holds the whole file", async () => {
    using shell = await peopled();
    using original = new Database(shell.file("data/auth.db"));
    // A copy keeps no journal beside it, so that a lock of it keeps readers out too.
    original.run("VACUUM INTO ?", [shell.file("copy.db")]);
    using other = new Database(shell.file("copy.db"));
    const env = { ...shell.env, DATABASE_URL: "copy.db" };
    const ask = () => type([completeName, "user", "get", "ada"], { tree: commands, cwd: shell.directory, env });
    expect((await ask()).stdout).toStartWith("ada@example.com");
    other.run("BEGIN EXCLUSIVE");
    expect(await ask()).toMatchObject({ code: 0, stdout: "", stderr: "" });
  });

  test("where Postgres does not answer, or the settings do not fit", async () => {
    using shell = new Shell({ DATABASE_URL: `postgres://u:p@127.0.0.1:${await freePort()}/x` });
    expect(await offered("user get ada", shell)).toEqual([]);
    using wrong = new Shell({ PORT: "a" });
    expect(await offered("user get ada", wrong)).toEqual([]);
  });
});

describe("in a real shell", () => {
  /** What bash makes of `typed` and a press of the tab key. */
  async function completed(shell: Shell, typed: string): Promise<string> {
    const script = [
      "authctl() { :; }",
      `command() { shift; ${program.map((word) => `'${word}'`).join(" ")} "$@"; }`,
      `source <(command authctl completion bash)`,
      `COMP_LINE=$1 COMP_POINT=\${#1}`,
      "_authctl authctl \"$2\" ''",
      `printf '%s\\n' "\${COMPREPLY[@]}"`,
    ].join("\n");
    const line = `authctl ${typed}`;
    // As readline parts it: behind a space, and behind each of = : @, of which the last belongs to the word.
    const [word = ""] = /(?:@[^\s=:@]*|[^\s=:@]*)$/.exec(line)!;
    const child = Bun.spawn(["bash", "--norc", "-c", script, "bash", line, word], {
      cwd: shell.directory,
      env: shell.env,
      stdout: "pipe",
      stderr: "pipe",
    });
    expect(await child.stderr.text()).toBe("");
    return (await child.stdout.text()).trimEnd();
  }

  test("bash completes commands and names, and quotes whatever would mean something to it", async () => {
    using shell = await peopled();
    await shell.core(async (core) => void (await person(core, "o'neill`id`@example.com")));
    expect(await completed(shell, "vers")).toBe("version");
    expect(await completed(shell, "user get bo")).toBe("bob@example.com");
    expect(await completed(shell, "user get bob@ex")).toBe("@example.com");
    expect(await completed(shell, "session list --user=bo")).toBe("bob@example.com");
    expect(await completed(shell, "user create --role admin,gu")).toBe("admin,guest");
    expect(await completed(shell, "user get o")).toBe("o\\'neill\\`id\\`@example.com");
  });

  test.each(["bash", "zsh", "fish"])("%s is given a script that asks for what is typed", async (name) => {
    const { code, stdout } = await type(["completion", name], { tree: commands });
    expect(code).toBe(0);
    expect(stdout).toContain(`command authctl ${completeName} `);
  });
});
