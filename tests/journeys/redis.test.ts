/** Two servers and the command line on one database and one Redis, which is then taken away from them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { authctl } from "../support/command.ts";
import { newSession, newTokens, signUp, statusOfMe } from "../support/people.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { give, newRole } from "../support/roles.ts";
import { startServer, type TestServer } from "../support/server.ts";

let redis: TestRedis;
let one: TestServer;
let other: TestServer;

beforeAll(async () => {
  redis = await startRedis();
  const env = {
    REDIS_URL: redis.url,
    SESSION_CACHE_TTL: "5s",
    RATE_LIMITS: "on",
    RATE_LIMIT_REQUESTS: "100000/1m",
    RATE_LIMIT_SIGN_IN_ADDRESS: "1000/15m",
  };
  one = await startServer(env);
  const { DATABASE_URL } = one.env;
  other = await startServer({ ...env, DATA_DIR: one.directory, ...(DATABASE_URL && { DATABASE_URL }) });
});
afterAll(async () => {
  await other.end();
  await one.end();
  await redis.end();
});

type Health = {
  readonly status: string;
  readonly checks: ReadonlyArray<{ readonly name: string; readonly ok: boolean }>;
};
const redisCheck = async (server: TestServer) => {
  const { status, body } = await server.get<Health>("/readyz");
  return { status, ok: body.checks.find(({ name }) => name === "redis")?.ok };
};
/** Both servers have the session at hand. */
const warm = async (bearer: string): Promise<void> => {
  for (const server of [one, other, one, other]) expect(await statusOfMe(server, bearer)).toBe(200);
};

test("SE-4 a session that is revoked through one server is dead at the other with the next request", async () => {
  for (let round = 0; round < 20; round++) {
    const { session_token } = await newSession(one);
    await warm(session_token);
    expect((await other.post("/api/v1/auth/logout", undefined, { bearer: session_token })).status).toBe(204);
    expect(await statusOfMe(one, session_token)).toBe(401);
  }
});

test("SE-4 what the command line ends or changes counts with the next request", async () => {
  const { session_id, session_token } = await newSession(one);
  await warm(session_token);
  const revoked = await authctl(one.env, ["session", "revoke", session_id, "--yes"]);
  expect(revoked.code, revoked.stderr).toBe(0);
  for (const server of [one, other]) expect(await statusOfMe(server, session_token)).toBe(401);

  const { user, access_token } = await newTokens(one);
  await warm(access_token);
  expect((await authctl(one.env, ["admin", "grant", user.email])).code).toBe(0);
  for (const server of [one, other]) {
    const { body } = await server.get<{ is_admin: boolean }>("/api/v1/users/me", { bearer: access_token });
    expect(body.is_admin).toBe(true);
  }
});

test("SE-3 what a role permits, and that there is none, counts at both servers with the next request", async () => {
  const { user, access_token: bearer } = await newTokens(one);
  const role = await newRole(one, ["app:use"]);
  await give(one, user.id, role);
  await warm(bearer);
  const admitted = async () =>
    await Promise.all([one, other].map(async (at) => (await at.get("/api/v1/roles", { bearer })).status));
  expect(await admitted()).toEqual([403, 403]);
  expect((await authctl(one.env, ["role", "permission", "add", role, "roles:read"])).code).toBe(0);
  expect(await admitted()).toEqual([200, 200]);
  await warm(bearer);
  expect((await authctl(one.env, ["role", "delete", role, "--yes"])).code).toBe(0);
  expect(await admitted()).toEqual([403, 403]);
  for (const server of [one, other]) {
    const { body } = await server.get<{ roles: string[] }>("/api/v1/users/me", { bearer });
    expect(body.roles).toEqual(["user"]);
  }
});

test("SE-4 sign-out everywhere against parallel checks at both servers leaves no survivor", async () => {
  for (let round = 0; round < 10; round++) {
    const { access_token } = await newTokens(one);
    await warm(access_token);
    const done = new AbortController();
    const checking = [one, other].map(async (server) => {
      while (!done.signal.aborted) await statusOfMe(server, access_token);
    });
    expect((await one.post("/api/v1/auth/logout-all", undefined, { bearer: access_token })).status).toBe(200);
    for (const server of [one, other]) expect(await statusOfMe(server, access_token)).toBe(401);
    done.abort();
    await Promise.all(checking);
    for (const server of [one, other]) expect(await statusOfMe(server, access_token)).toBe(401);
  }
});

test("requests are counted together", async () => {
  const servers: TestServer[] = [];
  for (const _ of [1, 2]) {
    const env = {
      REDIS_URL: redis.directUrl,
      RATE_LIMITS: "on",
      RATE_LIMIT_REQUESTS: "30/1m",
      DATA_DIR: one.directory,
    };
    servers.push(await startServer(env));
  }
  await redis.client.flushall();
  const statuses: number[] = [];
  for (let sent = 0; sent < 40; sent++) statuses.push((await servers[sent % 2]!.get("/")).status);
  expect(statuses.filter((status) => status === 200)).toHaveLength(30);
  expect(statuses.lastIndexOf(200)).toBe(29);
  for (const server of servers) await server.end();
});

test("nothing but speed is lost with Redis: not while it is slow, nor gone, nor at a start, and it comes back by itself", async () => {
  const { session_token } = await newSession(one);
  const works = async (server: TestServer) => {
    const { email } = await signUp(server);
    expect(email).toBeDefined();
    const fresh = await newTokens(server);
    expect(await statusOfMe(server, fresh.access_token)).toBe(200);
    const refreshed = await server.post("/api/v1/auth/refresh", { refresh_token: fresh.refresh_token });
    expect(refreshed.status).toBe(200);
    expect((await server.post("/api/v1/auth/logout", undefined, { bearer: fresh.access_token })).status).toBe(204);
    expect(await statusOfMe(server, fresh.access_token)).toBe(401);
    expect(await statusOfMe(server, session_token)).toBe(200);
  };
  expect(await redisCheck(one)).toEqual({ status: 200, ok: true });

  redis.slow(200);
  await works(one);
  await redis.kill();
  redis.slow(0);
  await works(other);
  await Bun.sleep(1_000);
  expect(await redisCheck(one)).toEqual({ status: 200, ok: false });

  await one.restart();
  expect(one.log.filter((line) => line.event === "redis_unavailable").length).toBeGreaterThan(0);
  await works(one);

  await redis.start();
  for (let waited = 0; !(await redisCheck(one)).ok; waited++) {
    expect(waited).toBeLessThan(40);
    await Bun.sleep(100);
  }
  await works(one);
  expect([...one.log, ...other.log].filter((line) => Number(line["status"]) >= 500)).toEqual([]);
});
