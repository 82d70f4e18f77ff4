import { and, desc, eq, inArray, isNotNull, lt, or } from "drizzle-orm";
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
  /** Erases where a person came from, of at most `limit` events that are about them or were done by them. Answers of how many. */
  forget: async (userId: string, limit: number): Promise<number> => {
    const telling = or(isNotNull(auditEvents.ip), isNotNull(auditEvents.userAgent));
    const concerned = or(eq(auditEvents.userId, userId), eq(auditEvents.actor, userId));
    const some = db.select({ id: auditEvents.id }).from(auditEvents).where(and(concerned, telling)).limit(limit);
    return (
      await db
        .update(auditEvents)
        .set({ ip: null, userAgent: null })
        .where(inArray(auditEvents.id, some))
        .returning({ id: auditEvents.id })
    ).length;
  },
});
