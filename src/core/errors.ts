/**
 * The closed catalogue of failures. Every failure that a person can meet has one row here; each door
 * turns the row's kind into its own language (an HTTP status, an exit code) with one exhaustive table.
 */
import type { Kind, Row } from "./errors/kinds.ts";
import { operating } from "./errors/operating.ts";
import type { Allowance } from "./limits.ts";

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

  ...operating,
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
