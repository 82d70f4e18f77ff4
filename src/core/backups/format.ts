/**
 * What a backup is made of: one JSON document a line. First what it is, then each table with its rows, and at the end
 * what has to have come before. The same for every database, so that it can be restored into any.
 */
import { createHash } from "node:crypto";
import type { Row } from "../../store/contents.ts";
import { fail } from "../errors.ts";
import type { Archive } from "./archive.ts";

/** Moved on where an older version could not read it. */
export const format = 1;

export type Manifest = {
  readonly authctl_backup: number;
  readonly id: string;
  readonly made_at: string;
  /** Of authctl. */
  readonly version: string;
  /** The kind of database that it was made from. */
  readonly database: string;
  /** The migrations that its tables come from. */
  readonly migrations: readonly string[];
  /** The versions of the server secrets that were accepted, newest first. Never a secret. */
  readonly secrets: readonly string[];
  /** Sealed by the newest of them: whoever opens it holds the right one. */
  readonly canary: string;
};

type Counted = { readonly rows: number; readonly checksum: string };

export type Trailer = {
  readonly tables: Readonly<Record<string, Counted>>;
  /** By the server secret, over everything before it. */
  readonly proof: string;
};

export type Piece =
  | { readonly kind: "manifest"; readonly manifest: Manifest }
  | { readonly kind: "rows"; readonly table: string; readonly rows: readonly Row[] }
  | { readonly kind: "end"; readonly trailer: Trailer; readonly digest: string };

/** Of all lines before the last one. */
export const digesting = () => {
  const hash = createHash("sha256");
  return {
    add: (text: string): void => void hash.update(text),
    end: (): string => hash.digest("base64url"),
  };
};

/** Rows that are read at a time: all that is ever in memory. */
const pageSize = 500;

const notWhole = (what: string): never => fail("backup_damaged", { detail: `The file ${what}. Use another backup.` });

/** Its pieces, in their order. Fails with `backup_damaged` where it is not whole, and with `schema_newer`. */
export async function* readBackup(archive: Archive): AsyncGenerator<Piece> {
  const digest = digesting();
  let manifest: Manifest | undefined;
  let table: string | undefined;
  let trailer: Trailer | undefined;
  let rows: Row[] = [];
  for await (const lines of archive.lines()) {
    for (const line of lines) {
      if (trailer) notWhole("goes on behind its end");
      const value = parsed(line);
      if (!manifest) {
        manifest = manifestOf(value);
        yield { kind: "manifest", manifest };
      } else if ("table" in value && typeof value["table"] === "string" && Object.keys(value).length === 1) {
        if (table !== undefined && rows.length > 0) yield { kind: "rows", table, rows };
        [table, rows] = [value["table"], []];
      } else if ("end" in value) {
        if (table !== undefined && rows.length > 0) yield { kind: "rows", table, rows };
        trailer = value["end"] as Trailer;
        continue;
      } else if (table === undefined) notWhole("has a row outside of any table");
      else if (rows.push(value) === pageSize) {
        yield { kind: "rows", table, rows };
        rows = [];
      }
      digest.add(`${line}\n`);
    }
  }
  yield { kind: "end", trailer: trailer ?? notWhole("is cut off: its end is missing"), digest: digest.end() };
}

function manifestOf(value: Row): Manifest {
  const number = value["authctl_backup"];
  if (typeof number !== "number") return notWhole("is no backup of authctl");
  if (number > format) {
    const detail = "A newer version of authctl made this backup. Restore it with that version.";
    return fail("schema_newer", { detail });
  }
  return value as Manifest;
}

function parsed(line: string): Row {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Row;
  } catch {
    // Told below: what is no JSON is no line of ours either.
  }
  return notWhole("holds a line that is none of a backup");
}
