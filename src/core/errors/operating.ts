/** What operators meet, and whoever runs commands. */
import type { Row } from "./kinds.ts";

export const operating = {
  usage: { kind: "usage", title: "The command was not understood", detail: "See `authctl help`." },
  confirmation_required: {
    kind: "usage",
    title: "This needs a confirmation",
    detail: "Repeat the command with --yes, or run it on a terminal.",
  },
  secret_on_command_line: {
    kind: "usage",
    title: "A secret stood on the command line",
    detail:
      "Secrets are never taken from the command line, where every process can read them. Use --password-stdin, --password-file FILE, --generate or the prompt.",
  },
  output_failed: {
    kind: "unavailable",
    title: "The output could not be written",
    detail: "Make room where it goes, or send it elsewhere.",
  },
  mail_not_configured: {
    kind: "misconfigured",
    title: "There is no mail server",
    detail: "Set SMTP_URL to the mail server and MAIL_FROM to the sender.",
  },
  mail_undeliverable: {
    kind: "unavailable",
    title: "The mail server did not take the mail",
    detail: "Check SMTP_URL, SMTP_PASSWORD and MAIL_FROM.",
  },
  config_invalid: {
    kind: "misconfigured",
    title: "The settings are invalid",
    detail: "Correct the settings that are listed; `authctl config check` lists them again.",
  },
  config_findings: {
    kind: "finding",
    title: "The check found something",
    detail: "Correct the settings that are listed; `authctl config explain KEY` tells about one.",
  },
  secret_mismatch: {
    kind: "misconfigured",
    title: "The server secret does not fit the database",
    detail:
      "Start with the SECRET_KEY that this database was made with; without it nothing that is sealed can be opened.",
  },
  secret_not_writable: {
    kind: "misconfigured",
    title: "The new secret cannot be put where the present ones are",
    detail:
      "Nothing was changed. Set what `authctl secret rotate --print` prints, then run `authctl secret rotate --resume`.",
  },
  secret_not_accepted: {
    kind: "partial",
    title: "A server does not accept the new secret yet",
    detail:
      "Nothing is written by it until all of them do. Put it where each of them finds it, then run `authctl secret rotate --resume`.",
  },
  secret_in_use: {
    kind: "conflict",
    title: "The secret is still needed",
    detail: "`authctl secret verify` tells what needs it, and until when.",
  },
  secret_findings: {
    kind: "finding",
    title: "An older secret is still needed",
    detail: "Keep it, and run the command again later.",
  },
  not_initialised: {
    kind: "misconfigured",
    title: "There is no database yet",
    detail: "Create it with `authctl init`, or start the server with `authctl serve`.",
  },
  migrations_pending: {
    kind: "finding",
    title: "Migrations are pending",
    detail: "Apply them with `authctl migrate up`.",
  },
  migrations_differ: {
    kind: "finding",
    title: "The migrations are not those that were applied",
    detail: "Put the files back as they were, or use the version of authctl that migrated the database.",
  },
  audit_broken: {
    kind: "finding",
    title: "The audit trail is not as it was written",
    detail:
      "Somebody has written to the database behind the server's back. Keep it as it is, and find out who could; see docs/audit.md.",
  },
  schema_outdated: {
    kind: "misconfigured",
    title: "The database is older than this version",
    detail: "Apply the pending migrations with `authctl migrate up`, then repeat the command.",
  },
  schema_newer: {
    kind: "misconfigured",
    title: "The database is newer than this version",
    detail: "Use the version of authctl that migrated it, or go back with that version's `authctl migrate down`.",
  },
  migration_altered: {
    kind: "conflict",
    title: "An applied migration was changed afterwards",
    detail: "Put the file back as it was when it was applied, and write the change as a new migration.",
  },
  irreversible_migration: {
    kind: "conflict",
    title: "This migration has no way back",
    detail: "Restore a backup that was made before it.",
  },
  key_in_use: {
    kind: "conflict",
    title: "The key is still in use",
    detail: "Let the next key sign first, with `authctl key rotate`, and wait until the tokens of this one are over.",
  },
  too_many_affected: {
    kind: "conflict",
    title: "It would concern more than it may",
    detail: "Nothing was done. Narrow it down, or allow more with --max-affected.",
  },
  target_not_empty: {
    kind: "conflict",
    title: "The target is not empty",
    detail: "Nothing was copied. Name a database whose tables are empty, or that has none yet.",
  },
  copy_differs: {
    kind: "defect",
    title: "The copy is not equal to the original",
    detail: "Nothing of the copy was kept. This is a defect: please report it with the names of the tables.",
  },
  copy_interrupted: {
    kind: "partial",
    title: "The copy was interrupted",
    detail: "Nothing of it was kept: the target is as empty as before. Run the command again.",
  },
  backup_not_encrypted: {
    kind: "usage",
    title: "A backup in the clear was not asked for",
    detail:
      "It holds everybody's addresses. Encrypt it: --recipient, --passphrase-file, BACKUP_RECIPIENTS or BACKUP_PASSPHRASE_FILE; or ask for --plain.",
  },
  backup_not_written: {
    kind: "unavailable",
    title: "The backup could not be written",
    detail: "Nothing of it was kept. Make room in the directory of backups, or name another one with --out.",
  },
  backup_key_wrong: {
    kind: "unauthenticated",
    title: "The key does not open the backup",
    detail:
      "Give the passphrase that it was made with by --passphrase-file or --passphrase-stdin, or the identity of a recipient by --identity-file.",
  },
  backup_damaged: {
    kind: "finding",
    title: "The backup is not whole",
    detail: "The file is no backup, or was cut off or changed. Use another backup.",
  },
  backup_findings: {
    kind: "finding",
    title: "The backup could not be relied on",
    detail: "Make a new backup, and find out what is wrong with the database that this one was made from.",
  },
  lock_held: {
    kind: "locked",
    title: "Another run holds the lock",
    detail: "Wait for it to end, or use --lock skip where being second is no trouble.",
  },
  timed_out: {
    kind: "unavailable",
    title: "The time is over",
    detail: "The time of --timeout was too short. What is done stays done: give more time and run the command again.",
  },
  partly_done: {
    kind: "partial",
    title: "Only a part was done",
    detail: "Run the command again to go on; what is done stays done.",
  },
} as const satisfies Record<string, Row>;
