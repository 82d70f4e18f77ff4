/** What the database as a whole is asked for by whoever watches it. */
import type { MailState, SigningKey } from "../store/tables.ts";
import type { Core } from "./core.ts";

export type Figures = {
  readonly sessionsAlive: number;
  readonly mails: ReadonlyArray<{ readonly state: MailState; readonly number: number }>;
  readonly jobs: ReadonlyArray<{ readonly name: string; readonly succeededAt: Date }>;
  readonly jobFailures: ReadonlyArray<{ readonly name: string; readonly failedAt: Date }>;
  readonly keys: ReadonlyArray<Pick<SigningKey, "algorithm" | "state" | "publishedAt">>;
  readonly databaseBytes: number;
};

/** For how long an answer is good, at least, in milliseconds. */
const goodFor = 15_000;
/** And for so many times as long as it took: however many sessions there are, counting them is half a percent of the time. */
const restFactor = 200;

/** Reads the figures, but never often: who asks meanwhile is given the last ones. `undefined` where the database does not answer. */
export function figuresOf(core: Core): () => Promise<Figures | undefined> {
  let last: { until: number; figures: Promise<Figures | undefined> } | undefined;
  return () => {
    const now = core.clock.now().getTime();
    const isGood = last && now < last.until && now >= last.until - longest;
    if (!last || !isGood) {
      const reading = { until: now + goodFor, figures: Promise.resolve<Figures | undefined>(undefined) };
      reading.figures = read(core)
        .catch((error: unknown) => {
          core.log.error("figures_not_read", {}, error);
          return undefined;
        })
        .finally(() => {
          const took = core.clock.now().getTime() - now;
          reading.until = now + Math.min(longest, Math.max(goodFor, took * restFactor));
        });
      last = reading;
    }
    return last.figures;
  };
}

/** However long it took, and wherever the clock is set to, in milliseconds. */
const longest = 3_600_000;

async function read({ store, clock }: Core): Promise<Figures> {
  const [sessionsAlive, mails, jobs, jobFailures, keys, databaseBytes] = await Promise.all([
    store.sessions.countAlive(clock.now()),
    store.mails.countByState(),
    store.jobs.all(),
    store.jobs.failures(),
    store.signingKeys.current(),
    store.size(),
  ]);
  return { sessionsAlive, mails, jobs, jobFailures, keys, databaseBytes };
}
