import { join } from "node:path";

/** Whether this is the single executable of `bun run build`, in which every module is the main one. */
const isCompiled = Bun.main === import.meta.path;

/** The words that start this program once more. */
export const ourselves: readonly string[] = isCompiled
  ? [process.execPath]
  : [process.execPath, "--no-env-file", join(import.meta.dir, "authctl.ts")];

/** The first word of a process that is a worker of `serve`. Nobody types it. */
export const workerName = "__worker";
