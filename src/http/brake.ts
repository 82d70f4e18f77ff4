/**
 * Slows down a flood of sign-ins: refusals that come thick and fast are answered late. Whoever sends the next one
 * upon the answer is so kept from taking the time of everybody else, and whoever is refused now and then waits for
 * nothing (rule PW-5).
 */
import type { Core } from "../core/core.ts";
import { DomainError } from "../core/errors.ts";

/** So many refusals at once are no flood, nor so many in each second: room that runs free evenly, for else they came together at its turn. */
const mostAtOnce = 20;
/** How long a refusal is held back on average, in milliseconds, and how many may be: more are answered at once. */
const pause = 1_000;
const mostHeld = 1_000;

/** Refused without a look at what was sent. */
const isUnheard = (error: unknown): boolean =>
  error instanceof DomainError && (error.code === "overloaded" || error.code === "rate_limited");

export type Brake = <T>(work: () => Promise<T>) => Promise<T>;

export function createBrake({ clock, random }: Pick<Core, "clock" | "random">): Brake {
  let refused = 0;
  let since = 0;
  let held = 0;
  const isFlood = (): boolean => {
    const now = clock.now().getTime();
    refused = Math.max(0, refused - (Math.max(0, now - since) / 1000) * mostAtOnce);
    since = now;
    if (refused + 1 > mostAtOnce) return true;
    refused++;
    return false;
  };
  return async (work) => {
    try {
      return await work();
    } catch (error) {
      if (isUnheard(error) && isFlood() && held < mostHeld) {
        held++;
        // Each for another time, so that those who came together do not come back together.
        const [chance = 0] = random.bytes(1);
        await new Promise<void>((resolve) => clock.after(pause * (0.5 + chance / 256), resolve));
        held--;
      }
      throw error;
    }
  };
}
