import { expect, test } from "bun:test";
import { metricsToken, readMetrics } from "../support/metrics.ts";
import { startRedis } from "../support/redis.ts";
import { startServer } from "../support/server.ts";
import { until } from "../support/until.ts";

test("the metrics tell how Redis is, whether it answers, and that nothing was refused for it", async () => {
  const redis = await startRedis();
  const server = await startServer({ REDIS_URL: redis.url, RATE_LIMITS: "on", METRICS_TOKEN: metricsToken });
  const failures = async () => (await readMetrics(server)).value("authctl_redis_failures_total", { errand: "count" });
  const isUp = async () => (await readMetrics(server)).value("authctl_redis_up");
  const visit = () => server.get("/");

  for (let times = 0; times < 5; times++) await visit();
  expect([await isUp(), await failures()]).toEqual([1, 0]);
  const { value } = await readMetrics(server);
  expect(value("authctl_redis_duration_seconds_count", { errand: "count" })).toBe(5);

  await redis.kill();
  await until("it is known to be away", async () => (await visit()).status === 200 && (await isUp()) === 0);
  expect(await failures()).toBeGreaterThan(0);
  await redis.start();
  await until("it is back", async () => (await visit()).status === 200 && (await isUp()) === 1);

  await server.end();
  await redis.end();
}, 30_000);
