import type { Kind } from "../core/errors/kinds.ts";
import { DomainError } from "../core/errors.ts";

/** The status of each kind of failure. Exhaustive: a new kind does not compile without a row. */
export const statuses = {
  malformed: 400,
  usage: 400,
  unauthenticated: 401,
  forbidden: 403,
  missing: 404,
  wrong_method: 405,
  conflict: 409,
  finding: 409,
  locked: 409,
  stale: 412,
  too_large: 413,
  unsupported: 415,
  invalid: 422,
  limited: 429,
  defect: 500,
  misconfigured: 500,
  partial: 500,
  busy: 503,
  unavailable: 503,
} as const satisfies Record<Kind, number>;

/** What stands on the wire for a failure (RFC 9457, section 3). */
export function problemOf(error: DomainError, requestId: string) {
  return {
    type: `urn:authctl:problem:${error.code}`,
    title: error.title,
    status: statuses[error.kind],
    detail: error.detail,
    code: error.code,
    request_id: requestId,
    ...(error.errors && { errors: error.errors }),
  };
}

const written = new WeakMap<DomainError, string>();

/** Its text. A failure that is told again and again is written once, but for the id. */
export function problemText(error: DomainError, requestId: string): string {
  let known = written.get(error);
  if (known === undefined) {
    known = JSON.stringify({ ...problemOf(error, ""), request_id: undefined }).slice(0, -1);
    written.set(error, known);
  }
  return `${known},"request_id":${JSON.stringify(requestId)}}`;
}
