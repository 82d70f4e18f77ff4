import { describe, expect, test } from "bun:test";
import { Unfit } from "../../src/config/parsers.ts";
import { redisUrl, shownRedisUrl } from "../../src/config/redis-url.ts";
import { loadConfig } from "../../src/config.ts";

const plain = { tls: false, username: undefined, password: undefined, master: undefined, db: 0 };
const node = (host: string, port: number) => ({ host, port });

describe("REDIS_URL", () => {
  test.each([
    ["redis://localhost", { kind: "single", nodes: [node("localhost", 6379)] }],
    ["redis://localhost/", { kind: "single", nodes: [node("localhost", 6379)] }],
    ["redis://:s%40fe@10.0.0.7:6380/2", { kind: "single", nodes: [node("10.0.0.7", 6380)], password: "s@fe", db: 2 }],
    [
      "rediss://app:a:b@redis.example.com",
      { kind: "single", nodes: [node("redis.example.com", 6379)], tls: true, username: "app", password: "a:b" },
    ],
    ["redis://[::1]:7000", { kind: "single", nodes: [node("::1", 7000)] }],
    [
      "redis+sentinel://:pw@a:26379,b/mymaster/3",
      { kind: "sentinel", nodes: [node("a", 26_379), node("b", 26_379)], password: "pw", master: "mymaster", db: 3 },
    ],
    ["redis+cluster://a:7000,b:7001", { kind: "cluster", nodes: [node("a", 7000), node("b", 7001)] }],
    ["rediss+cluster://:pw@a", { kind: "cluster", nodes: [node("a", 6379)], tls: true, password: "pw" }],
  ])("%s is understood", (text, target) => {
    expect(redisUrl(text)).toEqual({ ...plain, ...target } as never);
  });

  test.each([
    "localhost:6379",
    "http://localhost",
    "redis://",
    "redis://a,b",
    "redis://localhost:0",
    "redis://localhost:65536",
    "redis://localhost/zero",
    "redis://localhost/0/1",
    "redis://localhost?db=1",
    "redis://:%zz@localhost",
    "redis+sentinel://a:26379",
    "redis+sentinel://a,,b/mymaster",
    "redis+cluster://a/1",
    "redis+other://a",
  ])("%s is refused with a form that would do", (text) => {
    expect(() => redisUrl(text)).toThrow(Unfit);
    expect(() => redisUrl(text)).toThrow(/such as redis/);
  });

  test.each([
    ["redis://:secret@localhost/2", "redis://:***@localhost:6379/2"],
    ["rediss://app:secret@[::1]", "rediss://app:***@[::1]:6379/0"],
    ["redis://app@localhost", "redis://app@localhost:6379/0"],
    ["redis+sentinel://:secret@a,b:1/main", "redis+sentinel://:***@a:26379,b:1/main/0"],
    ["redis+cluster://:secret@a", "redis+cluster://:***@a:6379"],
  ])("%s is shown without its password", (text, shown) => {
    expect(shownRedisUrl(redisUrl(text))).toBe(shown);
  });
});

describe("the settings of limits", () => {
  const load = (env: Record<string, string>) => loadConfig(env, { cwd: "/nowhere" });

  test("are so many in so much time", () => {
    const { config } = load({ RATE_LIMIT_REQUESTS: "5/10s" });
    expect(config.RATE_LIMIT_REQUESTS).toEqual({ most: 5, window: 10_000 });
    expect(config.RATE_LIMIT_SIGN_IN_ACCOUNT).toEqual({ most: 10, window: 900_000 });
  });

  test.each(["600", "600/", "0/1m", "600/500ms", "600/1500ms", "600/25h", "many/1m", "600 / 1m"])(
    "%s is none",
    (RATE_LIMIT_REQUESTS) => {
      const { problems } = load({ RATE_LIMIT_REQUESTS });
      expect(problems).toEqual([{ name: "RATE_LIMIT_REQUESTS", message: expect.stringContaining("such as 600/1m") }]);
    },
  );

  test.each([
    ["0", 0],
    ["off", 0],
    ["500ms", 500],
    ["5s", 5000],
  ])("a session is cached for %s", (SESSION_CACHE_TTL, milliseconds) => {
    const { config, problems } = load({ SESSION_CACHE_TTL, REDIS_URL: "redis://localhost" });
    expect(problems).toEqual([]);
    expect(config.SESSION_CACHE_TTL).toBe(milliseconds);
  });

  test("a session is cached neither longer, nor without Redis", () => {
    expect(load({ SESSION_CACHE_TTL: "6s", REDIS_URL: "redis://localhost" }).problems).toHaveLength(1);
    expect(load({ SESSION_CACHE_TTL: "5s" }).problems).toEqual([
      { name: "SESSION_CACHE_TTL", message: "keeps sessions in Redis: set REDIS_URL, or SESSION_CACHE_TTL=0." },
    ]);
  });
});
