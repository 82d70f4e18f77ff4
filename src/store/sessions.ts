import {
  and,
  asc,
  count,
  desc,
  eq,
  exists,
  getTableColumns,
  gt,
  gte,
  inArray,
  isNotNull,
  isNull,
  lt,
  lte,
  max,
  or,
  type SQL,
  sql,
} from "drizzle-orm";
import type { SQLiteColumn } from "drizzle-orm/sqlite-core";
import type { Db } from "./dialects/dialect.ts";
import { givenFor, givenRow, givenText, isGiven, prepared } from "./dialects/prepared.ts";
import { expiryReaders, expiryWriters } from "./expiry.ts";
import { gathered } from "./gathered.ts";
import { strides } from "./strides.ts";
import type { Account, Session, Tables, User } from "./tables.ts";

/** A session with whom it belongs to: one look-up, for every request. */
export type Standing = { readonly session: Session; readonly user: Account; readonly roles: readonly string[] };

/** Whether a session counts, and in two words why not. */
export const sessionStates = ["alive", "revoked", "user disabled", "signed out everywhere", "expired"] as const;
export type SessionState = (typeof sessionStates)[number];

export type SessionFilter = {
  readonly userId?: string;
  /** Last used from one of these. */
  readonly ips?: readonly string[];
  readonly createdBefore?: Date;
  /** Only sessions that are alive at this time. */
  readonly aliveAt?: Date;
};

const expiring = (table: Tables["sessions"]) => ({ table, key: table.id, end: table.idleExpiresAt });

/** Sessions that count at this time, of users that are joined with them. */
export const aliveAt = (at: Date | SQL, { sessions, users }: Pick<Tables, "sessions" | "users">): SQL =>
  sql`${and(
    isNull(sessions.revokedAt),
    gt(sessions.idleExpiresAt, at),
    eq(sessions.epoch, users.epoch),
    isNull(users.disabledAt),
  )}`;

/** A server secret; `unmarked` where it may also have signed what bears no version, because that was not noted then. */
export type SignedBy = { readonly version: string; readonly unmarked: boolean };

export const isSignedBy = (column: SQLiteColumn, { version, unmarked }: SignedBy): SQL | undefined =>
  or(unmarked ? isNull(column) : undefined, eq(column, version));

/** The columns of an account. */
export const account = ({ users }: Pick<Tables, "users">) => {
  const { passwordHash: _, ...columns } = getTableColumns(users);
  return columns;
};

/** Sessions with whom they belong to, a row for each role. */
const standingRows = (db: Db, tables: Tables) => {
  const { sessions, users, userRoles } = tables;
  return db
    .select({ session: sessions, user: account(tables), role: userRoles.role })
    .from(sessions)
    .innerJoin(users, eq(users.id, sessions.userId))
    .leftJoin(userRoles, eq(userRoles.userId, users.id))
    .orderBy(asc(userRoles.role));
};

type StandingRow = { readonly session: Session; readonly user: Account; readonly role: string | null };

export function standingFrom(rows: readonly StandingRow[]): Standing | undefined {
  const [first] = rows;
  if (!first) return undefined;
  const roles = rows.flatMap(({ role }) => (role === null ? [] : [role]));
  return { session: first.session, user: first.user, roles };
}

/** How many standings one statement reads; fewer are filled up to the next of these, so that few are to be prepared. */
const batchSizes = [1, 2, 4, 8, 16, 32];

/** The standings of sessions that are asked for at the same time, by the session's id. */
export const sessionGatherer = (db: Db, tables: Tables) => {
  const queries = batchSizes.map((size) => {
    const ids = Array.from({ length: size }, (_, at) => givenText(`id${at}`));
    const query = standingRows(db, tables).where(sql`${tables.sessions.id} in ${ids}`);
    return { size, query: prepared(`sessions.standings${size}`, query) };
  });
  const standings = async (ids: readonly string[]): Promise<ReadonlyMap<string, Standing>> => {
    const { size, query } = queries.find((one) => one.size >= ids.length)!;
    const given = Array.from({ length: size }, (_, at) => [`id${at}`, ids[at] ?? ids[0]]);
    const rows = await query.execute(Object.fromEntries(given) as Record<string, string>);
    return new Map(
      [...Map.groupBy(rows, ({ session }) => session.id)].map(([id, own]) => [id, standingFrom(own)!] as const),
    );
  };
  return { standing: gathered(batchSizes.at(-1)!, standings) };
};

export const sessionReaders = (db: Db, tables: Tables) => {
  const { sessions, users, userRoles, refreshFamilies } = tables;
  const standingQuery = prepared("sessions.standing", standingRows(db, tables).where(eq(sessions.id, givenText("id"))));

  const byIdQuery = prepared(
    "sessions.byId",
    db
      .select()
      .from(sessions)
      .where(eq(sessions.id, sql.placeholder("id"))),
  );

  const alive = (at: Date): SQL => aliveAt(at, { sessions, users });

  const matching = (filter: SessionFilter) =>
    and(
      filter.userId === undefined ? undefined : eq(sessions.userId, filter.userId),
      filter.ips === undefined ? undefined : inArray(sessions.ip, [...filter.ips]),
      filter.createdBefore === undefined ? undefined : lt(sessions.createdAt, filter.createdBefore),
      filter.aliveAt === undefined ? undefined : alive(filter.aliveAt),
    );

  const deviceQuery = prepared(
    "sessions.device",
    db
      .select({ id: sessions.id })
      .from(sessions)
      .where(
        and(
          eq(sessions.userId, givenText("userId")),
          isGiven(sessions.browser, "browser"),
          isGiven(sessions.os, "os"),
          eq(sessions.clientKind, givenText("clientKind")),
        ),
      )
      .limit(1),
  );

  const livesOfUserQuery = prepared(
    "sessions.livesOfUser",
    db
      .select({ session: sessions })
      .from(sessions)
      .innerJoin(users, eq(users.id, sessions.userId))
      .where(
        and(
          eq(sessions.userId, givenText("userId")),
          isNull(sessions.revokedAt),
          gt(sessions.idleExpiresAt, givenFor(sessions.idleExpiresAt, "at")),
          eq(sessions.epoch, users.epoch),
        ),
      )
      .orderBy(desc(sessions.id)),
  );

  return {
    standing: async (id: string): Promise<Standing | undefined> => standingFrom(await standingQuery.execute({ id })),
    byId: async (id: string): Promise<Session | undefined> => (await byIdQuery.execute({ id }))[0],
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
    hasDevice: async (userId: string, device: Pick<Session, "browser" | "os" | "clientKind">): Promise<boolean> =>
      (await deviceQuery.execute({ userId, ...device })).length === 1,
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
    /** Sessions that are alive and whose token this secret signed, or may have signed, and when the last of them ends. */
    needing: async (secret: SignedBy, at: Date): Promise<{ number: number; last: Date | null }> => {
      const [row] = await db
        .select({ number: count(), last: max(sessions.expiresAt) })
        .from(sessions)
        .innerJoin(users, eq(users.id, sessions.userId))
        .where(and(isNotNull(sessions.secretHash), isSignedBy(sessions.secretVersion, secret), alive(at)));
      return row ?? { number: 0, last: null };
    },
    /** At most `limit` of those, and of those that may come back with a refresh token that this secret made. */
    pageNeeding: async (secret: SignedBy, at: Date, limit: number): Promise<Pick<Session, "id" | "userId">[]> =>
      await db
        .selectDistinct({ id: sessions.id, userId: sessions.userId })
        .from(sessions)
        .innerJoin(users, eq(users.id, sessions.userId))
        .leftJoin(refreshFamilies, eq(refreshFamilies.sessionId, sessions.id))
        .where(
          and(
            or(
              and(isNotNull(sessions.secretHash), isSignedBy(sessions.secretVersion, secret)),
              and(isNotNull(refreshFamilies.id), isSignedBy(refreshFamilies.secretVersion, secret)),
            ),
            alive(at),
          ),
        )
        .limit(limit),
    /** How many sessions there are of each state. Walks along all of them. */
    tally: async (at: Date): Promise<Record<SessionState, number>> => {
      const state = sql<SessionState>`case when ${alive(at)} then 'alive' when ${sessions.revokedAt} is not null then 'revoked'
        when ${users.disabledAt} is not null then 'user disabled' when ${sessions.epoch} <> ${users.epoch} then 'signed out everywhere'
        else 'expired' end`;
      const tally = { alive: 0, revoked: 0, "user disabled": 0, "signed out everywhere": 0, expired: 0 };
      for await (const some of strides(db, sessions, sessions.id)) {
        const rows = await db
          .select({ state: sql<SessionState>`${state}`.as("state"), number: count() })
          .from(sessions)
          .innerJoin(users, eq(users.id, sessions.userId))
          .where(some)
          .groupBy(sql`1`);
        for (const row of rows) tally[row.state] += row.number;
      }
      return tally;
    },
    /** How many users have a session that is alive. Walks along all users. */
    countSignedIn: async (at: Date): Promise<number> => {
      let counted = 0;
      const one = db
        .select({ id: sessions.id })
        .from(sessions)
        .where(and(eq(sessions.userId, users.id), alive(at)));
      for await (const some of strides(db, users, users.id)) counted += await db.$count(users, and(some, exists(one)));
      return counted;
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
    ...expiryReaders(db, expiring(sessions)),
  };
};

export const sessionWriters = (db: Db, { sessions }: Tables) => {
  const insertQuery = prepared("sessions.insert", db.insert(sessions).values(givenRow(sessions)));

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

  /** By far the most are ended one at a time. */
  const revokeQuery = prepared(
    "sessions.revoke",
    db
      .update(sessions)
      .set({
        revokedAt: sql`${sql.param(sql.placeholder("revokedAt"), sessions.revokedAt)}`,
        revokeReason: sql`${sql.placeholder("revokeReason")}`,
      })
      .where(and(eq(sessions.id, sql.placeholder("id")), isNull(sessions.revokedAt)))
      .returning({ id: sessions.id, userId: sessions.userId }),
  );

  return {
    insert: async (session: Session): Promise<void> => {
      await insertQuery.execute(session);
    },
    /** Moves the idle limit on. A session that was revoked meanwhile stays as it is. */
    touch: async (id: string, seenAt: Date, idleExpiresAt: Date, ip: string | null): Promise<void> => {
      await touchQuery.execute({ id, seenAt, idleExpiresAt, ip });
    },
    /** Notes that a session is used from another address, once for all who come from there at the same time. */
    move: async (id: string, from: string, to: string): Promise<boolean> =>
      (
        await db
          .update(sessions)
          .set({ ip: to })
          .where(and(eq(sessions.id, id), eq(sessions.ip, from), isNull(sessions.revokedAt)))
          .returning({ id: sessions.id })
      ).length > 0,
    /** Answers those that were not revoked until now, and whose they are. */
    revoke: async (
      ids: readonly string[],
      revokedAt: Date,
      revokeReason: string,
    ): Promise<Array<Pick<Session, "id" | "userId">>> => {
      const [id] = ids;
      return ids.length === 1
        ? await revokeQuery.execute({ id, revokedAt, revokeReason })
        : await db
            .update(sessions)
            .set({ revokedAt, revokeReason })
            .where(and(inArray(sessions.id, [...ids]), isNull(sessions.revokedAt)))
            .returning({ id: sessions.id, userId: sessions.userId });
    },
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
    /** Their refresh families go with them. */
    ...expiryWriters(db, expiring(sessions)),
  };
};
