import {
  and,
  asc,
  count,
  desc,
  eq,
  getTableColumns,
  gt,
  gte,
  inArray,
  isNull,
  lt,
  lte,
  type SQL,
  sql,
} from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import { prepared } from "./dialects/prepared.ts";
import type { Account, Session, Tables, User } from "./tables.ts";

export type NewSession = Tables["sessions"]["$inferInsert"];

/** A session with whom it belongs to: one look-up, for every request. */
export type Standing = { readonly session: Session; readonly user: Account; readonly roles: readonly string[] };

export type SessionFilter = {
  readonly userId?: string;
  readonly ip?: string;
  readonly createdBefore?: Date;
  /** Only sessions that are alive at this time. */
  readonly aliveAt?: Date;
};

export const sessionReaders = (db: Db, { sessions, users, userRoles }: Tables) => {
  const { passwordHash: _, ...account } = getTableColumns(users);
  const standingQuery = prepared(
    "sessions.standing",
    db
      .select({ session: sessions, user: account, role: userRoles.role })
      .from(sessions)
      .innerJoin(users, eq(users.id, sessions.userId))
      .leftJoin(userRoles, eq(userRoles.userId, users.id))
      .where(eq(sessions.id, sql.placeholder("id")))
      .orderBy(asc(userRoles.role)),
  );

  const alive = (at: Date): SQL =>
    sql`${and(
      isNull(sessions.revokedAt),
      gt(sessions.idleExpiresAt, at),
      eq(sessions.epoch, users.epoch),
      isNull(users.disabledAt),
    )}`;

  const matching = (filter: SessionFilter) =>
    and(
      filter.userId === undefined ? undefined : eq(sessions.userId, filter.userId),
      filter.ip === undefined ? undefined : eq(sessions.ip, filter.ip),
      filter.createdBefore === undefined ? undefined : lt(sessions.createdAt, filter.createdBefore),
      filter.aliveAt === undefined ? undefined : alive(filter.aliveAt),
    );

  const livesOfUserQuery = prepared(
    "sessions.livesOfUser",
    db
      .select({ session: sessions })
      .from(sessions)
      .innerJoin(users, eq(users.id, sessions.userId))
      .where(
        and(
          eq(sessions.userId, sql.placeholder("userId")),
          isNull(sessions.revokedAt),
          gt(sessions.idleExpiresAt, sql.param(sql.placeholder("at"), sessions.idleExpiresAt)),
          eq(sessions.epoch, users.epoch),
        ),
      )
      .orderBy(desc(sessions.id)),
  );

  return {
    standing: async (id: string): Promise<Standing | undefined> => {
      const rows = await standingQuery.execute({ id });
      const [first] = rows;
      if (!first) return undefined;
      return {
        session: first.session,
        user: first.user,
        roles: rows.flatMap((row) => (row.role === null ? [] : [row.role])),
      };
    },
    byId: async (id: string): Promise<Session | undefined> =>
      (await db.select().from(sessions).where(eq(sessions.id, id)))[0],
    /** The sessions of a user that are alive, newest first. */
    ofUser: async (userId: string, at: Date): Promise<Session[]> =>
      (await livesOfUserQuery.execute({ userId, at })).map((row) => row.session),
    /** The same, a page at a time, from before `before`. */
    pageOfUser: async (userId: string, at: Date, limit: number, before?: string): Promise<Session[]> =>
      (
        await db
          .select({ session: sessions })
          .from(sessions)
          .innerJoin(users, eq(users.id, sessions.userId))
          .where(
            and(eq(sessions.userId, userId), alive(at), before === undefined ? undefined : lt(sessions.id, before)),
          )
          .orderBy(desc(sessions.id))
          .limit(limit)
      ).map((row) => row.session),
    /** The sessions of a user that were neither revoked nor have expired, even where the user was signed out everywhere. */
    idsOfUser: async (userId: string, at: Date): Promise<string[]> =>
      (
        await db
          .select({ id: sessions.id })
          .from(sessions)
          .where(and(eq(sessions.userId, userId), isNull(sessions.revokedAt), gt(sessions.idleExpiresAt, at)))
      ).map((row) => row.id),
    /** The same of everybody who holds a role. */
    idsOfHolders: async (role: string, at: Date): Promise<string[]> =>
      (
        await db
          .select({ id: sessions.id })
          .from(sessions)
          .innerJoin(userRoles, eq(userRoles.userId, sessions.userId))
          .where(and(eq(userRoles.role, role), isNull(sessions.revokedAt), gt(sessions.idleExpiresAt, at)))
      ).map((row) => row.id),
    /** Whether any session of the user that is stored, dead or alive, is of such a device. */
    hasDevice: async (userId: string, device: Pick<Session, "browser" | "os" | "clientKind">): Promise<boolean> => {
      const { browser, os, clientKind } = device;
      const [one] = await db
        .select({ id: sessions.id })
        .from(sessions)
        .where(
          and(
            eq(sessions.userId, userId),
            browser === null ? isNull(sessions.browser) : eq(sessions.browser, browser),
            os === null ? isNull(sessions.os) : eq(sessions.os, os),
            eq(sessions.clientKind, clientKind),
          ),
        )
        .limit(1);
      return one !== undefined;
    },
    count: async (filter: SessionFilter): Promise<{ sessions: number; users: number }> => {
      const [row] = await db
        .select({ sessions: count(), users: sql<number>`count(distinct ${sessions.userId})`.mapWith(Number) })
        .from(sessions)
        .innerJoin(users, eq(users.id, sessions.userId))
        .where(matching(filter));
      return row ?? { sessions: 0, users: 0 };
    },
    countAlive: async (at: Date): Promise<number> => {
      const [row] = await db
        .select({ alive: count() })
        .from(sessions)
        .innerJoin(users, eq(users.id, sessions.userId))
        .where(alive(at));
      return row?.alive ?? 0;
    },
    /** Sessions with access tokens that are alive, were there before `until`, and have been used since `since`. */
    countTokenHolders: async (at: Date, since: Date, until: Date): Promise<number> => {
      const [row] = await db
        .select({ holders: count() })
        .from(sessions)
        .innerJoin(users, eq(users.id, sessions.userId))
        .where(
          and(
            alive(at),
            eq(sessions.credential, "tokens"),
            gte(sessions.lastSeenAt, since),
            lte(sessions.createdAt, until),
          ),
        );
      return row?.holders ?? 0;
    },
    /** What has become of all sessions that are stored, and how many users have one that is alive. */
    tally: async (at: Date) => {
      const [row] = await db
        .select({
          stored: count(),
          alive: sql<number>`count(case when ${alive(at)} then 1 end)`.mapWith(Number),
          users: sql<number>`count(distinct case when ${alive(at)} then ${sessions.userId} end)`.mapWith(Number),
          revoked: count(sessions.revokedAt),
          expired:
            sql<number>`count(case when ${and(isNull(sessions.revokedAt), lte(sessions.idleExpiresAt, at))} then 1 end)`.mapWith(
              Number,
            ),
        })
        .from(sessions)
        .innerJoin(users, eq(users.id, sessions.userId));
      return row ?? { stored: 0, alive: 0, users: 0, revoked: 0, expired: 0 };
    },
    /** In the order of their making, from after `after`, each with the address of its user. */
    page: async (filter: SessionFilter, limit: number, after?: string): Promise<{ session: Session; user: User }[]> =>
      await db
        .select({ session: sessions, user: users })
        .from(sessions)
        .innerJoin(users, eq(users.id, sessions.userId))
        .where(and(matching(filter), after === undefined ? undefined : gt(sessions.id, after)))
        .orderBy(asc(sessions.id))
        .limit(limit),
    /** Sessions that ended before `before`, and the oldest of those ends. */
    expired: async (before: Date): Promise<{ number: number; oldest: Date | null }> => {
      const ended = lte(sessions.idleExpiresAt, before);
      const [row] = await db.select({ number: count() }).from(sessions).where(ended);
      const [oldest] = await db
        .select({ at: sessions.idleExpiresAt })
        .from(sessions)
        .where(ended)
        .orderBy(asc(sessions.idleExpiresAt))
        .limit(1);
      return { number: row?.number ?? 0, oldest: oldest?.at ?? null };
    },
  };
};

export const sessionWriters = (db: Db, { sessions }: Tables) => {
  const insertQuery = (session: NewSession) => db.insert(sessions).values(session);

  const touchQuery = prepared(
    "sessions.touch",
    db
      .update(sessions)
      .set({
        lastSeenAt: sql`${sql.param(sql.placeholder("seenAt"), sessions.lastSeenAt)}`,
        idleExpiresAt: sql`${sql.param(sql.placeholder("idleExpiresAt"), sessions.idleExpiresAt)}`,
        ip: sql`${sql.placeholder("ip")}`,
      })
      .where(and(eq(sessions.id, sql.placeholder("id")), isNull(sessions.revokedAt))),
  );

  return {
    insert: async (session: NewSession): Promise<void> => {
      await insertQuery(session);
    },
    /** Moves the idle limit on. A session that was revoked meanwhile stays as it is. */
    touch: async (id: string, seenAt: Date, idleExpiresAt: Date, ip: string | null): Promise<void> => {
      await touchQuery.execute({ id, seenAt, idleExpiresAt, ip });
    },
    /** The ids of those that were alive until now. */
    revoke: async (ids: readonly string[], revokedAt: Date, revokeReason: string): Promise<string[]> =>
      (
        await db
          .update(sessions)
          .set({ revokedAt, revokeReason })
          .where(and(inArray(sessions.id, [...ids]), isNull(sessions.revokedAt)))
          .returning({ id: sessions.id })
      ).map((row) => row.id),
    /** Moves the time of the last proof of the password on, where the session is of this epoch and was not revoked. */
    prove: async (id: string, epoch: number, at: Date): Promise<boolean> =>
      (
        await db
          .update(sessions)
          .set({ authenticatedAt: at })
          .where(and(eq(sessions.id, id), eq(sessions.epoch, epoch), isNull(sessions.revokedAt)))
          .returning({ id: sessions.id })
      ).length > 0,
    /** Lets a session live on through a sign-out of all others. */
    adoptEpoch: async (id: string, epoch: number): Promise<void> => {
      await db.update(sessions).set({ epoch }).where(eq(sessions.id, id));
    },
    /** Deletes at most `limit` sessions that ended before `before`, with their refresh families. Answers how many. */
    purge: async (before: Date, limit: number): Promise<number> => {
      const doomed = db
        .select({ id: sessions.id })
        .from(sessions)
        .where(lte(sessions.idleExpiresAt, before))
        .orderBy(asc(sessions.idleExpiresAt))
        .limit(limit);
      // Said again outside: on Postgres one that was used a moment ago is looked at anew by this condition alone.
      const ended = and(inArray(sessions.id, doomed), lte(sessions.idleExpiresAt, before));
      return (await db.delete(sessions).where(ended).returning({ id: sessions.id })).length;
    },
  };
};
