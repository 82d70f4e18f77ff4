/** Whatever stands sealed under a server secret: `v1.VERSION.…`, in whichever column. */
import { and, asc, count, eq, gt, isNotNull, type SQL, sql } from "drizzle-orm";
import type { SQLiteColumn } from "drizzle-orm/sqlite-core";
import type { Db } from "./dialects/dialect.ts";
import type { Tables } from "./tables.ts";

/** Every column that is sealed, with the key of its row. */
const placesIn = ({ users, tombstones, signingKeys, mails, serverSecrets }: Tables) => ({
  "users.password_hash": { table: users, id: users.id, text: users.passwordHash, name: "passwordHash" },
  "tombstones.password_hash": {
    table: tombstones,
    id: tombstones.id,
    text: tombstones.passwordHash,
    name: "passwordHash",
  },
  "signing_keys.private_jwk": {
    table: signingKeys,
    id: signingKeys.kid,
    text: signingKeys.privateJwk,
    name: "privateJwk",
  },
  "mails.content": { table: mails, id: mails.id, text: mails.content, name: "content" },
  "server_secrets.audit_key": {
    table: serverSecrets,
    id: serverSecrets.version,
    text: serverSecrets.auditKey,
    name: "auditKey",
  },
});
export type SealedPlace = keyof ReturnType<typeof placesIn>;

/** A sealed text, and the key of the row that it is sealed for. */
export type SealedText = { readonly id: string; readonly text: string };

/** The version that a text was sealed by, as SQL. */
const versionOf = (text: SQLiteColumn): SQL<string> => sql<string>`substr(${text}, 4, 8)`;

export const sealedTextReaders = (db: Db, tables: Tables) => {
  const places = placesIn(tables);
  return {
    /** How many texts each version has sealed. */
    counts: async (place: SealedPlace): Promise<Array<{ version: string; rows: number }>> => {
      const { table, text } = places[place];
      return await db
        .select({ version: versionOf(text), rows: count() })
        .from(table)
        .where(isNotNull(text))
        .groupBy(versionOf(text));
    },
    /** In the order of the rows' keys, from after `after`; only what another version than `not` has sealed, where that is said. */
    page: async (
      place: SealedPlace,
      limit: number,
      { after = "", not }: { readonly after?: string | undefined; readonly not?: string | undefined },
    ): Promise<SealedText[]> => {
      const { table, id, text } = places[place];
      const found = await db
        .select({ id, text })
        .from(table)
        .where(and(gt(id, after), isNotNull(text), not === undefined ? undefined : sql`${versionOf(text)} <> ${not}`))
        .orderBy(asc(id))
        .limit(limit);
      return found.map((row) => ({ id: row.id, text: row.text ?? "" }));
    },
  };
};

export const sealedTextWriters = (db: Db, tables: Tables) => {
  const places = placesIn(tables);
  return {
    /** Puts `text` in the place of `old.text`. `false` where that has changed meanwhile: then what it is now stays. */
    replace: async (place: SealedPlace, old: SealedText, text: string): Promise<boolean> => {
      const { table, id, text: column, name } = places[place];
      const changed = await db
        .update(table)
        .set({ [name]: text })
        .where(and(eq(id, old.id), eq(column, old.text)))
        .returning({ id });
      return changed.length === 1;
    },
  };
};
