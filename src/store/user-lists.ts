/**
 * Lists of users by the page. Whatever the order and the filter, a page is read from where the last one ended, so
 * that the last page of a million users costs what the first one does.
 */
import { and, asc, desc, eq, exists, gt, gte, inArray, isNotNull, isNull, lt, or, type SQL, sql } from "drizzle-orm";
import type { Db } from "./dialects/dialect.ts";
import type { Tables, User } from "./tables.ts";

/** The beginning of a name, as the keys begin that it is looked for in. */
export type Prefix = { readonly emailKey: string; readonly nameKey: string };

export type UserFilter = {
  readonly role?: string;
  readonly active?: boolean;
  readonly emailVerified?: boolean;
  readonly prefix?: Prefix;
};

export type UserSort = "created_at" | "-created_at" | "email" | "-email" | "updated_at" | "-updated_at";

/** Without `sort`: in the order of their making; where there is a prefix, by the name that begins so. */
export type UserSelection = { readonly filter: UserFilter; readonly sort?: UserSort | undefined };

/** Where a page ended: the place of its last row in the order of the list. */
export type Position = { readonly stage: number; readonly key: string | number; readonly id: string };

/** `next` is undefined where the list has ended. */
export type UserPage = { readonly users: User[]; readonly next: Position | undefined };

/** So many are fetched and sorted for each page; of more, an index is walked, past those that do not fit. */
const few = 2000;

/**
 * So many entries are looked at for one page of a search, so that none costs much more than another. Where too few
 * fit, as behind the addresses of people whose names begin like them, the page is shorter than it might be.
 */
const farthest = 500;
const chunk = 150;

/** Behind everything that begins alike. */
const lastCharacter = "\u{10ffff}";

export const userListReaders = (db: Db, { users, userRoles }: Tables) => {
  /** Where a prefix is looked for, one after the other. */
  const stages = [
    {
      column: users.emailKey,
      beginning: ({ emailKey }: Prefix) => emailKey,
      order: [asc(users.emailKey)],
      behind: ({ key }: Position) => gt(users.emailKey, String(key)),
    },
    {
      column: users.usernameKey,
      beginning: ({ nameKey }: Prefix) => nameKey,
      order: [asc(users.usernameKey)],
      behind: ({ key }: Position) => gt(users.usernameKey, String(key)),
    },
    {
      column: users.fullNameKey,
      beginning: ({ nameKey }: Prefix) => nameKey,
      order: [asc(users.fullNameKey), asc(users.id)],
      behind: ({ key, id }: Position) => sql`(${users.fullNameKey}, ${users.id}) > (${key}, ${id})`,
    },
  ] as const;
  type Stage = (typeof stages)[number];

  const matches = ({ column, beginning, behind }: Stage, prefix: Prefix, after?: Position) =>
    and(
      // One lower bound and no second one: SQLite reads from the first that it finds.
      after ? behind(after) : gte(column, beginning(prefix)),
      lt(column, beginning(prefix) + lastCharacter),
    );

  const isVerified = (yes: boolean) => (yes ? isNotNull(users.emailVerifiedAt) : isNull(users.emailVerifiedAt));

  const holds = (role: string) =>
    exists(
      db
        .select({ role: userRoles.role })
        .from(userRoles)
        .where(and(eq(userRoles.userId, users.id), eq(userRoles.role, role))),
    );

  const fits = ({ role, active, emailVerified, prefix }: UserFilter) =>
    and(
      role === undefined ? undefined : holds(role),
      active === undefined ? undefined : active ? isNull(users.disabledAt) : isNotNull(users.disabledAt),
      emailVerified === undefined ? undefined : isVerified(emailVerified),
      // Hidden from SQLite, which would read everybody who matches by three indexes, and then sort them.
      prefix && sql`coalesce(${or(...stages.map((stage) => matches(stage, prefix)))}, false)`,
    );

  /** The ids of all to whom this applies; undefined where they are not few. */
  const fewWhere = async (condition: SQL | undefined): Promise<string[] | undefined> => {
    const ids = () => db.select({ id: users.id }).from(users).where(condition);
    const [more] = await ids().limit(1).offset(few);
    return more ? undefined : (await ids()).map(({ id }) => id);
  };

  const fewHolding = async (role: string): Promise<string[] | undefined> => {
    const ids = () => db.select({ id: userRoles.userId }).from(userRoles).where(eq(userRoles.role, role));
    const [more] = await ids().limit(1).offset(few);
    return more ? undefined : (await ids()).map(({ id }) => id);
  };

  const fewMatching = async (prefix: Prefix): Promise<string[] | undefined> => {
    const found = new Set<string>();
    for (const stage of stages) {
      const ids = await fewWhere(matches(stage, prefix));
      if (!ids) return undefined;
      for (const id of ids) found.add(id);
    }
    return [...found];
  };

  /** All who pass one part of the filter, where it lets only few pass. */
  const fewOf = async ({ role, active, emailVerified, prefix }: UserFilter): Promise<string[] | undefined> => {
    const parts = [
      role !== undefined && (() => fewHolding(role)),
      active === false && (() => fewWhere(isNotNull(users.disabledAt))),
      emailVerified !== undefined && (() => fewWhere(isVerified(emailVerified))),
      prefix && (() => fewMatching(prefix)),
    ];
    for (const part of parts) {
      const ids = part ? await part() : undefined;
      if (ids) return ids;
    }
    return undefined;
  };

  type Walk = { readonly filter: UserFilter; readonly among: readonly string[] | undefined };
  const isAmong = (ids: readonly string[] | undefined) => ids && inArray(users.id, [...ids]);

  /** In the order of an index. Ids are made when the user is, so theirs is the order of the making. */
  const sorted = async (sort: UserSort, { filter, among }: Walk, limit: number, after?: Position) => {
    const [beyond, along] = sort.startsWith("-") ? [lt, desc] : [gt, asc];
    const row = sql`(${users.updatedAt}, ${users.id})`;
    const markOf = ({ key, id }: Position) => sql`(${sql.param(new Date(key), users.updatedAt)}, ${id})`;
    const orders = {
      created_at: {
        order: [along(users.id)],
        behind: ({ id }: Position) => beyond(users.id, id),
        keyOf: () => "",
      },
      email: {
        order: [along(users.emailKey)],
        behind: ({ key }: Position) => beyond(users.emailKey, String(key)),
        keyOf: (user: User) => user.emailKey,
      },
      updated_at: {
        order: [along(users.updatedAt), along(users.id)],
        behind: (at: Position) => beyond(row, markOf(at)),
        keyOf: (user: User) => user.updatedAt.getTime(),
      },
    };
    const { order, behind, keyOf } = orders[sort.replace("-", "") as keyof typeof orders];
    const rows = await db
      .select()
      .from(users)
      .where(and(fits(filter), isAmong(among), after && behind(after)))
      .orderBy(...order)
      .limit(limit + 1);
    return pageOf(rows, limit, (user) => ({ stage: 0, key: keyOf(user), id: user.id }));
  };

  /** The holders of a role in the order of their making, by the index of the role. */
  const holding = async (
    role: string,
    filter: UserFilter,
    isDescending: boolean,
    limit: number,
    after?: Position,
  ): Promise<UserPage> => {
    const [beyond, along] = isDescending ? [lt, desc] : [gt, asc];
    const rows = await db
      .select({ user: users })
      .from(userRoles)
      .innerJoin(users, eq(users.id, userRoles.userId))
      // Said of both tables: no database concludes the one from the other.
      .where(
        and(
          eq(userRoles.role, role),
          fits(filter),
          after && and(beyond(userRoles.userId, after.id), beyond(users.id, after.id)),
        ),
      )
      .orderBy(along(userRoles.userId))
      .limit(limit + 1);
    const found = rows.map(({ user }) => user);
    return pageOf(found, limit, ({ id }) => ({ stage: 0, key: "", id }));
  };

  /** Those who match by address, then by user name, then by full name; nobody twice. */
  const searched = async (prefix: Prefix, { filter, among }: Walk, limit: number, after?: Position) => {
    const found: string[] = [];
    let at = after;
    let looked = 0;
    for (const [number, stage] of stages.entries()) {
      if (number < (after?.stage ?? 0)) continue;
      const earlier = stages.slice(0, number).map((one) => sql`not coalesce(${matches(one, prefix)}, false)`);
      const isNew = sql`${and(sql`true`, fits(filter), ...earlier)}`.mapWith(Boolean);
      for (let more = true; more; ) {
        const size = looked === 0 ? limit + 1 : chunk;
        if (looked >= farthest) return { users: await inOrder(found), next: at };
        const entries = await db
          .select({ id: users.id, key: stage.column, isNew })
          .from(users)
          .where(and(matches(stage, prefix, at?.stage === number ? at : undefined), isAmong(among)))
          .orderBy(...stage.order)
          .limit(size);
        looked += size;
        more = entries.length === size;
        for (const { id, key, isNew } of entries) {
          if (isNew && found.length === limit) return { users: await inOrder(found), next: at };
          if (isNew) found.push(id);
          at = { stage: number, key: key ?? "", id };
        }
      }
    }
    return { users: await inOrder(found), next: undefined };
  };

  /** Users by their ids, without those who have gone meanwhile. */
  const inOrder = async (ids: readonly string[]): Promise<User[]> => {
    if (ids.length === 0) return [];
    const rows = await db
      .select()
      .from(users)
      .where(inArray(users.id, [...ids]));
    const known = new Map(rows.map((user) => [user.id, user]));
    return ids.map((id) => known.get(id)).filter((user) => user !== undefined);
  };

  return {
    /** At most `limit` users from behind `after`, which is of the same selection. */
    list: async ({ filter, sort }: UserSelection, limit: number, after?: Position): Promise<UserPage> => {
      const { prefix, ...others } = filter;
      const { role, ...rest } = others;
      const byMaking = sort === "created_at" || sort === "-created_at" || (sort === undefined && !prefix);
      const parts = Object.values(filter).filter((one) => one !== undefined).length;
      // One part alone has an index in its own order. Anything else has none, and is cheap only where few pass.
      const hasIndex = parts === 0 || (parts === 1 && (prefix ? sort === undefined : byMaking));
      const among = hasIndex ? undefined : await fewOf(filter);
      if (prefix && sort === undefined) return await searched(prefix, { filter: others, among }, limit, after);
      if (role !== undefined && byMaking && !prefix && !among) {
        return await holding(role, rest, sort === "-created_at", limit, after);
      }
      return await sorted(sort ?? "created_at", { filter, among }, limit, after);
    },
    /** The names of the roles of each, in one query. */
    rolesOfAll: async (ids: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> => {
      const roles = new Map<string, string[]>(ids.map((id) => [id, []]));
      if (ids.length === 0) return roles;
      const rows = await db
        .select({ id: userRoles.userId, role: userRoles.role })
        .from(userRoles)
        .where(inArray(userRoles.userId, [...ids]))
        .orderBy(asc(userRoles.role));
      for (const { id, role } of rows) roles.get(id)?.push(role);
      return roles;
    },
  };
};

/** Of one row more than fits a page it is known that there is another page. */
function pageOf(rows: readonly User[], limit: number, positionOf: (user: User) => Position): UserPage {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return { users: page, next: rows.length > limit && last ? positionOf(last) : undefined };
}
