import { describe, expect, test } from "bun:test";
import { statSync, writeFileSync } from "node:fs";
import { kebab } from "../../cli/options.ts";
import { commands } from "../../cli/run.ts";
import exportCommand from "../../cli/user-export.ts";
import importCommand from "../../cli/user-import.ts";
import { parseLine } from "../../cli/words.ts";
import { anonymous, noClient } from "../../src/core/actors.ts";
import type { Core } from "../../src/core/core.ts";
import { login } from "../../src/core/login.ts";
import { userView } from "../../src/core/views.ts";
import { person, Shell } from "../support/cli.ts";
import { codeOf } from "../support/core.ts";
import {
  csv,
  emailOf,
  foreignPassword,
  foreignUser,
  foreignUsers,
  hashConfig,
  importRecords,
  ndjson,
} from "../support/foreign-users.ts";
import { type } from "./toy.ts";

type Done = {
  readonly source: string;
  readonly rows: number;
  readonly imported: number;
  readonly already: number;
  readonly refused: number;
  readonly refusals: Record<string, number>;
  readonly first_refused: ReadonlyArray<{ line: number; reason: string; message: string }>;
};
type User = Readonly<Record<string, unknown>>;

const withFile = (content: string, name = "users"): Shell => {
  const shell = new Shell();
  writeFileSync(shell.file(name), content);
  return shell;
};
const signIn = (shell: Shell, identifier: string) =>
  shell.core((core) =>
    codeOf(login(core, anonymous(noClient), { identifier, password: foreignPassword, credential: "session" })),
  );
const parsed = (text: string): User[] =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as User);

describe("user import", () => {
  test("takes over a file of lines, and whoever is in it signs in", async () => {
    using shell = withFile(ndjson(foreignUsers("fastapi-users", 3)));
    const done = await shell.json<Done>("user import users");
    expect(done).toMatchObject({
      source: "fastapi-users",
      dry_run: false,
      rows: 3,
      imported: 3,
      admins: 1,
      hashes: { bcrypt: 3 },
    });
    expect(await signIn(shell, "person.2")).toBeUndefined();
    expect(await shell.json("user import users")).toMatchObject({ imported: 0, already: 3 });
  });

  test.each(["fastapi-users", "supabase", "better-auth"] as const)(
    "takes over the table of %s as CSV",
    async (source) => {
      using shell = withFile(csv(foreignUsers(source, 3)), "users.csv");
      expect(await shell.json<Done>(`user import users.csv --from ${source}`)).toMatchObject({
        imported: 3,
        admins: 1,
      });
      expect(await signIn(shell, emailOf(source, 1))).toBeUndefined();
    },
  );

  test.each(["keycloak", "firebase"] as const)("takes over the document of %s", async (source) => {
    using shell = withFile(JSON.stringify({ realm: "shop", users: foreignUsers(source, 3) }, undefined, 2));
    writeFileSync(shell.file("hash-config"), hashConfig, { mode: 0o600 });
    const flags = source === "firebase" ? " --hash-config hash-config" : "";
    expect(await shell.json<Done>(`user import users${flags}`)).toMatchObject({ source, imported: 3 });
    expect(await signIn(shell, emailOf(source, 1))).toBeUndefined();
  });

  test("reads standard input", async () => {
    using shell = new Shell();
    const input = ndjson(foreignUsers("auth0", 2));
    expect(await shell.json<Done>("user import -", { input })).toMatchObject({ source: "auth0", imported: 2 });
  });

  test("rehearses, and writes nothing", async () => {
    using shell = withFile(ndjson(foreignUsers("keycloak", 3)));
    await shell.core((core) => person(core, emailOf("keycloak", 1)));
    const ran = await shell.run("user import users --dry-run");
    expect(ran.code).toBe(6);
    expect(ran.stderr).toContain("line 2: another user here has the address");
    expect(ran.stderr).toContain("would import 2 users");
    expect(await shell.json<User[]>("user list")).toHaveLength(1);
  });

  test("goes on past refused rows, tells the first ten, lists all, and ends with 6", async () => {
    const wrong = Array.from({ length: 12 }, (_, at) => ({
      ...foreignUser["fastapi-users"](at + 10),
      email: `wrong ${at}`,
    }));
    using shell = withFile(ndjson([...foreignUsers("fastapi-users", 2), ...wrong, foreignUser["fastapi-users"](5)]));
    writeFileSync(shell.file("refused"), "old", { mode: 0o644 });
    const done = await shell.json<Done>("user import users --refused refused", undefined, 6);
    expect(done).toMatchObject({ rows: 15, imported: 3, refused: 12, refusals: { invalid_email: 12 } });
    expect(done.first_refused.map(({ line }) => line)).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    const listed = parsed(await Bun.file(shell.file("refused")).text());
    expect(listed.map(({ line }) => line)).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    expect(statSync(shell.file("refused")).mode & 0o777).toBe(0o600);
  });

  test("never tells a hash, an address or a name of a refused row", async () => {
    const secret = {
      ...foreignUser["fastapi-users"](1),
      email: "wrong address",
      hashed_password: "hunter2",
      full_name: "Ada\nKing",
    };
    using shell = withFile(
      `${JSON.stringify(secret)}\n{"broken hunter2\n${ndjson([{ ...foreignUser["fastapi-users"](2), hashed_password: "hunter2" }])}`,
    );
    const ran = await shell.run("user import users --verbose --refused refused");
    expect(ran.code).toBe(6);
    const told = ran.stdout + ran.stderr + (await Bun.file(shell.file("refused")).text());
    for (const word of ["hunter2", "wrong address", "King"]) expect(told).not.toContain(word);
  });

  test("drops what is to be dropped, and maps roles", async () => {
    const record = {
      ...foreignUser["fastapi-users"](1),
      username: "root",
      hashed_password: "md5",
      roles: ["editor", "boss"],
    };
    using shell = withFile(ndjson([record]));
    const done = await shell.json<Done>("user import users --drop names,hashes --roles-map boss=admin");
    expect(done).toMatchObject({
      imported: 1,
      admins: 1,
      without_password: 1,
      without: { names: 1, hashes: 1, roles: 1 },
    });
  });

  test.each([
    "user import nowhere --from supabase",
    "user import . --from supabase",
    "user import unknown",
    "user import empty",
    "user import users --from mysql",
    "user import users --format xml",
    "user import users --roles-map boss",
    "user import users --drop everything",
    "user import users --hash-config nowhere",
    "user import users --hash-config users",
    "user import users --refused no/such/directory",
    "user import firebase",
    "user import",
  ])("is a usage error: %s", async (line) => {
    using shell = withFile(ndjson(foreignUsers("fastapi-users", 1)));
    writeFileSync(shell.file("unknown"), '{"mail":"ada@example.com"}\n');
    writeFileSync(shell.file("empty"), "");
    writeFileSync(shell.file("firebase"), ndjson(foreignUsers("firebase", 1)));
    const { code } = await type(line.split(" "), { tree: commands, cwd: shell.directory, env: shell.env });
    expect(code).toBe(2);
  });

  test("is told to wait where another one runs", async () => {
    using shell = withFile(ndjson(foreignUsers("fastapi-users", 1)));
    await shell.core(async (core) => {
      const release = await core.store.lock("import");
      expect((await shell.run("user import users")).code).toBe(75);
      await release?.();
    });
  });

  test("that is interrupted finishes its batch, and the next run goes on", async () => {
    using shell = withFile(ndjson(foreignUsers("fastapi-users", 10_000)));
    const child = shell.start(["user", "import", "users", "--json"]);
    await shell.core(async (core) => {
      while ((await core.store.userBatches.count({})) < 1000) await Bun.sleep(5);
    });
    child.kill("SIGINT");
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    expect(code).toBe(130);
    expect(stderr).toContain("Run the same command again");
    const { imported } = JSON.parse(stdout) as Done;
    expect(imported % 500).toBe(0);
    expect(imported).toBeLessThan(10_000);
    expect(await shell.json<Done>("user import users")).toMatchObject({
      already: imported,
      imported: 10_000 - imported,
    });
  });
});

describe("user export", () => {
  const exported = async (shell: Shell, flags = "") => {
    const ran = await shell.run(`user export${flags}`);
    expect(ran.code, ran.stderr).toBe(0);
    return ran;
  };
  const holding = async (records: object[]): Promise<Shell> => {
    const shell = new Shell();
    await shell.core((core) => importRecords(core, "authctl", records));
    return shell;
  };

  test("has the shape of the HTTP interface, a user on each line, and no hash", async () => {
    using shell = await holding(foreignUsers("authctl", 3));
    const { stdout, stderr } = await exported(shell);
    expect(parsed(stdout)).toEqual(await shell.json<User[]>("user list"));
    expect(stderr).toBe("");
    expect(stdout).not.toContain("argon2");
    expect(parsed((await exported(shell, " --role admin")).stdout)).toHaveLength(1);
  });

  test.each([
    ["ndjson", ""],
    ["csv", " --output csv"],
  ])("as %s, imported elsewhere, is the same people with the same passwords", async (name, flags) => {
    const odd = { email: "+tag@example.com", full_name: '=cmd|"x", y', username: null, is_active: false, locale: null };
    using shell = await holding([{ ...foreignUser.authctl(7), ...odd }, ...foreignUsers("authctl", 3)]);
    const { stdout, stderr } = await exported(shell, ` --with-hashes${flags}`);
    expect(stderr).toContain("hashes of passwords");
    using there = withFile(stdout, name);
    expect(await there.json<Done>(`user import ${name}`)).toMatchObject({ source: "authctl", imported: 4, refused: 0 });
    const known = (core: Core) =>
      core.store.userBatches
        .page({}, 9)
        .then((page) => page.map(({ user, roles }) => ({ ...userView(user, roles), updated_at: undefined })));
    expect(await there.core(known)).toEqual(await shell.core(known));
    expect(await signIn(there, emailOf("authctl", 1))).toBeUndefined();
    expect(await signIn(there, "+tag@example.com")).toBe("invalid_credentials");
  });

  test("of nobody is nothing", async () => {
    using shell = new Shell();
    expect((await exported(shell)).stdout).toBe("");
  });
});

describe("the page about imports", () => {
  test("has no line that the command line does not understand", async () => {
    const page = await Bun.file(`${import.meta.dir}/../../docs/import.md`).text();
    const lines = [...page.matchAll(/^authctl (.*?)(?: #.*| >.*)?$/gm)].map(([, words = ""]) => words.trim());
    expect(lines.length).toBeGreaterThan(9);
    for (const line of lines) {
      const { node } = await parseLine(line.split(" "), commands);
      expect(node?.kind, line).toBe("command");
    }
    const flags = [...page.matchAll(/`(--[a-z-]+)/g)].map(([, flag = ""]) => flag);
    const known = new Set(
      [...Object.keys(importCommand.args), ...Object.keys(exportCommand.args), "output"].map(
        (name) => `--${kebab(name)}`,
      ),
    );
    expect(flags.filter((flag) => !known.has(flag))).toEqual([]);
  });
});
