/** Reads a backup to its end, and says what it holds and whether it can be relied on. Touches no database. */
import type { Row } from "../../store/contents.ts";
import { fail } from "../errors.ts";
import { tally } from "../moving.ts";
import { checkProof, type Keyring, open, type Purpose, sealedBy, versionsOf } from "../secrets.ts";
import type { Archive } from "./archive.ts";
import { type Manifest, readBackup, type Trailer } from "./format.ts";

type Sealed = { readonly column: string; readonly key: string; readonly purpose: Purpose };

/** Columns that are sealed under the server secret, each with the column that names the row in the seal. */
const sealedColumns: ReadonlyMap<string, Sealed> = new Map<string, Sealed>([
  ["users", { column: "passwordHash", key: "id", purpose: "password-hash" }],
  ["tombstones", { column: "passwordHash", key: "id", purpose: "password-hash" }],
  ["signing_keys", { column: "privateJwk", key: "kid", purpose: "signing-key" }],
  ["server_secrets", { column: "auditKey", key: "version", purpose: "audit-key" }],
  ["mails", { column: "content", key: "id", purpose: "mail" }],
]);

export type Examined = {
  readonly manifest: Manifest;
  readonly tables: ReadonlyArray<{ readonly table: string; readonly rows: number; readonly checksum: string }>;
  /** What does not open although its secret is at hand: a sentence for each table. */
  readonly findings: readonly string[];
};

type Options = {
  /** The migrations of this version: the tables have to come from the same ones. */
  readonly migrations: readonly string[];
  readonly interrupted?: AbortSignal | undefined;
  readonly onRows?: ((rows: number) => void) | undefined;
};

/**
 * Fails with `backup_damaged` where it is not as it was written, with `schema_newer` or `schema_outdated` where its
 * tables are not those of this version, and with `secret_mismatch` where something in it is sealed by a secret that is not at hand.
 */
export async function examineBackup(keyring: Keyring, archive: Archive, options: Options): Promise<Examined> {
  const tallies = new Map<string, ReturnType<typeof tally>>();
  const seals = examineSeals(keyring);
  let manifest: Manifest | undefined;
  let end: { readonly trailer: Trailer; readonly digest: string } | undefined;
  for await (const piece of readBackup(archive)) {
    if (options.interrupted?.aborted)
      fail("copy_interrupted", { detail: "Nothing was changed. Run the command again." });
    if (piece.kind === "manifest") {
      ({ manifest } = piece);
      requireTables(manifest, options.migrations);
      requireSecret(keyring, manifest);
    } else if (piece.kind === "rows") {
      const counted = tallies.get(piece.table) ?? tally();
      tallies.set(piece.table, counted);
      counted.add(piece.rows);
      seals.look(piece.table, piece.rows);
      options.onRows?.(piece.rows.length);
    } else end = piece;
  }
  if (!manifest || !end) return fail("backup_damaged");
  if (seals.missing().length > 0) refuseSecrets(keyring, seals.missing());
  const proof = checkProof(keyring, "backup", proofText(manifest, end.trailer, end.digest), end.trailer.proof);
  if (proof !== "genuine") {
    fail("backup_damaged", { detail: "The file was changed since it was written, or was not made by this server." });
  }
  const tables = Object.entries(end.trailer.tables).map(([table, expected]) => {
    const told = (tallies.get(table) ?? tally()).told();
    const isEqual = told.rows === expected.rows && told.checksum === expected.checksum;
    return isEqual ? { table, ...told } : fail("backup_damaged", { detail: `The table ${table} is not as it was.` });
  });
  return { manifest, tables, findings: seals.findings() };
}

/** What the server secret signs at the end of a backup. */
export const proofText = ({ id }: Manifest, { tables }: Pick<Trailer, "tables">, digest: string): string =>
  JSON.stringify([id, digest, tables]);

/** What a canary is sealed with: no other backup's opens in its place. */
export const canaryContext = ({ id, made_at }: Pick<Manifest, "id" | "made_at">): string => `${id}|${made_at}`;

function requireTables({ migrations, version }: Manifest, known: readonly string[]): void {
  if (migrations.some((id) => !known.includes(id))) {
    const detail = `The backup was made by authctl ${version}, which is newer. Restore it with that version.`;
    fail("schema_newer", { detail });
  }
  if (known.some((id) => !migrations.includes(id))) {
    const detail = `The backup was made by authctl ${version}. Restore it with that version, then bring the database to this one with \`authctl migrate up\`.`;
    fail("schema_outdated", { detail });
  }
}

function requireSecret(keyring: Keyring, manifest: Manifest): void {
  const { canary } = manifest;
  if (open(keyring, "backup", canary, canaryContext(manifest)) !== undefined) return;
  if (versionsOf(keyring).includes(sealedBy(canary))) {
    fail("backup_damaged", { detail: "The file was changed since it was written." });
  }
  refuseSecrets(keyring, [sealedBy(canary)]);
}

const refuseSecrets = (keyring: Keyring, missing: readonly string[]): never =>
  fail("secret_mismatch", {
    detail: `The backup was made under the server secret of version ${missing.join(" and ")}; at hand is ${versionsOf(keyring).join(", ")}. Set SECRET_KEY or SECRET_KEY_FILE to the secrets that the server had then.`,
  });

/** Opens whatever is sealed in the rows that it is shown. */
export function examineSeals(keyring: Keyring) {
  const atHand = versionsOf(keyring);
  const missing = new Set<string>();
  const unopened = new Map<string, number>();
  return {
    look(table: string, rows: readonly Row[]): void {
      const sealed = sealedColumns.get(table);
      if (!sealed) return;
      for (const row of rows) {
        const text = row[sealed.column];
        if (typeof text !== "string") continue;
        if (!atHand.includes(sealedBy(text))) missing.add(sealedBy(text));
        else if (open(keyring, sealed.purpose, text, String(row[sealed.key])) === undefined) {
          unopened.set(table, (unopened.get(table) ?? 0) + 1);
        }
      }
    },
    /** Versions of secrets that are not at hand. */
    missing: (): readonly string[] => [...missing],
    findings(): string[] {
      return [...unopened].map(
        ([table, rows]) =>
          `${rows} of the rows of ${table} do not open under the secret that sealed them: they were changed in the database.`,
      );
    },
  };
}
