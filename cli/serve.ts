import { resolve } from "node:path";
import { version } from "../package.json";
import type { FromWorker, ToWorker } from "../src/adapters/workers.ts";
import { loadConfig } from "../src/config.ts";
import { fail } from "../src/core/errors.ts";
import { type Opening, openCore, type Place, settle } from "../src/open.ts";
import { reachable, urlOf } from "./addresses.ts";
import { command } from "./command.ts";
import type { Desk } from "./desk.ts";
import { choice, number, text } from "./options.ts";
import { ourselves, workerName } from "./ourselves.ts";
import { supervise, type Worker } from "./supervisor.ts";
import { createSwitchboard } from "./switchboard.ts";

export default command({
  description:
    "Run the server until it is asked to stop (SIGTERM, SIGINT); it finishes the requests that it has begun.",
  effect: "write",
  args: {
    host: text("the address to listen on, instead of HOST", { hint: "ADDRESS" }),
    port: number("the port to listen on, instead of PORT; 0 takes any free one", { max: 65_535 }),
    workers: number("processes that share the port, instead of WORKERS", { min: 1, max: 64 }),
    migrate: choice("apply pending migrations, or refuse to start; auto on SQLite, check on Postgres", [
      "check",
      "auto",
    ]),
  },
  examples: ["authctl serve", "authctl serve --host 0.0.0.0 --port 443 --workers 4 --migrate check"],
  exits: { 0: "stopped because it was asked to", 69: "the port is in use, or the database cannot be reached" },
  async run({ host, port, workers, migrate }, desk) {
    const env = {
      ...desk.place.env,
      ...(host !== undefined && { HOST: host }),
      ...(port !== undefined && { PORT: String(port) }),
      ...(workers !== undefined && { WORKERS: String(workers) }),
    };
    const place: Place = { ...desk.place, env };
    const start = settle(place).WORKERS === 1 ? serveAlone : serveTogether;
    for (const { name, message } of loadConfig(env, place).notices) desk.warn(`${name} ${message}`);
    return await start(desk, { ...place, ...(migrate !== undefined && { migrate }) });
  },
});

type Start = Place & Pick<Opening, "migrate">;

async function serveAlone(desk: Desk, place: Start): Promise<number> {
  const { startServer } = await import("../src/server.ts");
  const made: string[] = [];
  const serving = await startServer({ ...place, onMade: (what) => made.push(what) });
  announce(desk, place, serving.url, made);
  await aborted(desk.interrupted);
  await serving.stop();
  return 0;
}

async function serveTogether(desk: Desk, place: Start): Promise<number> {
  const settings = settle(place);
  const { HOST, PORT, WORKERS } = settings;
  if (PORT === 0)
    fail("config_invalid", { errors: [{ path: "PORT", message: "must not be 0 where workers share it." }] });
  const { tryToListen } = await import("../src/server.ts");
  tryToListen(settings);
  const made: string[] = [];
  // Once, before there are several to do it at the same time; and whatever is wrong is told here, not by each worker.
  const core = await openCore({ ...place, purpose: "serve", onMade: (what) => made.push(what) });
  await core.close();
  const env = {
    ...place.env,
    HOST,
    PORT: String(PORT),
    WORKERS: String(WORKERS),
    // The name of the file rather than what is in it: a secret never stands in the environment of a child.
    ...(place.envFile !== undefined && { AUTHCTL_ENV_FILE: resolve(place.cwd, place.envFile) }),
  };
  let listening = 0;
  const switchboard = createSwitchboard();
  const start = (number: number): Worker => {
    const child = Bun.spawn([...ourselves, workerName], {
      cwd: place.cwd,
      env: { ...env, AUTHCTL_WORKER: String(number) },
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
      // Its end tells a worker that its supervisor is gone, even after a `kill -9`.
      ipc: (message: FromWorker) => {
        switchboard.hear(line, message);
        if (message !== "listening") return;
        listening += 1;
        if (listening === WORKERS) announce(desk, place, urlOf(HOST, PORT), made);
      },
    });
    const line = (message: ToWorker): void => child.send(message);
    void child.exited.then(() => switchboard.leave(line));
    return { exited: child.exited, stop: () => child.kill("SIGTERM") };
  };
  return await supervise({
    workers: WORKERS,
    start,
    stop: desk.interrupted,
    warn: desk.warn,
    now: desk.now,
    sleep: (milliseconds, signal) => aborted(AbortSignal.any([signal, AbortSignal.timeout(milliseconds)])),
  });
}

/** Where to go from here: one line in production, one screen in a development that has just begun. */
function announce(desk: Desk, place: Place, url: string, made: readonly string[]): void {
  const { NODE_ENV, HOST, WORKERS, ADMIN_EMAIL } = settle(place);
  const who = WORKERS === 1 ? "" : ` with ${WORKERS} workers`;
  for (const what of made) desk.say(what);
  if (NODE_ENV === "production") return desk.say(`authctl ${version} serves ${url}${who}`);
  const here = url.replace(HOST, reachable(HOST));
  desk.say(`authctl ${version} serves ${url}${who}; its pages are at ${here}/docs`);
  // Whoever typed the README's command may have neither Bun nor authctl on the path.
  const authctl = place.env["npm_lifecycle_event"] === "up" ? "npx -y bun@1.4.5 run authctl" : "authctl";
  if (made.length === 0) return;
  const seed = `A first admin, from another shell in this directory:\n  ${authctl} admin seed --email ada@example.com\n`;
  desk.say(`${firstSteps(here)}\n${ADMIN_EMAIL === undefined ? seed : ""}`);
}

/** What stands between a new database and a first token, to be pasted. */
function firstSteps(url: string): string {
  const post = (path: string, body: object): string =>
    `  curl -s ${url}/api/v1/auth/${path} -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'`;
  const person = { email: "ada@example.com", password: "correct horse battery staple" };
  return ["", "A first user, and a first token:", post("register", person), post("login", person)].join("\n");
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((settled) => signal.addEventListener("abort", () => settled(), { once: true }));
}
