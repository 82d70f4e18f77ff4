/** The one connection to Redis. Loaded where REDIS_URL is set. */
import { Cluster, Redis, type RedisOptions } from "ioredis";
import type { Config } from "../config.ts";
import type { Clock, Log } from "../core/core.ts";
import type { Meter } from "../core/meter.ts";
import { type Asking, createCircuit, Unanswered } from "./circuit.ts";

type Client = Redis | Cluster;

export type RedisConnection = {
  /** For defining commands. Questions go through `ask`. */
  readonly client: Client;
  /** Fails at once where Redis is known not to answer, and in any case soon. */
  ask<T>(errand: Errand, question: (client: Client) => Promise<T>): Promise<T>;
  readonly ping: () => Promise<void>;
  readonly close: () => void;
};

/** What Redis is asked for. */
type Errand = "count" | "recall" | "forget" | "ping";

/**
 * A request is on each errand at most once, and so waits for Redis no longer than 50 ms in all. To count has most of
 * it: what is not counted together in time is counted here, and so some may come through that should not.
 */
const errands = {
  count: { patience: 30 },
  recall: { patience: 8 },
  forget: { patience: 12, insist: true },
  ping: { patience: 50, insist: true },
} as const satisfies Record<Errand, Asking>;

/** How long a start waits for Redis, in milliseconds. */
const startPatience = 1_000;

/** Connects, and goes on whether Redis answers or not: it connects again by itself whenever it is gone. */
export async function connectRedis(
  target: NonNullable<Config["REDIS_URL"]>,
  { clock, log, meter }: { clock: Clock; log: Log; meter?: Meter },
): Promise<RedisConnection> {
  const client = clientOf(target);
  let closing = false;
  const circuit = createCircuit({
    clock,
    tolerance: 3,
    pause: 1_000,
    onDown: (why) => {
      if (closing) return;
      meter?.redisReachable(false);
      log.warn("redis_unavailable", { why });
    },
    onBack: () => {
      if (closing) return;
      meter?.redisReachable(true);
      log.info("redis_back");
    },
  });

  const { promise: settled, resolve: settle } = Promise.withResolvers<void>();
  // Without a listener, ioredis prints what it hears; a cluster speaks of its nodes by another name.
  client.on("node error", () => {});
  client.on("error", (error) => {
    if (client.status !== "ready") circuit.trip(error);
    settle();
  });
  client.on("close", () => {
    if (!closing) circuit.trip(new Unanswered("closed"));
    settle();
  });
  client.on("ready", () => {
    circuit.mend();
    settle();
  });
  const stopWaiting = clock.after(startPatience, settle);
  await settled;
  stopWaiting();
  meter?.redisReachable(client.status === "ready");

  const ask: RedisConnection["ask"] = async (errand, question) => {
    const since = meter?.now() ?? 0;
    let failed = true;
    try {
      const answer = await circuit.ask(() => question(client), errands[errand]);
      failed = false;
      return answer;
    } finally {
      meter?.redis(errand, since, failed);
    }
  };
  return {
    client,
    ask,
    ping: async () => void (await ask("ping", (one) => one.ping())),
    close: () => {
      closing = true;
      // No timer is left that would keep a command from ending.
      circuit.mend();
      client.disconnect();
    },
  };
}

function clientOf({ kind, nodes, tls, username, password, master, db }: NonNullable<Config["REDIS_URL"]>): Client {
  const options = {
    username,
    password,
    connectionName: "authctl",
    connectTimeout: 1_000,
    // Whatever cannot be asked now is not asked later: nobody would wait for it.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // A connection that says nothing for so long has been cut without a word.
    socketTimeout: 5_000,
    retryStrategy: (times: number) => Math.min(times * 50, 1_000),
    // After a failover, the old master knows no better than to refuse writes.
    reconnectOnError: ({ message }: Error) => message.startsWith("READONLY"),
    ...(tls && { tls: {} }),
  } satisfies RedisOptions;
  const [first] = nodes;
  if (kind === "single") return new Redis({ ...options, ...first, db });
  if (kind === "cluster") {
    // Its connections to the nodes are made when they are first needed, the one for its own questions too.
    const { enableOfflineQueue, retryStrategy: clusterRetryStrategy, ...redisOptions } = options;
    return new Cluster([...nodes], { enableOfflineQueue, clusterRetryStrategy, redisOptions });
  }
  return new Redis({
    ...options,
    sentinels: [...nodes],
    ...(master !== undefined && { name: master }),
    db,
    ...(password !== undefined && { sentinelPassword: password }),
    ...(tls && { sentinelTLS: {}, enableTLSForSentinelMode: true }),
  });
}
