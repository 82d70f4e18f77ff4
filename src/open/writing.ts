/** Whether the database can be written now. */
import { systemClock } from "../adapters/system.ts";
import type { Config } from "../config.ts";
import type { Finding } from "../core/doctor/finding.ts";
import { storageTrouble } from "../core/doctor/storage.ts";
import { DomainError } from "../core/errors.ts";
import type { Dialect } from "../store/dialects/dialect.ts";
import { createStore } from "../store/store.ts";
import { databaseFile } from "./secrets.ts";

/** Who keeps the file, and how to find it; none where the error is of another kind. */
export function heldByAnother(error: unknown, config: Config, cwd: string): Finding | undefined {
  const isHeld = error instanceof DomainError && error.code === "database_busy";
  const file = databaseFile(config, cwd);
  if (!isHeld || file === undefined) return undefined;
  return {
    problem: "Another process keeps the database from being written.",
    remedy: `Find it: \`fuser -v ${file}\` or \`lsof ${file}\` names who has the file open. It holds up every write until it commits or ends.`,
  };
}

/** A write of a row that goes again: a disk that is full or a file that is read-only answers every question. */
export async function examineWriting(database: Dialect, config: Config, cwd: string): Promise<Finding[]> {
  const store = createStore(database);
  const now = systemClock.now();
  const row = { id: `doctor-${process.pid}`, host: "doctor", version: "doctor", startedAt: now, seenAt: now };
  try {
    await store.write((tx) => tx.servers.beat(row));
    await store.write((tx) => tx.servers.remove(row.id));
  } catch (error) {
    const held = heldByAnother(error, config, cwd);
    if (held) return [held];
    const unknown = {
      problem: "The database can be read, and not written.",
      remedy: "Make room on its disk, and its file writable for the user of the server.",
    };
    return [storageTrouble(error) ?? unknown];
  }
  const slack = await database.slack();
  if (!slack || slack.returnable) return [];
  return [
    {
      problem: "The file of the database never gets smaller: it was made without auto_vacuum.",
      remedy: "Stop the servers, and run `sqlite3 FILE 'PRAGMA auto_vacuum = INCREMENTAL; VACUUM'`.",
    },
  ];
}
