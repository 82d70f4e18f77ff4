import { and, asc, count, eq, inArray, isNotNull, isNull, sql } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import { prepared } from "./dialects/prepared.ts";
import type { Tables, User } from "./tables.ts";

export type NewUser = Tables["users"]["$inferInsert"];
export type UserChange = Partial<
  Pick<
    User,
    | "email"
    | "emailKey"
    | "emailVerifiedAt"
    | "username"
    | "usernameKey"
    | "fullName"
    | "fullNameKey"
    | "locale"
    | "profile"
    | "passwordHash"
    | "disabledAt"
    | "lastLoginAt"
    | "updatedAt"
  >
>;

export const userReaders = (db: Db, { users, userRoles }: Tables) => {
  const byIdQuery = prepared(
    "users.byId",
    db
      .select()
      .from(users)
      .where(eq(users.id, sql.placeholder("id"))),
  );
  const byEmailKeyQuery = prepared(
    "users.byEmailKey",
    db
      .select()
      .from(users)
      .where(eq(users.emailKey, sql.placeholder("key"))),
  );
  const byUsernameKeyQuery = prepared(
    "users.byUsernameKey",
    db
      .select()
      .from(users)
      .where(eq(users.usernameKey, sql.placeholder("key"))),
  );
  const rolesQuery = prepared(
    "users.roles",
    db
      .select({ role: userRoles.role })
      .from(userRoles)
      .where(eq(userRoles.userId, sql.placeholder("id")))
      .orderBy(asc(userRoles.role)),
  );

  return {
    byId: async (id: string): Promise<User | undefined> => (await byIdQuery.execute({ id }))[0],
    byEmailKey: async (key: string): Promise<User | undefined> => (await byEmailKeyQuery.execute({ key }))[0],
    byUsernameKey: async (key: string): Promise<User | undefined> => (await byUsernameKeyQuery.execute({ key }))[0],
    rolesOf: async (id: string): Promise<string[]> => (await rolesQuery.execute({ id })).map((row) => row.role),
    count: async (): Promise<number> => await db.$count(users),
    countDisabled: async (): Promise<number> => await db.$count(users, isNotNull(users.disabledAt)),
    /** Active users who hold `role`. */
    countActive: async (role: string): Promise<number> => {
      const [row] = await db
        .select({ number: count() })
        .from(userRoles)
        .innerJoin(users, eq(users.id, userRoles.userId))
        .where(and(eq(userRoles.role, role), isNull(users.disabledAt)));
      return row?.number ?? 0;
    },
  };
};

export const userWriters = (db: Db, { users, userRoles, roles }: Tables) => {
  const noteLoginQuery = prepared(
    "users.noteLogin",
    db
      .update(users)
      .set({
        lastLoginAt: sql`${sql.param(sql.placeholder("lastLoginAt"), users.lastLoginAt)}`,
        passwordHash: sql`${sql.placeholder("newHash")}`,
      })
      .where(
        and(
          eq(users.id, sql.placeholder("id")),
          eq(users.passwordHash, sql.placeholder("passwordHash")),
          isNull(users.disabledAt),
        ),
      )
      .returning({ epoch: users.epoch }),
  );

  return {
    /** `false` where the address or the user name is taken: the unique indexes decide, in any race. */
    insert: async (user: NewUser): Promise<boolean> =>
      (await db.insert(users).values(user).onConflictDoNothing().returning({ id: users.id })).length === 1,
    /**
     * Lets only one transaction at a time change a user, and moves the revision on. With `revision`, only where it is
     * still that one, or one of those. Answers the user as it is now; `undefined` where there is none, or none of that
     * revision.
     */
    claim: async (id: string, revision?: number | readonly number[]): Promise<User | undefined> => {
      const wanted = revision === undefined ? undefined : inArray(users.revision, [revision].flat());
      const [user] = await db
        .update(users)
        .set({ revision: sql`${users.revision} + 1` })
        .where(and(eq(users.id, id), wanted))
        .returning();
      return user;
    },
    /** `false` where there is no such user, or where the address or user name belongs to another. */
    update: async (id: string, change: UserChange): Promise<boolean> =>
      (await db.update(users).set(change).where(eq(users.id, id)).returning({ id: users.id })).length === 1,
    /** `false` where the user is disabled already, or is not there. */
    disable: async (id: string, disabledAt: Date): Promise<boolean> =>
      (
        await db
          .update(users)
          .set({ disabledAt, updatedAt: disabledAt, revision: sql`${users.revision} + 1` })
          .where(and(eq(users.id, id), isNull(users.disabledAt)))
          .returning({ id: users.id })
      ).length === 1,
    /** `false` where the user is not disabled, or is not there. */
    enable: async (id: string, updatedAt: Date): Promise<boolean> =>
      (
        await db
          .update(users)
          .set({ disabledAt: null, updatedAt, revision: sql`${users.revision} + 1` })
          .where(and(eq(users.id, id), isNotNull(users.disabledAt)))
          .returning({ id: users.id })
      ).length === 1,
    /** `false` where the password is no longer `from`. */
    replacePassword: async (id: string, from: string | null, to: string, updatedAt: Date): Promise<boolean> =>
      (
        await db
          .update(users)
          .set({ passwordHash: to, updatedAt })
          .where(and(eq(users.id, id), from === null ? isNull(users.passwordHash) : eq(users.passwordHash, from)))
          .returning({ id: users.id })
      ).length === 1,
    /**
     * Notes a sign-in of an active user whose password is still `passwordHash`, in one conditional statement: a
     * disabling or a new password that came first is seen, one that comes now has to wait. Answers the user's epoch.
     */
    noteLogin: async (
      id: string,
      passwordHash: string,
      { lastLoginAt, passwordHash: newHash = passwordHash }: Pick<UserChange, "lastLoginAt" | "passwordHash">,
    ): Promise<number | undefined> =>
      (await noteLoginQuery.execute({ id, passwordHash, newHash, lastLoginAt }))[0]?.epoch,
    /** Ends every session of the user at once, in one row. Answers the new epoch. */
    advanceEpoch: async (id: string): Promise<number> => {
      const [row] = await db
        .update(users)
        .set({ epoch: sql`${users.epoch} + 1` })
        .where(eq(users.id, id))
        .returning({ epoch: users.epoch });
      return row?.epoch ?? 0;
    },
    /** Signs everybody out everywhere. */
    advanceEveryEpoch: async (): Promise<void> => {
      await db.update(users).set({ epoch: sql`${users.epoch} + 1` });
    },
    delete: async (id: string): Promise<boolean> =>
      (await db.delete(users).where(eq(users.id, id)).returning({ id: users.id })).length === 1,
    grantRole: async (userId: string, role: string, grantedAt: Date): Promise<boolean> =>
      (
        await db
          .insert(userRoles)
          .values({ userId, role, grantedAt })
          .onConflictDoNothing()
          .returning({ role: userRoles.role })
      ).length === 1,
    revokeRole: async (userId: string, role: string): Promise<boolean> =>
      (
        await db
          .delete(userRoles)
          .where(and(eq(userRoles.userId, userId), eq(userRoles.role, role)))
          .returning({ role: userRoles.role })
      ).length === 1,
    /**
     * Lets only one transaction at a time decide about the holders of a role: a count that is read after this
     * still holds at the commit. On SQLite there is only one writer anyway; on Postgres the row is locked.
     */
    claimRole: async (role: string): Promise<void> => {
      await db
        .update(roles)
        .set({ updatedAt: sql`${roles.updatedAt}` })
        .where(eq(roles.name, role));
    },
  };
};
