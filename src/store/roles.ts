import { asc, eq, inArray, sql } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import { givenText, prepared } from "./dialects/prepared.ts";
import type { Role, Tables } from "./tables.ts";

export const roleReaders = (db: Db, { roles, userRoles }: Tables) => {
  const heldQuery = prepared(
    "roles.held",
    db
      .select({ name: roles.name, permissions: roles.permissions })
      .from(userRoles)
      .innerJoin(roles, eq(roles.name, userRoles.role))
      .where(eq(userRoles.userId, givenText("userId")))
      .orderBy(asc(roles.name)),
  );

  return {
    /** The roles that a user holds, with what each permits. */
    heldBy: async (userId: string): Promise<{ name: string; permissions: readonly string[] }[]> =>
      await heldQuery.execute({ userId }),
    all: async (): Promise<Role[]> => await db.select().from(roles).orderBy(asc(roles.name)),
    byName: async (name: string): Promise<Role | undefined> =>
      (await db.select().from(roles).where(eq(roles.name, name)))[0],
    names: async (): Promise<string[]> =>
      (await db.select({ name: roles.name }).from(roles).orderBy(asc(roles.name))).map((row) => row.name),
    countHolders: async (name: string): Promise<number> => await db.$count(userRoles, eq(userRoles.role, name)),
  };
};

export const roleWriters = (db: Db, { roles, userRoles, users }: Tables) => ({
  /** `false` where there is a role of this name: the primary key decides, in any race. */
  insert: async (role: Role): Promise<boolean> =>
    (await db.insert(roles).values(role).onConflictDoNothing().returning({ name: roles.name })).length === 1,
  update: async (name: string, change: Pick<Role, "description" | "permissions" | "updatedAt">): Promise<void> => {
    await db.update(roles).set(change).where(eq(roles.name, name));
  },
  /** Takes it from all its holders as well, and moves their revisions on. Answers how many they were. */
  delete: async (name: string): Promise<number> => {
    const holders = db.select({ id: userRoles.userId }).from(userRoles).where(eq(userRoles.role, name));
    const moved = await db
      .update(users)
      .set({ revision: sql`${users.revision} + 1` })
      .where(inArray(users.id, holders))
      .returning({ id: users.id });
    await db.delete(roles).where(eq(roles.name, name));
    return moved.length;
  },
});
