/** What every job of upkeep keeps to: alone over all machines, within a budget, and with its success and failure remembered. */
import { type Actor, job } from "./actors.ts";
import type { Core } from "./core.ts";
import { DomainError, fail } from "./errors.ts";

export const jobNames = ["purge", "audit-purge", "key-rotation", "mail"] as const;
export type JobName = (typeof jobNames)[number];

/** How much of it at once, and how much in all. */
export type Budget = {
  readonly batchSize: number;
  /** Between two batches, in milliseconds: the time that belongs to live traffic. None where there is no such traffic. */
  readonly pause: number;
  readonly maxTime: number;
  readonly maxRows: number;
  readonly interrupted?: AbortSignal;
  readonly onBatch?: (rows: number) => void;
};

/** What came of a run, for `soleRun` to remember. */
export type Done<T> = {
  readonly answer: T;
  /** What was done, as counts; none where the run did not do all that the job is for. */
  readonly success?: Readonly<Record<string, number>> | undefined;
  /** What was in the way, as a code. */
  readonly problem?: string | undefined;
};

/**
 * One run of a job, and no other at the same time over all machines: the lock ends with its holder. Fails with
 * `lock_held` where another run is on its way, and with whatever `work` fails with.
 */
export async function soleRun<T>(core: Core, name: JobName | "backup", work: () => Promise<Done<T>>): Promise<T> {
  const release = await core.store.lock(name);
  if (!release) {
    const detail = `Another run of ${name} is on its way. Wait for it to end, or use --lock skip.`;
    return fail("lock_held", { detail });
  }
  try {
    const { answer, success, problem } = await work();
    if (success) {
      await core.store.write((tx) =>
        tx.jobs.recordSuccess({ name, succeededAt: core.clock.now(), summary: { ...success } }),
      );
    } else if (problem !== undefined) await recordFailure(core, name, problem);
    return answer;
  } catch (error) {
    await recordFailure(core, name, error instanceof DomainError ? error.code : "internal_error");
    throw error;
  } finally {
    await release();
  }
}

/** Where not even this can be written, the log alone tells. */
async function recordFailure(core: Core, name: JobName | "backup", problem: string): Promise<void> {
  try {
    await core.store.write((tx) => tx.jobs.recordFailure({ name, failedAt: core.clock.now(), problem }));
  } catch (error) {
    core.log.error("job_failure_not_recorded", { job: name, problem }, error);
  }
}

/** Sleeps, but no longer than until somebody wants the run to end. */
export async function rest(core: Core, milliseconds: number, interrupted: AbortSignal | undefined): Promise<void> {
  if (interrupted?.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = (): void => resolve();
  const cancel = core.clock.after(milliseconds, wake);
  interrupted?.addEventListener("abort", wake, { once: true });
  await promise;
  cancel();
  interrupted?.removeEventListener("abort", wake);
}

/** Whether the budget is spent, or somebody wants the run to end. */
export const isOver = (core: Core, startedAt: number, { interrupted, maxTime }: Budget): boolean =>
  interrupted?.aborted === true || core.clock.now().getTime() - startedAt >= maxTime;

/** The actor of what a server does by itself. */
export const serverJob: Actor = job("server");
