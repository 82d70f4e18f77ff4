/** What the code of a failed access to a file tells whoever keeps the server. Clients are told nothing of it. */
import type { Finding } from "./finding.ts";

const where = "`authctl config explain DATABASE_URL` shows where it is.";

const troubles: ReadonlyArray<readonly [RegExp, Finding]> = [
  [
    /^(SQLITE_FULL|SQLITE_IOERR_(WRITE|TRUNCATE|SHMSIZE)|ENOSPC|EDQUOT|EFBIG)$/,
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

/** What is wrong with the file, by the error that came of it or by what that was caused by. */
export function storageTrouble(error: unknown): Finding | undefined {
  for (let one = error; one instanceof Error; one = one.cause) {
    const code = "code" in one ? String(one.code) : "";
    const found = troubles.find(([pattern]) => pattern.test(code));
    if (found) return found[1];
  }
  return undefined;
}
