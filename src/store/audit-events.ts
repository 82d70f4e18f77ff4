import { and, desc, eq, lt } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import type { AuditEvent, Tables } from "./tables.ts";

export type NewAuditEvent = Tables["auditEvents"]["$inferInsert"];

export const auditEventReaders = (db: Db, { auditEvents }: Tables) => ({
  /** Newest first, from before `before`. */
  page: async (filter: { userId?: string }, limit: number, before?: string): Promise<AuditEvent[]> =>
    await db
      .select()
      .from(auditEvents)
      .where(
        and(
          filter.userId === undefined ? undefined : eq(auditEvents.userId, filter.userId),
          before === undefined ? undefined : lt(auditEvents.id, before),
        ),
      )
      .orderBy(desc(auditEvents.id))
      .limit(limit),
});

export const auditEventWriters = (db: Db, { auditEvents }: Tables) => ({
  insert: async (event: NewAuditEvent): Promise<void> => {
    await db.insert(auditEvents).values(event);
  },
});
