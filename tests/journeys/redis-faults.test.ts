/** The row of Redis in the table of faults; the others stand in faults.test.ts. */
import { afterAll, beforeAll, describe } from "bun:test";
import { everythingWorks, limits, setTheScene } from "../support/faults.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { startServer, type TestServer } from "../support/server.ts";

describe("Redis is down:", () => {
  let redis: TestRedis;
  let server: TestServer;
  beforeAll(async () => {
    redis = await startRedis();
    server = await startServer({ ...limits, REDIS_URL: redis.url, SESSION_CACHE_TTL: "5s" });
  });
  afterAll(async () => {
    await server?.end();
    await redis?.end();
  });

  everythingWorks(async () => {
    await redis.start();
    const scene = await setTheScene(server);
    await redis.kill();
    return { server, scene };
  });
});
