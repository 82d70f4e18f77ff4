import type { User } from "../../store/tables.ts";
import type { Position, UserFilter, UserSelection, UserSort } from "../../store/user-lists.ts";
import type { Core } from "../core.ts";
import { type ListName, type Page, type PageWanted, readCursor, writeCursor } from "../cursors.ts";
import { prefixKeys } from "../identifiers.ts";
import type { Member } from "../users.ts";

export const userSorts = [
  "created_at",
  "-created_at",
  "email",
  "-email",
  "updated_at",
  "-updated_at",
] as const satisfies readonly UserSort[];

/** Which users, as a person asks for them: `query` is the beginning of an address, a user name or a full name. */
export type UserQuery = Omit<UserFilter, "prefix"> & { readonly query?: string; readonly sort?: UserSort };

/** What the database is asked for. */
export const selectionOf = ({ query, sort, ...filter }: UserQuery): UserSelection => ({
  filter: { ...filter, ...(query !== undefined && { prefix: prefixKeys(query) }) },
  sort,
});

/**
 * A page of users. Without `sort`, whoever is searched for by `query` comes by address first, then by user name,
 * then by full name; everybody else in the order of their making. A search through many who do not fit may answer
 * fewer than `limit` before its end.
 */
export async function listUsers(core: Core, query: UserQuery, { limit, cursor }: PageWanted): Promise<Page<Member>> {
  const { role, active, emailVerified, query: text, sort } = query;
  const list: ListName = ["users", { role, active, emailVerified, text, sort }];
  const after = cursor === undefined ? undefined : (readCursor(core, list, cursor) as Position);
  const { users, next } = await core.store.users.list(selectionOf(query), limit, after);
  return { items: await membersOf(core, users), nextCursor: next && writeCursor(core, list, next) };
}

/** Users to the end, a page at a time. */
export async function* pagesOfUsers(core: Core, query: UserQuery): AsyncGenerator<Member[]> {
  for (let after: Position | undefined; ; ) {
    const { users, next } = await core.store.users.list(selectionOf(query), 200, after);
    if (users.length > 0) yield await membersOf(core, users);
    if (!next) return;
    after = next;
  }
}

/** Users with their roles, asked for at once. */
async function membersOf(core: Core, users: readonly User[]): Promise<Member[]> {
  const roles = await core.store.users.rolesOfAll(users.map(({ id }) => id));
  return users.map((user) => ({ user, roles: roles.get(user.id) ?? [] }));
}
