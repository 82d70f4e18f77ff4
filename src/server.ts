import { hostname } from "node:os";
import { version } from "../package.json";
import { createLog } from "./adapters/log.ts";
import { createMeter } from "./adapters/meter.ts";
import { isTerminal, systemRandom } from "./adapters/system.ts";
import type { Supervisor } from "./adapters/workers.ts";
import { type Config, loadConfig } from "./config.ts";
import { startCaretaker } from "./core/caretaker.ts";
import { DomainError, fail } from "./core/errors.ts";
import { healthOf } from "./core/health.ts";
import { ringing, startPostman } from "./core/mail/postman.ts";
import { join, leave, type Presence, startHeartbeat } from "./core/servers.ts";
import { createApp } from "./http/app.ts";
import { createDrain } from "./http/draining.ts";
import { metricsApp } from "./http/metrics.ts";
import { type Opening, openCore, settle } from "./open.ts";

export type Serving = {
  /** Where it listens. */
  readonly url: string;
  /** Says that it is going, takes requests until they stop coming, finishes them, and closes everything. */
  stop(): Promise<void>;
};

/** How long a stopping server waits for a database that does not answer, in milliseconds. */
const farewell = 2_000;

type Starting = Omit<Opening, "purpose" | "log" | "meter"> & {
  /** Which of several workers this is: they listen on the same ports, and the system spreads the connections. */
  readonly worker?: { readonly name: string; readonly supervisor: Supervisor };
};

/** From settings to a listening server. The only place that listens. */
export async function startServer(starting: Starting): Promise<Serving> {
  const settings = settle(starting);
  const log = createLog(settings, { isTerminal: isTerminal(1), fd: 1 });
  const metrics = createMeter(version, starting.worker);
  const traces =
    settings.TRACES_URL === undefined
      ? undefined
      : (await import("./adapters/traces.ts")).createTraces(metrics.meter, settings, {
          version,
          random: systemRandom,
          log,
        });
  const stopWatching = async (): Promise<void> => {
    metrics.stop();
    await traces?.stop();
  };
  const meter = traces?.meter ?? metrics.meter;
  const opened = await openCore({ ...starting, purpose: "serve", log, meter }).catch(async (error: unknown) => {
    await stopWatching();
    throw error;
  });
  const postman = opened.mailer && startPostman(opened);
  const core = postman ? { ...opened, store: ringing(opened.store, postman.ring) } : opened;
  try {
    const reusePort = starting.worker !== undefined;
    const startedAt = core.clock.now();
    const presence: Presence = { id: core.random.id(startedAt), host: hostname(), version, startedAt };
    const drain = createDrain(core.clock);
    await join(core, presence);
    const health = healthOf(core, presence, core.clock.now());
    const app = createApp(core, {
      version,
      health,
      isDraining: drain.isDraining,
      reusePort,
    }).wrap(drain.around);
    const monitors = settings.METRICS_PORT === undefined ? undefined : metricsApp(core, { reusePort });
    listen(settings, app, monitors);
    const url = `http://${settings.HOST.includes(":") ? `[${settings.HOST}]` : settings.HOST}:${app.server?.port}`;
    const caretaker = settings.JOBS ? startCaretaker(core) : undefined;
    log.info("listening", { url, version, workers: settings.WORKERS });
    if (!postman) log.warn("mail_not_configured");
    const heartbeat = startHeartbeat(core, presence);
    return {
      url,
      stop: async () => {
        log.info("draining");
        // Requests that do not end in time are cut off, so that stopping always ends.
        const cutOff = core.clock.after(settings.SHUTDOWN_TIMEOUT, () => void app.stop(true));
        await drain.begin(settings.SHUTDOWN_TIMEOUT / 2);
        await app.stop();
        heartbeat.stop();
        cutOff();
        // All at once: with a database that does not answer, each of them takes as long as it may.
        await Promise.all([
          postman?.stop(),
          caretaker?.stop(),
          monitors?.stop(true),
          Promise.race([
            leave(core, presence.id).catch((error: unknown) => log.error("leaving_failed", {}, error)),
            new Promise<void>((resolve) => core.clock.after(farewell, resolve)),
          ]),
        ]);
        await stopWatching();
        await core.close();
        log.info("stopped");
      },
    };
  } catch (error) {
    await postman?.stop();
    await stopWatching();
    await core.close();
    throw error;
  }
}

/** Fails with `address_in_use`, and with `config_invalid` where this machine has no such address or forbids the port. */
function listen(settings: Config, app: Listener, monitors: Listener | undefined): void {
  listenOn(app, settings, { host: "HOST", port: "PORT" });
  if (monitors) listenOn(monitors, settings, { host: "METRICS_HOST", port: "METRICS_PORT" });
}

type Listener = { listen(at: { hostname: string; port: number }): unknown };
type Names = { readonly host: "HOST" | "METRICS_HOST"; readonly port: "PORT" | "METRICS_PORT" };

function listenOn(app: Listener, settings: Config, { host, port }: Names): void {
  const at = { hostname: settings[host], port: settings[port] ?? 0 };
  try {
    app.listen(at);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code === "EADDRINUSE") {
      const detail = `Port ${at.port} of ${at.hostname} is taken. Stop the other program, or choose another port.`;
      fail("address_in_use", { detail });
    }
    const path = code === "EACCES" ? port : ["EADDRNOTAVAIL", "EINVAL", "ENOTFOUND"].includes(code) ? host : undefined;
    if (path === undefined) throw error;
    fail("config_invalid", { errors: [{ path, message: `cannot be listened on (${code}).` }] });
  }
}

const forAMoment: Listener = {
  listen: (at) => void Bun.serve({ ...at, fetch: () => new Response() }).stop(true),
};

/**
 * Fails as listening would. Workers share their ports with whoever else asks for that: without this, a server that is
 * started twice by mistake would answer half of the requests; and a worker that cannot listen would be started for ever.
 */
export function tryToListen(settings: Config): void {
  listen(settings, forAMoment, settings.METRICS_PORT === undefined ? undefined : forAMoment);
}

/** One worker of several: this process, told everything by its environment. */
export async function work(): Promise<void> {
  const envFile = process.env.AUTHCTL_ENV_FILE;
  const place = { env: process.env, cwd: process.cwd(), ...(envFile && { envFile }) };
  const name = process.env.AUTHCTL_WORKER;
  const supervisor: Supervisor = {
    send: (message) => void process.send?.(message),
    onMessage: (hear) => void process.on("message", hear),
  };
  const serving = await startServer({ ...place, ...(name !== undefined && { worker: { name, supervisor } }) }).catch(
    (error: unknown) => {
      const { config } = loadConfig(process.env, place);
      const failure = error instanceof DomainError ? { code: error.code, detail: error.detail } : {};
      createLog(config, { isTerminal: isTerminal(1), fd: 1 }).error("start_failed", failure, error);
      process.exit(1);
    },
  );
  let stopping: Promise<void> | undefined;
  const stop = (): void => void (stopping ??= serving.stop().then(() => process.exit(0)));
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  // The supervisor is gone: nobody is left who would stop this worker.
  process.once("disconnect", stop);
  supervisor.send("listening");
}

if (import.meta.main) await work();
