import { describe, expect, test } from "bun:test";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { exampleSettings } from "../../cli/config-example.ts";
import { commands } from "../../cli/run.ts";
import { loadConfig, settings } from "../../src/config.ts";
import { Shell } from "../support/cli.ts";
import { type } from "./toy.ts";

type Row = { readonly name: string; readonly group: string; readonly value: string | null; readonly source: string };

const secret = "Zk3uQ9pL7xW2vN8rT5yB1mC6dF4gH0jS";

describe.concurrent("config check", () => {
  test("is content with the defaults", async () => {
    using shell = new Shell();
    expect(await shell.run("config check")).toEqual({ code: 0, stdout: "", stderr: "The settings are fine.\n" });
    expect(await shell.json("config check")).toEqual({ ok: true });
  });

  test("tells all problems at once, with exit code 5 and without repeating a value", async () => {
    using shell = new Shell({ PORT: "hunter2", ACCESS_TOKEN_TTL: "hunter3" });
    const { code, stdout, stderr } = await shell.run("config check --json");
    expect({ code, stdout }).toEqual({ code: 5, stdout: "" });
    expect(JSON.parse(stderr)).toMatchObject({
      code: "config_findings",
      errors: [{ path: "PORT" }, { path: "ACCESS_TOKEN_TTL" }],
    });
    expect(stderr).not.toContain("hunter");
  });

  test("PW-1 checks on request what production would refuse", async () => {
    using shell = new Shell();
    const { code, stderr } = await shell.run("config check --production");
    expect(code).toBe(5);
    for (const name of ["SECRET_KEY", "PUBLIC_URL", "COOKIE_SECURE", "ARGON2_MEMORY_KIB"])
      expect(stderr).toContain(name);
  });

  test("reads the settings file that it is pointed to, and misses one that is not there", async () => {
    using shell = new Shell();
    writeFileSync(shell.file("other.env"), "PORT=nowhere\n");
    expect((await shell.run("config check --env-file other.env")).stderr).toContain("PORT must be");
    expect((await shell.run("config check --env-file missing.env")).stderr).toContain("cannot be read (ENOENT)");
  });

  test("is content with what should be known, and tells it", async () => {
    using shell = new Shell({ ALGORITHM: "HS256", ADMIN_EMAIL: "your-admin@example.com" });
    const { code, stderr } = await shell.run("config check");
    expect(code).toBe(0);
    expect(stderr).toMatch(/warning: ADMIN_EMAIL looks like a placeholder.*\nwarning: ALGORITHM is not followed/);
    expect(await shell.json("config check")).toEqual({
      ok: true,
      notices: [
        { path: "ADMIN_EMAIL", message: expect.any(String) },
        { path: "ALGORITHM", message: expect.stringContaining("ES256 signs instead") },
      ],
    });
  });

  test("refuses two names of one setting that differ", async () => {
    using shell = new Shell({ ACCESS_TOKEN_TTL: "15m", ACCESS_TOKEN_EXPIRE_MINUTES: "30" });
    const { code, stderr } = await shell.run("serve --port 0 --json");
    expect(code).toBe(78);
    expect(JSON.parse(stderr)).toMatchObject({
      code: "config_invalid",
      errors: [{ path: "ACCESS_TOKEN_TTL", message: expect.stringContaining("ACCESS_TOKEN_EXPIRE_MINUTES") }],
    });
  });

  test("refuses a secret that others can read", async () => {
    using shell = new Shell({ SECRET_KEY_FILE: "secret.key" });
    writeFileSync(shell.file("secret.key"), secret);
    chmodSync(shell.file("secret.key"), 0o644);
    expect((await shell.run("config check")).stderr).toContain("chmod 600");
  });
});

describe.concurrent("config show", () => {
  test("has every setting with its value and its source", async () => {
    using shell = new Shell({ PORT: "9000" });
    writeFileSync(shell.file(".env"), "REFRESH_GRACE=5s\n");
    const rows = await shell.json<Row[]>("config show");
    expect(rows.map(({ name }) => name)).toEqual(settings.map(({ name }) => name));
    expect(rows).toContainEqual({ name: "PORT", group: "Server", value: "9000", source: "environment" });
    expect(rows).toContainEqual(expect.objectContaining({ name: "REFRESH_GRACE", value: "5s", source: "file .env" }));
    expect(rows).toContainEqual(
      expect.objectContaining({ name: "PUBLIC_URL", value: "http://localhost:9000", source: "default" }),
    );
    expect(rows).toContainEqual(expect.objectContaining({ name: "SECRET_KEY", value: null }));
  });

  test("never shows a secret, only how many there are and which", async () => {
    using shell = new Shell({ SECRET_KEY: `${secret} ${secret.toLowerCase()}` });
    for (const line of [
      "config show",
      "config show --json",
      "config explain SECRET_KEY",
      "config explain SECRET_KEY_FILE",
      "config check -v",
    ]) {
      const { code, stdout, stderr } = await shell.run(line);
      expect(code).toBe(0);
      expect((stdout + stderr).toLowerCase()).not.toContain(secret.toLowerCase());
    }
    expect((await shell.run("config show")).stdout).toMatch(
      /SECRET_KEY\tset \(2 secrets, version \S{8}, \S{8}\)\tenvironment/,
    );
  });

  test("shows the address of a database without its password", async () => {
    using shell = new Shell({ DATABASE_URL: "postgres://ada:hunter2@db.example.com/auth?sslpassword=hunter2" });
    for (const line of ["config show", "config explain DATABASE_URL", "config show --json"]) {
      const { code, stdout, stderr } = await shell.run(line);
      expect(code).toBe(0);
      expect(stdout).toContain("db.example.com/auth");
      expect(stdout + stderr).not.toContain("hunter2");
    }
  });

  test("shows what there is in spite of problems, and says so", async () => {
    using shell = new Shell({ PORT: "x" });
    const { code, stdout, stderr } = await shell.run("config show");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "warning: There is 1 problem: see `authctl config check`.\n" });
    expect(stdout).toContain("PORT\t8000\t");
  });
});

describe.concurrent("config explain", () => {
  test("tells what a setting takes, in whatever case it is named", async () => {
    using shell = new Shell({ REFRESH_GRACE: "20s" });
    expect(await shell.json("config explain refresh_grace")).toMatchObject({
      name: "REFRESH_GRACE",
      takes: "a length of time from 0s to 60s, such as 90s, 15m, 12h or 30d",
      default: "10s",
      value: "20s",
      source: "environment",
    });
  });

  test("knows the names that other projects have for it, and says which one a value came by", async () => {
    using shell = new Shell({ HTTPS_ONLY: "True" });
    const explained = await shell.json("config explain secure_cookies");
    expect(explained).toMatchObject({
      name: "COOKIE_SECURE",
      aliases: ["SECURE_COOKIES", "HTTPS_ONLY"],
      value: "True",
      source: "environment (HTTPS_ONLY)",
    });
    expect(await shell.json("config show")).toContainEqual(
      expect.objectContaining({ name: "COOKIE_SECURE", source: "environment (HTTPS_ONLY)" }),
    );
  });

  test("explains every setting", async () => {
    for (const { name } of settings) {
      const { stdout } = await type(`config explain ${name} --json`, { tree: commands });
      expect(JSON.parse(stdout)).toMatchObject({
        doc: expect.stringMatching(/\.$/),
        takes: expect.stringMatching(/\S/),
      });
    }
  });

  test("suggests the name that was meant", async () => {
    using shell = new Shell();
    const { code, stderr } = await shell.run("config explain REFRESH_GRASE");
    expect(code).toBe(3);
    expect(stderr).toContain("Did you mean REFRESH_GRACE?");
    expect((await shell.run("config explain")).code).toBe(2);
  });
});

describe.concurrent("config example", () => {
  test("is the committed .env.example", async () => {
    using shell = new Shell();
    const { stdout } = await shell.run("config example");
    expect(stdout).toBe(`${exampleSettings()}\n`);
    expect(readFileSync(join(import.meta.dir, "../../.env.example"), "utf8")).toBe(stdout);
  });

  test("sets nothing, and with every line taken in it means the defaults", () => {
    expect(parseEnv(exampleSettings())).toEqual({});
    const uncommented = exampleSettings().replace(/^#(?=[A-Z])/gm, "");
    const everything = parseEnv(uncommented) as Record<string, string>;
    expect(
      Object.keys(everything).map((name) =>
        name.replace(
          /^(SECRET_KEY|REDIS_URL|SMTP_URL|SMTP_PASSWORD|ADMIN_PASSWORD|METRICS_TOKEN|TRACES_TOKEN|BACKUP_PASSPHRASE)_FILE$/,
          "$1",
        ),
      ),
    ).toEqual(settings.map(({ name }) => name));
    const place = { cwd: "/nowhere" };
    expect(loadConfig(everything, place).config).toEqual(loadConfig({}, place).config);
  });
});
