import { afterAll, describe, expect, test } from "bun:test";
import { databaseMetrics, workerMetrics } from "../../src/adapters/metrics.ts";
import { grantRole } from "../../src/core/roles.ts";
import { disableUser } from "../../src/core/users.ts";
import { safariAgent, type Tokens } from "../support/client.ts";
import { authctl } from "../support/command.ts";
import { goodPassword, root } from "../support/core.ts";
import { dialect } from "../support/database.ts";
import { freePort } from "../support/free-port.ts";
import { metricsToken, parseMetrics, readMetrics, scrape } from "../support/metrics.ts";
import { readRoutes } from "../support/openapi.ts";
import { besides, expectProblem, newEmail, newSession, newTokens, signIn, signUp } from "../support/people.ts";
import { startServer } from "../support/server.ts";
import { bare, sendRaw } from "../support/wire.ts";

const ownPort = await freePort();
const server = await startServer({ METRICS_TOKEN: metricsToken });
afterAll(server.end);

describe("GET /metrics is for", () => {
  test("whoever has the token, and nobody who has nearly the token", async () => {
    const answer = await scrape(server);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([
      200,
      "text/plain; version=0.0.4; charset=utf-8",
    ]);
    for (const wrong of [`${metricsToken}x`, metricsToken.slice(0, -1), metricsToken.replace("0", "1"), "x"])
      expectProblem(await scrape(server, wrong), 401, "unauthenticated");
  });

  test("nobody who sends the token elsewhere", async () => {
    expectProblem(await server.get("/metrics"), 401, "unauthenticated");
    for (const headers of [
      { cookie: `access_token=${metricsToken}; session=${metricsToken}` },
      { authorization: `Basic ${btoa(`metrics:${metricsToken}`)}` },
      { "x-api-key": metricsToken },
    ])
      expectProblem(await server.get("/metrics", { headers }), 401, "unauthenticated");
    expectProblem(await server.get(`/metrics?token=${metricsToken}`), 401, "unauthenticated");
  });

  test("users with the permission metrics:read alone", async () => {
    const person = await signUp(server);
    const { access_token } = await signIn(server, { email: person.email });
    expectProblem(await scrape(server, access_token), 403, "forbidden");
    await besides(server, (core) => grantRole(core, root, person.id, "admin"));
    expect((await scrape(server, access_token)).status).toBe(200);
  });

  test("nobody by a token where none is set", async () => {
    const without = await startServer();
    for (const bearer of ["", "undefined", metricsToken])
      expectProblem(await scrape(without, bearer), 401, "unauthenticated");
    await without.end();
  });
});

describe("the text", () => {
  test("has every metric of the table that there is anything to say of, and keeps to the conventions", async () => {
    await newTokens(server);
    const { text } = await scrape(server);
    const { families, problems } = parseMetrics(text);
    expect(problems).toEqual([]);
    const found = families.map(({ name }) => name);
    // Nothing is limited here, nothing has run, and there is no Redis.
    const silent = /_(redis_\w+|limit_decisions_total|last_(success|failure)_timestamp_seconds)$/;
    const noPool = /_database_connections/;
    const expected = Object.keys({ ...workerMetrics, ...databaseMetrics }).filter(
      (name) => !silent.test(name) && (dialect === "postgres" || !noPool.test(name)),
    );
    expect(found.toSorted()).toEqual(expected.toSorted());
  });

  test("passes `promtool check metrics`", async () => {
    const promtool = Bun.which("promtool");
    // Where it is missing, the reader above has looked for the same, and for more.
    if (promtool === null) return expect(parseMetrics((await scrape(server)).text).problems).toEqual([]);
    const { text } = await scrape(server);
    const child = Bun.spawn([promtool, "check", "metrics"], {
      stdin: Buffer.from(text),
      stdout: "pipe",
      stderr: "pipe",
    });
    const said = (await child.stdout.text()) + (await child.stderr.text());
    expect({ said, code: await child.exited }).toEqual({ said: "", code: 0 });
  });

  test("is read strictly by these tests", () => {
    const wrong = {
      "a counter by another name": "# HELP a_seconds A.\n# TYPE a_seconds counter\na_seconds 1\n",
      "no help": "# TYPE a_total counter\na_total 1\n",
      "no base unit": "# HELP a_ms A.\n# TYPE a_ms gauge\na_ms 1\n",
      "a broken label": '# HELP a A.\n# TYPE a gauge\na{b="c"d"} 1\n',
      "a series twice": "# HELP a A.\n# TYPE a gauge\na 1\na 2\n",
      "a family twice": "# HELP a A.\n# TYPE a gauge\na 1\n# HELP a A.\n# TYPE a gauge\na 1\n",
      "buckets that fall":
        '# HELP h A.\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
    };
    for (const [what, text] of Object.entries(wrong)) expect(parseMetrics(text).problems, what).not.toEqual([]);
    expect(parseMetrics("# HELP a_total A.\n# TYPE a_total counter\na_total 1\n").problems).toEqual([]);
  });
});

/** How much more of something was counted by the end of `work`. */
async function added(work: () => Promise<unknown>) {
  const before = await readMetrics(server);
  await work();
  const after = await readMetrics(server);
  return (name: string, labels?: Record<string, string>): number =>
    (after.value(name, labels) ?? 0) - (before.value(name, labels) ?? 0);
}

const post = (path: string, body: object, headers: Record<string, string> = {}) =>
  server.post<Tokens>(`/api/v1/auth/${path}`, body, { headers });

describe("what is counted", () => {
  test("requests, by their pattern and their status", async () => {
    const { session_token: bearer } = await newSession(server);
    const more = await added(async () => {
      for (let times = 0; times < 3; times++) await server.get("/api/v1/users/me", { bearer });
      await server.get("/api/v1/users/me");
      await server.delete("/api/v1/sessions/one", undefined, { bearer });
      await server.delete("/api/v1/sessions/two", undefined, { bearer });
      await server.get("/nothing/here");
    });
    const requests = "authctl_http_requests_total";
    expect(more(requests, { method: "GET", route: "/api/v1/users/me", status: "200" })).toBe(3);
    expect(more(requests, { method: "GET", route: "/api/v1/users/me", status: "401" })).toBe(1);
    expect(more(requests, { method: "DELETE", route: "/api/v1/sessions/:id", status: "404" })).toBe(2);
    expect(more(requests, { route: "unmatched", status: "404" })).toBe(1);
    expect(more("authctl_http_request_duration_seconds_count", { route: "/api/v1/users/me" })).toBe(4);
    expect(more("authctl_http_request_duration_seconds_sum", { route: "/api/v1/users/me" })).toBeGreaterThan(0);
  });

  test("sign-ins, by what came of them", async () => {
    const [good, disabled] = [await signUp(server), await signUp(server)];
    await besides(server, (core) => disableUser(core, root, disabled.id));
    const signInAs = (email: string, password = goodPassword) => post("login", { email, password });
    const more = await added(async () => {
      await signInAs(good.email);
      await signInAs(good.email);
      await signInAs(good.email, `${goodPassword}!`);
      await signInAs(newEmail("nobody"));
      await signInAs(disabled.email);
    });
    const results = Object.fromEntries(
      ["succeeded", "wrong-password", "unknown-user", "disabled", "failed"].map((result) => [
        result,
        more("authctl_sign_ins_total", { result }),
      ]),
    );
    expect(results).toEqual({ succeeded: 2, "wrong-password": 1, "unknown-user": 1, disabled: 1, failed: 0 });
    expect(more("authctl_hashing_duration_seconds_count")).toBe(5);
    expect(more("authctl_hashing_wait_seconds_count")).toBe(5);
  });

  test("refreshes, by what came of them", async () => {
    const refresh = (refresh_token: string, headers?: Record<string, string>) =>
      post("refresh", { refresh_token }, headers);
    const [one, other] = [await newTokens(server), await newTokens(server)];
    const more = await added(async () => {
      const { body: second } = await refresh(one.refresh_token);
      await refresh(one.refresh_token);
      const { body: third } = await refresh(second.refresh_token);
      expectProblem(await refresh(one.refresh_token), 401, "refresh_token_reused");
      expectProblem(await refresh(third.refresh_token), 401, "unauthenticated");
      await refresh("rt1.nonsense");
      const moved = { "user-agent": safariAgent };
      expectProblem(await refresh(other.refresh_token, moved), 403, "session_hijack_suspected");
    });
    const outcomes = Object.fromEntries(
      ["rotated", "retried", "late", "reused", "another-client", "refused"].map((outcome) => [
        outcome,
        more("authctl_refreshes_total", { outcome }),
      ]),
    );
    expect(outcomes).toEqual({ rotated: 2, retried: 1, late: 0, reused: 1, "another-client": 1, refused: 2 });
  });

  test("what the database was asked, and its connections", async () => {
    const { session_token: bearer } = await newSession(server);
    const more = await added(() => server.get("/api/v1/users/me", { bearer }));
    expect(more("authctl_database_duration_seconds_count", { kind: "read" })).toBeGreaterThanOrEqual(1);
    const written = await added(() => signUp(server));
    // What follows from it is written soon after: the mail on its way, and the chain of the audit trail.
    expect(written("authctl_database_duration_seconds_count", { kind: "write" })).toBeGreaterThanOrEqual(1);
    // An address that is taken is no trouble of the database, though its transaction was taken back.
    const { email } = await signUp(server);
    const refused = await added(() => post("register", { email, password: goodPassword }));
    expect(refused("authctl_database_failures_total")).toBe(0);
    const { value } = await readMetrics(server);
    const used = value("authctl_database_connections", { state: "idle" });
    if (dialect === "postgres") expect(used).toBeGreaterThan(0);
    else expect(used).toBeUndefined();
  });

  test("decisions of limits", async () => {
    const limited = await startServer({
      METRICS_TOKEN: metricsToken,
      RATE_LIMITS: "on",
      RATE_LIMIT_SIGN_IN_ACCOUNT: "2/15m",
    });
    const { email } = await signUp(limited);
    const password = `${goodPassword}!`;
    for (let times = 0; times < 3; times++) await limited.post("/api/v1/auth/login", { email, password });
    const { value } = await readMetrics(limited);
    const decisions = (limit: string, outcome: string) => value("authctl_limit_decisions_total", { limit, outcome });
    expect(decisions("sign_in_account", "allowed")).toBe(2);
    expect(decisions("sign_in_account", "refused")).toBe(1);
    // Who is refused by the first limit is not held against the next one.
    expect([decisions("sign_in_address", "allowed"), decisions("sign_in_address", "refused")]).toEqual([2, undefined]);
    expect(decisions("requests", "allowed")).toBe(4);
    expect(value("authctl_sign_ins_total", { result: "rate-limited" })).toBe(1);
    await limited.end();
  });

  test("what the whole database knows: sessions, mails, keys and jobs", async () => {
    const fresh = await startServer({ METRICS_TOKEN: metricsToken });
    await newTokens(fresh);
    await newSession(fresh);
    expect((await authctl(fresh.env, ["token", "purge"])).code).toBe(0);
    const { value } = await readMetrics(fresh);
    expect(value("authctl_sessions_alive")).toBe(2);
    expect(value("authctl_mails", { state: "dead" })).toBe(0);
    expect(value("authctl_database_size_bytes")).toBeGreaterThan(10_000);
    const now = Date.now() / 1000;
    for (const [name, labels] of [
      ["authctl_job_last_success_timestamp_seconds", { job: "purge" }],
      ["authctl_signing_key_published_timestamp_seconds", { algorithm: "ES256", state: "active" }],
      ["authctl_signing_key_published_timestamp_seconds", { algorithm: "ES256", state: "next" }],
    ] as const) {
      expect(value(name, labels)).toBeGreaterThan(now - 300);
      expect(value(name, labels)).toBeLessThan(now + 5);
    }
    await fresh.end();
  });

  test("the process itself", async () => {
    const { value } = await readMetrics(server);
    expect(value("process_cpu_seconds_total")).toBeGreaterThan(0);
    expect(value("process_resident_memory_bytes")).toBeGreaterThan(10_000_000);
    expect(value("process_start_time_seconds")).toBeLessThan(Date.now() / 1000 + 5);
    expect(value("authctl_event_loop_lag_seconds_count")).toBeGreaterThan(0);
    expect(value("authctl_build_info")).toBe(1);
  });
});

test("no label holds anything that was sent", async () => {
  const marker = "zqMarkerqz";
  for (const line of [
    `GET /${marker}`,
    `${marker.toUpperCase()} /`,
    `DELETE /api/v1/sessions/${marker}`,
    `GET /?${marker}`,
  ])
    await sendRaw(server.url, bare(line, `User-Agent: ${marker}`, `X-Request-Id: ${marker}`));
  await post("login", { email: `${marker}@example.com`, password: marker });
  await post("refresh", { refresh_token: marker });
  const { samples } = await readMetrics(server);
  const routes = new Set((await readRoutes(server)).map(({ path }) => path.replace(/\{(\w+)\}/g, ":$1")));
  const words = new Set<string>();
  for (const { labels } of samples) {
    const { route, worker, version, bun, le, status, ...others } = labels;
    if (route !== undefined && !routes.has(route)) words.add(route);
    for (const value of Object.values(others)) words.add(value);
    expect(worker ?? "1").toBe("1");
    expect([version ?? "0.1.0", bun ?? Bun.version]).toEqual(["0.1.0", Bun.version]);
    expect(`${le ?? "1"} ${status ?? "200"}`).toMatch(/^(\+Inf|[\d.]+) [1-5]\d\d$/);
  }
  for (const word of words) expect(word).toMatch(/^([a-z_-]{2,20}|ES256|[A-Z]{3,7}|\/openapi\.json|\/docs.*)$/);
  expect([...words].join(" ").toLowerCase()).not.toContain(marker.toLowerCase());
});

describe("a door of its own", () => {
  const url = `http://127.0.0.1:${ownPort}`;

  test("is open where there is no token, and leads to nothing else", async () => {
    const own = await startServer({ METRICS_PORT: String(ownPort) });
    const answer = await fetch(`${url}/metrics`);
    expect([answer.status, parseMetrics(await answer.text()).problems]).toEqual([200, []]);
    for (const path of ["/", "/health", "/api/v1/users/me", "/openapi.json"])
      expect((await fetch(url + path)).status).toBe(404);
    expect((await fetch(`${url}/metrics`, { method: "POST" })).status).toBe(405);
    expectProblem(await own.get("/metrics"), 401, "unauthenticated");
    expect(await own.stop()).toBe(0);
    expect(fetch(`${url}/metrics`)).rejects.toThrow();
    await own.end();
  });

  test("is closed where there is one", async () => {
    const own = await startServer({ METRICS_PORT: String(ownPort), METRICS_TOKEN: metricsToken });
    const ask = async (headers: Record<string, string>) => (await fetch(`${url}/metrics`, { headers })).status;
    expect(await ask({})).toBe(401);
    expect(await ask({ authorization: `Bearer ${metricsToken}x` })).toBe(401);
    expect(await ask({ authorization: `Bearer ${metricsToken}` })).toBe(200);
    await own.end();
  });
});
