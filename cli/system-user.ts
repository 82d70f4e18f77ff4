import { readFileSync } from "node:fs";
import { userInfo } from "node:os";

/**
 * Whoever runs this, by the system's own name for them: Bun takes it from USER, which everybody sets as they like and
 * cron does not set at all. By the number alone where the system knows no name, as in many a container.
 */
export function systemUser(): string {
  const uid = process.getuid?.();
  return uid === undefined ? userInfo().username : (listedName(uid) ?? askedName() ?? `uid-${uid}`);
}

function listedName(uid: number): string | undefined {
  try {
    const entries = readFileSync("/etc/passwd", "utf8").split("\n");
    return entries.map((entry) => entry.split(":")).find(([, , id]) => id === String(uid))?.[0];
  } catch {
    return undefined;
  }
}

/** Of a directory in the network, or of a system that keeps no such list, `id` knows. */
function askedName(): string | undefined {
  try {
    const { success, stdout } = Bun.spawnSync(["/usr/bin/id", "-un"], { stderr: "ignore" });
    return success ? stdout.toString().trim() || undefined : undefined;
  } catch {
    return undefined;
  }
}
