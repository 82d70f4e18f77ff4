/** The server secret that a development server makes for itself, beside its database. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { systemRandom } from "../adapters/system.ts";
import type { Config } from "../config.ts";
import { fail } from "../core/errors.ts";

/** The embedded database's file; none where the database is a server of its own. */
export const databaseFile = ({ DATABASE_URL }: Config, cwd: string): string | undefined =>
  DATABASE_URL.dialect === "sqlite" ? resolve(cwd, DATABASE_URL.file) : undefined;

export const secretFile = (config: Config, cwd: string): string => join(resolve(cwd, config.DATA_DIR), "secret.key");

/**
 * The server secrets. Where the settings name none, the one in DATA_DIR, made where there is no database yet:
 * before the database, so that a database without its secret is always one that has lost it.
 */
export function readySecrets(config: Config, cwd: string, made: (what: string) => void): readonly string[] {
  if (config.SECRET_KEY) return config.SECRET_KEY;
  const file = secretFile(config, cwd);
  if (!existsSync(file)) {
    // A database without its secret cannot be opened any more: a new one would only hide that.
    // Asked for again, as another process may have made both just now.
    const database = databaseFile(config, cwd);
    if (database !== undefined && existsSync(database) && !existsSync(file)) {
      const detail = `There is a database, but no secret: put the file ${file} back, or set SECRET_KEY. Without the secret that the database was made with, nothing that is sealed can be opened.`;
      return fail("secret_mismatch", { detail });
    }
    if (!existsSync(file)) makeSecret(file, made);
  }
  if (statSync(file).mode & 0o077) {
    return fail("config_invalid", {
      errors: [{ path: "SECRET_KEY", message: `${file} can be read by others: \`chmod 600 ${file}\`.` }],
    });
  }
  const secrets = readFileSync(file, "utf8").trim().split(/\s+/);
  if (secrets.every((secret) => Buffer.byteLength(secret) >= 32)) return secrets;
  const detail = `${file} does not hold a whole secret: put the one back that the database was made with.`;
  return fail("secret_mismatch", { detail });
}

/** The server secrets that are there. Makes none: what is to be opened was sealed by one that there was. */
export function heldSecrets(config: Config, cwd: string): readonly string[] {
  const file = secretFile(config, cwd);
  if (config.SECRET_KEY || existsSync(file)) return readySecrets(config, cwd, () => {});
  return fail("secret_mismatch", {
    detail: `There is no server secret: set SECRET_KEY_FILE to the secret that the backup was made under, or put it into ${file} (mode 0600).`,
  });
}

/** Written aside and linked into place, so that of two processes that start at once both end with the same secret. */
function makeSecret(file: string, made: (what: string) => void): void {
  const aside = `${file}.${process.pid}`;
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeDurably(aside, `${Buffer.from(systemRandom.bytes(48)).toString("base64")}\n`);
    linkSync(aside, file);
    made(`made a secret in ${file}`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && existsSync(file)) return;
    fail("config_invalid", { errors: [{ path: "DATA_DIR", message: `${file} cannot be written (${code}).` }] });
  } finally {
    if (existsSync(aside)) unlinkSync(aside);
  }
}

function writeDurably(file: string, text: string): void {
  const handle = openSync(file, "w", 0o600);
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
