/** How the text of a setting becomes its value. A text that does not fit is answered with what would. */
import { isIP } from "node:net";
import { parseDuration } from "./durations.ts";

/** What a parser says of a text that it cannot take: how the value should look. */
export class Unfit extends Error {}

export const unfit = (wanted: string): never => {
  throw new Unfit(wanted);
};

export type Parser<T> = (text: string) => T;

export const text: Parser<string> = (value) => value;

export const path: Parser<string> = (value) => value;

/** An address of this machine as a socket takes it, or a name of it: an address of IPv6 stands without brackets. */
export const host: Parser<string> = (value) =>
  isIP(value) > 0 || (/^[\w.-]{1,253}$/.test(value) && /[a-z]/i.test(value))
    ? value
    : unfit("an IP address such as 127.0.0.1, 0.0.0.0 or ::, or a host name");

/** What can be sent as a bearer credential (RFC 6750, section 2.1), and is too long to be guessed. */
export const bearerText: Parser<string> = (value) =>
  /^[A-Za-z0-9._~+/-]{16,512}=*$/.test(value)
    ? value
    : unfit("at least 16 letters, digits or . _ ~ + / -; make one with `openssl rand -hex 32`");

export const whole =
  (least: number, most: number): Parser<number> =>
  (value) => {
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    return number >= least && number <= most ? number : unfit(`a whole number from ${least} to ${most}`);
  };

export const ratio: Parser<number> = (value) =>
  /^(?:0(?:\.\d{1,6})?|1(?:\.0{1,6})?)$/.test(value) ? Number(value) : unfit("a number from 0 to 1, such as 0.1");

export const choice =
  <const T extends string>(...choices: readonly T[]): Parser<T> =>
  (value) =>
    choices.find((one) => one === value.toLowerCase()) ?? unfit(`one of ${choices.join(", ")}`);

export const yesWords: readonly string[] = ["true", "on", "yes", "1"];
const noWords: readonly string[] = ["false", "off", "no", "0"];

export const toggle: Parser<boolean> = (value) =>
  yesWords.includes(value.toLowerCase()) || (noWords.includes(value.toLowerCase()) ? false : unfit("on or off"));

export const duration =
  (least: string, most: string): Parser<number> =>
  (value) => {
    const milliseconds = parseDuration(value);
    return milliseconds !== undefined && milliseconds >= parseDuration(least)! && milliseconds <= parseDuration(most)!
      ? milliseconds
      : unfit(`a length of time from ${least} to ${most}, such as 90s, 15m, 12h or 30d`);
  };

/** A length of time, or no end to it. */
export const keptFor =
  (least: string, most: string): Parser<number | "forever"> =>
  (value) => {
    if (value.toLowerCase() === "forever") return "forever";
    const milliseconds = parseDuration(value);
    return milliseconds !== undefined && milliseconds >= parseDuration(least)! && milliseconds <= parseDuration(most)!
      ? milliseconds
      : unfit(`forever, or a length of time from ${least} to ${most}, such as 400d`);
  };

/** A length of time that may be none at all: `0` or `off`. */
export const upTo =
  (most: string): Parser<number> =>
  (value) => {
    const milliseconds = value === "0" || value.toLowerCase() === "off" ? 0 : parseDuration(value);
    return milliseconds !== undefined && milliseconds <= parseDuration(most)!
      ? milliseconds
      : unfit(`0, or a length of time of at most ${most}, such as ${most}`);
  };

/** So many in so much time, in milliseconds. */
export type Quota = { readonly most: number; readonly window: number };

/** `600/1m`. Windows are of whole seconds, which is what the fields of an answer can tell. */
export const quota: Parser<Quota> = (value) => {
  const [, number = "", time = ""] = /^(\d{1,7})\/(\w+)$/.exec(value) ?? [];
  const [most, window] = [Number(number), parseDuration(time) ?? 0];
  return most >= 1 && window >= 1000 && window <= 86_400_000 && window % 1000 === 0
    ? { most, window }
    : unfit("a number and a length of time from 1s to 24h, such as 600/1m");
};

/** Public keys of age, each of one of its kinds. */
export const recipients: Parser<readonly string[]> = (value) => {
  const list = value.split(/[\s,]+/).filter((one) => one !== "");
  return list.length > 0 && list.every((one) => /^age1[a-z0-9]{20,4000}$/.test(one))
    ? list
    : unfit("public keys of age, such as age1…; make one with `age-keygen`");
};

export const passphrase: Parser<string> = (value) =>
  Array.from(value).length >= 12 ? value : unfit("at least 12 characters; several unrelated words do well");

const unitsOfSize = { b: 1, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3 } as const;

export const size =
  (least: number, most: number): Parser<number> =>
  (value) => {
    const [, amount, unit] = /^(\d{1,9})(B|KiB|MiB|GiB)$/i.exec(value) ?? [];
    const bytes = amount && unit ? Number(amount) * unitsOfSize[unit.toLowerCase() as keyof typeof unitsOfSize] : -1;
    return bytes >= least && bytes <= most ? bytes : unfit(`a size from ${least}B to ${most / 1024}KiB, such as 64KiB`);
  };

function originOf(value: string): string | undefined {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  const bare = url && /^https?:$/.test(url.protocol) && !url.username && !url.password;
  return bare && url.pathname === "/" && !url.search && !url.hash && !value.endsWith("?") && !value.endsWith("#")
    ? url.origin
    : undefined;
}

export const origin: Parser<string> = (value) =>
  originOf(value) ?? unfit("an http or https address without a path, such as https://auth.example.com");

/** `https://app.example.com, https://www.example.com`, or the same as a JSON array of strings. */
export const origins: Parser<readonly string[]> = (value) =>
  listed(value)
    .map((one) => one.trim())
    .filter((one) => one !== "")
    .map(
      (one) =>
        (one === "localhost" ? "http://localhost" : originOf(one)) ??
        unfit("origins separated by commas, such as https://app.example.com"),
    );

function listed(value: string): readonly string[] {
  if (!value.trimStart().startsWith("[")) return value.split(",");
  try {
    const list: unknown = JSON.parse(value);
    if (Array.isArray(list) && list.every((one) => typeof one === "string")) return list;
  } catch {
    // Told below: what is no JSON is no list either.
  }
  return unfit('a list of origins, such as ["https://app.example.com"]');
}

/** A page that a link in a mail leads to: the token is put behind a `#`, so that no server on the way ever sees it. */
export const page: Parser<string> = (value) => {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  const fits = url && /^https?:$/.test(url.protocol) && !url.username && !url.password && !value.includes("#");
  return fits ? url.href : unfit("an http or https address without a fragment, such as https://app.example.com/reset");
};

/** A `Contact` of security.txt (RFC 9116, section 2.5.3). */
export const contact: Parser<string> = (value) =>
  /^mailto:[^\s@<>]+@[^\s@<>]+$/.test(value) || (/^https:\/\/\S+$/.test(value) && URL.canParse(value))
    ? value
    : unfit("mailto: with an address, or an https address");

/** A language tag of BCP 47, in its usual spelling. */
export const locale: Parser<string> = (value) => {
  try {
    return Intl.getCanonicalLocales(value)[0] ?? unfit("a language such as en or de-AT");
  } catch {
    return unfit("a language such as en or de-AT");
  }
};

/** Where mail is handed over. `smtps:` speaks TLS from the first byte; `smtp:` begins it with STARTTLS. */
export const smtpUrl: Parser<string> = (value) => {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  return url && /^smtps?:$/.test(url.protocol) && url.hostname && !url.hash && /^\/?$/.test(url.pathname)
    ? value
    : unfit("a mail server, such as smtp://user:password@mail.example.com:587 or smtps://mail.example.com");
};

export function shownSmtpUrl(value: string): string {
  const url = new URL(value);
  if (url.password) url.password = "***";
  return url.href;
}

/** `name@example.com` or `Name <name@example.com>`: one address, on one line. */
export const sender: Parser<string> = (value) =>
  /^(?:[^<>",;:@\p{Cc}]{1,100} )?<[^\s<>",;:@]+@[^\s<>",;:@]+>$|^[^\s<>",;:@]+@[^\s<>",;:@]+$/u.test(value)
    ? value
    : unfit("one address, such as Example <no-reply@example.com>");

/** A JSON Schema of an object. */
export const objectSchema: Parser<Readonly<Record<string, unknown>>> = (value) => {
  try {
    const schema: unknown = JSON.parse(value);
    if (typeof schema === "object" && schema !== null && "type" in schema && schema.type === "object") {
      return schema;
    }
  } catch {
    // Told below: what is no JSON is no schema either.
  }
  return unfit('a JSON Schema of an object, such as {"type":"object","properties":{"theme":{"type":"string"}}}');
};

/** One network: an address with the number of leading bits that count. */
export type Network = { readonly address: string; readonly prefix: number };

/** Addresses and networks, such as `10.0.0.5, 172.30.0.0/24, 2001:db8::/32`. */
export const networks: Parser<readonly Network[]> = (value) =>
  value
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "")
    .map((one) => {
      const [address = "", bits] = one.split("/", 2);
      const most = isIP(address) === 4 ? 32 : 128;
      const prefix = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
      return isIP(address) && prefix <= most
        ? { address, prefix }
        : unfit("addresses or networks separated by commas, such as 10.0.0.5 or 172.30.0.0/24");
    });

/**
 * Where the data is. `file` is as it was written: relative to the directory that the command was started in.
 * `url` is what the Postgres driver takes.
 */
export type DatabaseUrl =
  | { readonly dialect: "sqlite"; readonly file: string }
  | { readonly dialect: "postgres"; readonly url: string };

const databaseForms = "such as sqlite:./data/auth.db or postgres://user:password@host/database";

/** A path that is nothing else: a word by itself may be a host, a database, or a slip. */
const isPath = (value: string): boolean => /^\.{0,2}\//.test(value) || /\.(db3?|sqlite3?)$/i.test(value);

/** The forms that other tools write are understood: `postgresql+asyncpg://`, `sqlite:///./data/auth.db`, `file:`. */
export const databaseUrl: Parser<DatabaseUrl> = (value) => {
  const [, scheme, rest = ""] = /^([a-z][a-z0-9+]*):(.*)$/i.exec(value) ?? [undefined, undefined, value];
  const dialect = scheme?.toLowerCase().split("+")[0];
  if (dialect === "mysql" || dialect === "mariadb") {
    return unfit(`SQLite or Postgres, ${databaseForms}; MySQL and MariaDB are not supported`);
  }
  if (dialect === "postgres" || dialect === "postgresql") {
    const url = `postgres:${rest}`;
    return rest.startsWith("//") && URL.canParse(url)
      ? { dialect: "postgres", url }
      : unfit("a Postgres address, such as postgres://user:password@host:5432/database?sslmode=verify-full");
  }
  const isFile = dialect === undefined ? isPath(value) : ["sqlite", "sqlite3", "file"].includes(dialect);
  if (!isFile) return unfit(`SQLite or Postgres, ${databaseForms}`);
  const file = sqliteFile(dialect, rest);
  if (file === "" || file.includes(":memory:"))
    return unfit("a SQLite file; a database in memory would be lost at every restart");
  if (/[?#\0]/.test(file)) return unfit("a SQLite file without parameters, such as sqlite:./data/auth.db");
  return { dialect: "sqlite", file };
};

/** In `sqlite:///x` the third slash belongs to the form, and a fourth begins the path; in `file:///x` the third does. */
function sqliteFile(scheme: string | undefined, rest: string): string {
  if (!rest.startsWith("//")) return rest;
  return scheme !== "file" && rest.startsWith("///") ? rest.slice(3) : rest.slice(2);
}

/** A database's address without its password, for people. */
export function shownDatabaseUrl(database: DatabaseUrl): string {
  if (database.dialect === "sqlite") return `sqlite:${database.file}`;
  const url = new URL(database.url);
  if (url.password) url.password = "***";
  for (const name of url.searchParams.keys()) if (/password/i.test(name)) url.searchParams.set(name, "***");
  return url.href;
}

export const schemaName: Parser<string> = (value) =>
  /^[a-z_][a-z0-9_]{0,62}$/.test(value) && !value.startsWith("pg_")
    ? value
    : unfit("1 to 63 small letters, digits or underscores, and not begin with pg_");

export const cookieName: Parser<string> = (value) =>
  /^[A-Za-z0-9_.-]{1,64}$/.test(value) ? value : unfit("1 to 64 letters, digits, dots, dashes or underscores");

/** Python writes `None` for none. */
export const cookieDomain: Parser<string | undefined> = (value) => {
  if (value.toLowerCase() === "none") return undefined;
  return /^([a-z0-9-]{1,63}\.)+[a-z0-9-]{1,63}$/.test(value) ? value : unfit("a domain such as example.com");
};

/** Long enough words that a random secret does not hold one by chance. */
export const placeholderSecret = /change|secret|example|placeholder|password|your[-_ ]|replace|default|insecure/i;

/**
 * The server secrets, newest first: all of them are accepted, and the database says which one writes (rule TK-7).
 * Several are separated by white space, so that a file may hold one on each line.
 */
export const secrets: Parser<readonly string[]> = (value) => {
  const list = value.split(/\s+/).filter((one) => one !== "");
  const fits = list.length > 0 && list.every((one) => Buffer.byteLength(one) >= 32 && new Set(one).size >= 8);
  return fits ? list : unfit("at least 32 random bytes; make them with `authctl secret generate`");
};
