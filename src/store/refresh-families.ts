import { and, asc, count, eq, exists, gt, isNull, lt, lte, max, or, type SQL, sql } from "drizzle-orm";
import { chained } from "./dialects/chained.ts";
import type { Db } from "./dialects/dialect.ts";
import { givenFor, givenRow, givenText, isGiven, prepared } from "./dialects/prepared.ts";
import { account, aliveAt, isSignedBy, type SignedBy, type Standing, standingFrom } from "./sessions.ts";
import type { RefreshFamily, Tables } from "./tables.ts";

/** What an ordinary rotation goes by; where any of it does not fit, nothing is changed. */
export type Rotation = {
  readonly id: string;
  readonly nonce: string;
  readonly generation: number;
  readonly at: Date;
  /** The version of the secret that made the token which is presented. */
  readonly secretVersion: string;
  /** Which client the session has to have been given to. */
  readonly binding: "off" | "ua-family" | "ua-strict";
  readonly userAgent: string | null;
  readonly browser: string | null;
  readonly os: string | null;
  readonly ip: string | null;
  /** A session that was last used before this is touched as well, from the address that it is known from. */
  readonly touchBefore: Date;
  /** When it ends if it rests from now on; its absolute limit is held all the same. */
  readonly idleExpiresAt: Date;
};

/** Who stands behind what was rotated, as it was before, and what the roles permit. */
export type Rotated = Standing & { readonly permissions: ReadonlyArray<readonly string[]> };

export const refreshFamilyReaders = (db: Db, { refreshFamilies, sessions, users }: Tables) => {
  const byIdQuery = prepared(
    "refresh-families.byId",
    db
      .select()
      .from(refreshFamilies)
      .where(eq(refreshFamilies.id, sql.placeholder("id"))),
  );

  return {
    byId: async (id: string): Promise<RefreshFamily | undefined> => (await byIdQuery.execute({ id }))[0],
    count: async (): Promise<number> => await db.$count(refreshFamilies),
    /** Those of live sessions that may still come back with a token that this secret made, and when the last of them ends. */
    needing: async (secret: SignedBy, at: Date): Promise<{ number: number; last: Date | null }> => {
      const [row] = await db
        .select({ number: count(), last: max(sessions.expiresAt) })
        .from(refreshFamilies)
        .innerJoin(sessions, eq(sessions.id, refreshFamilies.sessionId))
        .innerJoin(users, eq(users.id, sessions.userId))
        .where(and(isSignedBy(refreshFamilies.secretVersion, secret), aliveAt(at, { sessions, users })));
      return row ?? { number: 0, last: null };
    },
    ofSession: async (sessionId: string): Promise<RefreshFamily[]> =>
      await db.select().from(refreshFamilies).where(eq(refreshFamilies.sessionId, sessionId)),
  };
};

export const refreshFamilyWriters = (db: Db, { refreshFamilies }: Tables) => {
  const advanceQuery = prepared(
    "refresh-families.advance",
    db
      .update(refreshFamilies)
      .set({
        generation: sql`${refreshFamilies.generation} + 1`,
        rotatedAt: sql`${sql.param(sql.placeholder("at"), refreshFamilies.rotatedAt)}`,
        retries: 0,
        secretVersion: sql`${sql.placeholder("secretVersion")}`,
      })
      .where(
        and(
          eq(refreshFamilies.id, sql.placeholder("id")),
          eq(refreshFamilies.generation, sql.placeholder("generation")),
        ),
      )
      .returning({ id: refreshFamilies.id }),
  );

  const insertQuery = prepared("refresh-families.insert", db.insert(refreshFamilies).values(givenRow(refreshFamilies)));

  return {
    insert: async (family: RefreshFamily): Promise<void> => {
      await insertQuery.execute(family);
    },
    /**
     * Moves a family on from `generation`, whose token the secret of `secretVersion` made, in one conditional
     * statement. `false` where another request was faster.
     */
    advance: async (id: string, generation: number, at: Date, secretVersion: string): Promise<boolean> =>
      (await advanceQuery.execute({ id, generation, at, secretVersion })).length === 1,
    /** Counts one more retry of the generation before the current one. `false` where there were `most` already, or where it has moved on. */
    countRetry: async (id: string, generation: number, most: number): Promise<boolean> =>
      (
        await db
          .update(refreshFamilies)
          .set({ retries: sql`${refreshFamilies.retries} + 1` })
          .where(
            and(
              eq(refreshFamilies.id, id),
              eq(refreshFamilies.generation, generation + 1),
              lt(refreshFamilies.retries, most),
            ),
          )
          .returning({ id: refreshFamilies.id })
      ).length === 1,
    /** Uses up the one late retry. `false` where the last one was after `notSince`, or where the family has moved on. */
    countLateRetry: async (id: string, generation: number, at: Date, notSince: Date): Promise<boolean> =>
      (
        await db
          .update(refreshFamilies)
          .set({ lateRetriedAt: at })
          .where(
            and(
              eq(refreshFamilies.id, id),
              eq(refreshFamilies.generation, generation + 1),
              or(isNull(refreshFamilies.lateRetriedAt), lte(refreshFamilies.lateRetriedAt, notSince)),
            ),
          )
          .returning({ id: refreshFamilies.id })
      ).length === 1,
  };
};

/** The one change that needs no transaction around it: everything that it decides on stands in it. */
export const refreshFamilyRotation = (db: Db, tables: Tables) => {
  const { refreshFamilies, sessions, users, userRoles, roles } = tables;
  const at = (name: string): SQL => givenFor(sessions.lastSeenAt, name);
  const isSameClient = or(
    sql`${givenText("binding")} = 'off'`,
    isGiven(sessions.userAgent, "userAgent"),
    and(sql`${givenText("binding")} = 'ua-family'`, isGiven(sessions.browser, "browser"), isGiven(sessions.os, "os")),
  );
  // A change of network is recorded, which takes a transaction.
  const isSamePlace = or(
    gt(sessions.lastSeenAt, at("touchBefore")),
    isNull(sessions.ip),
    isNull(givenText("ip")),
    eq(sessions.ip, givenText("ip")),
  );

  const rotateQuery = chained("refresh-families.rotate", db, {
    first: db
      .update(refreshFamilies)
      .set({
        generation: sql`${refreshFamilies.generation} + 1`,
        rotatedAt: at("at"),
        retries: 0,
        secretVersion: givenText("secretVersion"),
      })
      .where(
        and(
          eq(refreshFamilies.id, givenText("id")),
          eq(refreshFamilies.nonce, givenText("nonce")),
          eq(refreshFamilies.generation, givenFor(refreshFamilies.generation, "generation")),
          exists(
            db
              .select({ id: sessions.id })
              .from(sessions)
              .innerJoin(users, eq(users.id, sessions.userId))
              .where(
                and(eq(sessions.id, refreshFamilies.sessionId), aliveAt(at("at"), tables), isSameClient, isSamePlace),
              ),
          ),
        ),
      )
      .returning({ key: sql<string>`${refreshFamilies.sessionId}`.as("key") }),
    reading: (from, key) =>
      from
        .select({ session: sessions, user: account(tables), role: roles.name, permissions: roles.permissions })
        .from(sessions)
        .innerJoin(users, eq(users.id, sessions.userId))
        .leftJoin(userRoles, eq(userRoles.userId, users.id))
        .leftJoin(roles, eq(roles.name, userRoles.role))
        .where(eq(sessions.id, key))
        .orderBy(asc(roles.name)),
    second: (key) =>
      db
        .update(sessions)
        .set({
          lastSeenAt: at("at"),
          idleExpiresAt: sql`case when ${sessions.expiresAt} < ${at("idleExpiresAt")} then ${sessions.expiresAt} else ${at("idleExpiresAt")} end`,
          ip: sql`coalesce(${givenText("ip")}, ${sessions.ip})`,
        })
        .where(and(eq(sessions.id, key), lte(sessions.lastSeenAt, at("touchBefore")), isNull(sessions.revokedAt))),
  });

  return {
    /** Moves a family on, and its session's idle limit where that is due. `undefined` where anything about it is out of the ordinary: then nothing was changed. */
    rotate: async (rotation: Rotation): Promise<Rotated | undefined> => {
      const rows = await rotateQuery.execute(rotation);
      const standing = standingFrom(rows);
      return standing && { ...standing, permissions: rows.map((row) => row.permissions ?? []) };
    },
  };
};
