/** Backups in the world: the files that they are, and the databases that they are restored into. */
import { join, resolve } from "node:path";
import { type BackupFailures, backupFile, backupShelf, type Keys, type Locks } from "../adapters/backup-files.ts";
import type { Config } from "../config.ts";
import type { Archive, Shelf } from "../core/backups/archive.ts";
import type { Core } from "../core/core.ts";
import { DomainError } from "../core/errors.ts";
import { refuseContents } from "../core/moving.ts";
import { createKeyring, type Keyring, sha256 } from "../core/secrets.ts";
import { openCore, openTarget, type Place, settle } from "../open.ts";
import { readMigrationFiles } from "../store/dialects/migration-files.ts";
import { makeScratch, sweepScratch } from "./scratch.ts";
import { heldSecrets } from "./secrets.ts";

const failures: BackupFailures = {
  unwritten: (directory, code) =>
    new DomainError("backup_not_written", {
      detail: `Writing in ${directory} failed with ${code}. Nothing of the backup was kept. Make room there, or name another directory with --out.`,
    }),
  unreadable: (file, code) =>
    code === "ENOENT"
      ? new DomainError("not_found", { detail: `There is no file ${file}.` })
      : new DomainError("usage", { detail: `${file} cannot be read (${code}).` }),
  wrongKey: () => new DomainError("backup_key_wrong"),
  damaged: (what) => new DomainError("backup_damaged", { detail: `The file ${what}. Use another backup.` }),
  badRecipient: () =>
    new DomainError("usage", {
      detail: "A recipient of backups is a public key of age, such as age1…: `age-keygen` makes one.",
    }),
  badIdentity: () =>
    new DomainError("usage", {
      detail:
        "The identity file holds no secret key of age (AGE-SECRET-KEY-1…): name the file that `age-keygen` wrote.",
    }),
};

/** The directory that backups of this server are in, unless another one is named. */
export const backupDirectory = ({ BACKUP_DIR }: Config, cwd: string, out?: string): string =>
  resolve(cwd, out ?? BACKUP_DIR);

export function openShelf(config: Config, cwd: string, locks: Locks, out?: string): Shelf {
  sweepScratch(resolve(cwd, config.DATA_DIR));
  const directory = backupDirectory(config, cwd, out);
  return backupShelf({ directory, database: databaseName(config, cwd), locks }, failures);
}

export const openArchive = (file: string, keys: Keys): Archive => backupFile(file, keys, failures);

/** What the database is called in the names of its backups: the same for as long as it stays where it is. */
function databaseName({ DATABASE_URL, DATABASE_SCHEMA }: Config, cwd: string): string {
  if (DATABASE_URL.dialect === "sqlite") return short(resolve(cwd, DATABASE_URL.file));
  const { host, pathname } = new URL(DATABASE_URL.url);
  return short(`${host}${pathname} ${DATABASE_SCHEMA}`);
}

const short = (text: string): string => Buffer.from(sha256(text), "base64url").toString("hex").slice(0, 8);

/** What a backup is examined by: the secrets at hand, and the tables of this version. Makes nothing. */
export function restoringMeans(place: Place): { config: Config; keyring: Keyring; migrations: readonly string[] } {
  const config = settle(place);
  const migrations = readMigrationFiles(config.DATABASE_URL.dialect).map(({ id }) => id);
  return { config, keyring: createKeyring(heldSecrets(config, place.cwd)), migrations };
}

/** Fails with `target_not_empty` where the database of the settings holds anything, without making what is not there. */
export async function refuseTarget(config: Config, cwd: string, now: Date): Promise<void> {
  const there = await openTarget(config, cwd, config.DATABASE_URL, { now, rehearsal: true, source: "DATABASE_URL" });
  try {
    if (there) await refuseContents(there, "Nothing was restored. Name a database in DATABASE_URL that is empty.");
  } finally {
    await there?.close();
  }
}

/** The database of the settings, to be restored into: it gets its tables where it has none. */
export const openEmpty = (place: Place): Promise<Core> => openCore({ ...place, purpose: "bare" });

/** A database that goes away when it is closed. In DATA_DIR, where nobody else may look: it is to hold everything. */
export async function openScratch(place: Place): Promise<Core> {
  const { directory, remove } = makeScratch(resolve(place.cwd, settle(place).DATA_DIR));
  try {
    const file = join(directory, "restored.db");
    const core = await openCore({ ...place, purpose: "bare", database: { dialect: "sqlite", file } });
    return { ...core, close: () => core.close().finally(remove) };
  } catch (error) {
    remove();
    throw error;
  }
}
