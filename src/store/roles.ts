import { asc, eq, sql } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import { prepared } from "./dialects/prepared.ts";
import type { Role, Tables } from "./tables.ts";

export const roleReaders = (db: Db, { roles, userRoles }: Tables) => {
  const heldQuery = prepared(
    "roles.held",
    db
      .select({ name: roles.name, permissions: roles.permissions })
      .from(userRoles)
      .innerJoin(roles, eq(roles.name, userRoles.role))
      .where(eq(userRoles.userId, sql.placeholder("userId")))
      .orderBy(asc(roles.name)),
  );

  return {
    /** The roles that a user holds, with what each permits. */
    heldBy: async (userId: string): Promise<{ name: string; permissions: readonly string[] }[]> =>
      await heldQuery.execute({ userId }),
    byName: async (name: string): Promise<Role | undefined> =>
      (await db.select().from(roles).where(eq(roles.name, name)))[0],
    names: async (): Promise<string[]> =>
      (await db.select({ name: roles.name }).from(roles).orderBy(asc(roles.name))).map((row) => row.name),
  };
};
