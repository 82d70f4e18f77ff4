/** Every row of the table of outages in docs/redis.md, on a real Redis behind a wire that can be slowed down. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createLimiter } from "../../src/adapters/limiters.ts";
import { connectRedis, type RedisConnection } from "../../src/adapters/redis.ts";
import { createSessionCache } from "../../src/adapters/session-cache.ts";
import { systemClock } from "../../src/adapters/system.ts";
import { redisUrl } from "../../src/config/redis-url.ts";
import type { Limiter, Log, SessionCache } from "../../src/core/core.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";

let redis: TestRedis;
let events: string[];
const closing: Array<() => void> = [];

const log: Log = {
  debug: () => {},
  info: (event) => void events.push(event),
  warn: (event) => void events.push(event),
  error: (event) => void events.push(event),
};

type Server = { readonly link: RedisConnection; readonly limiter: Limiter; readonly cache: SessionCache };

/** One server's half of it. Two of them have nothing in common but Redis. */
async function openServer(url = redis.url): Promise<Server> {
  const link = await connectRedis(redisUrl(url), { clock: systemClock, log });
  closing.push(link.close);
  const quota = { most: 10, window: 60_000 };
  const quotas = { requests: quota, register: quota, refresh: quota };
  return { link, limiter: createLimiter({ quotas, workers: 2, redis: link }), cache: createSessionCache(link, log) };
}

beforeEach(async () => {
  events = [];
  redis = await startRedis();
});
afterEach(async () => {
  for (const close of closing.splice(0)) close();
  await redis.end();
});

const take = async ({ limiter }: Server, whose: string, times: number): Promise<number> => {
  let allowed = 0;
  for (let taken = 0; taken < times; taken++) if ((await limiter.take("requests", whose)).allowed) allowed++;
  return allowed;
};
/** How long the work takes, in milliseconds. */
const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const from = performance.now();
  await work();
  return performance.now() - from;
};
const until = async (condition: () => boolean): Promise<void> => {
  for (let waited = 0; !condition(); waited++) {
    if (waited > 500) throw new Error(`it never came to that: ${events.join(", ")}`);
    await Bun.sleep(10);
  }
};

describe("a Redis that is well", () => {
  test("counts for all servers together, and each address by itself", async () => {
    const [one, other] = [await openServer(), await openServer()];
    expect((await take(one, "a", 6)) + (await take(other, "a", 6))).toBe(10);
    expect(await take(other, "b", 3)).toBe(3);
    const { allowed, limit, remaining, resetsIn } = await one.limiter.take("requests", "b");
    expect({ allowed, limit, remaining }).toEqual({ allowed: true, limit: "requests", remaining: 6 });
    expect(resetsIn).toBeGreaterThan(50);
  });

  test("lets parallel requests through up to the limit and no further", async () => {
    const servers = await Promise.all([1, 2, 3].map(() => openServer(redis.directUrl)));
    for (const server of servers) await take(server, "warm", 1);
    const taken = await Promise.all(
      Array.from({ length: 90 }, (_, at) => servers[at % 3]!.limiter.take("requests", "a")),
    );
    expect(taken.filter(({ allowed }) => allowed)).toHaveLength(10);
  });

  test("is not asked again about an address that it has refused", async () => {
    const server = await openServer();
    await take(server, "a", 11);
    await redis.client.config("RESETSTAT");
    expect(await take(server, "a", 100)).toBe(0);
    expect(await redis.client.info("commandstats")).not.toContain("evalsha");
  });

  test("keeps what nobody has forgotten, for as long as it was told to", async () => {
    const [one, other] = [await openServer(), await openServer()];
    await one.cache.keep("s", "text", 1_000);
    await other.cache.keep("s", "another text", 60_000);
    expect(await other.cache.recall("s")).toBe("text");
    expect(await redis.client.pttl("authctl:session:s")).toBeLessThanOrEqual(1_000);
    expect(await one.cache.recall("unknown")).toBeUndefined();
  });

  test("keeps nothing of a session that was forgotten, for longer than any server keeps one", async () => {
    const [one, other] = [await openServer(), await openServer()];
    await one.cache.keep("s", "text", 5_000);
    await other.cache.forget(["s", "t"]);
    for (const id of ["s", "t"]) {
      await one.cache.keep(id, "what it was before", 5_000);
      expect(await one.cache.recall(id)).toBeUndefined();
      expect(await redis.client.pttl(`authctl:session:${id}`)).toBeGreaterThan(5_000);
    }
  });

  test("is told of ten thousand sessions at once", async () => {
    const { cache } = await openServer();
    await cache.forget(Array.from({ length: 10_000 }, (_, at) => `s${at}`));
    // A wait that was too short for it does not keep it from being done.
    await Bun.sleep(200);
    expect(await redis.client.dbsize()).toBe(10_000);
  });
});

/** What each server does when it cannot ask: the share of one of two workers is five. */
const onItsOwn = async (server: Server, whose: string) => {
  expect(await take(server, whose, 20)).toBe(5);
  await server.cache.keep("s", "text", 1_000);
  expect(await server.cache.recall("s")).toBeUndefined();
  await server.cache.forget(["s"]);
};

describe("a Redis that is down", () => {
  test("at the start keeps no server from starting, which then counts its share by itself", async () => {
    await redis.kill();
    const server = await openServer();
    await onItsOwn(server, "a");
    expect(events).toEqual(["redis_unavailable", "session_cache_not_told"]);
    await expect(server.link.ping()).rejects.toThrow();
  });

  test("in flight costs no request more than 50 ms, and all of them together next to nothing", async () => {
    const server = await openServer();
    await take(server, "before", 3);
    await redis.kill();
    for (let request = 0; request < 5; request++) {
      const wait = timed(async () => {
        await server.limiter.take("requests", `address ${request}`);
        await server.cache.recall("s");
        await server.cache.forget(["s"]);
      });
      expect(await wait).toBeLessThan(100);
    }
    expect(await timed(() => take(server, "many", 1_000))).toBeLessThan(1_000);
    await onItsOwn(server, "a");
    expect(events.filter((event) => event === "redis_unavailable")).toHaveLength(1);
  });

  test("lets nobody through who was refused before", async () => {
    const server = await openServer();
    expect(await take(server, "a", 12)).toBe(10);
    await redis.kill();
    expect(await take(server, "a", 20)).toBe(0);
  });

  test("is used again within two seconds of its return, by itself", async () => {
    const server = await openServer();
    await redis.kill();
    await onItsOwn(server, "a");
    await redis.start();
    await until(() => events.includes("redis_back"));
    expect(await take(server, "b", 12)).toBe(10);
    await server.cache.keep("s", "text", 1_000);
    expect(await server.cache.recall("s")).toBe("text");
    expect(events).toEqual(["redis_unavailable", "session_cache_not_told", "redis_back"]);
  });
});

describe("a Redis that takes 200 ms", () => {
  test("costs no request more than 50 ms, and after the first ones nothing", async () => {
    const server = await openServer();
    await take(server, "before", 3);
    redis.slow(200);
    const waits: number[] = [];
    for (let request = 0; request < 20; request++) {
      waits.push(
        await timed(async () => {
          await server.limiter.take("requests", `address ${request}`);
          await server.cache.recall("s");
        }),
      );
    }
    // Three questions in a row, and a probe once a second; a busy machine may wake up late.
    expect(waits.filter((wait) => wait > 10).length).toBeLessThanOrEqual(4);
    expect(Math.max(...waits)).toBeLessThan(150);
    await onItsOwn(server, "a");
    expect(events.filter((event) => event === "redis_unavailable")).toHaveLength(1);

    redis.slow(0);
    await until(() => {
      void server.cache.recall("s");
      return events.includes("redis_back");
    });
    expect(await take(server, "b", 12)).toBe(10);
  });

  test("hears of what has to be forgotten, though nobody waits for its answer", async () => {
    const server = await openServer();
    await server.cache.keep("s", "text", 5_000);
    redis.slow(200);
    expect(await timed(() => server.cache.forget(["s"]))).toBeLessThan(150);
    await Bun.sleep(50);
    expect(await redis.client.get("authctl:session:s")).toBe("gone");
  });
});

describe("a Redis that was flushed", () => {
  test("begins to count anew, but for whom a server remembers to have refused", async () => {
    const server = await openServer();
    expect(await take(server, "refused", 11)).toBe(10);
    expect(await take(server, "a", 4)).toBe(4);
    await server.cache.keep("s", "text", 5_000);
    await redis.client.flushall();
    expect(await take(server, "refused", 5)).toBe(0);
    expect(await take(server, "a", 12)).toBe(10);
    expect(await server.cache.recall("s")).toBeUndefined();
    expect(events).toEqual([]);
  });
});
