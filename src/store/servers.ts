import { asc, eq, gt, lte } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import type { Tables } from "./tables.ts";

export type Server = Tables["servers"]["$inferSelect"];

export const serverReaders = (db: Db, { servers }: Tables) => ({
  seenSince: async (since: Date): Promise<Server[]> => await db.select().from(servers).where(gt(servers.seenAt, since)),
  /** Servers that ended without saying so, the longest silent first. */
  silentSince: async (since: Date): Promise<Server[]> =>
    await db.select().from(servers).where(lte(servers.seenAt, since)).orderBy(asc(servers.seenAt)),
});

export const serverWriters = (db: Db, { servers }: Tables) => ({
  beat: async (server: Server): Promise<void> => {
    await db
      .insert(servers)
      .values(server)
      .onConflictDoUpdate({ target: servers.id, set: { seenAt: server.seenAt } });
  },
  remove: async (id: string): Promise<void> => {
    await db.delete(servers).where(eq(servers.id, id));
  },
  /** Forgets servers that ended without saying so. */
  purge: async (seenBefore: Date): Promise<number> =>
    (await db.delete(servers).where(lte(servers.seenAt, seenBefore)).returning({ id: servers.id })).length,
});
