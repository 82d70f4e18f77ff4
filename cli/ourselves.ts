import { join } from "node:path";

/** The words that start this program once more. */
export const ourselves: readonly string[] = Bun.isStandaloneExecutable
  ? [process.execPath]
  : [process.execPath, "--no-env-file", join(import.meta.dir, "authctl.ts")];

/** The first word of a process that is a worker of `serve`. Nobody types it. */
export const workerName = "__worker";
