/**
 * The closed catalogue of failures. Every failure that a person can meet has one row here; each door
 * turns the row's kind into its own language (an HTTP status, an exit code) with one exhaustive table.
 */
import type { Allowance } from "./limits.ts";

/** What kind of trouble it is: all that a door needs to know to choose a status or an exit code. */
export type Kind =
  | "malformed"
  | "invalid"
  | "usage"
  | "unsupported"
  | "too_large"
  | "wrong_method"
  | "unauthenticated"
  | "forbidden"
  | "missing"
  | "conflict"
  | "stale"
  | "finding"
  | "partial"
  | "limited"
  | "busy"
  | "locked"
  | "unavailable"
  | "misconfigured"
  | "defect";

type Row = { readonly kind: Kind; readonly title: string; readonly detail: string };

/** `detail` is what the person is told where the place that fails has nothing more precise to say: what to do next. */
export const catalogue = {
  validation_failed: {
    kind: "invalid",
    title: "The input does not fit",
    detail: "Correct the members that `errors` lists and send the request again.",
  },
  malformed_request: {
    kind: "malformed",
    title: "The request cannot be read",
    detail: "Send one JSON document in UTF-8, without NUL characters and nested at most 32 levels deep.",
  },
  unsupported_media_type: {
    kind: "unsupported",
    title: "The body is of another type than this route takes",
    detail: "Send the body with `Content-Type: application/json`.",
  },
  payload_too_large: {
    kind: "too_large",
    title: "The body is too large",
    detail: "Send a smaller body; the limit is the setting BODY_LIMIT.",
  },
  invalid_credentials: {
    kind: "unauthenticated",
    title: "The sign-in failed",
    detail: "Check the address or user name and the password, then try again.",
  },
  unauthenticated: {
    kind: "unauthenticated",
    title: "There is no valid credential",
    detail: "Sign in, then send the new access token or session token as `Authorization: Bearer …` or as a cookie.",
  },
  session_hijack_suspected: {
    kind: "forbidden",
    title: "The session came from another client",
    detail: "The session was given to another browser or app and has been revoked. Sign in again.",
  },
  refresh_token_reused: {
    kind: "unauthenticated",
    title: "A spent refresh token came back",
    detail: "The session has been revoked, because a refresh token was used twice. Sign in again.",
  },
  forbidden: {
    kind: "forbidden",
    title: "Not permitted",
    detail: "Ask an operator for a role that holds the permission this needs.",
  },
  step_up_required: {
    kind: "forbidden",
    title: "The password must be proved again",
    detail: "Send the password to POST /api/v1/users/me/proof, or sign in anew, then repeat the request.",
  },
  email_not_verified: {
    kind: "forbidden",
    title: "The address is not verified",
    detail:
      "Open the link in the mail that was sent to this address, or ask for another one at POST /api/v1/auth/verify-email/resend.",
  },
  token_invalid: {
    kind: "malformed",
    title: "The one-time token is not valid",
    detail: "It is unknown, was used before, has expired, or a newer one has taken its place. Ask for a new mail.",
  },
  banned: {
    kind: "forbidden",
    title: "Requests from this address are refused",
    detail: "Ask an operator to lift the ban: `authctl ban list` shows it.",
  },
  csrf_rejected: {
    kind: "forbidden",
    title: "The request came from another origin",
    detail: "Send it from a page of this server, or have the operator add the page's origin to ALLOWED_ORIGINS.",
  },
  not_found: {
    kind: "missing",
    title: "There is no such thing",
    detail: "Check the name or the id, and its spelling.",
  },
  method_not_allowed: {
    kind: "wrong_method",
    title: "This method is not taken here",
    detail: "Use one of the methods in the `Allow` header.",
  },
  email_taken: {
    kind: "conflict",
    title: "The address is taken",
    detail: "Sign in with this address, or use another one.",
  },
  username_taken: { kind: "conflict", title: "The user name is taken", detail: "Choose another user name." },
  user_disabled: {
    kind: "conflict",
    title: "The user is disabled",
    detail: "Let the user sign in again first, with `authctl user enable USER`.",
  },
  not_an_admin: {
    kind: "conflict",
    title: "This user is no admin",
    detail: "Send the user a link with `authctl user send-reset USER`, or repeat the command with --any-user.",
  },
  role_exists: {
    kind: "conflict",
    title: "There is a role of this name",
    detail: "Choose another name, or change the role that there is.",
  },
  role_built_in: {
    kind: "conflict",
    title: "This role is built in",
    detail: "Make a role of your own: the built-in ones cannot be deleted, and `admin` cannot be changed.",
  },
  precondition_failed: {
    kind: "stale",
    title: "It was changed meanwhile",
    detail: "Read it again, and repeat the change with the new `ETag` in `If-Match`.",
  },
  last_admin: {
    kind: "conflict",
    title: "The last active admin stays",
    detail: "Make another active user an admin first, with `authctl admin grant USER`.",
  },
  weak_password: {
    kind: "invalid",
    title: "The password is too weak",
    detail: "Choose a longer password that nobody would guess: several unrelated words do well.",
  },
  rate_limited: {
    kind: "limited",
    title: "Too many requests",
    detail: "Try again after the number of seconds in `Retry-After`.",
  },
  overloaded: {
    kind: "busy",
    title: "Too many sign-ins at once",
    detail: "Try again after the number of seconds in `Retry-After`.",
  },
  unavailable: {
    kind: "unavailable",
    title: "The database cannot be reached",
    detail: "Try again after the number of seconds in `Retry-After`; operators: `authctl config check`.",
  },
  server_unreachable: {
    kind: "unavailable",
    title: "No server answers",
    detail: "Start it with `authctl serve`, or correct HOST and PORT.",
  },
  address_in_use: {
    kind: "unavailable",
    title: "Another program listens there",
    detail: "Stop the other program, or choose another port with --port.",
  },
  database_busy: {
    kind: "busy",
    title: "The database is busy",
    detail: "Another process has been writing for long. Try again after the number of seconds in `Retry-After`.",
  },
  internal_error: {
    kind: "defect",
    title: "Something broke",
    detail: "This is a defect. The log has the cause under the request id.",
  },

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

/** A stable name of a failure, for programs to compare. */
export type Code = keyof typeof catalogue;

/** One member of the input that does not fit, by its path (`password`, `/roles/0`, `--max-rows`). */
export type InputError = { readonly path: string; readonly message: string };

export type Particulars = {
  /** What to do next, more precisely than the catalogue can know. Shown to the caller: never holds input or internals. */
  readonly detail?: string;
  readonly errors?: readonly InputError[];
  /** Seconds after which trying again makes sense (RFC 9110, section 10.2.3). */
  readonly retryAfter?: number;
  /** The methods that the path does take (RFC 9110, section 10.2.1). */
  readonly allow?: readonly string[];
  /** What is left of the limit that was reached. */
  readonly allowance?: Allowance;
  /** For the log alone. */
  readonly cause?: unknown;
};

/** A failure that we mean to tell. Anything else that is thrown is a defect, and only the log hears of it. */
export class DomainError extends Error {
  override readonly name = "DomainError";
  readonly detail: string;
  readonly errors: readonly InputError[] | undefined;
  readonly retryAfter: number | undefined;
  readonly allow: readonly string[] | undefined;
  readonly allowance: Allowance | undefined;

  constructor(
    readonly code: Code,
    particulars: Particulars = {},
  ) {
    super(code, particulars.cause === undefined ? undefined : { cause: particulars.cause });
    this.detail = particulars.detail ?? catalogue[code].detail;
    this.errors = particulars.errors;
    this.retryAfter = particulars.retryAfter;
    this.allow = particulars.allow;
    this.allowance = particulars.allowance;
  }

  get kind(): Kind {
    return catalogue[this.code].kind;
  }

  get title(): string {
    return catalogue[this.code].title;
  }
}

/** Throws the failure `code`. Typed `never`, so that what follows knows that it did not happen. */
export function fail(code: Code, particulars?: Particulars): never {
  throw new DomainError(code, particulars);
}
