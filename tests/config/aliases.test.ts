/** What other projects call our settings, and the forms in which they write the values. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, loadConfig, type SettingName, settings } from "../../src/config.ts";

type Environment = Readonly<Record<string, string>>;

const load = (environment: Environment) => loadConfig(environment, { cwd: "/nowhere" });
const minute = 60_000;
const day = 86_400_000;

/** The settings that come out of an environment in which nothing is wrong. */
function settle(environment: Environment): Config {
  const { config, problems } = load(environment);
  expect(problems).toEqual([]);
  return config;
}

describe("an alias", () => {
  test.each<[Environment, Partial<Config>]>([
    [{ ACCESS_TOKEN_EXPIRE_MINUTES: "30" }, { ACCESS_TOKEN_TTL: 30 * minute }],
    [{ REFRESH_TOKEN_EXPIRE_DAYS: "7" }, { REFRESH_TOKEN_TTL: 7 * day, REFRESH_ABSOLUTE_TTL: 30 * day }],
    [{ REFRESH_TOKEN_EXPIRE_DAYS: "60" }, { REFRESH_TOKEN_TTL: 60 * day, REFRESH_ABSOLUTE_TTL: 60 * day }],
    [{ BACKEND_CORS_ORIGINS: '["http://localhost:3000"]' }, { ALLOWED_ORIGINS: ["http://localhost:3000"] }],
    [
      { BACKEND_CORS_ORIGINS: "https://a.example, https://b.example" },
      { ALLOWED_ORIGINS: ["https://a.example", "https://b.example"] },
    ],
    [
      { ALLOWED_ORIGINS: '["https://a.example", "https://b.example/"]' },
      { ALLOWED_ORIGINS: ["https://a.example", "https://b.example"] },
    ],
    [{ ALLOWED_ORIGINS: "[]" }, { ALLOWED_ORIGINS: [] }],
    [{ ALLOWED_ORIGINS: "localhost" }, { ALLOWED_ORIGINS: ["http://localhost"] }],
    [{ SECURE_COOKIES: "true" }, { COOKIE_SECURE: true }],
    [{ HTTPS_ONLY: "True" }, { COOKIE_SECURE: true }],
    [{ COOKIE_SECURE: "True" }, { COOKIE_SECURE: true }],
    [{ PUBLIC_URL: "https://auth.example.com", COOKIE_SECURE: "False" }, { COOKIE_SECURE: false }],
    [{ COOKIE_DOMAIN: "None" }, { COOKIE_DOMAIN: undefined }],
    [{ COOKIE_DOMAIN: "" }, { COOKIE_DOMAIN: undefined }],
    [{ DEBUG: "True" }, { LOG_LEVEL: "debug" }],
    [{ DEBUG: "False" }, { LOG_LEVEL: "info" }],
    [{ DEBUG: "False", LOG_LEVEL: "warn" }, { LOG_LEVEL: "warn" }],
    [{ DEBUG: "express:*" }, { LOG_LEVEL: "info" }],
    [{ ALGORITHM: "HS256" }, { TOKEN_ALGORITHM: "ES256" }],
    [{ ALGORITHM: "HS256", TOKEN_ALGORITHM: "RS256" }, { TOKEN_ALGORITHM: "RS256" }],
    [{ ALGORITHM: "rs256" }, { TOKEN_ALGORITHM: "RS256" }],
    [{ ALGORITHM: "EdDSA" }, { TOKEN_ALGORITHM: "EdDSA" }],
    [{ DB_BACKEND: "sqlite", SQLITE_PATH: "./app.db" }, { DATABASE_URL: { dialect: "sqlite", file: "./app.db" } }],
    [{ SQLITE_PATH: "/data/app.db" }, { DATABASE_URL: { dialect: "sqlite", file: "/data/app.db" } }],
    [{ DB_BACKEND: "sqlite" }, { DATABASE_URL: { dialect: "sqlite", file: "./data/auth.db" } }],
    [
      { DB_BACKEND: "postgresql", DATABASE_URL: "postgresql+asyncpg://u:p@localhost:5432/app" },
      { DATABASE_URL: { dialect: "postgres", url: "postgres://u:p@localhost:5432/app" } },
    ],
    [
      { DATABASE_URL: "sqlite+aiosqlite:///./data/auth.db" },
      { DATABASE_URL: { dialect: "sqlite", file: "./data/auth.db" } },
    ],
  ])("%j", (environment, expected) => {
    expect(settle(environment)).toMatchObject(expected);
  });

  test.each<[Environment, string, RegExp]>([
    [{ ACCESS_TOKEN_EXPIRE_MINUTES: "15m" }, "ACCESS_TOKEN_EXPIRE_MINUTES", /a whole number of minutes/],
    [{ ACCESS_TOKEN_EXPIRE_MINUTES: "0" }, "ACCESS_TOKEN_EXPIRE_MINUTES", /from 1m to 24h/],
    [{ REFRESH_TOKEN_EXPIRE_DAYS: "-1" }, "REFRESH_TOKEN_EXPIRE_DAYS", /a whole number of days/],
    [{ BACKEND_CORS_ORIGINS: "*" }, "BACKEND_CORS_ORIGINS", /origins separated by commas/],
    [{ BACKEND_CORS_ORIGINS: '["http://localhost:3000"' }, "BACKEND_CORS_ORIGINS", /a list of origins/],
    [{ ALLOWED_ORIGINS: '[{"a":1}]' }, "ALLOWED_ORIGINS", /a list of origins/],
    [{ SECURE_COOKIES: "maybe" }, "SECURE_COOKIES", /on or off/],
    [{ ALGORITHM: "none" }, "ALGORITHM", /one of ES256/],
    [{ DB_BACKEND: "mysql" }, "DB_BACKEND", /one of sqlite, postgres/],
  ])("whose value does not fit is named by its own name: %j", (environment, name, message) => {
    const { problems } = load(environment);
    expect(problems).toEqual([{ name, message: expect.stringMatching(message) }]);
    for (const value of Object.values(environment).filter((one) => one.length > 3))
      expect(JSON.stringify(problems)).not.toContain(value);
  });

  test("says of a value which variable it came from, and whence", () => {
    const directory = mkdtempSync(join(tmpdir(), "authctl-aliases-"));
    try {
      writeFileSync(join(directory, ".env"), "REFRESH_TOKEN_EXPIRE_DAYS=9\nACCESS_TOKEN_EXPIRE_MINUTES=20\n");
      const { sources, texts } = loadConfig({ ACCESS_TOKEN_EXPIRE_MINUTES: "30" }, { cwd: directory });
      expect([sources.ACCESS_TOKEN_TTL, texts.ACCESS_TOKEN_TTL]).toEqual([
        "environment (ACCESS_TOKEN_EXPIRE_MINUTES)",
        "30m",
      ]);
      expect([sources.REFRESH_TOKEN_TTL, texts.REFRESH_TOKEN_TTL]).toEqual([
        "file .env (REFRESH_TOKEN_EXPIRE_DAYS)",
        "9d",
      ]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test("is nobody's own name, and stands for one setting", () => {
    const names = settings.map(({ name }): string => name);
    const aliases = settings.flatMap((one) => Object.keys(one.aliases ?? {}));
    expect(aliases.filter((one) => names.includes(one))).toEqual([]);
    expect(new Set(aliases).size).toBe(aliases.length);
  });
});

describe("two names of one setting", () => {
  test.each<[Environment, SettingName]>([
    [{ ACCESS_TOKEN_TTL: "30m", ACCESS_TOKEN_EXPIRE_MINUTES: "30" }, "ACCESS_TOKEN_TTL"],
    [{ COOKIE_SECURE: "True", SECURE_COOKIES: "true", HTTPS_ONLY: "1" }, "COOKIE_SECURE"],
    [
      { ALLOWED_ORIGINS: "http://localhost:3000", BACKEND_CORS_ORIGINS: '["http://localhost:3000/"]' },
      "ALLOWED_ORIGINS",
    ],
    [{ DATABASE_URL: "sqlite:///./app.db", SQLITE_PATH: "./app.db", DB_BACKEND: "sqlite" }, "DATABASE_URL"],
  ])("may say the same: %j", (environment, name) => {
    settle(environment);
    expect(load(environment).sources[name]).toBe("environment");
  });

  test.each<[Environment, string, string]>([
    [{ ACCESS_TOKEN_TTL: "15m", ACCESS_TOKEN_EXPIRE_MINUTES: "30" }, "ACCESS_TOKEN_TTL", "ACCESS_TOKEN_EXPIRE_MINUTES"],
    [{ REFRESH_TOKEN_TTL: "8d", REFRESH_TOKEN_EXPIRE_DAYS: "7" }, "REFRESH_TOKEN_TTL", "REFRESH_TOKEN_EXPIRE_DAYS"],
    [
      { ALLOWED_ORIGINS: "http://a.example", BACKEND_CORS_ORIGINS: '["http://b.example"]' },
      "ALLOWED_ORIGINS",
      "BACKEND_CORS_ORIGINS",
    ],
    [{ COOKIE_SECURE: "on", SECURE_COOKIES: "false" }, "COOKIE_SECURE", "SECURE_COOKIES"],
    [{ SECURE_COOKIES: "true", HTTPS_ONLY: "false" }, "SECURE_COOKIES", "HTTPS_ONLY"],
    [{ LOG_LEVEL: "warn", DEBUG: "True" }, "LOG_LEVEL", "DEBUG"],
    [{ TOKEN_ALGORITHM: "ES256", ALGORITHM: "RS256" }, "TOKEN_ALGORITHM", "ALGORITHM"],
    [{ DATABASE_URL: "postgres://u:p@db/app", SQLITE_PATH: "./app.db" }, "DATABASE_URL", "SQLITE_PATH"],
    [{ DB_BACKEND: "sqlite", DATABASE_URL: "postgres://u:p@db/app" }, "DB_BACKEND", "DATABASE_URL"],
    [{ DB_BACKEND: "postgres" }, "DB_BACKEND", "DATABASE_URL"],
  ])("that differ are refused, and both are named: %j", (environment, name, other) => {
    const { problems } = load(environment);
    expect(problems).toEqual([{ name, message: expect.stringContaining(other) }]);
  });
});

describe("what was never filled in", () => {
  const copied = {
    SECRET_KEY: "your-super-secret-key-change-this-in-production-minimum-32-characters",
    ADMIN_EMAIL: "your-admin@example.com",
    ADMIN_PASSWORD: "your-secure-password",
  };

  test("is noticed in development", () => {
    const { problems, notices } = load(copied);
    expect(problems).toEqual([]);
    expect(notices.map(({ name }) => name)).toEqual(Object.keys(copied));
  });

  test("is refused in production", () => {
    const { problems, notices } = load({ ...copied, NODE_ENV: "production", PUBLIC_URL: "https://auth.acme.dev" });
    expect(problems.map(({ name }) => name)).toEqual(Object.keys(copied));
    expect(notices).toEqual([]);
    expect(JSON.stringify(problems)).not.toContain("your-");
  });

  test("is not what has been", () => {
    const real = {
      SECRET_KEY: "Zk3uQ9pL7xW2vN8rT5yB1mC6dF4gH0jS",
      ADMIN_EMAIL: "ada@acme.dev",
      ADMIN_PASSWORD: "changing tides of yours",
    };
    expect(load(real).notices).toEqual([]);
  });
});

describe("a notice", () => {
  test.each<[Environment, string, RegExp]>([
    [{ ALGORITHM: "HS256" }, "ALGORITHM", /ES256 signs instead/],
    [{ ALLOWED_ORIGINS: "localhost" }, "ALLOWED_ORIGINS", /port 80/],
    [{ ADMIN_USERNAME: "ada" }, "ADMIN_EMAIL", /no admin/],
  ])("is given of %j", (environment, name, message) => {
    expect(load(environment).notices).toEqual([{ name, message: expect.stringMatching(message) }]);
  });

  test("is given of no default", () => {
    expect(load({}).notices).toEqual([]);
  });
});

describe("PASSWORD_REFUSE_VARIANTS", () => {
  const production = {
    NODE_ENV: "production",
    PUBLIC_URL: "https://auth.acme.dev",
    SECRET_KEY: "Zk3uQ9pL7xW2vN8rT5yB1mC6dF4gH0jS",
  };

  test.each<[Environment, boolean]>([
    [{}, true],
    [{ COMPAT_PATHS: "true" }, false],
    [{ COMPAT_PATHS: "true", PASSWORD_REFUSE_VARIANTS: "on" }, true],
    [{ ...production, COMPAT_PATHS: "true" }, true],
  ])("follows from %j", (environment, expected) => {
    expect(settle(environment).PASSWORD_REFUSE_VARIANTS).toBe(expected);
  });

  test("is never off in production", () => {
    const { problems } = load({ ...production, PASSWORD_REFUSE_VARIANTS: "off" });
    expect(problems.map(({ name }) => name)).toEqual(["PASSWORD_REFUSE_VARIANTS"]);
  });
});
