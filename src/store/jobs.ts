import { asc } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import type { Tables } from "./tables.ts";

export type JobSuccess = Tables["jobs"]["$inferSelect"];
export type JobFailure = Tables["jobFailures"]["$inferSelect"];

export const jobReaders = (db: Db, { jobs, jobFailures }: Tables) => ({
  /** The last success of each job that had one. */
  all: async (): Promise<JobSuccess[]> => await db.select().from(jobs).orderBy(asc(jobs.name)),
  /** The last failure of each job that had one. */
  failures: async (): Promise<JobFailure[]> => await db.select().from(jobFailures).orderBy(asc(jobFailures.name)),
});

export const jobWriters = (db: Db, { jobs, jobFailures }: Tables) => ({
  recordSuccess: async (success: JobSuccess): Promise<void> => {
    await db.insert(jobs).values(success).onConflictDoUpdate({ target: jobs.name, set: success });
  },
  recordFailure: async (failure: JobFailure): Promise<void> => {
    await db.insert(jobFailures).values(failure).onConflictDoUpdate({ target: jobFailures.name, set: failure });
  },
});
