import type { Kind } from "../src/core/errors/kinds.ts";
import { DomainError } from "../src/core/errors.ts";

/** The exit code of each kind of failure, after sysexits(3) where it has one. Exhaustive: a new kind does not compile without a row. */
export const exitCodes = {
  defect: 1,
  malformed: 2,
  invalid: 2,
  usage: 2,
  unsupported: 2,
  too_large: 2,
  wrong_method: 2,
  missing: 3,
  conflict: 4,
  stale: 4,
  finding: 5,
  partial: 6,
  unavailable: 69,
  limited: 75,
  busy: 75,
  locked: 75,
  unauthenticated: 77,
  forbidden: 77,
  misconfigured: 78,
} as const satisfies Record<Kind, number>;

/** 128 plus the signal's number, as a shell reports it. */
export const interruptedBy = { SIGINT: 130, SIGTERM: 143 } as const;

export function exitCodeOf(error: unknown): number {
  return exitCodes[error instanceof DomainError ? error.kind : "defect"];
}
