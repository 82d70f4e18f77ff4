/**
 * `bun run up`: starts the server as the single executable, which is there in a third of the time that the sources
 * take. Builds it first where there is none of exactly these sources.
 */
import { join } from "node:path";
import { knownExecutable, newExecutable } from "./executable.ts";

const root = join(import.meta.dir, "..");

function install(): void {
  const words = ["install", "--frozen-lockfile", "--production", "--silent"];
  const { exitCode } = Bun.spawnSync([process.execPath, ...words], { cwd: root, stdout: "inherit", stderr: "inherit" });
  if (exitCode !== 0) process.exit(exitCode);
}

function built(): string | undefined {
  install();
  console.error("building the server, once for these sources …");
  try {
    return newExecutable(root, Date.now());
  } catch (error) {
    console.error(`It cannot be built, and starts from its sources: ${(error as Error).message}`);
    return undefined;
  }
}

process.argv.splice(2, 0, "serve");
// On Windows a process cannot become another one.
const executable = process.execve && (knownExecutable(root) ?? built());
if (executable) process.execve?.(executable, [executable, ...process.argv.slice(2)], process.env);
await import("../cli/authctl.ts");
