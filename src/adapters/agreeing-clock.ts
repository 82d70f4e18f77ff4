import type { Clock } from "../core/core.ts";

/** Clocks that differ by less are left alone, in milliseconds: a question and its answer take their time, too. */
const tolerance = 2_000;
/** How often the clocks are compared, in milliseconds: a machine's clock may be set at any time. */
const compareEvery = 30_000;

export type AgreeingClock = Clock & {
  /** Compares no more. */
  stop(): void;
};

/**
 * A machine's own clock, moved to where another one stands. Servers on one database all agree with the database:
 * else one whose clock is slow would take what has expired, and one whose clock is fast would take the second tab
 * of a browser for a thief.
 * @param onOff is told by how many milliseconds the own clock is moved, each time that this changes
 */
export async function agreeingClock(
  own: Clock,
  ask: () => Promise<Date>,
  onOff: (milliseconds: number) => void,
): Promise<AgreeingClock> {
  let offset = 0;
  let stopped = false;
  let cancel = (): void => {};

  const compare = async (): Promise<void> => {
    const asked = own.now().getTime();
    const there = (await ask()).getTime();
    const answered = own.now().getTime();
    // Nobody knows when on this long way the other clock was read.
    if (Math.abs(answered - asked) > tolerance) return;
    const off = Math.round(there - (asked + answered) / 2);
    const next = Math.abs(off) > tolerance ? off : 0;
    // Once it is moved, small differences from one comparison to the next mean nothing.
    if (Math.abs(next - offset) <= tolerance && next !== 0) return;
    if (next !== offset) onOff(next);
    offset = next;
  };

  const compareAgain = (): void => {
    if (stopped) return;
    // A database that is away has no time to tell: the last comparison goes on.
    cancel = own.after(
      compareEvery,
      () =>
        void compare()
          .catch(() => {})
          .finally(compareAgain),
    );
  };

  await compare();
  compareAgain();
  return {
    now: () => (offset === 0 ? own.now() : new Date(own.now().getTime() + offset)),
    after: (milliseconds, then) => own.after(milliseconds, then),
    stop: () => {
      stopped = true;
      cancel();
    },
  };
}
