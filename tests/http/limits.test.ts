import { afterAll, describe, expect, test } from "bun:test";
import { isCounted } from "../../src/http/limits.ts";
import type { Answer, Tokens } from "../support/client.ts";
import { CookieJar } from "../support/cookie-jar.ts";
import { goodPassword } from "../support/core.ts";
import { expectProblem, newEmail, signIn, signInForSession, signUp, statusOfMe } from "../support/people.ts";
import { startServer, type TestServer } from "../support/server.ts";

const servers: TestServer[] = [];
const start = async (env: Record<string, string>): Promise<TestServer> => {
  const server = await startServer({ RATE_LIMITS: "on", ...env });
  servers.push(server);
  return server;
};
afterAll(() => Promise.all(servers.map((server) => server.end())));

const fieldsOf = ({ headers }: Answer<unknown>) => ({
  policy: headers.get("ratelimit-policy"),
  state: headers.get("ratelimit"),
});
const remainingOf = (answer: Answer<unknown>): number => Number(/;r=(\d+)/.exec(fieldsOf(answer).state ?? "")?.[1]);
const times = async <T>(many: number, work: () => Promise<T>): Promise<T[]> => {
  const all: T[] = [];
  while (all.length < many) all.push(await work());
  return all;
};

describe("requests of one address", () => {
  test("are let through up to the limit, each told what is left; the next is told when to come back", async () => {
    const server = await start({ RATE_LIMIT_REQUESTS: "20/1m" });
    const good = await times(20, () => server.get("/"));
    expect(good.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
    expect(good.map(remainingOf)).toEqual(Array.from({ length: 20 }, (_, at) => 19 - at));
    expect(fieldsOf(good[0]!)).toEqual({ policy: '"requests";q=20;w=60', state: '"requests";r=19;t=60' });

    const refused = await server.get("/");
    expectProblem(refused, 429, "rate_limited");
    expect(fieldsOf(refused).policy).toBe('"requests";q=20;w=60');
    const retryAfter = Number(refused.headers.get("retry-after"));
    expect(retryAfter).toBeGreaterThan(30);
    expect(retryAfter).toBeLessThanOrEqual(60);
    expect(fieldsOf(refused).state).toBe(`"requests";r=0;t=${retryAfter}`);
  });

  test("are counted whatever comes of them, in parallel too, but for probes, keys and the docs page", async () => {
    const server = await start({ RATE_LIMIT_REQUESTS: "20/1m" });
    const free = ["/livez", "/readyz", "/health", "/.well-known/jwks.json", "/docs", "/openapi.json", "/docs/init.js"];
    for (const path of free) {
      const answer = await server.get(path);
      expect([path, answer.status, fieldsOf(answer)]).toEqual([path, 200, { policy: null, state: null }]);
    }
    const asks = [
      () => server.get("/nowhere"),
      () => server.get("/api/v1/users/me", { headers: { "x-forwarded-for": newEmail() } }),
      () => server.post("/api/v1/auth/login", "{"),
      () => server.delete("/livez/x"),
    ];
    const answers = await Promise.all(Array.from({ length: 60 }, (_, at) => asks[at % 4]!()));
    expect(answers.filter(({ status }) => status !== 429)).toHaveLength(20);
    for (const path of free) expect((await server.get(path)).status).toBe(200);
  });

  test("begin anew when the window is over", async () => {
    const server = await start({ RATE_LIMIT_REQUESTS: "3/1s" });
    const statuses = (await times(4, () => server.get("/"))).map(({ status }) => status);
    expect(statuses).toEqual([200, 200, 200, 429]);
    await Bun.sleep(1100);
    expect((await server.get("/")).status).toBe(200);
  });

  test("are not counted where limits are off", async () => {
    const server = await start({ RATE_LIMITS: "off", RATE_LIMIT_REQUESTS: "1/1m" });
    const answers = await times(5, () => server.get("/"));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(answers.map(fieldsOf)).toEqual(answers.map(() => ({ policy: null, state: null })));
  });
});

describe("LI-1 sign-ups and refreshes of one address", () => {
  const register = (server: TestServer) =>
    server.post("/api/v1/auth/register", { email: newEmail(), password: goodPassword });
  const refresh = (server: TestServer, refresh_token: string) =>
    server.post<Tokens>("/api/v1/auth/refresh", { refresh_token });

  test("sign-ups end at the limit, at every path and in parallel; other requests go on", async () => {
    const server = await start({ RATE_LIMIT_REGISTER: "3/1h", COMPAT_PATHS: "on" });
    const asks = [register, () => server.post("/auth/register", { email: newEmail(), password: goodPassword })];
    const answers = await Promise.all(Array.from({ length: 20 }, (_, at) => asks[at % 2]!(server)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(3);
    const refused = await register(server);
    expectProblem(refused, 429, "rate_limited");
    expect(fieldsOf(refused).policy).toBe('"requests";q=6000;w=60, "register";q=3;w=3600');
    const retryAfter = Number(refused.headers.get("retry-after"));
    expect(retryAfter).toBeGreaterThan(3500);
    expect(fieldsOf(refused).state).toMatch(new RegExp(`^"requests";r=\\d+;t=\\d+, "register";r=0;t=${retryAfter}$`));
    expect((await server.get("/")).status).toBe(200);
    expectProblem(
      await server.post("/api/v1/auth/login", { email: newEmail(), password: "x" }),
      401,
      "invalid_credentials",
    );
  });

  test("a refresh beyond the limit is told when to come back, and ends neither the session nor its cookies", async () => {
    const server = await start({ RATE_LIMIT_REFRESH: "2/2s" });
    const { email } = await signUp(server);
    const tokens = await signIn(server, { email });
    const jar = new CookieJar();
    await server.post("/api/v1/auth/login", { email, password: goodPassword, delivery: "cookie" }, { jar });
    expect((await refresh(server, "rt1.nonsense")).status).toBe(401);
    const second = await refresh(server, tokens.refresh_token);
    expect(fieldsOf(second).state).toMatch(/, "refresh";r=0;t=[12]$/);

    const refused = await refresh(server, second.body.refresh_token);
    expectProblem(refused, 429, "rate_limited");
    expect(Number(refused.headers.get("retry-after"))).toBeWithin(1, 3);
    const byCookie = await server.post("/api/v1/auth/refresh", undefined, { jar });
    expectProblem(byCookie, 429, "rate_limited");
    expect(byCookie.cookies).toEqual([]);
    expect(await statusOfMe(server, second.body.access_token)).toBe(200);
    await Bun.sleep(2100);
    expect((await refresh(server, second.body.refresh_token)).status).toBe(200);
    expect((await server.post("/api/v1/auth/refresh", undefined, { jar })).status).toBe(200);
  });

  test("are not counted where limits are off", async () => {
    const server = await start({ RATE_LIMITS: "off", RATE_LIMIT_REGISTER: "1/1h", RATE_LIMIT_REFRESH: "1/1h" });
    const answers = [...(await times(3, () => register(server))), ...(await times(3, () => refresh(server, "x")))];
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 401, 401, 401]);
  });
});

describe("LI-0 passwords tried on one account", () => {
  test("are ten through both forms, known and unknown alike, and a live session goes on, to a new password too", async () => {
    const server = await start({});
    const { email } = await signUp(server);
    const { session_token } = await signInForSession(server, { email });
    const ways = [
      (name: string) => server.post("/api/v1/auth/login", { email: name, password: "wrong" }),
      (name: string) => {
        const headers = { "content-type": "application/x-www-form-urlencoded" };
        return server.post(
          "/api/v1/auth/login-form",
          String(new URLSearchParams({ username: name, password: "wrong" })),
          {
            headers,
          },
        );
      },
    ];
    const told: unknown[] = [];
    for (const name of [email, newEmail("nobody")]) {
      for (let done = 0; done < 10; done++) expectProblem(await ways[done % 2]!(name), 401, "invalid_credentials");
      for (const way of ways) {
        const refused = await way(name);
        const { request_id: _, ...problem } = expectProblem(refused, 429, "rate_limited");
        expect(refused.headers.get("ratelimit-policy")).toBe('"requests";q=6000;w=60, "sign_in_account";q=10;w=900');
        expect(refused.headers.get("ratelimit")).toMatch(
          /^"requests";r=\d+;t=\d+, "sign_in_account";r=0;t=(8\d\d|900)$/,
        );
        expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(800);
        told.push(problem);
      }
    }
    expect(new Set(told.map((one) => JSON.stringify(one))).size).toBe(1);
    expectProblem(await server.post("/api/v1/auth/login", { email, password: goodPassword }), 429, "rate_limited");
    expect(await statusOfMe(server, session_token)).toBe(200);
    const change = { current_password: goodPassword, new_password: "another good long phrase" };
    const changed = await server.post("/api/v1/users/me/password", change, { bearer: session_token });
    expect(changed.status, changed.text).toBe(204);

    await server.restart();
    const next = { email, password: change.new_password };
    expectProblem(await server.post("/api/v1/auth/login", next), 429, "rate_limited");
  });
});

describe("LI-2 an account that strangers have locked", () => {
  const proxied = { TRUSTED_PROXIES: "127.0.0.1" };
  const from = (ip: string) => ({ "x-forwarded-for": ip });
  const login = "/api/v1/auth/login";

  test("lets in the browser of its owner, signed out or not, and no other", async () => {
    const server = await start(proxied);
    const { email } = await signUp(server);
    const jar = new CookieJar();
    const choice = { email, password: goodPassword, delivery: "cookie" };
    expect((await server.post(login, choice, { jar })).status).toBe(200);
    expect((await server.post("/api/v1/auth/logout", undefined, { jar })).status).toBe(204);
    const device = jar.get("device");
    expect(jar.names).toEqual(["device"]);
    expect(await statusOfMe(server, device ?? "")).toBe(401);

    const eve = new CookieJar();
    const other = await signUp(server);
    await server.post(login, { ...choice, email: other.email }, { jar: eve });
    await times(11, () => server.post(login, { email, password: "wrong" }, { headers: from("203.0.113.5") }));
    for (const sending of [{}, { jar: eve }]) {
      expectProblem(await server.post(login, choice, sending), 429, "rate_limited");
    }
    expect((await server.post(login, choice, { jar, headers: from("192.0.2.9") })).status).toBe(200);
    expect(jar.get("device")).toBe(device);
  });

  test("lets in by the form too", async () => {
    const server = await start({});
    const { email } = await signUp(server);
    const jar = new CookieJar();
    await server.post(login, { email, password: goodPassword, delivery: "cookie" }, { jar });
    await times(11, () => server.post(login, { email, password: "wrong" }));
    const form = String(new URLSearchParams({ username: email, password: goodPassword }));
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    expectProblem(await server.post("/api/v1/auth/login-form", form, { headers }), 429, "rate_limited");
    expect((await server.post("/api/v1/auth/login-form", form, { headers, jar })).status).toBe(200);
  });
});

test.each([
  ["http://localhost/livez", false],
  ["http://localhost/livez?x=1", false],
  ["http://localhost:8000/docs/swagger-ui.css", false],
  ["http://localhost/docs/a/b", true],
  ["http://localhost/livez/", true],
  ["http://localhost//livez", true],
  ["http://localhost/x?/livez", true],
  ["http://localhost", true],
  ["/livez", true],
])("whether %s is counted is %p", (url, counted) => {
  expect(isCounted(url)).toBe(counted);
});
