import type { Readers } from "../../store/store.ts";
import type { Actor } from "../actors.ts";
import { sealAudit } from "../audit/sealing.ts";
import { record } from "../audit.ts";
import type { Core } from "../core.ts";
import { fail } from "../errors.ts";
import { examine, sqlName } from "../moving.ts";
import { prove, seal, versionsOf } from "../secrets.ts";
import { soleRun } from "../upkeep.ts";
import type { Draft, Shelf } from "./archive.ts";
import { canaryContext, type Examined, examineBackup, proofText } from "./examination.ts";
import { digesting, format, type Manifest, type Trailer } from "./format.ts";

export type CreateOptions = {
  /** Of authctl. */
  readonly version: string;
  /** How many stay, this one among them; without it, all. */
  readonly keep?: number | undefined;
  readonly interrupted?: AbortSignal;
  readonly onRows?: (doing: "backing up" | "reading it back", rows: number) => void;
};

export type Created = {
  readonly file: string;
  readonly bytes: number;
  readonly examined: Examined;
  /** Older backups that had to go. */
  readonly removed: readonly string[];
};

/**
 * Makes a backup of everything as it is at one moment, while servers write. It is read back, every row of it, before
 * it is given its name, and only then do older ones go. One run at a time over all machines. Fails with `lock_held`,
 * and with `backup_not_written`, which leaves nothing.
 */
export async function createBackup(core: Core, by: Actor, shelf: Shelf, options: CreateOptions): Promise<Created> {
  return await soleRun(core, "backup", async () => {
    // Whatever can be: the chain of the copy goes on from where this one stands now.
    await sealAudit(core);
    const manifest = await manifestOf(core, options.version);
    const draft = await core.store.snapshot((readers) =>
      shelf.draft(new Date(manifest.made_at), textOf(core, readers, manifest, options)),
    );
    const examined = await readBack(core, draft, manifest, options);
    const removed = options.keep === undefined ? [] : await shelf.prune(options.keep);
    const success = { bytes: draft.bytes, rows: examined.tables.reduce((sum, one) => sum + one.rows, 0) };
    await core.store.write((tx) =>
      record(core, tx, by, { action: "backup.created", particulars: { id: manifest.id, ...success } }),
    );
    return { answer: { file: draft.archive.name, bytes: draft.bytes, examined, removed }, success };
  });
}

async function readBack(
  core: Core,
  draft: Draft,
  { migrations }: Manifest,
  { interrupted, onRows }: CreateOptions,
): Promise<Examined> {
  try {
    const examined = await examineBackup(core.keyring, draft.archive, {
      migrations,
      interrupted,
      onRows: (rows) => onRows?.("reading it back", rows),
    });
    await draft.keep();
    return examined;
  } catch (error) {
    await draft.discard();
    throw error;
  }
}

async function manifestOf(core: Core, version: string): Promise<Manifest> {
  const { keyring, random, settings, store } = core;
  const migrations = await store.migrations.status();
  // What this version knows nothing of would be missing.
  if (migrations.some(({ state }) => state !== "applied")) {
    fail("schema_newer", { detail: "A newer version of authctl has added to the tables. Make the backup with that." });
  }
  const now = core.clock.now();
  const [id, made_at] = [random.id(now), now.toISOString()];
  return {
    authctl_backup: format,
    id,
    made_at,
    version,
    database: settings.DATABASE_URL.dialect,
    migrations: migrations.map((one) => one.id),
    secrets: versionsOf(keyring),
    canary: seal(keyring, random, "backup", "canary", canaryContext({ id, made_at })),
  };
}

/** The backup as text, as it is read. */
async function* textOf(core: Core, readers: Readers, manifest: Manifest, { interrupted, onRows }: CreateOptions) {
  const digest = digesting();
  const noted = (text: string): string => {
    digest.add(text);
    return text;
  };
  const tables: Record<string, Trailer["tables"][string]> = {};
  yield noted(`${JSON.stringify(manifest)}\n`);
  for (const { table } of await readers.contents.counts()) {
    yield noted(`${JSON.stringify({ table: sqlName(table) })}\n`);
    const pages = examine(readers, table, interrupted);
    for (let page = await pages.next(); ; page = await pages.next()) {
      if (page.done) {
        const { rows, checksum } = page.value;
        tables[sqlName(table)] = { rows, checksum };
        break;
      }
      yield noted(page.value.map((row) => `${JSON.stringify(row)}\n`).join(""));
      onRows?.("backing up", page.value.length);
    }
  }
  const proof = prove(core.keyring, "backup", proofText(manifest, { tables }, digest.end()));
  yield `${JSON.stringify({ end: { tables, proof } satisfies Trailer })}\n`;
}
