import { program } from "./program.ts";
import type { Environment } from "./server.ts";

export type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** The real command in a process of its own, as cron would run it: no terminal, nothing but `env`. */
export async function authctl(env: Environment, args: readonly string[], stdin = ""): Promise<Ran> {
  const child = Bun.spawn([...program, ...args], {
    cwd: env["DATA_DIR"] ?? ".",
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdin: new Blob([stdin]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, stdout, stderr };
}
