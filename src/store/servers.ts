import { asc, eq, gt, lte, sql } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import { prepared } from "./dialects/prepared.ts";
import type { Tables } from "./tables.ts";

export type Server = Tables["servers"]["$inferSelect"];

export const serverReaders = (db: Db, { servers }: Tables) => {
  const calledQuery = prepared(
    "servers.called",
    db
      .select({ called: servers.called })
      .from(servers)
      .where(eq(servers.id, sql.placeholder("id"))),
  );

  return {
    seenSince: async (since: Date): Promise<Server[]> =>
      await db.select().from(servers).where(gt(servers.seenAt, since)).orderBy(asc(servers.startedAt), asc(servers.id)),
    /** Servers that ended without saying so, the longest silent first. */
    silentSince: async (since: Date): Promise<Server[]> =>
      await db.select().from(servers).where(lte(servers.seenAt, since)).orderBy(asc(servers.seenAt)),
    /** The last call to a server: null where there was none, `undefined` where nobody knows the server. */
    called: async (id: string): Promise<string | null | undefined> => (await calledQuery.execute({ id }))[0]?.called,
  };
};

export const serverWriters = (db: Db, { servers }: Tables) => ({
  /** Says that a server is there, and what it goes by. Calls stay as they are. */
  beat: async (server: Omit<Tables["servers"]["$inferInsert"], "called">): Promise<void> => {
    const { seenAt, keys, secrets, heard } = server;
    await db
      .insert(servers)
      .values(server)
      .onConflictDoUpdate({ target: servers.id, set: { seenAt, keys, secrets, heard } });
  },
  /** Calls every server that was seen since then. */
  call: async (call: string, since: Date): Promise<Server[]> =>
    await db.update(servers).set({ called: call }).where(gt(servers.seenAt, since)).returning(),
  remove: async (id: string): Promise<void> => {
    await db.delete(servers).where(eq(servers.id, id));
  },
  /** Forgets servers that ended without saying so. */
  purge: async (seenBefore: Date): Promise<number> =>
    (await db.delete(servers).where(lte(servers.seenAt, seenBefore)).returning({ id: servers.id })).length,
});
