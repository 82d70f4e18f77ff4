/** What the code of a failed access to the database tells whoever keeps the server. Clients are told nothing of it. */
import type { Finding } from "./finding.ts";

const where = "`authctl config explain DATABASE_URL` shows where it is.";

/** How to find who holds a lock of Postgres (lock_not_available). */
const oldestTransactions =
  "`SELECT pid, usename, application_name, state, xact_start, query FROM pg_stat_activity ORDER BY xact_start` shows the oldest transactions, and `SELECT pg_terminate_backend(PID)` ends one";

const troubles: ReadonlyArray<readonly [RegExp, Finding]> = [
  [
    /^(SQLITE_FULL|SQLITE_IOERR_(WRITE|TRUNCATE|SHMSIZE)|ENOSPC|EDQUOT|EFBIG|53100)$/,
    {
      problem: "There is no room for what the database would write.",
      remedy:
        "Make room on its disk, or in the quota of this user, and try again. Nothing of the last change was kept.",
    },
  ],
  [
    /^(SQLITE_READONLY|SQLITE_PERM|SQLITE_AUTH|EACCES|EPERM|EROFS)/,
    {
      problem: "The database may not be written by this user.",
      remedy: `Run it as the user of the server, who has to own the file and its directory; ${where}`,
    },
  ],
  [
    /^55P03$/,
    {
      problem: "Another process keeps the database from being written.",
      remedy: `Find it: ${oldestTransactions}.`,
    },
  ],
  [
    /^25006$/,
    {
      problem: "The database takes no writes: it is a standby, or was set read-only.",
      remedy: `Name the primary in DATABASE_URL, or let it be written again; ${where}`,
    },
  ],
  [
    /^53300$/,
    {
      problem: "The database takes no more connections.",
      remedy: "Raise its max_connections, or lower DATABASE_CONNECTIONS and the number of servers.",
    },
  ],
  [
    /^(SQLITE_CANTOPEN|EISDIR|ENOTDIR|ENOENT)/,
    {
      problem: "The file of the database cannot be opened.",
      remedy: `See that it is a file, and that it and its directory may be read and written by this user; ${where}`,
    },
  ],
  [
    /^SQLITE_NOTADB/,
    {
      problem: "The file is no database.",
      remedy: `Correct DATABASE_URL, or move the file away and restore a backup: \`authctl backup restore FILE\`. ${where}`,
    },
  ],
  [
    /^SQLITE_CORRUPT/,
    {
      problem: "The file of the database is damaged.",
      remedy: `Stop the servers, keep a copy of it, move it away and restore a backup: \`authctl backup restore FILE\`. ${where}`,
    },
  ],
  [
    /^SQLITE_(IOERR|PROTOCOL)/,
    {
      problem: "The file of the database cannot be read or written.",
      remedy: `See whether its disk is well (\`dmesg\`), and that it is no network drive; ${where}`,
    },
  ],
];

/** What is wrong with the database, by the error that came of it or by what that was caused by. */
export function storageTrouble(error: unknown): Finding | undefined {
  for (let one = error; one instanceof Error; one = one.cause) {
    const code = "code" in one ? String(one.code) : "";
    const found = troubles.find(([pattern]) => pattern.test(code));
    if (found) return found[1];
  }
  return undefined;
}
