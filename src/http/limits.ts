import type { Core } from "../core/core.ts";
import { fail } from "../core/errors.ts";
import { type Allowance, addressKey, type RateName } from "../core/limits.ts";

/** What probes, monitors, verifiers of tokens and the docs page ask for as often as they like. Whatever else comes in is counted. */
const uncounted = /^\/(?:livez|readyz|health|metrics|openapi\.json|docs(?:\/[^/]+)?|\.well-known\/jwks\.json)$/;

export const isCountedPath = (path: string): boolean => !uncounted.test(path);

/** Whether a request for this address is counted. One that cannot be read is. */
export const isCounted = (url: string): boolean => isCountedPath(/^http:\/\/[^/]*(\/[^?]*)/.exec(url)?.[1] ?? "");

/** Whose request it is, and what is left of each limit that it has met so far. */
type Counted = { readonly ip: string | null; readonly allowances: Allowance[] };

/** Counts a request of a client address, where there is one and anything is limited. Fails with `rate_limited`. */
export async function countRequest(
  { limiter, meter }: { readonly limiter?: Core["limiter"]; readonly meter: Core["meter"] },
  rate: RateName,
  { ip, allowances }: Counted,
): Promise<void> {
  if (!limiter || ip === null) return;
  const { allowed, ...allowance } = await limiter.take(rate, addressKey(ip));
  meter.limit(rate, allowed);
  if (!allowed) fail("rate_limited", { allowance, retryAfter: allowance.resetsIn });
  allowances.push(allowance);
}

/** The fields `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10): the quotas, and what is left of them. */
export function rateFields(allowances: readonly Allowance[]): ReadonlyArray<readonly [name: string, value: string]> {
  if (allowances.length === 0) return [];
  const policies = allowances.map(({ limit, quota }) => `"${limit}";q=${quota.most};w=${quota.window / 1000}`);
  const states = allowances.map(({ limit, remaining, resetsIn }) => `"${limit}";r=${remaining};t=${resetsIn}`);
  return [
    ["ratelimit-policy", policies.join(", ")],
    ["ratelimit", states.join(", ")],
  ];
}
