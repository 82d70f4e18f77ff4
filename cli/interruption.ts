import { interruptedBy } from "./exit.ts";
import type { Io, Signal } from "./io.ts";

/** Somebody's wish that the command end. What is done stays, the running batch is finished. */
export type Interruption = {
  /** Aborted at the first signal, and when the time of --timeout is over. */
  readonly signal: AbortSignal;
  /** The exit code that the first signal asks for; undefined while there was none. */
  code(): number | undefined;
  /** As though `signal` had come: how Ctrl-C arrives while keys are read one by one. */
  raise(signal: Signal): void;
  /** Aborts without a signal. */
  abort(reason: Error): void;
  /** Listens no longer. */
  end(): void;
};

/** Rejects what was waiting when the command was interrupted. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** The first signal is a request; whoever sends a second one does not want to wait, and the process ends at once. */
export function listen(io: Io): Interruption {
  const controller = new AbortController();
  let code: number | undefined;
  const raise = (signal: Signal): void => {
    if (code !== undefined) io.quit(code);
    code = interruptedBy[signal];
    controller.abort(new Interrupted(signal));
  };
  const end = io.onSignal(raise);
  return { signal: controller.signal, code: () => code, raise, abort: (reason) => controller.abort(reason), end };
}

/** `promise`, unless `signal` aborts first. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const giveUp = (): void => reject(signal.reason);
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}
