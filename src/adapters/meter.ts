import type { Figures } from "../core/figures.ts";
import type { HashRefusal, Levels, Meter, RefreshOutcome, SignInResult } from "../core/meter.ts";
import { databaseMetrics, type Metric, workerMetrics } from "./metrics.ts";
import { Family, Histogram, Level } from "./series.ts";
import { stopwatch } from "./system.ts";
import { amongWorkers, type Supervisor } from "./workers.ts";

/** The lines of each metric, by its name: what one process tells another. */
type Lines = Readonly<Partial<Record<keyof typeof metrics, string>>>;

const metrics = { ...workerMetrics, ...databaseMetrics };
type Metrics = typeof metrics;
type Named<Kind extends Metrics[keyof Metrics]["kind"]> = {
  [Name in keyof Metrics]: Metrics[Name]["kind"] extends Kind ? Name : never;
}[keyof Metrics];

/** How often it is looked whether timers are late, in milliseconds. */
const beat = 100;

/** The families of a process, each made when it is first asked for. */
function createFamilies() {
  const families = new Map<keyof Metrics, Family<Level> | Family<Histogram>>();
  const labelsOf = (name: keyof Metrics): readonly string[] => {
    const metric: Metric = metrics[name];
    return metric.labels ?? [];
  };
  const add = <S extends Level | Histogram>(name: keyof Metrics, make: () => S): Family<S> => {
    const family = new Family(name, labelsOf(name), make);
    families.set(name, family as Family<Level> | Family<Histogram>);
    return family;
  };
  return {
    levels: (name: Named<"counter" | "gauge">) => add(name, () => new Level()),
    histograms: (name: Named<"histogram">) => add(name, () => new Histogram(metrics[name].buckets)),
    lines: (more?: string): Lines => Object.fromEntries([...families].map(([name, one]) => [name, one.lines(more)])),
  };
}

/**
 * Counts in this process, and tells Prometheus of all workers of this server: each under its own name, so that the
 * one that is asked makes no difference, and one that is started again begins at zero alone. `stop` ends its timer.
 */
export function createMeter(version: string, worker?: { readonly name: string; readonly supervisor: Supervisor }) {
  const { levels, histograms, lines } = createFamilies();

  levels("authctl_build_info").of(version, Bun.version).add();
  const requests = levels("authctl_http_requests_total");
  const requestTimes = histograms("authctl_http_request_duration_seconds");
  const signIns = levels("authctl_sign_ins_total");
  const refreshes = levels("authctl_refreshes_total");
  const limits = levels("authctl_limit_decisions_total");
  const hashesRunning = levels("authctl_hashes_running").of();
  const hashesWaiting = levels("authctl_hashes_waiting").of();
  const hashWaits = histograms("authctl_hashing_wait_seconds").of();
  const hashTimes = histograms("authctl_hashing_duration_seconds").of();
  const hashRefusals = levels("authctl_hashing_refusals_total");
  const databaseTimes = histograms("authctl_database_duration_seconds");
  const databaseFailures = levels("authctl_database_failures_total");
  const connections = levels("authctl_database_connections");
  const connectionsWaiting = levels("authctl_database_connections_waiting");
  const redisTimes = histograms("authctl_redis_duration_seconds");
  const redisFailures = levels("authctl_redis_failures_total");
  const redisUp = levels("authctl_redis_up");
  const lags = histograms("authctl_event_loop_lag_seconds").of();
  const cpu = levels("process_cpu_seconds_total").of();
  const memory = levels("process_resident_memory_bytes").of();
  levels("process_start_time_seconds").of().value = Math.round(performance.timeOrigin) / 1000;

  // There from the beginning, so that the first one of each is seen as an increase.
  for (const result of Object.keys(signInResults)) signIns.of(result);
  for (const outcome of Object.keys(refreshOutcomes)) refreshes.of(outcome);
  for (const reason of Object.keys(hashRefusalReasons)) hashRefusals.of(reason);
  for (const kind of ["read", "write"]) databaseFailures.of(kind);

  let last = stopwatch();
  const timer = setInterval(() => {
    const now = stopwatch();
    lags.observe(Math.max(0, now - last - beat / 1000));
    last = now;
  }, beat);
  timer.unref();

  let sample = (): void => {};
  const readLevels = (read: () => Levels): void => {
    const now = read();
    hashesRunning.value = now.hashesRunning;
    hashesWaiting.value = now.hashesWaiting;
    if (!now.connections) return;
    connections.of("idle").value = now.connections.idle;
    connections.of("used").value = now.connections.used;
    connectionsWaiting.of().value = now.connections.waiting;
  };

  const ownLabel = `worker="${worker?.name ?? "1"}"`;
  const counted = (): Lines => {
    const { user, system } = process.cpuUsage();
    cpu.value = (user + system) / 1e6;
    memory.value = process.memoryUsage.rss();
    sample();
    return lines(ownLabel);
  };
  const others = worker ? amongWorkers(worker.supervisor, counted) : () => Promise.resolve([]);

  const meter: Meter = {
    now: stopwatch,
    during: (_, work) => work(),
    job: (_, work) => work(),
    request(method, route, status, since) {
      const took = stopwatch() - since;
      requests.of(method, route, String(status)).add();
      requestTimes.of(method, route).observe(took);
      return took;
    },
    signIn: (result) => signIns.of(result).add(),
    refresh: (outcome) => refreshes.of(outcome).add(),
    limit: (name, allowed) => limits.of(name, allowed ? "allowed" : "refused").add(),
    hashWaited: (since) => hashWaits.observe(stopwatch() - since),
    hashed: (since) => hashTimes.observe(stopwatch() - since),
    hashRefused: (reason) => hashRefusals.of(reason).add(),
    database(kind, since, failed) {
      databaseTimes.of(kind).observe(stopwatch() - since);
      if (failed) databaseFailures.of(kind).add();
    },
    redis(errand, since, failed) {
      redisTimes.of(errand).observe(stopwatch() - since);
      redisFailures.of(errand).add(failed ? 1 : 0);
    },
    mail: () => {},
    redisReachable: (isReachable) => {
      redisUp.of().value = isReachable ? 1 : 0;
    },
    watch: (read) => {
      sample = () => readLevels(read);
    },
    async report(figures) {
      const all = [counted(), ...(await others()), ...(figures ? [linesOf(figures)] : [])];
      return Object.entries(metrics)
        .map(([name, { kind, help }]) => ({
          head: `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n`,
          samples: all.map((one) => one[name as keyof Metrics] ?? "").join(""),
        }))
        .filter(({ samples }) => samples !== "")
        .map(({ head, samples }) => head + samples)
        .join("");
    },
  };
  return { meter, stop: () => clearInterval(timer) };
}

/** Exhaustive, as what follows: another word does not compile until it stands here. */
const signInResults: Record<SignInResult, true> = {
  succeeded: true,
  "unknown-user": true,
  "wrong-password": true,
  disabled: true,
  unverified: true,
  "rate-limited": true,
  overloaded: true,
  failed: true,
};

const refreshOutcomes: Record<RefreshOutcome, true> = {
  rotated: true,
  retried: true,
  late: true,
  reused: true,
  "another-client": true,
  refused: true,
};

const hashRefusalReasons: Record<HashRefusal, true> = { "queue-full": true, "too-late": true };

const inSeconds = (at: Date): number => at.getTime() / 1000;

function linesOf({ sessionsAlive, mails, jobs, jobFailures, keys, databaseBytes }: Figures): Lines {
  const { levels, lines } = createFamilies();
  levels("authctl_sessions_alive").of().value = sessionsAlive;
  levels("authctl_database_size_bytes").of().value = databaseBytes;
  const mailsByState = levels("authctl_mails");
  for (const state of ["asked", "queued", "sent", "dead"]) mailsByState.of(state);
  for (const { state, number } of mails) mailsByState.of(state).value = number;
  const lastSuccess = levels("authctl_job_last_success_timestamp_seconds");
  for (const { name, succeededAt } of jobs) lastSuccess.of(name).value = inSeconds(succeededAt);
  const lastFailure = levels("authctl_job_last_failure_timestamp_seconds");
  for (const { name, failedAt } of jobFailures) lastFailure.of(name).value = inSeconds(failedAt);
  const published = levels("authctl_signing_key_published_timestamp_seconds");
  // The oldest of each state is the last to be set.
  for (const { algorithm, state, publishedAt } of keys.toReversed()) {
    published.of(algorithm, state).value = inSeconds(publishedAt);
  }
  return lines();
}
