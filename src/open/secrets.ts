/** The server secrets where they are kept, and the one that a development server makes for itself. */
import {
  closeSync,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { systemRandom } from "../adapters/system.ts";
import { secrets, Unfit } from "../config/parsers.ts";
import type { Config, Loaded } from "../config.ts";
import type { SecretShelf } from "../core/core.ts";
import { DomainError, fail } from "../core/errors.ts";

/** The embedded database's file; none where the database is a server of its own. */
export const databaseFile = ({ DATABASE_URL }: Config, cwd: string): string | undefined =>
  DATABASE_URL.dialect === "sqlite" ? resolve(cwd, DATABASE_URL.file) : undefined;

export const secretFile = (config: Config, cwd: string): string => join(resolve(cwd, config.DATA_DIR), "secret.key");

/**
 * Sees to it that there is a server secret. Where the settings name none, it is the one in DATA_DIR, made where there
 * is no database yet: before the database, so that a database without its secret is always one that has lost it.
 */
export function readySecrets(config: Config, cwd: string, made: (what: string) => void): void {
  if (config.SECRET_KEY) return;
  const file = secretFile(config, cwd);
  if (existsSync(file)) return removeAsides(file);
  // A database without its secret cannot be opened any more: a new one would only hide that.
  // Asked for again, as another process may have made both just now.
  const database = databaseFile(config, cwd);
  if (database !== undefined && existsSync(database) && !existsSync(file)) {
    const detail = `There is a database, but no secret: put the file ${file} back, or set SECRET_KEY. Without the secret that the database was made with, nothing that is sealed can be opened.`;
    return fail("secret_mismatch", { detail });
  }
  if (!existsSync(file)) makeSecret(file, made);
}

/** Where the server secrets are kept: in the file that the settings name, else in DATA_DIR, else in the settings themselves. */
export function secretShelfOf({ config, files }: Pick<Loaded, "config" | "files">, cwd: string): SecretShelf {
  const given = config.SECRET_KEY;
  const named = files.SECRET_KEY;
  if (!given) return fileShelf(secretFile(config, cwd));
  if (named !== undefined) return fileShelf(resolve(cwd, named));
  return {
    name: "SECRET_KEY",
    read: () => given,
    keep: () =>
      fail("secret_not_writable", {
        detail:
          "SECRET_KEY is set where only whoever starts the servers can change it. `authctl secret rotate --print` prints what it has to be set to: the new secret and the present ones. Set that, restart the servers one after the other, then run `authctl secret rotate --resume`.",
      }),
    tidy: () => {},
  };
}

const fileShelf = (file: string): SecretShelf => ({
  name: file,
  read: () => read(file),
  keep: (all) => keep(file, all),
  tidy: () => tidy(file),
});

function read(file: string): readonly string[] {
  const problem = (message: string) => fail("config_invalid", { errors: [{ path: "SECRET_KEY", message }] });
  let text: string;
  try {
    if (statSync(file).mode & 0o077) return problem(`${file} can be read by others: \`chmod 600 ${file}\`.`);
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof DomainError) throw error;
    return problem(`${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
  try {
    return secrets(text);
  } catch (error) {
    if (!(error instanceof Unfit)) throw error;
    const detail = `${file} does not hold a whole secret: put the one back that the database was made with.`;
    return fail("secret_mismatch", { detail });
  }
}

/**
 * Written aside, brought to the disk and renamed: whenever the machine fails, the old secrets are there or the new
 * ones. The file stays its owner's, so that a server which is not root's can still read what root has changed.
 */
function keep(file: string, all: readonly string[]): void {
  try {
    // A link stays one: it is the file behind it that is replaced.
    const place = realpathSync(file);
    const { mode, uid, gid } = statSync(place);
    const aside = asideOf(place);
    rmSync(aside, { force: true });
    writeDurably(aside, `${all.join("\n")}\n`, { mode: mode & 0o700, uid, gid });
    renameSync(aside, place);
    syncDirectory(dirname(place));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const detail = `${file} cannot be replaced (${code}). Run the command as whoever may write there; where nobody may, \`authctl secret rotate --print\` prints what the file has to hold. Then run \`authctl secret rotate --resume\`.`;
    fail("secret_not_writable", { detail });
  }
}

const asideOf = (place: string): string => `${place}.new`;

/** What was written aside by a process that was killed before it was renamed: every secret stands in it. */
function tidy(file: string): void {
  try {
    rmSync(asideOf(realpathSync(file)), { force: true });
  } catch {
    // Of whoever may not write there: the next one to keep secrets writes over it.
  }
}

/** A fresh secret: 384 random bits. */
export const freshSecret = (): string => Buffer.from(systemRandom.bytes(48)).toString("base64");

/** The server secrets that are there. Makes none: what is to be opened was sealed by one that there was. */
export function heldSecrets(config: Config, cwd: string): readonly string[] {
  const file = secretFile(config, cwd);
  if (config.SECRET_KEY) return config.SECRET_KEY;
  if (existsSync(file)) return read(file);
  return fail("secret_mismatch", {
    detail: `There is no server secret: set SECRET_KEY_FILE to the secret that the backup was made under, or put it into ${file} (mode 0600).`,
  });
}

/** Written aside and linked into place, so that of two processes that start at once both end with the same secret. */
function makeSecret(file: string, made: (what: string) => void): void {
  const aside = join(dirname(file), `.${basename(file)}.${process.pid}.partial`);
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeDurably(aside, `${freshSecret()}\n`);
    linkSync(aside, file);
    made(`made a secret in ${file}`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Without what was written aside, too: another process may have seen to it that all end with the same secret.
    if (existsSync(file)) return;
    fail("config_invalid", { errors: [{ path: "DATA_DIR", message: `${file} cannot be written (${code}).` }] });
  } finally {
    // Bun does not forgive that the directory is none (EFAULT).
    if (existsSync(aside)) rmSync(aside);
  }
}

/** What a process that was killed has left: from when there is a secret, none that was written aside is wanted. */
function removeAsides(file: string): void {
  const directory = dirname(file);
  try {
    for (const name of readdirSync(directory)) {
      if (name.startsWith(`.${basename(file)}.`) && name.endsWith(".partial")) rmSync(join(directory, name));
    }
  } catch {
    // Of whoever may not tidy up here, or came second: what is left does no harm.
  }
}

type Standing = { readonly mode: number; readonly uid: number; readonly gid: number };

function writeDurably(file: string, text: string, { mode, uid, gid }: Partial<Standing> = {}): void {
  const handle = openSync(file, "w", 0o600);
  try {
    if (mode !== undefined) fchmodSync(handle, mode);
    const made = fstatSync(handle);
    if (uid !== undefined && gid !== undefined && (made.uid !== uid || made.gid !== gid)) fchownSync(handle, uid, gid);
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** A new name is in the directory for good only once the directory itself is on the disk. */
function syncDirectory(directory: string): void {
  const handle = openSync(directory, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
