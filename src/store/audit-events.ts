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
  isNotNull,
  isNull,
  lt,
  lte,
  ne,
  or,
  type SQL,
  sql,
} from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import { prepared } from "./dialects/prepared.ts";
import { strides } from "./strides.ts";
import type { AuditEvent, Tables } from "./tables.ts";

export type NewAuditEvent = Tables["auditEvents"]["$inferInsert"];

/** As it stands in the table: whoever checks an entry also reads what somebody else may have put there. */
export type StoredAuditEvent = Omit<AuditEvent, "particulars"> & { readonly particulars: string | null };

export type AuditFilter = {
  readonly actor?: string;
  readonly action?: string;
  /** Whom it was done to. */
  readonly userId?: string;
  /** By this user, or to this user. */
  readonly involved?: string;
  readonly sessionId?: string;
  readonly ip?: string;
  readonly since?: Date;
  /** From then on no more. */
  readonly until?: Date;
};

/** What an entry may say nothing of. */
const unsaid = {
  actor: null,
  userId: null,
  sessionId: null,
  ip: null,
  userAgent: null,
  requestId: null,
  reason: null,
  personalDigest: null,
  personalSalt: null,
  mac: null,
};

/** An entry's place, and what goes with it; what is null stays as it is. */
export type Sealed = {
  readonly id: string;
  readonly seq: number;
  readonly hash: string;
  readonly mac: string | null;
  readonly personalDigest: string | null;
  readonly personalSalt: string | null;
};

/** Where the ids of a moment begin: an id starts with its time (RFC 9562, section 5.7), so a range of time is a range of ids. */
function idsSince(at: Date): string {
  const time = Math.max(0, at.getTime()).toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}`;
}

export const auditEventReaders = (db: Db, { auditEvents }: Tables) => {
  const matching = (filter: AuditFilter) =>
    and(
      filter.actor === undefined ? undefined : eq(auditEvents.actor, filter.actor),
      filter.action === undefined ? undefined : eq(auditEvents.action, filter.action),
      filter.userId === undefined ? undefined : eq(auditEvents.userId, filter.userId),
      filter.sessionId === undefined ? undefined : eq(auditEvents.sessionId, filter.sessionId),
      filter.ip === undefined ? undefined : eq(auditEvents.ip, filter.ip),
      filter.since === undefined ? undefined : gte(auditEvents.id, idsSince(filter.since)),
      filter.until === undefined ? undefined : lt(auditEvents.id, idsSince(filter.until)),
    );

  /** The conditions of which an entry meets exactly one: each is a walk along one index. */
  const ways = ({ involved, ...filter }: AuditFilter): Array<SQL | undefined> => {
    if (involved === undefined) return [matching(filter)];
    const toOthers = or(isNull(auditEvents.userId), ne(auditEvents.userId, involved));
    return [
      and(matching(filter), eq(auditEvents.userId, involved)),
      and(matching(filter), eq(auditEvents.actor, involved), toOthers),
    ];
  };

  const walk = async (filter: AuditFilter, order: 1 | -1, limit: number, from: SQL | undefined) => {
    const found: AuditEvent[][] = [];
    for (const way of ways(filter)) {
      found.push(
        await db
          .select()
          .from(auditEvents)
          .where(and(way, from))
          .orderBy((order === 1 ? asc : desc)(auditEvents.id))
          .limit(limit),
      );
    }
    return found
      .flat()
      .toSorted((one, other) => (one.id < other.id ? -order : order))
      .slice(0, limit);
  };

  const stored = {
    ...getTableColumns(auditEvents),
    particulars: sql<string | null>`cast(${auditEvents.particulars} as text)`,
  };

  return {
    /** Newest first, from before `before`. */
    page: async (filter: AuditFilter, limit: number, before?: string): Promise<AuditEvent[]> =>
      await walk(filter, -1, limit, before === undefined ? undefined : lt(auditEvents.id, before)),
    /** Oldest first, from after `after`. */
    pageOnwards: async (filter: AuditFilter, limit: number, after?: string): Promise<AuditEvent[]> =>
      await walk(filter, 1, limit, after === undefined ? undefined : gt(auditEvents.id, after)),
    /** In the order of the chain, from after the place `after`. */
    pageSealed: async (filter: AuditFilter, limit: number, after: number): Promise<AuditEvent[]> =>
      await db
        .select()
        .from(auditEvents)
        .where(and(or(...ways(filter)), gt(auditEvents.seq, after)))
        .orderBy(asc(auditEvents.seq))
        .limit(limit),
    /** In the order of the chain, from after the place `after`. */
    chain: async (limit: number, after: number): Promise<StoredAuditEvent[]> =>
      await db
        .select(stored)
        .from(auditEvents)
        .where(gt(auditEvents.seq, after))
        .orderBy(asc(auditEvents.seq))
        .limit(limit),
    /** Those that have no place yet, in the order of their making, from after `after`. */
    unsealed: async (limit: number, after = ""): Promise<StoredAuditEvent[]> =>
      await db
        .select(stored)
        .from(auditEvents)
        .where(and(isNull(auditEvents.seq), gt(auditEvents.id, after)))
        .orderBy(asc(auditEvents.id))
        .limit(limit),
    /** The end of the chain, as far as it is there. */
    lastSealed: async (): Promise<{ seq: number; hash: string } | undefined> => {
      const [row] = await db
        .select({ seq: auditEvents.seq, hash: auditEvents.hash })
        .from(auditEvents)
        .where(isNotNull(auditEvents.seq))
        .orderBy(desc(auditEvents.seq))
        .limit(1);
      return row && { seq: row.seq ?? 0, hash: row.hash ?? "" };
    },
    /** How many entries bear a MAC of each server secret, by its version. */
    countBySecret: async (): Promise<Array<{ version: string; rows: number }>> => {
      const version = sql<string>`substr(${auditEvents.mac}, 1, 8)`;
      return await db
        .select({ version, rows: count() })
        .from(auditEvents)
        .where(isNotNull(auditEvents.mac))
        .groupBy(version);
    },
    count: async (): Promise<number> => await db.$count(auditEvents),
    /** How often something was done since. */
    countOf: async (action: string, since: Date): Promise<number> => {
      let counted = 0;
      for await (const some of strides(db, auditEvents, auditEvents.id, matching({ action, since }))) {
        counted += await db.$count(auditEvents, some);
      }
      return counted;
    },
    /** Sealed entries from before `before`, and the oldest of them. */
    before: async (before: Date): Promise<{ number: number; oldest: Date | null }> => {
      const old = and(isNotNull(auditEvents.seq), lt(auditEvents.id, idsSince(before)));
      let counted = 0;
      for await (const some of strides(db, auditEvents, auditEvents.id, old)) {
        counted += await db.$count(auditEvents, some);
      }
      const [oldest] = await db
        .select({ at: auditEvents.at })
        .from(auditEvents)
        .where(old)
        .orderBy(asc(auditEvents.id))
        .limit(1);
      return { number: counted, oldest: oldest?.at ?? null };
    },
  };
};

export const auditEventWriters = (db: Db, { auditEvents }: Tables) => {
  const given = (name: keyof AuditEvent) => sql.placeholder(name);
  const insertQuery = prepared(
    "auditEvents.insert",
    db.insert(auditEvents).values({
      id: given("id"),
      at: given("at"),
      action: given("action"),
      actorKind: given("actorKind"),
      actor: given("actor"),
      userId: given("userId"),
      sessionId: given("sessionId"),
      ip: given("ip"),
      userAgent: given("userAgent"),
      requestId: given("requestId"),
      reason: given("reason"),
      // As a text, and only where there are some: null as JSON is not null.
      particulars: sql`${given("particulars")}`,
      personalDigest: given("personalDigest"),
      personalSalt: given("personalSalt"),
      mac: given("mac"),
    }),
  );
  const sealQuery = prepared(
    "auditEvents.seal",
    db
      .update(auditEvents)
      .set({
        seq: sql`cast(sealed.value->>0 as bigint)`,
        hash: sql`sealed.value->>1`,
        mac: sql`sealed.value->>2`,
        personalDigest: sql`coalesce(${auditEvents.personalDigest}, sealed.value->>3)`,
        personalSalt: sql`coalesce(${auditEvents.personalSalt}, sealed.value->>4)`,
      })
      // One member for each entry, named by its id: of an object both databases make rows alike.
      .from(sql`json_each(${sql.placeholder("entries")}) as sealed`)
      .where(eq(auditEvents.id, sql`sealed.key`)),
  );

  return {
    insert: async (event: NewAuditEvent): Promise<void> => {
      const { particulars = null } = event;
      await insertQuery.execute({
        ...unsaid,
        ...event,
        particulars: particulars && JSON.stringify(particulars),
      });
    },
    /** Gives entries their places, all in one statement. */
    seal: async (entries: readonly Sealed[]): Promise<void> => {
      const members = entries.map(({ id, seq, hash, mac, personalDigest, personalSalt }) => [
        id,
        [seq, hash, mac, personalDigest, personalSalt],
      ]);
      await sealQuery.execute({ entries: JSON.stringify(Object.fromEntries(members)) });
    },
    /** Deletes the beginning of the chain, up to a place. Answers how many entries. */
    removeThrough: async (seq: number): Promise<number> =>
      (await db.delete(auditEvents).where(lte(auditEvents.seq, seq)).returning({ id: auditEvents.id })).length,
    /**
     * Forgets the addresses and browsers of at most `limit` events by or about a user. `proof` says who did it.
     * Answers how many.
     */
    erase: async (userId: string, proof: string, limit: number): Promise<number> => {
      const personal = and(
        or(eq(auditEvents.userId, userId), eq(auditEvents.actor, userId)),
        or(isNotNull(auditEvents.ip), isNotNull(auditEvents.userAgent)),
      );
      const some = db.select({ id: auditEvents.id }).from(auditEvents).where(personal).limit(limit);
      const erased = await db
        .update(auditEvents)
        .set({
          ip: null,
          userAgent: null,
          personalSalt: sql`case when ${auditEvents.personalDigest} is null then null else ${proof} end`,
        })
        .where(inArray(auditEvents.id, some))
        .returning({ id: auditEvents.id });
      return erased.length;
    },
  };
};
