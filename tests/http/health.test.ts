import { afterAll, describe, expect, test } from "bun:test";
import { version } from "../../package.json";
import { createApp } from "../../src/http/app.ts";
import { openTestCore } from "../support/core.ts";
import { rawSql } from "../support/database.ts";
import { startServer } from "../support/server.ts";

const server = await startServer();
afterAll(server.end);

test("GET / says who this is, and where the rest stands", async () => {
  const { status, body } = await server.get<{ links: Record<string, string> }>("/");
  expect(status).toBe(200);
  expect(body).toMatchObject({ name: "authctl", version });
  for (const link of Object.values(body.links)) expect((await server.get(link)).status).toBe(200);
});

test.each(["/health", "/readyz"])("GET %s is 200 with every part that was checked", async (path) => {
  const { status, body } = await server.get<unknown>(path);
  expect(status).toBe(200);
  const times = { latency_ms: expect.any(Number), age_ms: expect.any(Number) };
  expect(body).toEqual({
    status: "ok",
    checks: ["database", "schema", "signing_key"].map((name) => ({ name, ok: true, ...times })),
  });
});

test("GET /livez asks nothing of any part", async () => {
  const { status, body } = await server.get<unknown>("/livez");
  expect([status, body]).toEqual([200, { status: "ok", checks: [] }]);
});

test("the database is proven by a write, and the server is gone from it after a stop", async () => {
  const seen = async () => (await rawSql(server, "SELECT seen_at FROM servers")).length;
  await server.get("/health");
  expect(await seen()).toBe(1);
  expect(await server.stop()).toBe(0);
  expect(await seen()).toBe(0);
  await server.restart();
  expect(server.log.map((line) => line.event).filter((event) => event !== "request")).toEqual([
    "listening",
    "draining",
    "stopped",
    "listening",
  ]);
  expect(server.errors()).toBe("");
});

describe("where something is wrong", () => {
  const about = { version, reusePort: false };
  const good = { ok: true, checks: [{ name: "database", ok: true, latency: 3, age: 250 }] } as const;
  const bad = { ok: false, checks: [{ name: "database", ok: false, latency: 3, age: 250 }] } as const;

  test.each([
    ["draining", good, true],
    ["unavailable", bad, false],
    ["draining", bad, true],
  ] as const)("it is %s with 503, and alive all the same", async (status, health, draining) => {
    const core = await openTestCore();
    const app = createApp(core, { ...about, health: () => Promise.resolve(health), isDraining: () => draining });
    const ask = (path: string) => app.handle(new Request(`http://localhost${path}`));
    for (const path of ["/health", "/readyz"]) {
      const answer = await ask(path);
      expect(answer.status).toBe(503);
      const checks = [{ name: "database", ok: health.ok, latency_ms: 3, age_ms: 250 }];
      expect(await answer.json()).toEqual({ status, checks });
    }
    expect((await ask("/livez")).status).toBe(200);
    await core.close();
  });
});
