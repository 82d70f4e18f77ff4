import { eq, sql } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import type { AuditHead, Tables } from "./tables.ts";

export const auditHeadReaders = (db: Db, { auditHeads }: Tables) => ({
  byName: async (name: AuditHead["name"]): Promise<AuditHead | undefined> =>
    (await db.select().from(auditHeads).where(eq(auditHeads.name, name)))[0],
});

export const auditHeadWriters = (db: Db, { auditHeads }: Tables) => ({
  /**
   * Lets only one transaction at a time go on with the chain, on all servers. Where there is no such head, an
   * empty one is made.
   */
  claim: async (name: AuditHead["name"]): Promise<AuditHead> => {
    const [head] = await db
      .insert(auditHeads)
      .values({ name, seq: 0, hash: "", adopted: 0 })
      .onConflictDoUpdate({ target: auditHeads.name, set: { seq: sql`${auditHeads.seq}` } })
      .returning();
    if (!head) throw new Error("a head that was neither made nor found");
    return head;
  },
  put: async (head: AuditHead): Promise<void> => {
    await db.insert(auditHeads).values(head).onConflictDoUpdate({ target: auditHeads.name, set: head });
  },
});
