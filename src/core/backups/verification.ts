import type { Actor } from "../actors.ts";
import { verifyAudit } from "../audit/verification.ts";
import type { Core } from "../core.ts";
import type { Archive } from "./archive.ts";
import type { Examined } from "./examination.ts";
import { type RestoreOptions, restoreBackup } from "./restoring.ts";

/** Restores a backup that was examined into a database that nobody else sees. Answers what is wrong, in sentences. */
export async function tryBackup(
  scratch: Core,
  by: Actor,
  archive: Archive,
  examined: Examined,
  options: Omit<RestoreOptions, "keepSessions">,
): Promise<string[]> {
  await restoreBackup(scratch, by, archive, examined, { ...options, keepSessions: true });
  const trail = await verifyAudit(scratch);
  const broken = trail.findings.map(
    ({ id, seq, problem }) =>
      `The audit trail is broken at ${seq === null ? `entry ${id}` : `place ${seq}`}: ${problem}.`,
  );
  const untold = trail.found - trail.findings.length;
  return [
    ...examined.findings,
    ...broken,
    ...(untold > 0 ? [`The audit trail is broken at ${untold} more places.`] : []),
  ];
}
