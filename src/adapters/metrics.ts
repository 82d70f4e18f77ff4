/** Every metric, one row each: what Prometheus and the page of the documentation are told of it. */

export type Metric = {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels?: readonly string[];
  /** Upper bounds, in seconds. */
  readonly buckets?: readonly number[];
};

const answerTimes = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const storeTimes = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const hashTimes = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2];

/** What each worker has of its own, with the label `worker`. */
export const workerMetrics = {
  authctl_build_info: { kind: "gauge", help: "Always 1, for each worker that runs.", labels: ["version", "bun"] },
  authctl_http_requests_total: {
    kind: "counter",
    help: "Answers, by the pattern of the route: `unmatched` where there is none.",
    labels: ["method", "route", "status"],
  },
  authctl_http_request_duration_seconds: {
    kind: "histogram",
    help: "From the arrival of a request to its answer.",
    labels: ["method", "route"],
    buckets: answerTimes,
  },
  authctl_sign_ins_total: { kind: "counter", help: "Sign-ins with a password.", labels: ["result"] },
  authctl_refreshes_total: {
    kind: "counter",
    help: "Refresh tokens that were presented, by what came of it.",
    labels: ["outcome"],
  },
  authctl_limit_decisions_total: {
    kind: "counter",
    help: "Requests and tries that a limit was asked about: `allowed` or `refused`.",
    labels: ["limit", "outcome"],
  },
  authctl_hashes_running: { kind: "gauge", help: "Passwords that are being hashed now." },
  authctl_hashes_waiting: { kind: "gauge", help: "Passwords that wait for their turn to be hashed." },
  authctl_hashing_wait_seconds: {
    kind: "histogram",
    help: "How long a password waited for its turn.",
    buckets: hashTimes,
  },
  authctl_hashing_duration_seconds: {
    kind: "histogram",
    help: "How long it took to hash a password.",
    buckets: hashTimes,
  },
  authctl_hashing_refusals_total: {
    kind: "counter",
    help: "Passwords that were not hashed, because too many waited or they had waited too long.",
    labels: ["reason"],
  },
  authctl_database_duration_seconds: {
    kind: "histogram",
    help: "How long a query outside of transactions (`read`) or a whole transaction (`write`) took.",
    labels: ["kind"],
    buckets: storeTimes,
  },
  authctl_database_failures_total: {
    kind: "counter",
    help: "Queries and transactions that failed because of the database.",
    labels: ["kind"],
  },
  authctl_database_connections: {
    kind: "gauge",
    help: "Connections to Postgres: `idle`, or `used`.",
    labels: ["state"],
  },
  authctl_database_connections_waiting: { kind: "gauge", help: "Requests that wait for a connection to Postgres." },
  authctl_redis_duration_seconds: {
    kind: "histogram",
    help: "How long Redis was asked, whether it answered or not.",
    labels: ["errand"],
    buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05],
  },
  authctl_redis_failures_total: {
    kind: "counter",
    help: "Questions that Redis did not answer in time, or that it was not asked because it was down.",
    labels: ["errand"],
  },
  authctl_redis_up: {
    kind: "gauge",
    help: "Whether Redis is asked (1), or left alone for a while because it failed (0).",
  },
  authctl_event_loop_lag_seconds: {
    kind: "histogram",
    help: "How late a timer fired that was due ten times a second: what every request waits besides its own work.",
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
  },
  process_cpu_seconds_total: { kind: "counter", help: "Processor time that was spent." },
  process_resident_memory_bytes: { kind: "gauge", help: "Memory that the process occupies." },
  process_start_time_seconds: { kind: "gauge", help: "When the process began, as a Unix time." },
} as const satisfies Record<string, Metric>;

/** What is known of the whole database: the same from every server, and without a worker. */
export const databaseMetrics = {
  authctl_sessions_alive: { kind: "gauge", help: "Sessions that are neither revoked nor past a limit." },
  authctl_mails: {
    kind: "gauge",
    help: "Mails by state: `asked` and `queued` are to be sent, `dead` ones were given up.",
    labels: ["state"],
  },
  authctl_signing_key_published_timestamp_seconds: {
    kind: "gauge",
    help: "When the oldest signing key of each state was published, as a Unix time.",
    labels: ["algorithm", "state"],
  },
  authctl_job_last_success_timestamp_seconds: {
    kind: "gauge",
    help: "When a job last succeeded, whoever ran it, as a Unix time.",
    labels: ["job"],
  },
  authctl_job_last_failure_timestamp_seconds: {
    kind: "gauge",
    help: "When a job last failed, whoever ran it, as a Unix time.",
    labels: ["job"],
  },
  authctl_database_size_bytes: {
    kind: "gauge",
    help: "What the database occupies, with everything that belongs to it.",
  },
} as const satisfies Record<string, Metric>;
