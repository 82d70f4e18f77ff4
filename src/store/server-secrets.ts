import { and, asc, eq, inArray, sql } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import type { ServerSecret, Tables } from "./tables.ts";

export type NewServerSecret = Tables["serverSecrets"]["$inferInsert"];

export const serverSecretReaders = (db: Db, { serverSecrets }: Tables) => ({
  /** Oldest first. */
  all: async (): Promise<ServerSecret[]> =>
    await db.select().from(serverSecrets).orderBy(asc(serverSecrets.addedAt), asc(serverSecrets.version)),
});

export const serverSecretWriters = (db: Db, { serverSecrets }: Tables) => ({
  /**
   * Lets only one transaction at a time decide which secret writes, on all servers: what is read after this still
   * holds at the commit.
   */
  claim: async (): Promise<void> => {
    await db
      .update(serverSecrets)
      .set({ state: sql`${serverSecrets.state}` })
      .where(eq(serverSecrets.state, "active"));
  },
  /** `false` where this version is there already, or another one that is next or active. */
  insert: async (secret: NewServerSecret): Promise<boolean> =>
    (await db.insert(serverSecrets).values(secret).onConflictDoNothing().returning({ version: serverSecrets.version }))
      .length === 1,
  /** Stops the one that writes from writing. Answers its version. */
  deactivate: async (): Promise<string | undefined> =>
    (
      await db
        .update(serverSecrets)
        .set({ state: "retiring" })
        .where(eq(serverSecrets.state, "active"))
        .returning({ version: serverSecrets.version })
    )[0]?.version,
  activate: async (version: string, activatedAt: Date): Promise<boolean> =>
    (
      await db
        .update(serverSecrets)
        .set({ state: "active", activatedAt })
        .where(and(eq(serverSecrets.version, version), eq(serverSecrets.state, "next")))
        .returning({ version: serverSecrets.version })
    ).length === 1,
  /** `false` where it writes, or is retired already. */
  retire: async (version: string, retiredAt: Date, auditKey: string | null): Promise<boolean> =>
    (
      await db
        .update(serverSecrets)
        .set({ state: "retired", retiredAt, auditKey })
        .where(and(eq(serverSecrets.version, version), inArray(serverSecrets.state, ["next", "retiring"])))
        .returning({ version: serverSecrets.version })
    ).length === 1,
});
