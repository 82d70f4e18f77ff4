import { asc } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import type { Tables } from "./tables.ts";

export type Job = Tables["jobs"]["$inferSelect"];

export const jobReaders = (db: Db, { jobs }: Tables) => ({
  all: async (): Promise<Job[]> => await db.select().from(jobs).orderBy(asc(jobs.name)),
});

export const jobWriters = (db: Db, { jobs }: Tables) => ({
  recordSuccess: async (job: Job): Promise<void> => {
    await db.insert(jobs).values(job).onConflictDoUpdate({ target: jobs.name, set: job });
  },
});
