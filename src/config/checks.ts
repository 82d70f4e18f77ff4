/** What is wrong with settings that are right one by one. */
import type { Config, Problem, SettingName } from "../config.ts";
import { isSharedSecret } from "./aliases.ts";
import { placeholderSecret } from "./parsers.ts";

/** What no environment can mean. */
export function contradictions(config: Config): Problem[] {
  const problems: Problem[] = [];
  const say = (name: SettingName, message: string) => problems.push({ name, message });
  if (config.REFRESH_TOKEN_TTL > config.REFRESH_ABSOLUTE_TTL) {
    say("REFRESH_TOKEN_TTL", "must not be longer than REFRESH_ABSOLUTE_TTL.");
  }
  if (config.SESSION_IDLE_TTL > config.SESSION_ABSOLUTE_TTL) {
    say("SESSION_IDLE_TTL", "must not be longer than SESSION_ABSOLUTE_TTL.");
  }
  if (config.ACCESS_TOKEN_TTL > config.REFRESH_ABSOLUTE_TTL) {
    say("ACCESS_TOKEN_TTL", "must not be longer than REFRESH_ABSOLUTE_TTL.");
  }
  if (config.COOKIE_SAMESITE === "none" && !config.COOKIE_SECURE) {
    say("COOKIE_SAMESITE", "`none` is taken by browsers only with COOKIE_SECURE=on.");
  }
  for (const name of ["COOKIE_SESSION_NAME", "COOKIE_DEVICE_NAME"] as const) {
    if (config[name]?.startsWith("__Host-") && (!config.COOKIE_SECURE || config.COOKIE_DOMAIN)) {
      say(name, "may begin with `__Host-` only with COOKIE_SECURE=on and without COOKIE_DOMAIN.");
    }
  }
  if (config.SESSION_CACHE_TTL > 0 && !config.REDIS_URL) {
    say("SESSION_CACHE_TTL", "keeps sessions in Redis: set REDIS_URL, or SESSION_CACHE_TTL=0.");
  }
  if (config.REQUIRE_EMAIL_VERIFICATION && config.NODE_ENV === "production" && !config.SMTP_URL) {
    say("REQUIRE_EMAIL_VERIFICATION", "needs a mail server: set SMTP_URL, or nobody could ever sign in.");
  }
  if (config.METRICS_PORT !== undefined && config.METRICS_PORT === config.PORT) {
    say("METRICS_PORT", "must not be the same as PORT.");
  }
  const names = [
    config.COOKIE_ACCESS_NAME,
    config.COOKIE_REFRESH_NAME,
    config.COOKIE_SESSION_NAME,
    config.COOKIE_DEVICE_NAME,
  ];
  if (config.DB_BACKEND && config.DB_BACKEND !== config.DATABASE_URL?.dialect) {
    say("DB_BACKEND", `is ${config.DB_BACKEND}, and DATABASE_URL names another kind of database: correct one of them.`);
  }
  if (new Set(names).size < names.length) say("COOKIE_SESSION_NAME", "the four cookies must have four names.");
  return problems;
}

/** What was copied from an example and never filled in. Production refuses it; development says so. */
export function placeholders(config: Config): Problem[] {
  const problems: Problem[] = [];
  const say = (name: SettingName, message: string) => problems.push({ name, message });
  if (config.SECRET_KEY?.some((one) => placeholderSecret.test(one))) {
    say("SECRET_KEY", "looks like a placeholder: replace it with the output of `authctl secret generate`.");
  }
  if (config.ADMIN_EMAIL && /^your[-_.]|@example\.(com|net|org)$/i.test(config.ADMIN_EMAIL)) {
    say("ADMIN_EMAIL", "looks like a placeholder: set it to the address of the first admin.");
  }
  if (config.ADMIN_PASSWORD && /^your[-_ ]|change[-_ ]?(me|this|it)\b|placeholder/i.test(config.ADMIN_PASSWORD)) {
    say("ADMIN_PASSWORD", "looks like a placeholder: set it to a password that nobody else knows.");
  }
  return problems;
}

/** What works, and perhaps not in the way that was meant. `read` gives the text of any variable. */
export function hints(config: Config, read: (name: string) => string | undefined): Problem[] {
  const notices: Problem[] = [];
  const say = (name: string, message: string) => notices.push({ name, message });
  if (isSharedSecret(read("ALGORITHM") ?? "")) {
    say(
      "ALGORITHM",
      `is not followed: what verifies an HS token can make one. ${config.TOKEN_ALGORITHM} signs instead.`,
    );
  }
  if (config.ALLOWED_ORIGINS?.includes("http://localhost")) {
    say("ALLOWED_ORIGINS", "http://localhost is that of port 80 alone; a page on another port is another origin.");
  }
  if (!config.ADMIN_EMAIL && (config.ADMIN_PASSWORD || config.ADMIN_USERNAME)) {
    say("ADMIN_EMAIL", "is not set: without it no admin is made.");
  }
  return notices;
}

/** What development may do and production may not, each with its remedy. */
export function unsafe(config: Config): Problem[] {
  const problems: Problem[] = [];
  const say = (name: SettingName, message: string) => problems.push({ name, message });
  if (!config.SECRET_KEY) {
    say(
      "SECRET_KEY",
      "is not set: run `authctl init`, or set SECRET_KEY_FILE to a file (0600) with the output of `authctl secret generate` in it.",
    );
  }
  if (!config.COOKIE_SECURE) say("COOKIE_SECURE", "is off: set PUBLIC_URL to the https address, or COOKIE_SECURE=on.");
  if (config.PUBLIC_URL?.startsWith("http:")) {
    say("PUBLIC_URL", "must begin with https:// in production: set it to the address that users reach this server at.");
  }
  for (const name of ["VERIFY_EMAIL_PAGE", "RESET_PASSWORD_PAGE"] as const) {
    if (config.PUBLIC_URL?.startsWith("https:") && config[name]?.startsWith("http:")) {
      say(name, "must begin with https:// in production: a link with a token leads there.");
    }
  }
  for (const one of config.ALLOWED_ORIGINS ?? []) {
    if (one.startsWith("http:")) say("ALLOWED_ORIGINS", `${one} is not https: remove it.`);
  }
  if (!config.PASSWORD_REFUSE_VARIANTS) {
    say("PASSWORD_REFUSE_VARIANTS", "must be on in production: variants of common passwords are guessed first.");
  }
  if (config.ARGON2_MEMORY_KIB < 19_456) say("ARGON2_MEMORY_KIB", "must be at least 19456 (OWASP).");
  if (config.ARGON2_TIME_COST < 2) say("ARGON2_TIME_COST", "must be at least 2 (OWASP).");
  if (config.SQLITE_SYNCHRONOUS === "normal") {
    say("SQLITE_SYNCHRONOUS", "must be `full`, or a loss of power could bring back a revoked session.");
  }
  return problems;
}
