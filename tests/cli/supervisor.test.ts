import { describe, expect, test } from "bun:test";
import { supervise, type Worker } from "../../cli/supervisor.ts";

/** Workers that live for `lives` milliseconds, one after the other, and then end with `code`. Time passes in sleeps and lives alone. */
function stage({ workers = 1, code = 1, lives = [] as readonly number[], stopAfter = Number.POSITIVE_INFINITY } = {}) {
  const stop = new AbortController();
  const seen = { started: 0, stopped: 0, pauses: [] as number[], warnings: [] as string[] };
  let now = 0;
  const start = (): Worker => {
    const life = lives[seen.started++];
    if (seen.started >= stopAfter) stop.abort();
    const { promise, resolve } = Promise.withResolvers<number>();
    if (life !== undefined) {
      now += life;
      resolve(code);
    }
    return {
      exited: promise,
      stop: () => {
        seen.stopped++;
        resolve(0);
      },
    };
  };
  const ended = supervise({
    workers,
    start,
    stop: stop.signal,
    warn: (message) => seen.warnings.push(message),
    now: () => new Date(now),
    sleep: async (milliseconds) => void seen.pauses.push(milliseconds),
  });
  return { ended, seen, stop: () => stop.abort() };
}

describe("the supervisor", () => {
  test("stops every worker when it is asked to, and waits for them", async () => {
    const { ended, seen, stop } = stage({ workers: 3 });
    stop();
    expect(await ended).toBe(0);
    expect(seen).toMatchObject({ started: 3, stopped: 3, warnings: [] });
  });

  test("starts another worker for one that died, after a pause that doubles", async () => {
    const { ended, seen, stop } = stage({ lives: [0, 0, 0, 0] });
    await Bun.sleep(1);
    stop();
    expect(await ended).toBe(0);
    expect(seen).toMatchObject({ started: 5, pauses: [1000, 2000, 4000, 8000] });
    expect(seen.warnings[0]).toBe("A worker ended with exit code 1. Another one starts in 1s.");
  });

  test("forgets the deaths of a worker that then lived", async () => {
    const { ended, seen, stop } = stage({ lives: [0, 0, 0, 60_000, 0, 0, 0] });
    await Bun.sleep(1);
    stop();
    expect(await ended).toBe(0);
    expect(seen.pauses).toEqual([1000, 2000, 4000, 1000, 2000, 4000, 8000]);
  });

  test("gives up after five deaths in a row, with the worker's exit code, and stops the others", async () => {
    const { ended, seen } = stage({ workers: 1, code: 78, lives: [0, 0, 0, 0, 0, 0] });
    expect(await ended).toBe(78);
    expect(seen.started).toBe(5);
    expect(seen.warnings.at(-1)).toContain("The server stops.");

    let first = true;
    let stopped = 0;
    const others = supervise({
      workers: 2,
      start: () => {
        const { promise, resolve } = Promise.withResolvers<number>();
        if (!first) resolve(9);
        first = false;
        return { exited: promise, stop: () => (stopped++, resolve(0)) };
      },
      stop: new AbortController().signal,
      warn: () => {},
      now: () => new Date(0),
      sleep: async () => {},
    });
    expect(await others).toBe(9);
    expect(stopped).toBe(1);
  });

  test("does not take five quiet ends for a success", async () => {
    expect(await stage({ code: 0, lives: [0, 0, 0, 0, 0] }).ended).toBe(1);
  });
});
