import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { exampleSettings } from "../../cli/config-example.ts";
import { anonymous, noClient } from "../../src/core/actors.ts";
import { login } from "../../src/core/login.ts";
import { Shell } from "../support/cli.ts";
import { goodPassword } from "../support/core.ts";

const mode = (file: string) => (statSync(file).mode & 0o777).toString(8);
const production = {
  NODE_ENV: "production",
  PUBLIC_URL: "https://auth.example.com",
  ARGON2_MEMORY_KIB: "19456",
  ARGON2_TIME_COST: "2",
};

describe.concurrent("init", () => {
  test("makes settings, secret and database that nobody else can read", async () => {
    using shell = new Shell();
    const { code, stdout, stderr } = await shell.run("init");
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    for (const what of ["made a secret", "wrote the settings", "made the database", "applied"])
      expect(stderr).toContain(what);
    expect([".env", "data", "data/secret.key", "data/auth.db"].map((name) => mode(shell.file(name)))).toEqual([
      "600",
      "700",
      "600",
      "600",
    ]);
    expect(readFileSync(shell.file(".env"), "utf8")).toContain("SECRET_KEY_FILE=./data/secret.key");
    expect(readFileSync(shell.file(".env"), "utf8")).toContain(exampleSettings());
    expect(stderr).not.toContain(readFileSync(shell.file("data/secret.key"), "utf8").trim());
  });

  test("does nothing the second time", async () => {
    using shell = new Shell();
    await shell.run("init");
    const before = readdirSync(shell.directory, { recursive: true })
      .map(String)
      .filter((name) => !/-(wal|shm)$/.test(name));
    const texts = [".env", "data/secret.key"].map((name) => readFileSync(shell.file(name), "utf8"));
    expect(await shell.run("init")).toEqual({
      code: 0,
      stdout: "",
      stderr: "Nothing to do: everything is there already.\n",
    });
    expect(await shell.json("init")).toMatchObject({ made: [] });
    const after = readdirSync(shell.directory, { recursive: true })
      .map(String)
      .filter((name) => !/-(wal|shm)$/.test(name));
    expect(after.toSorted()).toEqual(before.toSorted());
    expect([".env", "data/secret.key"].map((name) => readFileSync(shell.file(name), "utf8"))).toEqual(texts);
  });

  test("writes down what it was told under other names, under these", async () => {
    using shell = new Shell();
    const env = { ACCESS_TOKEN_EXPIRE_MINUTES: "30", SQLITE_PATH: "./own/app.db", ALGORITHM: "HS256" };
    expect((await shell.run("init", { env })).code).toBe(0);
    const written = readFileSync(shell.file(".env"), "utf8").split("\n");
    expect(written).toContain("ACCESS_TOKEN_EXPIRE_MINUTES=30");
    expect(written).toContain("SQLITE_PATH=./own/app.db");
    expect(written.join()).not.toContain("ALGORITHM=HS256");
    expect(existsSync(shell.file("own/app.db"))).toBeTrue();
    expect((await shell.run("init")).stderr).toContain("Nothing to do");
  });

  test("keeps a settings file that is there, and says so on request", async () => {
    using shell = new Shell();
    writeFileSync(shell.file(".env"), "PORT=9000\n");
    const { code, stderr } = await shell.run("init -v");
    expect(code).toBe(0);
    expect(stderr).toContain(".env stays as it is");
    expect(readFileSync(shell.file(".env"), "utf8")).toBe("PORT=9000\n");
    expect(existsSync(shell.file("data/auth.db"))).toBeTrue();
  });

  test("goes on with a database and a secret that a development server has made", async () => {
    using shell = new Shell();
    await shell.run("admin seed --email ada@example.com --password-stdin", { input: goodPassword });
    const secret = readFileSync(shell.file("data/secret.key"), "utf8");
    expect((await shell.run("init")).code).toBe(0);
    expect(readFileSync(shell.file("data/secret.key"), "utf8")).toBe(secret);
    expect(await shell.json("config explain SECRET_KEY")).toMatchObject({ source: "file ./data/secret.key" });
    const input = { identifier: "ada@example.com", password: goodPassword, credential: "session" as const };
    expect(await shell.core((core) => login(core, anonymous(noClient), input))).toBeDefined();
  });

  test("works in production, and every command afterwards", async () => {
    using shell = new Shell(production);
    expect((await shell.run("user list")).code).toBe(78);
    expect((await shell.run("init")).code).toBe(0);
    expect((await shell.run("user list")).code).toBe(0);
    expect((await shell.run("config check")).code).toBe(0);
  });

  test("writes down what its environment said, but no secret", async () => {
    using shell = new Shell();
    const secret = "Zk3uQ9pL7xW2vN8rT5yB1mC6dF4gH0jS";
    const env = { ...production, DATA_DIR: "./store place", SECRET_KEY: secret };
    const { code, stderr } = await shell.run("init", { env });
    expect(code).toBe(0);
    expect(stderr).toContain("warning: SECRET_KEY is not written down");
    const text = readFileSync(shell.file(".env"), "utf8");
    expect(text).not.toContain(secret);
    expect(text).toContain('DATA_DIR="./store place"\n');
    const later = { SECRET_KEY: secret, ARGON2_MEMORY_KIB: "", ARGON2_TIME_COST: "" };
    const rows = await shell.json<object[]>("config show", { env: later });
    expect(rows).toContainEqual(
      expect.objectContaining({ name: "PUBLIC_URL", value: "https://auth.example.com", source: "file .env" }),
    );
    expect((await shell.run("user list", { env: later })).code).toBe(0);
  });

  test("in production makes what it can, names what is missing, and goes on from there", async () => {
    using shell = new Shell();
    const env = { NODE_ENV: "production", ARGON2_MEMORY_KIB: "", ARGON2_TIME_COST: "" };
    const { code, stderr } = await shell.run("init", { env });
    expect(code).toBe(78);
    expect(stderr).toContain("PUBLIC_URL must begin with https://");
    expect(stderr).not.toContain("SECRET_KEY is not set");
    const text = readFileSync(shell.file(".env"), "utf8");
    writeFileSync(shell.file(".env"), `${text}PUBLIC_URL=https://auth.example.com\n`);
    expect((await shell.run("init", { env })).code).toBe(0);
    expect((await shell.run("user list", { env })).code).toBe(0);
  });

  test("tells production what to add to a settings file that does not name the secret", async () => {
    using shell = new Shell(production);
    writeFileSync(shell.file(".env"), "PORT=9000\n");
    const { code, stderr } = await shell.run("init");
    expect(code).toBe(78);
    expect(stderr).toContain("add the line SECRET_KEY_FILE=./data/secret.key");
    writeFileSync(shell.file(".env"), "SECRET_KEY_FILE=./data/secret.key\n");
    expect((await shell.run("init")).code).toBe(0);
  });

  test("writes where --env-file says, and leaves another server's file alone", async () => {
    using shell = new Shell();
    writeFileSync(shell.file(".env"), "SECRET_KEY=nonsense\n");
    expect((await shell.run("init --env-file other.env")).code).toBe(0);
    expect(mode(shell.file("other.env"))).toBe("600");
    expect((await shell.run("user list --env-file other.env")).code).toBe(0);
  });

  test("makes nothing where a setting is wrong", async () => {
    using shell = new Shell({ PORT: "x" });
    expect((await shell.run("init")).code).toBe(78);
    expect(readdirSync(shell.directory)).toEqual([]);
  });

  test("makes no new secret for a database that has lost its own", async () => {
    using shell = new Shell();
    await shell.run("init");
    writeFileSync(shell.file(".env"), "");
    await Bun.file(shell.file("data/secret.key")).delete();
    const { code, stderr } = await shell.run("init");
    expect(code).toBe(78);
    expect(stderr).toContain("put the file");
    writeFileSync(shell.file("data/secret.key"), "", { mode: 0o600 });
    expect((await shell.run("init")).stderr).toContain("does not hold a whole secret");
  });

  test("names a directory that cannot be written, and one that others may enter", async () => {
    using shell = new Shell({ DATA_DIR: "/dev/null/data" });
    const { code, stderr } = await shell.run("init");
    expect(code).toBe(78);
    expect(stderr).toContain("DATA_DIR");
    using open = new Shell();
    mkdirSync(open.file("data"));
    chmodSync(open.file("data"), 0o755);
    expect((await open.run("init")).stderr).toContain("chmod 700");
  });

  test("of several at once ends with one secret", async () => {
    using shell = new Shell();
    const all = await Promise.all([1, 2, 3].map(() => shell.run("init")));
    const codes = all.map(({ code }) => code);
    expect(codes).toContain(0);
    expect((await shell.run("init")).code).toBe(0);
    expect((await shell.run("user list")).code).toBe(0);
  });

  test.each(["--force", "here", "--env-file"])("refuses %s", async (word) => {
    using shell = new Shell();
    expect((await shell.run(["init", word])).code).toBe(2);
    expect(readdirSync(shell.directory)).toEqual([]);
  });
});
