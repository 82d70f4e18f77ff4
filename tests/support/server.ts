import { createClient, type HttpClient } from "./client.ts";
import { type FreshDatabase, freshDatabase } from "./database.ts";
import { serverProgram } from "./program.ts";

/** How long a server may take to listen, in milliseconds. */
const patience = 15_000;

const printedMails = /\n┌─ mail\n(?:│.*\n)*└─\n/g;

export type Environment = Readonly<Record<string, string>>;

/** One line of the log, as it stood on standard output. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly event?: string };

export type TestServer = HttpClient & {
  readonly url: string;
  readonly directory: string;
  /** Its process. */
  readonly pid: number;
  /** What every process that works on the same data is given. */
  readonly env: Environment;
  /** Every line that any of its processes has logged. */
  readonly log: readonly LogLine[];
  /** Everything on standard error but the mails, which a development server prints there. */
  readonly errors: () => string;
  /** The mails that stand there. */
  readonly printed: () => string;
  /** SIGKILL: gone at once, with whatever it was doing. */
  kill(): Promise<void>;
  /** SIGTERM: finishes what it has begun. Answers the exit code. */
  stop(): Promise<number>;
  /** Starts again on the same data and the same port; stops what still runs. */
  restart(changed?: Environment): Promise<void>;
  /** Kills what still runs and removes the data. */
  end(): Promise<void>;
};

/** Tests do in a second what nobody does in a quarter of an hour; those of the limits turn them on. */
const unlimited = { RATE_LIMITS: "off" };
/** A test that counts what stands in the database wants nobody to tidy up there meanwhile. */
const unattended = { JOBS: "off" };
const cheapHashing = { ARGON2_MEMORY_KIB: "8", ARGON2_TIME_COST: "1" };

/** A real server in a process of its own, on a database of its own, listening on a port of its own. */
export async function startServer(changed: Environment = {}, given?: FreshDatabase): Promise<TestServer> {
  const database = given ?? (await freshDatabase());
  const directory = database.env["DATA_DIR"]!;
  // The issuer stays the same over a restart, whatever the port.
  const env = {
    ...database.env,
    PUBLIC_URL: "http://localhost:8000",
    ...cheapHashing,
    ...unlimited,
    ...unattended,
    ...changed,
  };
  const log: LogLine[] = [];
  const errors: string[] = [];
  let url = "";
  let child: Child | undefined;

  const start = async (more: Environment = {}): Promise<void> => {
    const PORT = url === "" ? "0" : new URL(url).port;
    const started = spawnServer(directory, { ...env, PORT, ...more });
    child = started;
    url = await listening(started, log, errors);
  };
  const end = async (signal: "SIGKILL" | "SIGTERM"): Promise<number> => {
    child?.kill(signal);
    return (await child?.exited) ?? 0;
  };

  await start();
  return {
    ...createClient(() => url),
    get url() {
      return url;
    },
    directory,
    get pid() {
      return child?.pid ?? 0;
    },
    env,
    log,
    errors: () => errors.join("").replace(printedMails, ""),
    printed: () => errors.join("").match(printedMails)?.join("") ?? "",
    kill: async () => void (await end("SIGKILL")),
    stop: () => end("SIGTERM"),
    restart: async (more) => {
      await end("SIGTERM");
      await start(more);
    },
    end: async () => {
      await end("SIGKILL");
      await database.drop();
    },
  };
}

export function spawnServer(directory: string, env: Environment) {
  return Bun.spawn([...serverProgram], {
    cwd: directory,
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

type Child = ReturnType<typeof spawnServer>;

/** Reads what the server says to its end, and answers where it listens. Fails with its words where it never does. */
async function listening(child: Child, log: LogLine[], errors: string[]): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const giveUp = () => reject(new Error(`the server does not listen:\n${JSON.stringify(log)}\n${errors.join("")}`));
  const deadline = setTimeout(giveUp, patience);
  void linesOf(child.stdout, (line) => {
    const said = JSON.parse(line) as LogLine;
    log.push(said);
    if (said.event === "listening") resolve(String(said["url"]));
  }).then(giveUp, reject);
  void linesOf(child.stderr, (line) => errors.push(`${line}\n`)).catch(reject);
  return await promise.finally(() => clearTimeout(deadline));
}

/** A last line that a kill has cut off is left out. */
async function linesOf(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
  }
}
