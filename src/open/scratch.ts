/** Directories that a process has for as long as it lives, and that the next one removes where it was killed. */
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { lockFile } from "../store/dialects/sqlite.ts";

const prefix = "scratch-";

export type Scratch = { readonly directory: string; readonly remove: () => void };

/** A directory of one's own in `parent`. */
export function makeScratch(parent: string): Scratch {
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  sweepScratch(parent);
  // Locked before it has the name that others look for: from its first moment on it is seen to be in use.
  const unnamed = mkdtempSync(join(parent, "making-"));
  const release = lockFile(join(unnamed, "lock"));
  const directory = unnamed.replace(/making-(?=[^/]*$)/, prefix);
  renameSync(unnamed, directory);
  return {
    directory,
    remove: () => {
      rmSync(directory, { recursive: true, force: true });
      release?.();
    },
  };
}

/** Removes what was left by processes that are no more. Whatever cannot be removed stays, as nothing depends on it. */
export function sweepScratch(parent: string): void {
  for (const directory of scratchesIn(parent)) {
    try {
      const release = lockFile(join(directory, "lock"));
      if (!release) continue;
      rmSync(directory, { recursive: true, force: true });
      release();
    } catch {}
  }
}

function scratchesIn(parent: string): string[] {
  try {
    const entries = readdirSync(parent, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory() && entry.name.startsWith(prefix))
      .map(({ name }) => join(parent, name));
  } catch {
    return [];
  }
}
