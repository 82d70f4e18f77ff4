import type { Db } from "./dialects/dialect.ts";
import type { Tables } from "./tables.ts";

export type NewMail = Tables["mails"]["$inferInsert"];

export const mailWriters = (db: Db, { mails }: Tables) => ({
  insert: async (mail: NewMail): Promise<void> => {
    await db.insert(mails).values(mail);
  },
});
