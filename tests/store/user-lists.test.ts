/** Lists against a model: a filter and a sort in memory. `LIST_RUNS` and `LIST_SEED` make it another run. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import * as fc from "fast-check";
import { createStore, type Store } from "../../src/store/store.ts";
import type { User } from "../../src/store/tables.ts";
import type { Prefix, UserFilter, UserSelection, UserSort } from "../../src/store/user-lists.ts";
import { wholeFrom } from "../support/chance.ts";
import { dialect, type FreshDatabase, freshDatabase, openDialect } from "../support/database.ts";
import { at, aUser } from "../support/rows.ts";
import { type Explained, explained, pagesOf } from "../support/user-lists.ts";

// Hundreds of lists, and thousands of users.
setDefaultTimeout(60_000);

const sorts = ["created_at", "-created_at", "email", "-email", "updated_at", "-updated_at"] as const;
const names = ["ada", "Ada King", "adam", "bo", "Ådne", "a%", "a_", "z\u{1f600}", "ab", "b"];
const roles = ["admin", "guest", "user"];

const id = (number: number): string =>
  `019b796d-${String(number % 10_000).padStart(4, "0")}-7000-8000-${String(number).padStart(12, "0")}`.replace(
    /-(\d{4})-7/,
    (_, digits: string) => `-${digits}-7`,
  );

/** Users with as many things in common as differ, so that every order has ties and every filter a few. */
const person = (number: number): Partial<User> & Pick<User, "id" | "emailKey"> => {
  const name = names[number % names.length]!;
  return {
    id: id(number),
    emailKey: `${number % 3 === 0 ? name.toLowerCase() : "x"}${number % 7}-${number}@example.com`,
    usernameKey: number % 4 === 0 ? null : `${names[(number * 3) % names.length]!.toLowerCase()}${number}`,
    fullNameKey: number % 5 === 0 ? null : name.toLowerCase(),
    disabledAt: number % 6 === 0 ? at(number) : null,
    emailVerifiedAt: number % 4 === 1 ? at(number) : null,
    updatedAt: at(number % 9),
  };
};

const rolesOf = (number: number): string[] => roles.filter((_, at) => number % (at + 2) === 0);

let database: FreshDatabase;
let store: Store;
let watching: Explained;
beforeAll(async () => {
  database = await freshDatabase();
  const open = await openDialect(database);
  await open.migrations.up(at(0));
  store = createStore(open);
  await add(0, 60);
  watching = await explained(database);
});
afterAll(async () => {
  await watching.close();
  await store.close();
  await database.drop();
});

async function add(from: number, to: number): Promise<void> {
  await store.write(async (tx) => {
    for (let number = from; number < to; number++) {
      const user = person(number);
      await tx.users.insert(aUser(user.id, { email: user.emailKey, ...user }));
      for (const role of rolesOf(number)) await tx.users.grantRole(user.id, role, at(0));
    }
  });
}

const bytewise = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other));
const beginsWith = (key: string | null | undefined, prefix: string): boolean => key?.startsWith(prefix) ?? false;

/** The stage of the search that finds a user; 3 where none does. */
const stageOf = (user: ReturnType<typeof person>, { emailKey, nameKey }: Prefix): number => {
  const found = [
    beginsWith(user.emailKey, emailKey),
    beginsWith(user.usernameKey, nameKey),
    beginsWith(user.fullNameKey, nameKey),
  ].indexOf(true);
  return found === -1 ? 3 : found;
};

function expected({ filter, sort }: UserSelection, number: number): string[] {
  const { role, active, emailVerified, prefix } = filter;
  const all = Array.from({ length: number }, (_, number) => ({ number, user: person(number) })).filter(
    ({ number, user }) =>
      (role === undefined || rolesOf(number).includes(role)) &&
      (active === undefined || active === (user.disabledAt === null)) &&
      (emailVerified === undefined || emailVerified === (user.emailVerifiedAt !== null)) &&
      (!prefix || stageOf(user, prefix) < 3),
  );
  const key = ({ user }: (typeof all)[number]): string => {
    if (prefix && sort === undefined) {
      const stage = stageOf(user, prefix);
      return `${stage}${[user.emailKey, user.usernameKey, `${user.fullNameKey}\0${user.id}`][stage]}`;
    }
    const by = sort?.replace("-", "") ?? "created_at";
    if (by === "email") return user.emailKey;
    return by === "updated_at" ? `${user.updatedAt?.toISOString()}${user.id}` : user.id;
  };
  const ordered = all.toSorted((one, other) => bytewise(key(one), key(other)));
  if (sort?.startsWith("-")) ordered.reverse();
  return ordered.map(({ user }) => user.id);
}

const prefixes = ["a", "ada", "x1", "", "%", "a_", "å", "z", "nobody"];
const maybe = <T>(one: fc.Arbitrary<T>) => fc.option(one, { nil: undefined });

const selections = fc
  .record({
    role: maybe(fc.constantFrom(...roles, "nobody")),
    active: maybe(fc.boolean()),
    emailVerified: maybe(fc.boolean()),
    prefix: maybe(fc.constantFrom(...prefixes).map((prefix) => ({ emailKey: prefix, nameKey: prefix }))),
    sort: maybe(fc.constantFrom<UserSort>(...sorts)),
  })
  .map(({ sort, ...filter }): UserSelection => {
    const given = Object.entries(filter).filter(([, value]) => value !== undefined);
    return { filter: Object.fromEntries(given) as UserFilter, sort };
  });

describe(`the pages of a list on ${dialect}`, () => {
  test("are together what a filter and a sort in memory would give, whatever is combined", async () => {
    const runs = { numRuns: wholeFrom("LIST_RUNS", 300), seed: wholeFrom("LIST_SEED", 20_260_101) };
    const check = fc.asyncProperty(selections, fc.integer({ min: 1, max: 70 }), async (selection, limit) => {
      const pages = await pagesOf(store.users, selection, limit);
      expect(pages.flat().map((user) => user.id)).toEqual(expected(selection, 60));
      for (const page of pages.slice(0, -1)) expect(page).toHaveLength(limit);
    });
    await fc.assert(check, runs);
  });

  test("show nobody twice and pass over nobody who was there, whoever comes while they are read", async () => {
    const reading = sorts.map(async (sort) => {
      const selection: UserSelection = { filter: {}, sort };
      const before = expected(selection, 60);
      const first = await store.users.list(selection, 7);
      const ids = first.users.map((user) => user.id);
      return async () => {
        for (let { next } = first; next; ) {
          const page = await store.users.list(selection, 7, next);
          ids.push(...page.users.map((user) => user.id));
          next = page.next;
        }
        expect(new Set(ids).size).toBe(ids.length);
        expect(ids.filter((one) => before.includes(one))).toEqual(before);
      };
    });
    const goOn = await Promise.all(reading);
    await add(60, 90);
    for (const one of goOn) await one();
    await store.write(async (tx) => {
      for (let number = 60; number < 90; number++) await tx.users.delete(id(number));
    });
  });

  test("have the roles of everybody on them, asked for at once", async () => {
    await watching.plans();
    const found = await watching.lists.rolesOfAll([id(1), id(2), id(6)]);
    expect([...found]).toEqual([
      [id(1), []],
      [id(2), ["admin", "guest"].filter((role) => rolesOf(2).includes(role))],
      [id(6), rolesOf(6).toSorted()],
    ]);
    expect(await watching.plans()).toHaveLength(1);
    expect((await watching.lists.rolesOfAll([])).size).toBe(0);
  });
});

describe("a search through very many who do not fit", () => {
  test("looks at a bounded number for each page, and comes to its end all the same", async () => {
    const crowd = await freshDatabase();
    const open = await openDialect(crowd);
    await open.migrations.up(at(0));
    const crowded = createStore(open);
    // Everybody is found by the address first, so that all the names behind it are of people who were shown.
    await crowded.write(async (tx) => {
      for (let number = 0; number < 3000; number++) {
        const key = `u${String(number).padStart(5, "0")}`;
        const user = { email: `${key}@x.org`, emailKey: `${key}@x.org`, usernameKey: key, fullNameKey: key };
        await tx.users.insert(aUser(id(number), user));
      }
    });
    const pages = await pagesOf(crowded.users, { filter: { prefix: { emailKey: "u", nameKey: "u" } } }, 50);
    expect(pages.flat()).toHaveLength(3000);
    expect(new Set(pages.flat().map((user) => user.id)).size).toBe(3000);
    expect(pages.slice(0, 60).every((page) => page.length === 50)).toBe(true);
    expect(pages.length).toBeGreaterThan(65);
    expect(pages.length).toBeLessThan(85);
    await crowded.close();
    await crowd.drop();
  });
});

const prefix: Prefix = { emailKey: "a", nameKey: "a" };
const indexes: Readonly<Record<string, readonly [UserSelection, ...string[]]>> = {
  everybody: [{ filter: {} }, "users_pkey|sqlite_autoindex_users_1"],
  "everybody, backwards": [{ filter: {}, sort: "-created_at" }, "users_pkey|sqlite_autoindex_users_1"],
  "by address": [{ filter: {}, sort: "email" }, "users_email_key"],
  "by address, backwards": [{ filter: {}, sort: "-email" }, "users_email_key"],
  "by change": [{ filter: {}, sort: "updated_at" }, "users_updated"],
  "by change, backwards": [{ filter: {}, sort: "-updated_at" }, "users_updated"],
  "holders of a role": [{ filter: { role: "user" } }, "user_roles_role"],
  "the disabled": [{ filter: { active: false } }, "users_disabled"],
  "the active": [{ filter: { active: true } }, "users_pkey|sqlite_autoindex_users_1"],
  "the verified": [{ filter: { emailVerified: true } }, "users_verified|users_pkey"],
  "the unverified": [{ filter: { emailVerified: false } }, "users_unverified|users_pkey"],
  "a search": [{ filter: { prefix } }, "users_email_key", "users_username_key", "users_full_name_key"],
};

describe("the plan of a list", () => {
  test.each(Object.entries(indexes))("of %s goes by an index, and sorts nothing", async (_, [selection, ...wanted]) => {
    const { lists, plans } = watching;
    const { next } = await lists.list(selection, 5);
    await plans();
    await lists.list(selection, 60, next);
    const found = await plans();
    // A search reads whom it has found by their ids at the end.
    expect(found).toHaveLength(wanted.length + (selection.filter.prefix ? 1 : 0));
    for (const [at, index] of wanted.entries()) {
      expect(found[at]).toMatch(new RegExp(index));
      expect(found[at]).not.toMatch(/SCAN users(?! USING)|Seq Scan|TEMP B-TREE|Sort Key/i);
    }
  });

  test.each([
    [
      "a role and a state, by address",
      { filter: { role: "admin", active: true }, sort: "email" },
      "user_roles_role",
      2,
    ],
    ["a search, by the making", { filter: { prefix }, sort: "created_at" }, "users_(email|username|full_name)_key", 6],
    ["the disabled, by change", { filter: { active: false }, sort: "-updated_at" }, "users_disabled", 2],
  ] as const)("of few is by their ids: %s", async (_, selection, index, before) => {
    const { lists, plans } = watching;
    await plans();
    await lists.list(selection, 5);
    const found = await plans();
    expect(found).toHaveLength(before + 1);
    for (const narrowing of found.slice(0, before)) expect(narrowing).toMatch(new RegExp(index));
    expect(found.at(-1)).toMatch(/sqlite_autoindex_users_1 \(id=\?\)|id = ANY/);
  });
});
