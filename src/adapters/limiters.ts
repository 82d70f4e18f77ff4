import RateLimiterMemory from "rate-limiter-flexible/lib/RateLimiterMemory.js";
import RateLimiterRedis from "rate-limiter-flexible/lib/RateLimiterRedis.js";
import RateLimiterRes from "rate-limiter-flexible/lib/RateLimiterRes.js";
import type { Limiter } from "../core/core.ts";
import type { Quota, RateName } from "../core/limits.ts";
import type { RedisConnection } from "./redis.ts";

type Options = {
  readonly quotas: Readonly<Record<RateName, Quota>>;
  /** Processes that share what comes in, where nothing counts for all of them. */
  readonly workers: number;
  readonly redis: RedisConnection | undefined;
};

type Counter = RateLimiterMemory | RateLimiterRedis;

/** Counts in Redis, together with all servers; without it in this process alone, which has its share of the quota. */
export function createLimiter({ quotas, workers, redis }: Options): Limiter {
  const counters = Object.fromEntries(
    Object.entries(quotas).map(([rate, { most, window }]): [string, Counter] => {
      const duration = window / 1000;
      const share = Math.max(1, Math.floor(most / workers));
      const alone = new RateLimiterMemory({ keyPrefix: rate, points: share, duration });
      return [rate, redis ? together(redis, rate, { most, duration }, alone) : alone];
    }),
  ) as Record<RateName, Counter>;

  return {
    async take(rate, whose) {
      const { allowed, left } = await consume(counters[rate], whose);
      const resetsIn = Math.max(1, Math.ceil(left.msBeforeNext / 1000));
      return { allowed, limit: rate, quota: quotas[rate], remaining: left.remainingPoints, resetsIn };
    },
  };
}

function together(
  redis: RedisConnection,
  rate: string,
  { most, duration }: { most: number; duration: number },
  insuranceLimiter: RateLimiterMemory,
): RateLimiterRedis {
  return new RateLimiterRedis({
    keyPrefix: `authctl:rate:${rate}`,
    points: most,
    duration,
    insuranceLimiter,
    // Who was refused once stays so to the end of the window, and Redis is not asked again: neither a flood nor an outage lets them through.
    inMemoryBlockOnConsumed: most + 1,
    storeClient: {
      defineCommand: (name: string, script: Script) => redis.client.defineCommand(name, script),
      // The one command that it defines, and asks.
      rlflxIncr: (given: readonly string[]) =>
        redis.ask("count", (client) => (client as unknown as Defined).rlflxIncr(given)),
    },
  });
}

type Script = { readonly lua: string; readonly numberOfKeys?: number };
/** What `defineCommand` adds to a client, which its type cannot know. */
type Defined = { rlflxIncr(given: readonly string[]): Promise<unknown> };

/** A refusal comes as a rejection, but with what is left rather than with an error. */
async function consume(counter: Counter, whose: string): Promise<{ allowed: boolean; left: RateLimiterRes }> {
  try {
    return { allowed: true, left: await counter.consume(whose) };
  } catch (refusal) {
    if (refusal instanceof RateLimiterRes) return { allowed: false, left: refusal };
    throw refusal;
  }
}
