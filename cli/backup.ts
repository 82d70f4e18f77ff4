import { resolve } from "node:path";
import { version } from "../package.json";
import { formatSize } from "../src/config/sizes.ts";
import type { Config } from "../src/config.ts";
import { type Created, createBackup } from "../src/core/backups/creation.ts";
import { type Examined, examineBackup } from "../src/core/backups/examination.ts";
import { restoreBackup } from "../src/core/backups/restoring.ts";
import { tryBackup } from "../src/core/backups/verification.ts";
import { DomainError, fail } from "../src/core/errors.ts";
import { backupView } from "../src/core/views.ts";
import { counted } from "./arguments.ts";
import { command, group } from "./command.ts";
import type { Desk } from "./desk.ts";
import { type ArgsOf, choice, number, positional, text, toggle } from "./options.ts";
import type { Progress } from "./progress.ts";
import { filled, readPrivateFile } from "./secret.ts";

const passphraseArgs = {
  passphraseFile: text("read the passphrase from this file", { hint: "FILE" }),
  passphraseStdin: toggle("read the passphrase from standard input"),
};

const lockArgs = {
  recipient: text("encrypt to this public key of age; without any, to BACKUP_RECIPIENTS", { hint: "KEY", many: true }),
  ...passphraseArgs,
  plain: toggle("do not encrypt: the backup holds everybody's addresses in the clear"),
};

const create = command({
  description:
    "Make a backup of everything while servers run: compressed, encrypted, read back before it counts. For cron: silent unless there is trouble.",
  effect: "write",
  args: {
    out: text("the directory; without it, BACKUP_DIR", { hint: "DIR" }),
    keep: number("then remove all backups of this database but the newest so many", { min: 1 }),
    ...lockArgs,
    lock: choice("where another backup is being made: fail with exit code 75, or skip this one", ["fail", "skip"], {
      default: "fail",
    }),
  },
  examples: [
    "authctl backup create --passphrase-file /run/secrets/backup --verbose",
    "15 3 * * * authctl backup create --keep 14 --lock skip",
  ],
  exits: { 69: "it could not be written, and nothing of it was kept", 75: "another backup is being made" },
  async run({ out, keep, lock, ...wanted }, desk) {
    const { openShelf } = await import("../src/open/backups.ts");
    await desk.withCore(async (core, by) => {
      const shelf = openShelf(core.settings, desk.place.cwd, await locksOf(wanted, core.settings, desk), out);
      const progress = stages(desk);
      const created = await createBackup(core, by, shelf, {
        version,
        keep,
        interrupted: desk.interrupted,
        onRows: progress.advance,
      })
        .catch((error: unknown) => {
          if (lock === "skip" && error instanceof DomainError && error.code === "lock_held") return undefined;
          throw error;
        })
        .finally(progress.end);
      if (!created) return desk.detail("Another backup is being made. Nothing to do.");
      for (const finding of created.examined.findings) desk.warn(finding);
      if (desk.json || desk.verbose) await desk.print(createdView(created, desk));
    });
  },
});

const createdView = ({ file, bytes, examined, removed }: Created, { json }: Desk) => ({
  file,
  ...(json ? { bytes } : { size: formatSize(bytes) }),
  ...backupView(examined),
  removed,
});

const keyArgs = {
  file: positional("FILE", "the backup", { required: true }),
  ...passphraseArgs,
  identityFile: text("read the secret key of a recipient from this file, as `age-keygen` writes it", { hint: "FILE" }),
};

const exits = {
  3: "there is no such file",
  5: "it is not whole, or something in it cannot be relied on",
  77: "the key does not open it",
  78: "it was made by another version, or under another server secret",
};

const verify = command({
  description:
    "Restore a backup into a database that goes away again, and check all of it: every row, every seal, the audit trail.",
  effect: "read",
  args: keyArgs,
  examples: ["authctl backup verify data/backups/authctl-6f0c1e2d-20260131T031500000Z.ndjson.gz.age"],
  exits,
  async run(args, desk) {
    const { openScratch } = await import("../src/open/backups.ts");
    const { archive, examined } = await examine(args, desk);
    const progress = stages(desk);
    const findings = await desk
      .withCore(
        (core, by) =>
          tryBackup(core, by, archive, examined, { interrupted: desk.interrupted, onRows: progress.advance }),
        openScratch,
      )
      .finally(progress.end);
    if (findings.length > 0) {
      fail("backup_findings", { errors: findings.map((message) => ({ path: archive.name, message })) });
    }
    await desk.print(backupView(examined));
    desk.say("The backup is whole: every row of it was restored, opened and compared.");
  },
});

const restore = command({
  description:
    "Put a backup into the database of the settings, which has to be empty. All or nothing. Everybody is signed out, because what was revoked after the backup would be good again.",
  effect: "destructive",
  dryRun: true,
  args: {
    ...keyArgs,
    keepSessions: toggle(
      "leave sessions, one-time links and waiting mails as they were: only where nothing was done since the backup",
    ),
  },
  examples: [
    "authctl backup restore latest.ndjson.gz.age --identity-file key.txt --dry-run",
    "DATABASE_URL=postgres://… authctl backup restore latest.ndjson.gz.age --passphrase-file /run/secrets/backup",
  ],
  exits: { ...exits, 4: "the database is not empty" },
  async run({ keepSessions, ...args }, desk) {
    const { openEmpty, refuseTarget } = await import("../src/open/backups.ts");
    const { archive, examined, config } = await examine(args, desk);
    for (const finding of examined.findings) desk.warn(finding);
    await refuseTarget(config, desk.place.cwd, desk.now());
    await desk.confirm(deedOf(examined, keepSessions));
    if (!desk.dryRun) {
      const progress = stages(desk);
      const options = { keepSessions, interrupted: desk.interrupted, onRows: progress.advance };
      await desk
        .withCore((core, by) => restoreBackup(core, by, archive, examined, options), openEmpty)
        .finally(progress.end);
    }
    await desk.print(backupView(examined));
    const [did, next] = desk.dryRun ? ["would restore", ""] : ["restored", ` ${afterwards}`];
    desk.say(`${did} ${counted(rowsOf(examined), "row")} as they were at ${examined.manifest.made_at}.${next}`);
  },
});

const afterwards =
  "What was changed since then is lost: passwords that were changed, users and roles, bans, and keys that were rotated because they had leaked. Do that again before the servers start.";

const rowsOf = ({ tables }: Examined): number => tables.reduce((sum, { rows }) => sum + rows, 0);

function deedOf(examined: Examined, keepSessions: boolean): string {
  const ends = keepSessions
    ? "brings back every session, one-time link and waiting mail of that moment, also those that were revoked, used or sent since"
    : "ends every session, one-time link and waiting mail, as nobody knows which of them were revoked, used or sent since";
  return `restores ${counted(rowsOf(examined), "row")} as they were at ${examined.manifest.made_at}, and ${ends}`;
}

export default group({
  description: "Copies of everything, to restore from.",
  verbs: { create, verify, restore },
});

/** Reads the whole file, and says what it holds. */
async function examine({ file, ...args }: ArgsOf<typeof keyArgs>, desk: Desk) {
  const { openArchive, restoringMeans } = await import("../src/open/backups.ts");
  const { config, keyring, migrations } = restoringMeans(desk.place);
  const archive = openArchive(resolve(desk.place.cwd, file), await keysOf(args, config, desk));
  const progress = stages(desk);
  const examined = await examineBackup(keyring, archive, {
    migrations,
    interrupted: desk.interrupted,
    onRows: (rows) => progress.advance("reading", rows),
  }).finally(progress.end);
  return { archive, examined, config };
}

/** A bar for each stage. How many rows there are is known only at the end of a backup. */
function stages(desk: Desk) {
  let now: { readonly stage: string; readonly bar: Progress } | undefined;
  return {
    advance: (stage: string, rows: number): void => {
      if (now?.stage !== stage) now = { stage, bar: desk.progress(undefined, stage) };
      now.bar.advance(rows);
    },
    end: (): void => now?.bar.end(),
  };
}

/** What the flags ask for, else what the settings do. In the clear only where that was asked for. */
async function locksOf({ recipient, plain, ...args }: ArgsOf<typeof lockArgs>, config: Config, desk: Desk) {
  const given = await passphraseOf(args, desk, { isNew: true });
  if ([recipient.length > 0, given !== undefined, plain].filter(Boolean).length > 1) {
    fail("usage", { detail: "Use only one of --recipient, a passphrase and --plain." });
  }
  if (given !== undefined && Array.from(given).length < 12) {
    fail("usage", {
      detail: "The passphrase is too short: 12 characters are the least, several unrelated words do well.",
    });
  }
  if (recipient.length > 0 || given !== undefined || plain) return { recipients: recipient, passphrase: given };
  const { BACKUP_RECIPIENTS: recipients, BACKUP_PASSPHRASE: passphrase } = config;
  if (recipients) return { recipients };
  return passphrase === undefined ? fail("backup_not_encrypted") : { passphrase };
}

async function keysOf(
  { identityFile, ...args }: Omit<ArgsOf<typeof keyArgs>, "file">,
  { BACKUP_PASSPHRASE }: Config,
  desk: Desk,
) {
  const given = await passphraseOf(args, desk);
  const file =
    identityFile && (await readPrivateFile("--identity-file", resolve(desk.place.cwd, identityFile), desk.warn));
  const identities = file
    ?.split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  return { passphrase: given ?? BACKUP_PASSPHRASE, ...(identities && { identities }) };
}

async function passphraseOf(
  { passphraseFile, passphraseStdin }: ArgsOf<typeof passphraseArgs>,
  desk: Desk,
  { isNew = false } = {},
): Promise<string | undefined> {
  if (passphraseFile !== undefined && passphraseStdin) {
    fail("usage", { detail: "Use only one of --passphrase-file and --passphrase-stdin." });
  }
  const ways = "--passphrase-stdin or --passphrase-file FILE";
  if (passphraseStdin)
    return await desk.secretInput({ question: "Passphrase of the backup", noun: "passphrase", twice: isNew, ways });
  if (passphraseFile === undefined) return undefined;
  const file = resolve(desk.place.cwd, passphraseFile);
  return filled("passphrase", await readPrivateFile("--passphrase-file", file, desk.warn));
}
