import type { Clock } from "../../src/core/core.ts";

export type TestClock = Clock & {
  /** Moves time on and fires what falls due on the way, in the order of its time, then of its making. A timer sees the time it was set for. */
  advance(milliseconds: number): void;
  /** Timers that have neither fired nor been called off. */
  readonly pending: number;
};

type Timer = { readonly due: number; readonly fire: () => void };

/** Time that stands still until it is moved by hand. */
export function createTestClock(start = new Date("2026-01-01T12:00:00Z")): TestClock {
  let now = start.getTime();
  const timers = new Set<Timer>();
  const next = () =>
    [...timers].reduce<Timer | undefined>(
      (soonest, one) => (soonest && soonest.due <= one.due ? soonest : one),
      undefined,
    );

  return {
    now: () => new Date(now),
    after(milliseconds, then) {
      const timer = { due: now + Math.max(0, milliseconds), fire: then };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    advance(milliseconds) {
      const end = now + milliseconds;
      for (let timer = next(); timer && timer.due <= end; timer = next()) {
        timers.delete(timer);
        now = timer.due;
        timer.fire();
      }
      now = end;
    },
    get pending() {
      return timers.size;
    },
  };
}
