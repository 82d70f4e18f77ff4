import { setDefaultTimeout } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock, Core } from "../../src/core/core.ts";
import { startSession } from "../../src/core/sessions.ts";
import { createUser, findUser } from "../../src/core/users.ts";
import { openCore } from "../../src/open.ts";
import type { CredentialKind } from "../../src/store/tables.ts";
import { firefox, goodPassword, root } from "./core.ts";
import { freshDatabase } from "./database.ts";
import { program } from "./program.ts";

// Many processes share few cores, and other suites may be running beside this one.
setDefaultTimeout(30_000);

export type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };
type Outside = { readonly input?: string; readonly env?: Readonly<Record<string, string>> };

const cheap = { ARGON2_MEMORY_KIB: "8", ARGON2_TIME_COST: "1", LOG_LEVEL: "warn" };

/** A directory of its own, in which the real `authctl` runs as its own process. Goes away with the block that holds it. */
export class Shell implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "authctl-cli-"));
  readonly env: Readonly<Record<string, string>>;
  readonly #running = new Set<{ kill(signal: "SIGKILL"): void }>();

  constructor(env: Readonly<Record<string, string>> = {}) {
    // Nothing of the environment of the tests: a CI, a NODE_ENV, somebody's AUTHCTL_YES.
    this.env = { PATH: process.env.PATH ?? "", ...cheap, ...env };
  }

  /** Starts it and lets it run. */
  start(words: readonly string[], { input = "", env = {} }: Outside = {}) {
    const child = Bun.spawn([...program, ...words], {
      cwd: this.directory,
      env: { ...this.env, ...env },
      stdin: new Blob([input]),
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#running.add(child);
    void child.exited.then(() => this.#running.delete(child));
    return child;
  }

  /** Runs it to its end. `line` is parted at spaces. */
  async run(line: string | readonly string[], outside?: Outside): Promise<Ran> {
    const child = this.start(typeof line === "string" ? line.split(" ") : line, outside);
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { code, stdout, stderr };
  }

  /** The JSON that it prints; fails where it ends with anything but `code`. */
  async json<T = Record<string, unknown>>(line: string, outside?: Outside, code = 0): Promise<T> {
    const ran = await this.run(`${line} --json`, outside);
    if (ran.code !== code) throw new Error(`exit code ${ran.code}: ${ran.stderr}`);
    return JSON.parse(ran.stdout);
  }

  /** The same database from this process, to prepare it and to look at it. */
  async core<T>(work: (core: Core) => Promise<T>, clock?: Clock): Promise<T> {
    const core = await openCore({ env: this.env, cwd: this.directory, purpose: "serve", ...(clock && { clock }) });
    try {
      return await work(core);
    } finally {
      await core.close();
    }
  }

  file(name: string): string {
    return join(this.directory, name);
  }

  [Symbol.dispose](): void {
    // What a test that failed has left behind.
    for (const child of this.#running) child.kill("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A shell on a database of its own of the dialect that `TEST_DIALECT` names. */
export async function databaseShell(env: Readonly<Record<string, string>> = {}): Promise<Shell & AsyncDisposable> {
  const database = await freshDatabase();
  const shell = new Shell({ ...database.env, ...env });
  return Object.assign(shell, {
    [Symbol.asyncDispose]: async () => {
      shell[Symbol.dispose]();
      await database.drop();
    },
  });
}

export const person = (core: Core, email: string, roles: readonly string[] = ["user"]) =>
  createUser(core, root, { email, password: goodPassword, roles });

/** So many sign-ins of a user. Answers the ids of the sessions. */
export async function sessionsOf(
  core: Core,
  email: string,
  number: number,
  { ip = "192.0.2.7", credential = "session" }: { ip?: string; credential?: CredentialKind } = {},
): Promise<string[]> {
  const { user } = await findUser(core, email);
  return await core.store.write(async (tx) => {
    const ids: string[] = [];
    for (let made = 0; made < number; made++) {
      ids.push((await startSession(core, tx, { ...firefox, ip }, user, credential)).session.id);
    }
    return ids;
  });
}
