/** Does the jobs of upkeep while a server runs. Any number of servers may: a job runs once at a time over all of them. */
import { job } from "./actors.ts";
import type { Core } from "./core.ts";
import { DomainError } from "./errors.ts";
import { jobs, listJobs } from "./jobs.ts";
import { type Budget, type JobName, rest } from "./upkeep.ts";

/** How often it looks what is due, in milliseconds. */
const lookEvery = 60_000;
/** After a failure the job is left alone for so long, in milliseconds. */
const patience = 5 * 60_000;
/** How long a stopping server waits for the batch that is under way, in milliseconds. */
const farewell = 2_000;

/** Small batches with long pauses: on SQLite each of them holds up the requests of this very process. */
const budget: Budget = { batchSize: 100, pause: 50, maxTime: 5 * 60_000, maxRows: Number.MAX_SAFE_INTEGER };

export type Caretaker = {
  /** Begins no more, and waits a little for what is under way. */
  stop(): Promise<void>;
};

export function startCaretaker(core: Core): Caretaker {
  const stopping = new AbortController();
  const { signal } = stopping;
  const notBefore = new Map<JobName, number>();

  const look = async (): Promise<void> => {
    const now = core.clock.now();
    for (const { name, dueAt } of await listJobs(core)) {
      const isDue = (!dueAt || dueAt <= now) && (notBefore.get(name) ?? 0) <= now.getTime();
      if (jobs[name].isServers && isDue && !signal.aborted) await run(name);
    }
  };
  const run = async (name: JobName): Promise<void> => {
    try {
      const { counts, left } = await core.meter.job(name, () =>
        jobs[name].run(core, job(name), { ...budget, interrupted: signal }),
      );
      core.log.debug("job_done", { job: name, finished: left === undefined, ...counts });
    } catch (error) {
      // Another server does it, or cron.
      if (error instanceof DomainError && error.code === "lock_held") return;
      notBefore.set(name, core.clock.now().getTime() + patience);
      core.log.error("job_failed", { job: name, problem: problemOf(error) }, error);
    }
  };
  const work = async (): Promise<void> => {
    // Not at once, as a server that starts has better things to do; and not all at the same moment.
    await rest(core, lookEvery / 2 + unevenly(core), signal);
    while (!signal.aborted) {
      await look().catch((error: unknown) => core.log.error("jobs_not_read", { problem: problemOf(error) }, error));
      await rest(core, lookEvery + unevenly(core), signal);
    }
  };
  const working = work();
  return {
    stop: async () => {
      stopping.abort();
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const cancel = core.clock.after(farewell, resolve);
      await Promise.race([working, late]);
      cancel();
    },
  };
}

/** Up to ten seconds. */
const unevenly = ({ random }: Core): number => (random.bytes(1)[0] ?? 0) * 40;

const problemOf = (error: unknown): string => (error instanceof DomainError ? error.code : "internal_error");
