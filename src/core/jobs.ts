/** The jobs of upkeep: what each does and how often, whoever runs it: cron, an operator, or a server by itself. */
import type { JobFailure, JobSuccess } from "../store/jobs.ts";
import type { Actor } from "./actors.ts";
import { purgeAudit } from "./audit/retention.ts";
import type { Core } from "./core.ts";
import { flushMail, leftOf } from "./mail/postman.ts";
import { purge, purgeKinds } from "./purging.ts";
import { rotateIfDue } from "./signing-keys/rotation.ts";
import { type Budget, type JobName, jobNames, soleRun } from "./upkeep.ts";

const minute = 60_000;
const day = 24 * 60 * minute;

/** What was done, as counts, and what is left to be done, as a sentence. */
export type Ran = { readonly counts: Readonly<Record<string, number>>; readonly left: string | undefined };

export type Job = {
  /** For people. */
  readonly does: string;
  /** How often it is to succeed, in milliseconds. */
  readonly every: number;
  /** The same for cron(8); at a minute of its own, so that not everything begins at once. */
  readonly cron: string;
  /** The same for systemd.time(7). */
  readonly calendar: string;
  /** Whether a server has to do it in its upkeep. Mail is carried by its postman, as it comes. */
  readonly isServers: boolean;
  run(core: Core, by: Actor, budget: Budget): Promise<Ran>;
};

const moreToRemove = "There is more to remove. Run it again to go on.";

export const jobs: Readonly<Record<JobName, Job>> = {
  purge: {
    does: "removes what has expired, and gives the space back",
    every: 15 * minute,
    cron: "*/15 * * * *",
    calendar: "*:0/15",
    isServers: true,
    run: async (core, by, budget) => {
      const { removed, finished } = await purge(core, by, { ...budget, kinds: purgeKinds, olderThan: 0 });
      return { counts: removed, left: finished ? undefined : moreToRemove };
    },
  },
  "audit-purge": {
    does: "removes what is older than AUDIT_KEEP from the audit trail",
    every: day,
    cron: "41 4 * * *",
    calendar: "*-*-* 04:41",
    isServers: true,
    run: async (core, by, budget) => {
      const keep = core.settings.AUDIT_KEEP;
      const { removed, finished } =
        keep === "forever" ? await keepAudit(core) : await purgeAudit(core, by, { ...budget, keep });
      return { counts: { entries: removed }, left: finished ? undefined : moreToRemove };
    },
  },
  "key-rotation": {
    does: "lets the next key sign once the one before has signed for KEY_ROTATION, and retires those that are done",
    every: day,
    cron: "17 4 * * *",
    calendar: "*-*-* 04:17",
    isServers: true,
    run: async (core, by) => {
      const { published, activated, retired } = await rotateIfDue(core, by);
      const counts = { published: published ? 1 : 0, activated: activated ? 1 : 0, retired: retired.length };
      return { counts, left: undefined };
    },
  },
  mail: {
    does: "sends the mails that are due",
    every: minute,
    cron: "* * * * *",
    calendar: "*:*",
    isServers: false,
    run: async (core, by, budget) => {
      const flushed = await flushMail(core, by, budget);
      const { trouble: _trouble, finished: _finished, ...counts } = flushed;
      return { counts, left: leftOf(flushed) };
    },
  },
};

const keepAudit = (core: Core) =>
  soleRun(core, "audit-purge", async () => {
    const answer = { removed: 0, finished: true };
    return { answer, success: { entries: 0 } };
  });

/** A job with what became of it last. */
export type JobStatus = Pick<Job, "does" | "every"> & {
  readonly name: JobName;
  readonly success: JobSuccess | undefined;
  /** None where it has succeeded since. */
  readonly failure: JobFailure | undefined;
  /** When it is to have succeeded again; `undefined` where it never has, and is due now. */
  readonly dueAt: Date | undefined;
};

export async function listJobs(core: Core): Promise<JobStatus[]> {
  const [successes, failures] = await Promise.all([core.store.jobs.all(), core.store.jobs.failures()]);
  return jobNames.map((name) => {
    const { does, every } = jobs[name];
    const success = successes.find((one) => one.name === name);
    const last = failures.find((one) => one.name === name);
    const failure = last && (!success || last.failedAt > success.succeededAt) ? last : undefined;
    return { name, does, every, success, failure, dueAt: success && new Date(success.succeededAt.getTime() + every) };
  });
}
