import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import type { Limiter } from "../core/core.ts";
import type { Quota, RateName } from "../core/limits.ts";

type Options = {
  readonly quotas: Readonly<Record<RateName, Quota>>;
  /** Processes that share what comes in, where nothing else counts for all of them. */
  readonly workers: number;
};

/** Counts in this process alone: each worker has its share of the quota. */
export function createLimiter({ quotas, workers }: Options): Limiter {
  const counters = Object.fromEntries(
    Object.entries(quotas).map(([rate, { most, window }]) => {
      const share = Math.max(1, Math.floor(most / workers));
      return [rate, new RateLimiterMemory({ keyPrefix: rate, points: share, duration: window / 1000 })];
    }),
  ) as Record<RateName, RateLimiterMemory>;

  return {
    async take(rate, whose) {
      const { allowed, left } = await consume(counters[rate], whose);
      const resetsIn = Math.max(1, Math.ceil(left.msBeforeNext / 1000));
      return { allowed, limit: rate, quota: quotas[rate], remaining: left.remainingPoints, resetsIn };
    },
  };
}

/** A refusal comes as a rejection, but with what is left rather than with an error. */
async function consume(counter: RateLimiterMemory, whose: string): Promise<{ allowed: boolean; left: RateLimiterRes }> {
  try {
    return { allowed: true, left: await counter.consume(whose) };
  } catch (refusal) {
    if (refusal instanceof RateLimiterRes) return { allowed: false, left: refusal };
    throw refusal;
  }
}
