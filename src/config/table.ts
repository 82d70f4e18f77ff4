/** Every setting, one row each, in the groups and the order in which people are shown them. */
import { availableParallelism } from "node:os";
import { accounts, firstAdmin, mail } from "./accounts.ts";
import { algorithm, asItIs, days, debug, minutes, sqlitePath } from "./aliases.ts";
import { formatDuration } from "./durations.ts";
import { limits } from "./limits.ts";
import {
  bearerText,
  choice,
  contact,
  cookieDomain,
  cookieName,
  databaseUrl,
  duration,
  host,
  networks,
  origin,
  origins,
  page,
  passphrase,
  path,
  ratio,
  recipients,
  schemaName,
  secrets,
  shownDatabaseUrl,
  size,
  text,
  toggle,
  unfit,
  upTo,
  whole,
} from "./parsers.ts";
import { redisUrl, shownRedisUrl } from "./redis-url.ts";
import { optional, required } from "./rows.ts";
import { upkeep } from "./upkeep.ts";

const day = 86_400_000;

const isLocal = (publicUrl: unknown) => /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(String(publicUrl));

export const table = {
  Server: {
    NODE_ENV: required({
      doc: "In `production` the server refuses to start on anything unsafe, and makes no secret by itself.",
      parse: choice("development", "production", "test"),
      fallback: "development",
    }),
    HOST: required({ doc: "The address to listen on.", parse: host, fallback: "127.0.0.1" }),
    PORT: required({ doc: "The port to listen on; 0 takes any free one.", parse: whole(0, 65_535), fallback: "8000" }),
    WORKERS: required({ doc: "Server processes that share the port.", parse: whole(1, 64), fallback: "1" }),
    PUBLIC_URL: required({
      doc: "The address that users and apps reach this server at: the issuer of the tokens. Never taken from a request.",
      parse: origin,
      fallback: (chosen) => `http://localhost:${Number(chosen["PORT"]) || 8000}`,
      fallbackDoc: "http://localhost:8000 (with PORT)",
    }),
    APP_NAME: required({
      doc: "What this service is called in mails and on pages.",
      parse: text,
      fallback: "authctl",
    }),
    BODY_LIMIT: required({
      doc: "The largest body of a request that is read.",
      parse: size(1024, 1024 ** 2),
      fallback: "64KiB",
    }),
    SHUTDOWN_TIMEOUT: required({
      doc: "How long a stopping server waits for the requests that it has begun. For at most half of it, it goes on taking new ones while they come, so that a proxy has time to send them elsewhere.",
      parse: duration("1s", "10m"),
      fallback: "10s",
    }),
    TRUSTED_PROXIES: required({
      doc: "The proxies in front of this server, as addresses or networks separated by commas. What they write into PROXY_HEADER is believed, read from the right; without them the client is whoever connects.",
      parse: networks,
      fallback: "",
      fallbackDoc: "none",
    }),
    PROXY_HEADER: required({
      doc: "Where the trusted proxies write the client's address down. Only this one is read, as the other may come from anybody.",
      parse: choice("x-forwarded-for", "forwarded"),
      fallback: "x-forwarded-for",
    }),
    COMPAT_PATHS: required({
      doc: "Whether clients of the FastAPI templates are answered as they are: `/auth/…` and `/users/me` with cookies, `/token` and `/redoc`, and any path with a slash at its end.",
      parse: toggle,
      fallback: "false",
    }),
    METRICS_TOKEN: optional({
      doc: "What a monitor sends as bearer to read `/metrics`, at least 16 characters; without it the permission `metrics:read` is needed.",
      parse: bearerText,
      secret: true,
    }),
    METRICS_PORT: optional({
      doc: "A port of its own for `/metrics`, besides the one of PORT. There METRICS_TOKEN alone opens, and without one it is open to whoever reaches it.",
      parse: whole(1, 65_535),
    }),
    METRICS_HOST: required({
      doc: "The address that METRICS_PORT is on.",
      parse: host,
      fallback: "127.0.0.1",
    }),
    TRACES_URL: optional({
      doc: "Where traces are sent, by OTLP over HTTP as JSON, such as http://collector:4318/v1/traces. Without it none are made.",
      parse: page,
    }),
    TRACES_TOKEN: optional({
      doc: "What is sent to TRACES_URL as bearer.",
      parse: bearerText,
      secret: true,
    }),
    TRACES_RATIO: required({
      doc: "Which part of the requests is traced, from 0 to 1. What a trusted proxy has decided goes before.",
      parse: ratio,
      fallback: "1",
    }),
    LOG_LEVEL: required({
      doc: "The least level that is logged.",
      parse: choice("trace", "debug", "info", "warn", "error", "fatal", "silent"),
      fallback: "info",
      aliases: { DEBUG: debug },
    }),
    LOG_FORMAT: required({
      doc: "`json` prints one JSON object on each line; `auto` prints for people on a terminal and JSON elsewhere.",
      parse: choice("auto", "json", "pretty"),
      fallback: "auto",
    }),
  },
  Storage: {
    DATA_DIR: required({
      doc: "The directory of the embedded database and of the secret that a development server makes (mode 0700).",
      parse: path,
      fallback: "./data",
    }),
    DATABASE_URL: required({
      doc: "Where the data is: `sqlite:./data/auth.db`, `sqlite:///./data/auth.db`, `file:/var/lib/authctl/auth.db` or a path that begins with `/` or `./` or ends with `.db`; or `postgres://user:password@host:5432/database?sslmode=verify-full`, with `sslmode` and the other parameters of libpq.",
      parse: databaseUrl,
      fallback: (chosen) => `sqlite:${String(chosen["DATA_DIR"])}/auth.db`,
      fallbackDoc: "sqlite:./data/auth.db (in DATA_DIR)",
      secret: true,
      shown: shownDatabaseUrl,
      aliases: { SQLITE_PATH: sqlitePath },
    }),
    DB_BACKEND: optional({
      doc: "The kind of database that is meant, `sqlite` or `postgres`. It chooses nothing: where DATABASE_URL names another kind, the server does not start.",
      parse: (value) => choice("sqlite", "postgres")(value.toLowerCase().replace(/^postgresql$/, "postgres")),
    }),
    DATABASE_SCHEMA: required({
      doc: "The Postgres schema that the tables are in; made where it is missing.",
      parse: schemaName,
      fallback: "public",
    }),
    DATABASE_CONNECTIONS: required({
      doc: "The most connections to Postgres that one server process holds. One more request waits for at most 5 seconds, and is then answered 503.",
      parse: whole(2, 1000),
      fallback: "10",
    }),
    SQLITE_SYNCHRONOUS: required({
      doc: "`full` keeps every acknowledged write through a loss of power; `normal` is faster and may lose the last ones.",
      parse: choice("full", "normal"),
      fallback: "full",
    }),
    REDIS_URL: optional({
      doc: "The Redis that several servers count requests in: `redis://:password@host:6379/0`, `rediss://` for TLS, `redis+sentinel://:password@host:26379,host:26379/master/0` or `redis+cluster://host:6379,host:6379`. Never the authority: whatever is in it may be lost at any time.",
      parse: redisUrl,
      secret: true,
      shown: shownRedisUrl,
    }),
    SECRET_KEY: optional({
      doc: "The server secret, at least 32 random bytes: seals what is stored and signs what is issued. Several, separated by white space, newest first, are all accepted; which of them writes is settled by `authctl secret rotate`. A development server makes its own in DATA_DIR/secret.key.",
      parse: secrets,
      secret: true,
    }),
    BACKUP_DIR: required({
      doc: "Where `authctl backup create` puts backups (mode 0700). Best on another disk.",
      parse: path,
      fallback: (chosen) => `${String(chosen["DATA_DIR"])}/backups`,
      fallbackDoc: "./data/backups (in DATA_DIR)",
    }),
    BACKUP_RECIPIENTS: optional({
      doc: "The public keys of age that backups are encrypted to, separated by white space: who takes a backup cannot read it then, only who holds an identity of one of them.",
      parse: recipients,
    }),
    BACKUP_PASSPHRASE: optional({
      doc: "The passphrase that backups are encrypted with where there is no BACKUP_RECIPIENTS, and are read with; at least 12 characters.",
      parse: passphrase,
      secret: true,
      shown: () => "set",
    }),
    BACKUP_MAX_AGE: required({
      doc: "How old the last backup may be before `authctl doctor` tells of it; 0 where backups are made in another way.",
      parse: upTo("365d"),
      fallback: (chosen) => (chosen["NODE_ENV"] === "production" ? "48h" : "0"),
      fallbackDoc: "48h in production, else 0",
    }),
  },
  "Sessions and tokens": {
    ACCESS_TOKEN_TTL: required({
      doc: "The life of an access token.",
      parse: duration("1m", "24h"),
      fallback: "15m",
      aliases: { ACCESS_TOKEN_EXPIRE_MINUTES: minutes },
    }),
    REFRESH_TOKEN_TTL: required({
      doc: "How long a session with refresh tokens may rest before it ends.",
      parse: duration("1m", "365d"),
      fallback: "7d",
      aliases: { REFRESH_TOKEN_EXPIRE_DAYS: days },
    }),
    REFRESH_ABSOLUTE_TTL: required({
      doc: "When a session with refresh tokens ends, however busy it is.",
      parse: duration("1m", "3650d"),
      fallback: (chosen) => formatDuration(Math.max(30 * day, Number(chosen["REFRESH_TOKEN_TTL"]))),
      fallbackDoc: "30d, or REFRESH_TOKEN_TTL where that is longer",
    }),
    SESSION_IDLE_TTL: required({
      doc: "How long a session with a session token may rest before it ends.",
      parse: duration("1m", "365d"),
      fallback: "1h",
    }),
    SESSION_ABSOLUTE_TTL: required({
      doc: "When a session with a session token ends, however busy it is.",
      parse: duration("1m", "3650d"),
      fallback: "24h",
    }),
    REFRESH_GRACE: required({
      doc: "How long the refresh token before the current one still gets the same answer, so that two tabs or a lost answer sign nobody out.",
      parse: duration("0s", "60s"),
      fallback: "10s",
    }),
    REFRESH_LATE_RETRY: required({
      doc: "Whether the refresh token before the current one is taken once in 24 hours after the grace, from the same client.",
      parse: toggle,
      fallback: "on",
    }),
    SESSION_BINDING: required({
      doc: "What happens to a credential that another client presents: `off` ignores it, `observe` records it, `ua-family` revokes when the browser or system family differs, `ua-strict` when the User-Agent differs at all.",
      parse: choice("off", "observe", "ua-family", "ua-strict"),
      fallback: "ua-family",
    }),
    STEP_UP_TTL: required({
      doc: "How long ago a password may have been proved, by signing in or at POST /api/v1/users/me/proof, for changes of roles, of the addresses of other users, and for deleting them; at most 24h. 0 asks for no such proof.",
      parse: upTo("24h"),
      fallback: "10m",
    }),
    SESSION_CACHE_TTL: required({
      doc: "How long a session that was checked may be taken from Redis without asking the database, at most 5 seconds; 0 always asks. The bound on how late a revocation counts where Redis cannot be told of it.",
      parse: upTo("5s"),
      fallback: "0",
    }),
    TOKEN_ALGORITHM: required({
      doc: "The algorithm that access tokens are to be signed with. Which one signs is said by the keys in the database, so that servers never disagree: after a change here, `authctl key rotate` publishes a key of it, waits until every client can know it, and lets it sign, without an outage.",
      parse: (value) =>
        (["ES256", "EdDSA", "RS256"] as const).find((one) => one.toLowerCase() === value.toLowerCase()) ??
        unfit("one of ES256, EdDSA, RS256"),
      fallback: "ES256",
      aliases: { ALGORITHM: algorithm },
    }),
    KEY_ROTATION: required({
      doc: "After how long `authctl key rotate --if-due` lets the next signing key sign; 0 never.",
      parse: upTo("3650d"),
      fallback: "90d",
    }),
    TOKEN_AUDIENCE: required({
      doc: "The audience of the access tokens.",
      parse: text,
      fallback: (chosen) => String(chosen["PUBLIC_URL"]),
      fallbackDoc: "PUBLIC_URL",
    }),
  },
  Accounts: accounts,
  "The first admin": firstAdmin,
  Mail: mail,
  Passwords: {
    PASSWORD_MIN_LENGTH: required({
      doc: "The least number of characters (code points) of a password.",
      parse: whole(8, 64),
      fallback: "15",
    }),
    PASSWORD_REFUSE_VARIANTS: required({
      doc: "Whether a password is refused that is little more than a common one or a name, such as `testpassword123`. In production always on.",
      parse: toggle,
      fallback: (chosen) => (chosen["COMPAT_PATHS"] && chosen["NODE_ENV"] !== "production" ? "off" : "on"),
      fallbackDoc:
        "on; off with COMPAT_PATHS outside of production, as the examples of the templates have such passwords",
    }),
    ARGON2_MEMORY_KIB: required({
      doc: "The memory of one argon2id hash, in KiB. In production at least 19456.",
      parse: whole(8, 1_048_576),
      fallback: "19456",
    }),
    ARGON2_TIME_COST: required({
      doc: "The passes of one argon2id hash. In production at least 2.",
      parse: whole(1, 10),
      fallback: "2",
    }),
    HASH_CONCURRENCY: required({
      doc: "Passwords that are hashed at the same time, over all workers.",
      parse: whole(1, 256),
      fallback: () => String(Math.max(1, availableParallelism() - 1)),
      fallbackDoc: "cores − 1, at least 1",
    }),
    HASH_QUEUE: required({
      doc: "Sign-ins that may wait for their hash, for at most 2 seconds; one more is answered 503 `overloaded`.",
      parse: whole(0, 10_000),
      fallback: "64",
    }),
  },
  Limits: limits,
  Upkeep: upkeep,
  Browsers: {
    COOKIE_SECURE: required({
      doc: "Whether cookies are sent over https alone.",
      parse: toggle,
      fallback: (chosen) => (isLocal(chosen["PUBLIC_URL"]) ? "off" : "on"),
      fallbackDoc: "on, but for http://localhost",
      aliases: { SECURE_COOKIES: asItIs, HTTPS_ONLY: asItIs },
    }),
    COOKIE_SAMESITE: required({
      doc: "The SameSite attribute of the access and session cookies; the refresh cookie is always Strict.",
      parse: choice("lax", "strict", "none"),
      fallback: "lax",
    }),
    COOKIE_DOMAIN: optional({
      doc: "The Domain attribute of the cookies. Without it they stay with this host, which is safer.",
      parse: cookieDomain,
    }),
    COOKIE_ACCESS_NAME: required({
      doc: "The name of the cookie with the access token.",
      parse: cookieName,
      fallback: "access_token",
    }),
    COOKIE_REFRESH_NAME: required({
      doc: "The name of the cookie with the refresh token.",
      parse: cookieName,
      fallback: "refresh_token",
    }),
    COOKIE_SESSION_NAME: required({
      doc: "The name of the cookie with the session token.",
      parse: cookieName,
      fallback: (chosen) => (chosen["COOKIE_SECURE"] && !chosen["COOKIE_DOMAIN"] ? "__Host-session" : "session"),
      fallbackDoc: "__Host-session (session where COOKIE_SECURE is off or COOKIE_DOMAIN is set)",
    }),
    COOKIE_DEVICE_NAME: required({
      doc: "The name of the cookie that tells a browser that somebody has signed in with. It signs nobody in: it keeps strangers who try the password from locking that browser out.",
      parse: cookieName,
      fallback: (chosen) => (chosen["COOKIE_SECURE"] && !chosen["COOKIE_DOMAIN"] ? "__Host-device" : "device"),
      fallbackDoc: "__Host-device (device where COOKIE_SECURE is off or COOKIE_DOMAIN is set)",
    }),
    ALLOWED_ORIGINS: required({
      doc: "Origins of other hosts whose pages may send requests with our cookies and read the answers, separated by commas, or as a JSON array.",
      parse: origins,
      fallback: "",
      fallbackDoc: "none",
      aliases: { BACKEND_CORS_ORIGINS: asItIs },
    }),
    CHANGE_PASSWORD_PAGE: required({
      doc: "The page that `/.well-known/change-password` leads password managers to.",
      parse: page,
      fallback: (chosen) => String(chosen["RESET_PASSWORD_PAGE"]),
      fallbackDoc: "RESET_PASSWORD_PAGE",
    }),
    SECURITY_CONTACT: optional({
      doc: "Whom to tell of a weakness, for `/.well-known/security.txt` (RFC 9116): `mailto:security@example.com` or an https address.",
      parse: contact,
    }),
  },
} as const;
