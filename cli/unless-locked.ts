import { DomainError } from "../src/core/errors.ts";

/** `undefined` where another run holds the lock and that is no trouble. */
export async function unlessLocked<T>(lock: "fail" | "skip", work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (lock === "skip" && error instanceof DomainError && error.code === "lock_held") return undefined;
    throw error;
  }
}
