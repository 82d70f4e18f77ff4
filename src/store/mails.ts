import { count } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import type { MailState, Tables } from "./tables.ts";

export type NewMail = Tables["mails"]["$inferInsert"];

export const mailReaders = (db: Db, { mails }: Tables) => ({
  countByState: async (): Promise<Array<{ state: MailState; number: number }>> =>
    await db.select({ state: mails.state, number: count() }).from(mails).groupBy(mails.state),
});

export const mailWriters = (db: Db, { mails }: Tables) => ({
  insert: async (mail: NewMail): Promise<void> => {
    await db.insert(mails).values(mail);
  },
});
