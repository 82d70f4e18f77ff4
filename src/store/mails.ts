import { and, asc, count, eq, gt, inArray, isNotNull, lte, type SQL, sql } from "drizzle-orm";
import type { SQLiteUpdateSetSource } from "drizzle-orm/sqlite-core";
import type { Db } from "./dialects/dialect.ts";
import { type Expiring, expiryReaders, expiryWriters } from "./expiry.ts";
import type { Mail, MailState, Tables } from "./tables.ts";

export type NewMail = Tables["mails"]["$inferInsert"];

/** A mail that one process sends: `dueAt` is the end of its lease, and no two leases of a mail end at one time. */
export type Leased = Pick<Mail, "id" | "dueAt">;

/** Spelled out, so that the two indexes are used, which hold these states alone. */
const isWaiting = ({ mails }: Tables): SQL => sql`${mails.state} in ('asked', 'queued')`;
const isOver = ({ mails }: Tables): SQL => sql`${mails.state} in ('sent', 'dead')`;

/** What was sent or given up; the others have no end. */
const expiring = (tables: Tables): Expiring => ({
  table: tables.mails,
  key: tables.mails.id,
  end: tables.mails.dueAt,
  among: isOver(tables),
});

export const mailReaders = (db: Db, tables: Tables) => {
  const { mails } = tables;
  return {
    byId: async (id: string): Promise<Mail | undefined> => (await db.select().from(mails).where(eq(mails.id, id)))[0],
    /** When the next mail is due, which may be long ago. `undefined` where none is waiting. */
    nextDue: async (): Promise<Date | undefined> => {
      const [next] = await db
        .select({ dueAt: mails.dueAt })
        .from(mails)
        .where(isWaiting(tables))
        .orderBy(asc(mails.dueAt))
        .limit(1);
      return next?.dueAt;
    },
    /** In the order of their making, from after `after`. */
    page: async (state: MailState | undefined, limit: number, after?: string): Promise<Mail[]> =>
      await db
        .select()
        .from(mails)
        .where(and(state && eq(mails.state, state), after === undefined ? undefined : gt(mails.id, after)))
        .orderBy(asc(mails.id))
        .limit(limit),
    countByState: async (): Promise<Array<{ state: MailState; number: number }>> =>
      await db.select({ state: mails.state, number: count() }).from(mails).groupBy(mails.state),
    ...expiryReaders(db, expiring(tables)),
  };
};

export const mailWriters = (db: Db, tables: Tables) => {
  const { mails } = tables;
  const heldBy = ({ id, dueAt }: Leased) => and(eq(mails.id, id), eq(mails.dueAt, dueAt), isWaiting(tables));
  /** `false` where the lease has run out: the mail is another's then, and stays as that one wants it. */
  const change = async (leased: Leased, to: SQLiteUpdateSetSource<Tables["mails"]>): Promise<boolean> =>
    (await db.update(mails).set(to).where(heldBy(leased)).returning({ id: mails.id })).length === 1;

  return {
    insert: async (mail: NewMail): Promise<void> => {
      await db.insert(mails).values(mail);
    },
    /** Removes all that is about a user, sent or not. */
    forget: async (userId: string): Promise<void> => {
      await db.delete(mails).where(eq(mails.userId, userId));
    },
    /**
     * Takes at most `limit` mails that are due, oldest first, until `leaseEnd`: nobody else takes them before. One
     * whose process dies is due again then. While a mail is under way it has no `problem`.
     */
    claim: async (now: Date, leaseEnd: Date, limit: number): Promise<Mail[]> => {
      const isDue = and(isWaiting(tables), lte(mails.dueAt, now));
      const due = db.select({ id: mails.id }).from(mails).where(isDue).orderBy(asc(mails.dueAt)).limit(limit);
      // Said again outside: on Postgres one that another server took a moment ago is looked at anew by this alone.
      const claimed = await db
        .update(mails)
        .set({ dueAt: leaseEnd, attempts: sql`${mails.attempts} + 1`, problem: null })
        .where(and(inArray(mails.id, due), isDue))
        .returning();
      return claimed.toSorted((one, other) => (one.id < other.id ? -1 : 1));
    },
    /** Keeps it from everybody else until the commit. `false` where the lease has run out. */
    hold: async (leased: Leased): Promise<boolean> => await change(leased, { dueAt: leased.dueAt }),
    /** Says who gets what somebody asked for. */
    settle: async (leased: Leased, userId: string | null, content: string): Promise<boolean> =>
      await change(leased, { state: "queued", userId, content }),
    /** Wipes the content, unless it is to be `kept`. */
    markSent: async (leased: Leased, sentAt: Date, { kept }: { kept: boolean }): Promise<boolean> =>
      await change(leased, { state: "sent", sentAt, dueAt: sentAt, ...(!kept && { content: null }) }),
    /** To be tried again from `dueAt` on. An attempt that did not take place is not `counted`. */
    postpone: async (
      leased: Leased,
      dueAt: Date,
      problem: string | null,
      { counted }: { counted: boolean },
    ): Promise<boolean> =>
      await change(leased, { dueAt, problem, ...(!counted && { attempts: sql`${mails.attempts} - 1` }) }),
    /** Gives it up. Answers whom it is about; `undefined` where the lease has run out. */
    bury: async (leased: Leased, diedAt: Date, problem: string): Promise<Pick<Mail, "userId"> | undefined> => {
      const buried = { state: "dead", dueAt: diedAt, problem } as const;
      return (await db.update(mails).set(buried).where(heldBy(leased)).returning({ userId: mails.userId }))[0];
    },
    /** Nobody gets it. */
    withdraw: async (leased: Leased): Promise<boolean> =>
      (await db.delete(mails).where(heldBy(leased)).returning({ id: mails.id })).length === 1,
    /**
     * Has those tried at once that were given up, or that wait after a failure; not those that are under way, or
     * they would be sent twice. Answers the mails.
     */
    retry: async (ids: readonly string[], now: Date): Promise<Pick<Mail, "id" | "kind" | "userId">[]> =>
      await db
        .update(mails)
        .set({ state: sql`case when ${mails.state} = 'asked' then 'asked' else 'queued' end`, dueAt: now })
        .where(and(inArray(mails.id, [...ids]), isNotNull(mails.problem)))
        .returning({ id: mails.id, kind: mails.kind, userId: mails.userId }),
    /** Deletes them, whatever became of them. Answers the mails. */
    drop: async (ids: readonly string[]): Promise<Pick<Mail, "id" | "kind" | "userId">[]> =>
      await db
        .delete(mails)
        .where(inArray(mails.id, [...ids]))
        .returning({ id: mails.id, kind: mails.kind, userId: mails.userId }),
    /** Deletes all that are not sent yet. Answers how many. */
    dropWaiting: async (): Promise<number> =>
      (await db.delete(mails).where(isWaiting(tables)).returning({ id: mails.id })).length,
    ...expiryWriters(db, expiring(tables)),
  };
};
