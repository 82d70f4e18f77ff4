import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { parts, toy } from "./toy.ts";

const server = toy();
afterAll(server.stop);
beforeEach(() => void (server.lines.length = 0));

const request = (line: string, ...headers: string[]) =>
  server.raw([line, "Host: localhost", "Connection: close", ...headers, "", ""].join("\r\n"));

describe("BR-3 every answer", () => {
  const kinds = [
    ["an object", "GET", "/object", 200],
    ["a text", "GET", "/", 200],
    ["a Response", "GET", "/response", 200],
    ["a fixed Response", "GET", "/static", 200],
    ["no body", "GET", "/empty", 204],
    ["a HEAD", "HEAD", "/object", 200],
    ["a HEAD of a pattern", "HEAD", "/users/7", 200],
    ["a HEAD that fails", "HEAD", "/broken", 500],
    ["an unknown path", "GET", "/nothing", 404],
    ["a HEAD of an unknown path", "HEAD", "/nothing", 404],
    ["a wrong method", "PUT", "/object", 405],
    ["a failure", "GET", "/busy", 503],
    ["a defect", "GET", "/broken", 500],
    ["a thrown text", "GET", "/thrown/text", 500],
    ["a thrown nothing", "GET", "/thrown/nothing", 500],
    ["a thrown nothing, later", "GET", "/thrown/late-nothing", 500],
    ["a body of the wrong type", "POST", "/login", 415],
  ] as const;

  test.each(kinds)("has the security headers and a request id: %s", async (_, method, path, expected) => {
    const { status, headers } = await server.fetch(path, { method, ...(method === "POST" && { body: "x" }) });
    expect(status).toBe(expected);
    expect(Object.fromEntries(headers)).toMatchObject({
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "referrer-policy": "no-referrer",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-resource-policy": "same-origin",
      "permissions-policy": "camera=(), geolocation=(), microphone=()",
      "strict-transport-security": "max-age=31536000; includeSubDomains",
      "cache-control": "no-store",
    });
    expect(headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("leaves caching to a route that says otherwise", async () => {
    expect((await server.fetch("/jwks")).headers.get("cache-control")).toBe("public, max-age=300");
  });

  test("speaks of HSTS only where the public address is https", async () => {
    const plain = toy({ PUBLIC_URL: "http://localhost:8000" });
    expect((await plain.fetch("/object")).headers.has("strict-transport-security")).toBe(false);
    await plain.stop();
  });
});

describe("IO-3 the request id", () => {
  test.each(["a", "req-1.2_3", "x".repeat(128)])("is the caller's own where it can stand in a log: %s", async (id) => {
    const answer = await server.fetch("/whoami", { headers: { "x-request-id": id } });
    expect(answer.headers.get("x-request-id")).toBe(id);
    expect(await answer.json()).toEqual({ requestId: id, ip: "127.0.0.1", allowances: [], delivery: "body" });
    expect(server.accessLines()).toMatchObject([{ request_id: id }]);
  });

  test.each(["a b", "x".repeat(129), "a/b", "<script>", "a,b", ""])("is a new one otherwise: %p", async (id) => {
    const answer = await server.fetch("/nothing", { headers: { "x-request-id": id } });
    expect(answer.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
    expect(await answer.json()).toMatchObject({ request_id: answer.headers.get("x-request-id") });
  });

  test("is a new one where two came", async () => {
    const { headers } = parts(await request("GET /object HTTP/1.1", "X-Request-Id: a", "X-Request-Id: b"));
    expect(headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe("a path", () => {
  test.each([
    "//object",
    "/object/",
    "//",
    "/Object",
    "/%6fbject",
    "/users//7",
    "/users/7/",
    "/users/7;x=1",
    "/users/a%2fb",
    "/users/a%5Cb",
    "/users/a%2Eb",
    "/users/a#b",
    "/object;x",
    "/users/%2e%2e%2fobject",
    `/users/${"a".repeat(2048)}`,
  ])("is known in one spelling only: %s", async (path) => {
    const { status, headers, body } = parts(await request(`GET ${path} HTTP/1.1`));
    expect(status).toBe(404);
    expect(headers.get("content-type")).toBe("application/problem+json");
    expect(JSON.parse(body)).toMatchObject({ status: 404, code: "not_found" });
  });

  test.each([
    "/users/%zz",
    "/users/%ff",
    "/users/%00",
    "/%c0%af",
    "/page?q=%zz",
    "/page?%ff=1",
    "/page?q=%00",
    "/page?q=%ed%a0%80",
  ])("or query that is no UTF-8 text is malformed: %s", async (path) => {
    const { status, body } = parts(await request(`GET ${path} HTTP/1.1`));
    expect(status).toBe(400);
    expect(JSON.parse(body)).toMatchObject({ code: "malformed_request" });
  });

  test("gives its parameters decoded, up to the longest path", async () => {
    expect(await (await server.fetch("/users/a%20b")).json()).toEqual({ id: "a b" });
    expect((await server.fetch(`/users/${"a".repeat(2048 - "/users/".length)}`)).status).toBe(200);
  });

  test.each(["a/b", "a@b", "a b", ""])("is not found by means of a Host that is none: %p", async (host) => {
    const answer = await server.raw(`GET /aaaaaaa/object HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    expect(parts(answer).status).toBe(400);
  });

  test("is not found by means of two hosts, whichever comes first (BR-4)", async () => {
    for (const hosts of [
      "localhost\r\nHost: evil.example",
      "evil.example\r\nHost: localhost",
      "localhost, evil.example",
    ]) {
      const answer = await server.raw(`GET /object HTTP/1.1\r\nHost: ${hosts}\r\nConnection: close\r\n\r\n`);
      const { status, body } = parts(answer);
      expect([status, JSON.parse(body)]).toEqual([400, expect.objectContaining({ code: "malformed_request" })]);
    }
  });

  test.each(["x", "a.b", "[::1]:80"])("is the same under any host: %s", async (host) => {
    const answer = await server.raw(`GET /users/7 HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    expect(parts(answer)).toMatchObject({ status: 200, body: '{"id":"7"}' });
  });
});

describe("a method", () => {
  test.each([
    ["PUT", "/object", "GET, HEAD"],
    ["OPTIONS", "/object", "GET, HEAD"],
    ["TRACE", "/object", "GET, HEAD"],
    ["CONNECT", "/object", "GET, HEAD"],
    ["PROPFIND", "/object", "GET, HEAD"],
    ["QUERY", "/object", "GET, HEAD"],
    ["GET", "/login", "POST"],
    ["HEAD", "/login", "POST"],
    ["POST", "/users/me", "DELETE, GET, HEAD"],
    ["DELETE", "/users/7", "GET, HEAD"],
    ["GET", "/users/7/roles/admin", "POST"],
  ])("that the path does not take is refused with those that it does: %s %s", async (method, path, allow) => {
    const { status, headers, body } = parts(await request(`${method} ${path} HTTP/1.1`));
    expect(status).toBe(405);
    expect(headers.get("allow")).toBe(allow);
    if (method !== "HEAD") expect(JSON.parse(body)).toMatchObject({ status: 405, code: "method_not_allowed" });
  });

  test.each(["OPTIONS", "TRACE", "PROPFIND", "PATCH"])("makes no path known: %s", async (method) => {
    expect(parts(await request(`${method} /nothing HTTP/1.1`)).status).toBe(404);
  });

  test.each(["/object", "/users/7", "/response", "/nothing", "/broken"])(
    "HEAD answers as GET does, without the body: %s",
    async (path) => {
      const got = parts(await request(`GET ${path} HTTP/1.1`));
      const head = parts(await request(`HEAD ${path} HTTP/1.1`));
      expect(head.body).toBe("");
      expect(head.status).toBe(got.status);
      expect(head.headers.get("content-type")).toBe(got.headers.get("content-type"));
    },
  );
});

describe("IO-1 a query", () => {
  test.each(["q=1&q=2", "q=1&q=1", "q&q", "%71=1&q=2", "x=1&x=2"])("names each parameter once: %s", async (query) => {
    const answer = await server.fetch(`/page?${query}`);
    expect(answer.status).toBe(422);
    expect(await answer.json()).toMatchObject({ code: "validation_failed", errors: [{ path: "query" }] });
  });

  test("is told what it must be", async () => {
    for (const [query, path] of [
      ["limit=many", "limit"],
      ["limit=0", "query"],
    ]) {
      expect(await (await server.fetch(`/page?${query}`)).json()).toMatchObject({
        errors: [{ path, message: "must be a whole number from 1 to 200" }],
      });
    }
  });
});

describe("IO-3 a failure", () => {
  test("is a problem document of exactly that type", async () => {
    const answer = await server.fetch("/busy", { headers: { "x-request-id": "r1" } });
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(await answer.json()).toEqual({
      type: "urn:authctl:problem:overloaded",
      title: "Too many sign-ins at once",
      status: 503,
      detail: "Try again after the number of seconds in `Retry-After`.",
      code: "overloaded",
      request_id: "r1",
    });
    expect(answer.headers.get("retry-after")).toBe("2");
  });

  test.each([
    ["/signed-out", {}, 'Bearer realm="authctl"'],
    ["/signed-out", { cookie: "theme=dark" }, 'Bearer realm="authctl"'],
    ["/signed-out", { authorization: "Bearer x" }, 'Bearer realm="authctl", error="invalid_token"'],
    ["/signed-out", { cookie: "access_token=x" }, 'Bearer realm="authctl", error="invalid_token"'],
    ["/wrong-password", { authorization: "Bearer x" }, null],
  ])("of a credential challenges, and says whether one came: %s %p", async (path, headers, challenge) => {
    const answer = await server.fetch(path, { headers: new Headers(Object.entries(headers)) });
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toBe(challenge);
  });

  test("keeps the cookies that were to be cleared, and is cached by nobody", async () => {
    const { status, headers } = await server.fetch("/half-done");
    expect(status).toBe(403);
    expect(headers.getSetCookie()).toEqual(["a=; Max-Age=0", "b=; Max-Age=0"]);
    expect(headers.get("cache-control")).toBe("no-store");
  });

  test.each(["/broken", "/thrown/text", "/thrown/nothing", "/thrown/late-nothing"])(
    "that nobody meant is told to the log alone: %s",
    async (path) => {
      const answer = await server.fetch(path, { headers: { "x-request-id": "r2" } });
      expect(await answer.json()).toMatchObject({ code: "internal_error", request_id: "r2" });
      expect(server.lines[0]).toMatchObject({
        level: "error",
        event: "request_failed",
        fields: { request_id: "r2", route: path },
        cause: expect.anything(),
      });
    },
  );

  test("says nothing of its cause", async () => {
    expect(await (await server.fetch("/broken")).text()).not.toMatch(/secret|insert|marker/);
  });
});

describe("IO-4 the access line", () => {
  test("is one for each request, with the pattern of the path and never the path", async () => {
    await server.fetch("/users/secret?q=secret");
    await server.fetch("/secret");
    await server.fetch("/users/secret", { method: "DELETE" });
    await server.fetch("/broken");
    await server.fetch("/login", { method: "POST", body: "secret" });
    await server.fetch("/slow");
    expect(server.accessLines()).toMatchObject([
      { method: "GET", route: "/users/:id", status: 200, ip: "127.0.0.1", duration_ms: 0 },
      { method: "GET", route: "unmatched", status: 404 },
      { method: "DELETE", route: "unmatched", status: 405 },
      { method: "GET", route: "/broken", status: 500 },
      { method: "POST", route: "/login", status: 415 },
      { method: "GET", route: "/slow", status: 200, duration_ms: 25 },
    ]);
    expect(JSON.stringify(server.accessLines())).not.toContain("secret");
  });
});

describe("whatever is sent", () => {
  const marker = "mArKeR7";
  const visible = fc.string({
    unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    maxLength: 40,
  });

  test("as path, query or header, is never a defect, and never comes back", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("GET", "POST", "HEAD", "OPTIONS", "PUT", "PROPFIND"),
        fc.constantFrom("/", "/users/", "/page?", "/object"),
        visible,
        visible,
        async (method, start, path, header) => {
          const { status, headers, body } = parts(
            await request(
              `${method} ${start}${path}${marker} HTTP/1.1`,
              `X-Request-Id: ${header}`,
              `Cookie: ${header}${marker}`,
              "Content-Length: 0",
            ),
          );
          // What Bun refuses by itself has no body; `/users/:id` and `/page` answer what they were asked.
          expect(status).toBeLessThan(500);
          if (status < 400 || !headers.has("x-request-id")) return;
          expect(headers.get("content-type")).toBe("application/problem+json");
          expect(body).not.toContain(marker);
          expect(JSON.stringify(server.accessLines())).not.toContain(marker);
        },
      ),
      { numRuns: 300 },
    );
  });
});
