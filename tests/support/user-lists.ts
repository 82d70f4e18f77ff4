/** Lists of users, and what a database says of how it reads them. */
import { Database } from "bun:sqlite";
import { join } from "node:path";
import { drizzle as drizzleSqlite } from "drizzle-orm/bun-sqlite";
import { drizzle as drizzlePostgres } from "drizzle-orm/node-postgres";
import pg from "pg";
import type { Db } from "../../src/store/dialects/dialect.ts";
import { postgresKit } from "../../src/store/dialects/postgres-kit.ts";
import { sqliteKit } from "../../src/store/dialects/sqlite-kit.ts";
import { defineTables, type User } from "../../src/store/tables.ts";
import { type Position, type UserSelection, userListReaders } from "../../src/store/user-lists.ts";
import { dialect, type Place } from "./database.ts";

type Lists = ReturnType<typeof userListReaders>;

/** Every page of a list, to its end. */
export async function pagesOf(lists: Lists, selection: UserSelection, limit: number): Promise<User[][]> {
  const pages: User[][] = [];
  for (let after: Position | undefined; ; ) {
    const { users, next } = await lists.list(selection, limit, after);
    pages.push(users);
    if (!next) return pages;
    after = next;
  }
}

export type Explained = {
  readonly lists: Lists;
  /** How each query since the last time was read, as the database says it. */
  plans(): Promise<string[]>;
  close(): Promise<void>;
};

/** The lists of a database, with its own account of every query. On Postgres it is kept from what only small tables invite to: reading all of it, and sorting. */
export async function explained({ env }: Place): Promise<Explained> {
  const asked: Array<{ query: string; values: unknown[] }> = [];
  const logger = { logQuery: (query: string, values: unknown[]) => void asked.push({ query, values }) };
  const taken = () => asked.splice(0);
  if (dialect === "sqlite") {
    const client = new Database(env["DATABASE_URL"]?.replace("sqlite:", "") ?? join(env["DATA_DIR"]!, "auth.db"));
    const db = drizzleSqlite({ client, logger }) as unknown as Db;
    const planOf = ({ query, values }: (typeof asked)[number]) =>
      client
        .query<{ detail: string }, never[]>(`EXPLAIN QUERY PLAN ${query}`)
        .all(...(values as never[]))
        .map(({ detail }) => detail)
        .join("\n");
    return {
      lists: userListReaders(db, defineTables(sqliteKit)),
      plans: () => Promise.resolve(taken().map(planOf)),
      close: () => Promise.resolve(client.close()),
    };
  }
  const client = new pg.Client({ connectionString: env["DATABASE_URL"] });
  await client.connect();
  for (const way of ["seqscan", "bitmapscan", "sort"]) await client.query(`SET enable_${way} = off`);
  const db = drizzlePostgres({ client, logger }) as unknown as Db;
  const planOf = async ({ query, values }: (typeof asked)[number]) => {
    const { rows } = await client.query<{ "QUERY PLAN": string }>(`EXPLAIN ${query}`, values);
    return rows.map((row) => row["QUERY PLAN"]).join("\n");
  };
  return {
    lists: userListReaders(db, defineTables(postgresKit)),
    plans: async () => {
      const plans: string[] = [];
      for (const one of taken()) plans.push(await planOf(one));
      return plans;
    },
    close: () => client.end(),
  };
}
