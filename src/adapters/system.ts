import { AsyncLocalStorage } from "node:async_hooks";
import { fstatSync, statSync } from "node:fs";
import type { Clock, Random } from "../core/core.ts";

/** What a timer does belongs to nobody's request, whoever has set it: so no trace holds what is done after its end. */
const outside = AsyncLocalStorage.snapshot();

/** The only place that asks the machine for the time. */
export const systemClock: Clock = {
  now: () => new Date(),
  after: (milliseconds, then) => {
    const timer = setTimeout(() => outside(then), milliseconds);
    return () => clearTimeout(timer);
  },
};

/** The only place that asks the machine for chance. */
export const systemRandom: Random = {
  bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  id: (now) => Bun.randomUUIDv7("hex", now),
};

/** Seconds since some moment, on a clock that nobody sets: for differences. */
export const stopwatch = (): number => performance.now() / 1000;

/** A time of the stopwatch as Unix time in nanoseconds, written out: no number holds so many digits. */
export const unixNanoseconds = (seconds: number): string =>
  String(BigInt(Math.round((performance.timeOrigin + seconds * 1000) * 1000)) * 1000n);

/** Whether somebody sits at that end. `node:tty` brings all streams with it, and is loaded only where that may be so. */
export function isTerminal(descriptor: number): boolean {
  try {
    const end = fstatSync(descriptor);
    // The other device that a server is given.
    const isNothing = end.rdev === statSync("/dev/null", { throwIfNoEntry: false })?.rdev;
    return end.isCharacterDevice() && !isNothing && process.getBuiltinModule("node:tty").isatty(descriptor);
  } catch {
    // It is closed.
    return false;
  }
}
