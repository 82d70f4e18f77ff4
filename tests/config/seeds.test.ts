/** Every variable of the templates' documents, in the words in which they write it, and what it comes to here. */
import { describe, expect, test } from "bun:test";
import { type Config, loadConfig } from "../../src/config.ts";
import { readSeed, type SeedName, seedNames, settingsOf } from "../support/seeds.ts";

const minute = 60_000;
const day = 86_400_000;
const key = "Zk3uQ9pL7xW2vN8rT5yB1mC6dF4gH0jS";

type Row = readonly [seed: SeedName, quoted: string, variables: Record<string, string>, meant: Partial<Config>];

const rows: readonly Row[] = [
  [
    "001",
    "| `DATABASE_URL`                | PostgreSQL connection string   | Required              |",
    { DATABASE_URL: "postgresql+asyncpg://user:password@localhost:5432/dbname" },
    { DATABASE_URL: { dialect: "postgres", url: "postgres://user:password@localhost:5432/dbname" } },
  ],
  [
    "001",
    "| `SECRET_KEY`                  | JWT secret key (32+ chars)     | Required              |",
    { SECRET_KEY: key },
    { SECRET_KEY: [key] },
  ],
  [
    "001",
    "| `ALGORITHM`                   | JWT algorithm                  | HS256                 |",
    { ALGORITHM: "HS256" },
    { TOKEN_ALGORITHM: "ES256" },
  ],
  [
    "001",
    "| `ACCESS_TOKEN_EXPIRE_MINUTES` | Access token lifetime          | 15                    |",
    { ACCESS_TOKEN_EXPIRE_MINUTES: "15" },
    { ACCESS_TOKEN_TTL: 15 * minute },
  ],
  [
    "001",
    "| `REFRESH_TOKEN_EXPIRE_DAYS`   | Refresh token lifetime         | 7                     |",
    { REFRESH_TOKEN_EXPIRE_DAYS: "7" },
    { REFRESH_TOKEN_TTL: 7 * day },
  ],
  [
    "001",
    "| `APP_NAME`                    | Application name               | FastAPI Auth Template |",
    { APP_NAME: "FastAPI Auth Template" },
    { APP_NAME: "FastAPI Auth Template" },
  ],
  [
    "001",
    "| `DEBUG`                       | Debug mode                     | False                 |",
    { DEBUG: "False" },
    { LOG_LEVEL: "info" },
  ],
  [
    "001",
    "| `ALLOWED_ORIGINS`             | CORS origins (comma-separated) | localhost             |",
    { ALLOWED_ORIGINS: "localhost" },
    { ALLOWED_ORIGINS: ["http://localhost"] },
  ],
  [
    "001",
    "| `COOKIE_SECURE`               | Use secure cookies (HTTPS)     | True                  |",
    { COOKIE_SECURE: "True" },
    { COOKIE_SECURE: true },
  ],
  [
    "001",
    "| `COOKIE_SAMESITE`             | SameSite policy                | lax                   |",
    { COOKIE_SAMESITE: "lax" },
    { COOKIE_SAMESITE: "lax" },
  ],
  [
    "001",
    "| `COOKIE_DOMAIN`               | Cookie domain                  | None                  |",
    { COOKIE_DOMAIN: "None" },
    { COOKIE_DOMAIN: undefined },
  ],
  [
    "001",
    "ALLOWED_ORIGINS=https://yourdomain.com",
    { ALLOWED_ORIGINS: "https://yourdomain.com" },
    { ALLOWED_ORIGINS: ["https://yourdomain.com"] },
  ],
  [
    "002",
    "DATABASE_URL=sqlite:///./data/auth.db",
    { DATABASE_URL: "sqlite:///./data/auth.db" },
    { DATABASE_URL: { dialect: "sqlite", file: "./data/auth.db" } },
  ],
  [
    "002",
    "SECRET_KEY=your-super-secret-key-change-this-in-production-minimum-32-characters",
    { SECRET_KEY: "your-super-secret-key-change-this-in-production-minimum-32-characters" },
    { SECRET_KEY: ["your-super-secret-key-change-this-in-production-minimum-32-characters"] },
  ],
  [
    "002",
    "ADMIN_EMAIL=your-admin@example.com\nADMIN_USERNAME=youradmin  \nADMIN_PASSWORD=your-secure-password",
    { ADMIN_EMAIL: "your-admin@example.com", ADMIN_USERNAME: "youradmin", ADMIN_PASSWORD: "your-secure-password" },
    { ADMIN_EMAIL: "your-admin@example.com", ADMIN_USERNAME: "youradmin", ADMIN_PASSWORD: "your-secure-password" },
  ],
  [
    "002",
    'BACKEND_CORS_ORIGINS=["http://localhost:3000"]',
    { BACKEND_CORS_ORIGINS: '["http://localhost:3000"]' },
    { ALLOWED_ORIGINS: ["http://localhost:3000"] },
  ],
  ["002", "ACCESS_TOKEN_EXPIRE_MINUTES=30", { ACCESS_TOKEN_EXPIRE_MINUTES: "30" }, { ACCESS_TOKEN_TTL: 30 * minute }],
  ["002", "REFRESH_TOKEN_EXPIRE_DAYS=7", { REFRESH_TOKEN_EXPIRE_DAYS: "7" }, { REFRESH_TOKEN_TTL: 7 * day }],
  ["002", "`SECURE_COOKIES=true`", { SECURE_COOKIES: "true" }, { COOKIE_SECURE: true }],
  ["002", "`HTTPS_ONLY=true`", { HTTPS_ONLY: "true" }, { COOKIE_SECURE: true }],
  [
    "003",
    '"redis://localhost"',
    { REDIS_URL: "redis://localhost" },
    { REDIS_URL: expect.objectContaining({ kind: "single", nodes: [{ host: "localhost", port: 6379 }] }) },
  ],
  [
    "004",
    "`DB_BACKEND=sqlite` and optionally `SQLITE_PATH`",
    { DB_BACKEND: "sqlite", SQLITE_PATH: "./app.db" },
    { DATABASE_URL: { dialect: "sqlite", file: "./app.db" } },
  ],
  [
    "004",
    "`COOKIE_SECURE` and `COOKIE_SAMESITE` for cookie policy",
    { COOKIE_SECURE: "true", COOKIE_SAMESITE: "None" },
    { COOKIE_SECURE: true, COOKIE_SAMESITE: "none" },
  ],
  ["004", "- `SECRET_KEY` (required)", { SECRET_KEY: key }, { SECRET_KEY: [key] }],
  [
    "004",
    "- `DATABASE_URL` (for Postgres) or `DB_BACKEND=sqlite` with `SQLITE_PATH`",
    { DATABASE_URL: "postgresql+psycopg://u:p@db/app" },
    { DATABASE_URL: { dialect: "postgres", url: "postgres://u:p@db/app" } },
  ],
  ["004", "or leave `REDIS_URL` unset to use in-memory fallback", {}, { REDIS_URL: undefined }],
];

describe("a variable of the templates", () => {
  test.each(rows)("%s: %s", (seed, quoted, variables, meant) => {
    expect(readSeed(seed)).toContain(quoted);
    const { config, problems } = loadConfig(variables, { cwd: "/nowhere" });
    expect(problems).toEqual([]);
    expect(config).toMatchObject(meant);
  });

  test("is a row, if it stands in any of the documents", () => {
    const named = seedNames.flatMap((seed) =>
      [...readSeed(seed).matchAll(/\b(ALGORITHM|DEBUG|(?!YOUR_)[A-Z]+(?:_[A-Z]+)+)\b/g)].map(
        ([, name]) => `${seed} ${name}`,
      ),
    );
    const inRows = rows.map(([seed, quoted]) => `${seed}\n${quoted}`);
    const missing = [...new Set(named)].filter((one) => {
      const [seed = "", name = ""] = one.split(" ");
      return !inRows.some((row) => row.startsWith(seed) && row.includes(name));
    });
    expect(missing).toEqual([]);
  });

  test.each(["001", "002"] as const)("goes together with the others of its document: %s", (seed) => {
    const { problems } = loadConfig({ ...settingsOf(seed), COMPAT_PATHS: "true" }, { cwd: "/nowhere" });
    expect(problems).toEqual([]);
  });
});
