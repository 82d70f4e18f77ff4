import type { Clock } from "../core/core.ts";

export type CircuitOptions = {
  readonly clock: Clock;
  /** After so many failures, each of a question that was asked after the one before, nothing is asked any more. */
  readonly tolerance: number;
  /** How long nothing is asked then, in milliseconds: after that, one question finds out. */
  readonly pause: number;
  readonly onDown: (why: string) => void;
  readonly onBack: () => void;
};

export type Asking = {
  /** How long the answer may take, in milliseconds. */
  readonly patience: number;
  /** Asks even where nothing is asked at the moment, because much depends on it. */
  readonly insist?: boolean;
};

/** There is no answer, or none in time. */
export class Unanswered extends Error {
  constructor(readonly code: "too_slow" | "resting" | "closed") {
    super(code);
  }
}

/**
 * Asks another program without ever depending on it: a question that is not answered in time has failed, and a
 * program that fails is left in peace, so that an outage costs a few requests a little patience, and not all of
 * them all the time.
 */
export function createCircuit({ clock, tolerance, pause, onDown, onBack }: CircuitOptions) {
  let failures = 0;
  let stopResting: (() => void) | undefined;

  const rest = () => {
    stopResting?.();
    stopResting = clock.after(pause, () => (stopResting = undefined));
  };
  const isDown = () => failures >= tolerance;

  /** Many questions that fail together are one failure: that may have been a moment. */
  const failed = (failuresThen: number, why: string) => {
    const before = isDown();
    failures = Math.max(failures, failuresThen + 1);
    if (isDown()) rest();
    if (isDown() && !before) onDown(why);
  };
  const mend = () => {
    const before = isDown();
    failures = 0;
    stopResting?.();
    stopResting = undefined;
    if (before) onBack();
  };

  async function inTime<T>(answer: Promise<T>, patience: number): Promise<T> {
    const { promise: tooLate, reject } = Promise.withResolvers<never>();
    let stop = clock.after(patience, () => {
      // One more turn: an answer that lies there unread, because this process was busy, came in time.
      stop = clock.after(0, () => reject(new Unanswered("too_slow")));
    });
    try {
      return await Promise.race([answer, tooLate]);
    } finally {
      stop();
    }
  }

  return {
    async ask<T>(question: () => Promise<T>, { patience, insist = false }: Asking): Promise<T> {
      if (stopResting && !insist) throw new Unanswered("resting");
      const failuresThen = failures;
      // The one that finds out: whoever comes meanwhile does not wait with it.
      if (isDown()) rest();
      try {
        const answer = await inTime(question(), patience);
        mend();
        return answer;
      } catch (error) {
        failed(failuresThen, codeOf(error));
        throw error;
      }
    },
    /** What is known to be gone need not be asked to find out. */
    trip(error: unknown): void {
      failed(tolerance - 1, codeOf(error));
    },
    mend,
  };
}

const codeOf = (error: unknown): string => {
  if (!(error instanceof Error)) return typeof error;
  return "code" in error && typeof error.code === "string" ? error.code : error.name;
};
