import { SQLiteError } from "bun:sqlite";

/** drizzle wraps what the driver throws. */
function sqliteErrorIn(error: unknown): SQLiteError | undefined {
  for (let one = error; one instanceof Error; one = one.cause) if (one instanceof SQLiteError) return one;
  return undefined;
}

export const isBusy = (error: unknown): boolean => /^SQLITE_(BUSY|LOCKED)/.test(sqliteErrorIn(error)?.code ?? "");

/** Not the query's fault, but the file's, the disk's or another process's. */
export const causedByStorage = (error: unknown): boolean =>
  /^SQLITE_(BUSY|LOCKED|READONLY|FULL|IOERR|CANTOPEN|CORRUPT|NOTADB|PROTOCOL|AUTH|PERM)/.test(
    sqliteErrorIn(error)?.code ?? "",
  );
