import { formatDuration } from "../src/config/durations.ts";

/** A worker process, as far as its supervisor has to know it. */
export type Worker = {
  /** The exit code: 128 plus the signal's number where a signal ended it. */
  readonly exited: Promise<number>;
  /** Asks it to finish what it has begun. */
  readonly stop: () => void;
};

type Supervision = {
  readonly workers: number;
  /** Is told which of the workers it starts, counted from 1: whoever takes its place has the same number. */
  readonly start: (number: number) => Worker;
  /** Aborted when the server is asked to stop. */
  readonly stop: AbortSignal;
  readonly warn: (message: string) => void;
  readonly now: () => Date;
  /** Resolves after so many milliseconds, or when `signal` aborts. */
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
};

const shortestPause = 1_000;
const longestPause = 30_000;
/** A worker that lived for less has died at once, in milliseconds. */
const atOnce = 10_000;
/** So many such deaths in a row, and another start would change nothing. */
const mostDeaths = 5;

/**
 * Keeps so many workers alive: one that dies is followed by another, after a pause that doubles while they die
 * at once. Resolves when none is left: with 0 where `stop` asked for that, else with the exit code of the worker
 * that could not live. The others are stopped then, so that nothing half alive stays behind.
 */
export async function supervise(supervision: Supervision): Promise<number> {
  const over = new AbortController();
  const codes = Array.from({ length: supervision.workers }, (_, at) => keepAlive(at + 1, supervision, over));
  return (await Promise.all(codes)).find((code) => code !== 0) ?? 0;
}

async function keepAlive(
  number: number,
  { start, stop, warn, now, sleep }: Supervision,
  gaveUp: AbortController,
): Promise<number> {
  const end = AbortSignal.any([stop, gaveUp.signal]);
  let pause = shortestPause;
  for (let deaths = 0; !end.aborted; ) {
    const startedAt = now().getTime();
    const worker = start(number);
    end.addEventListener("abort", worker.stop, { once: true });
    const code = await worker.exited;
    end.removeEventListener("abort", worker.stop);
    if (end.aborted) break;

    const lived = now().getTime() - startedAt >= atOnce;
    deaths = lived ? 0 : deaths + 1;
    if (lived) pause = shortestPause;
    if (deaths === mostDeaths) {
      warn(`A worker died ${mostDeaths} times in a row (exit code ${code}). The server stops.`);
      gaveUp.abort();
      return code === 0 ? 1 : code;
    }
    warn(`A worker ended with exit code ${code}. Another one starts in ${formatDuration(pause)}.`);
    await sleep(pause, end);
    pause = Math.min(2 * pause, longestPause);
  }
  return 0;
}
