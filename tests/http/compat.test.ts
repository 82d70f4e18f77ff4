/** COMPAT_PATHS: other spellings of the routes that there are, on the same sessions. */
import { afterAll, describe, expect, test } from "bun:test";
import type { OpenApiDocument } from "../../src/http/openapi.ts";
import type { SessionToken, Tokens, WireUser } from "../support/client.ts";
import { CookieJar } from "../support/cookie-jar.ts";
import { goodPassword } from "../support/core.ts";
import { expectProblem, newEmail, newTokens, signUp } from "../support/people.ts";
import { startServer } from "../support/server.ts";
import { bare, sendRaw } from "../support/wire.ts";

const server = await startServer({ COMPAT_PATHS: "true" });
afterAll(server.end);

const registered = async (): Promise<{ email: string; password: string }> => ({
  email: (await signUp(server)).email,
  password: goodPassword,
});

/** A browser that has signed in by this path. */
async function signedIn(path: string, more: object = {}): Promise<CookieJar> {
  const jar = new CookieJar();
  const answer = await server.post(path, { ...(await registered()), ...more }, { jar });
  expect(answer.status, answer.text).toBe(200);
  return jar;
}

describe("/auth", () => {
  test("registers, and signs in with cookies and no secret in the body", async () => {
    const person = { email: newEmail(), password: goodPassword, full_name: "Ada" };
    expect((await server.post<WireUser>("/auth/register", person)).status).toBe(201);
    const { status, body, cookies } = await server.post<Tokens>("/auth/login", person);
    expect(status).toBe(200);
    expect(Object.keys(body).toSorted().join()).toBe("expires_in,refresh_expires_in,session_id,token_type,user");
    const given = cookies.filter(({ value }) => value !== "").map(({ name, attributes }) => [name, attributes["path"]]);
    expect(given).toEqual([
      ["access_token", "/"],
      ["refresh_token", "/api/v1/auth"],
      ["refresh_token", "/auth"],
      ["device", "/"],
    ]);
  });

  test("gives what is asked for, where it is said", async () => {
    const inBody = await server.post<Tokens>("/auth/login", { ...(await registered()), delivery: "body" });
    expect(inBody.body.refresh_token).toMatch(/^rt2\./);
    expect(inBody.cookies).toEqual([]);
    const jar = await signedIn("/auth/login", { credential: "session" });
    expect((await server.get("/users/me", { jar })).status).toBe(200);
    expect((await server.post<SessionToken>("/auth/refresh", undefined, { jar })).status).toBe(401);
  });

  test("leaves the default of our own path as it is", async () => {
    const answer = await server.post<Tokens>("/api/v1/auth/login", await registered());
    expect(answer.body.access_token).toBeString();
    expect(answer.cookies).toEqual([]);
  });

  test("answers a refresh the way the token came", async () => {
    const { refresh_token } = await newTokens(server);
    const answer = await server.post<Tokens>("/auth/refresh", { refresh_token });
    expect(answer.body.refresh_token).toMatch(/^rt2\./);
    expect(answer.cookies).toEqual([]);
  });

  test("signs out everywhere", async () => {
    const jar = await signedIn("/auth/login");
    const answer = await server.post("/auth/logout-all", undefined, { jar });
    expect([answer.status, answer.text]).toEqual([200, '{"revoked":1}']);
    expect(jar.names).toEqual(["device"]);
  });

  test.each([
    ["/auth", "/api/v1/auth"],
    ["/api/v1/auth", "/auth"],
  ])("signs in at %s what refreshes and signs out at %s", async (here, there) => {
    const jar = await signedIn(`${here}/login`, { delivery: "cookie" });
    for (const base of [there, here, there]) {
      const before = jar.headerFor(`${base}/refresh`);
      expect((await server.post(`${base}/refresh`, undefined, { jar })).status).toBe(200);
      expect(jar.headerFor(`${base}/refresh`)).not.toBe(before);
    }
    const cookie = jar.headerFor(`${there}/logout`);
    expect((await server.post(`${there}/logout`, undefined, { jar })).status).toBe(204);
    expect(jar.names).toEqual(["device"]);
    for (const path of [`${here}/refresh`, `${there}/refresh`])
      expectProblem(await server.post(path, undefined, { headers: { cookie } }), 401, "unauthenticated");
  });

  test("sends the refresh cookie once, to the routes that take it, and to no other", async () => {
    const jar = await signedIn("/auth/login");
    for (const path of ["/auth/refresh", "/api/v1/auth/logout"])
      expect(jar.headerFor(path).match(/refresh_token=/g)).toHaveLength(1);
    for (const path of ["/users/me", "/authors", "/token", "/"])
      expect(jar.headerFor(path)).not.toContain("refresh_token");
  });

  test("takes no sign-in with cookies from another origin, be they asked for or not", async () => {
    const headers = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };
    const person = await registered();
    expectProblem(await server.post("/auth/login", person, { headers }), 403, "csrf_rejected");
    const inBody = { ...person, delivery: "body" };
    expect((await server.post("/auth/login", inBody, { headers })).status).toBe(200);
    const jar = await signedIn("/auth/login");
    for (const path of ["/auth/refresh", "/auth/logout", "/auth/logout-all"])
      expectProblem(await server.post(path, undefined, { jar, headers }), 403, "csrf_rejected");
  });
});

describe("/token", () => {
  const form = (fields: Record<string, string>) =>
    server.post<Tokens>("/token", new URLSearchParams(fields).toString(), {
      headers: { "content-type": "application/x-www-form-urlencoded" },
    });

  test("signs in with the password form of OAuth 2.0", async () => {
    const { email: username, password } = await registered();
    const { status, body, cookies } = await form({ grant_type: "password", username, password, scope: "" });
    expect([status, body.token_type, cookies]).toEqual([200, "Bearer", []]);
    expect((await server.get<WireUser>("/users/me", { bearer: body.access_token })).body.email).toBe(username);
  });

  test("takes no JSON, and no other grant", async () => {
    expectProblem(await server.post("/token", await registered()), 415, "unsupported_media_type");
    const fields = { grant_type: "client_credentials", username: "a", password: "b" };
    expectProblem(await form(fields), 422, "validation_failed");
  });
});

describe("a slash at the end", () => {
  test.each(["/health/", "/api/v1/users/me/", "/api/v1/sessions/", "/users/me/", "/docs/", "/redoc/", "/redoc"])(
    "is answered as without it: GET %s",
    async (path) => {
      const { access_token: bearer } = await newTokens(server);
      expect((await server.get(path, { bearer })).status).toBe(200);
      expect((await server.send("HEAD", path, undefined, { bearer })).status).toBe(200);
    },
  );

  test("is answered with a body, a parameter and a query, too", async () => {
    const { access_token: bearer, session_id } = await newTokens(server);
    expect((await server.patch<WireUser>("/api/v1/users/me/", { full_name: "Ada" }, { bearer })).body.full_name).toBe(
      "Ada",
    );
    expect((await server.post("/auth/login/", { email: "x" })).status).toBe(422);
    expect((await server.get("/users/me/?x=1&x=2", { bearer })).status).toBe(422);
    expect((await server.delete(`/api/v1/sessions/${session_id}/`, undefined, { bearer })).status).toBe(204);
    expectProblem(await server.get("/users/me", { bearer }), 401, "unauthenticated");
  });

  test("is one, and comes after something", async () => {
    for (const path of ["//", "/health//", "//health/", "/users/me//", "/auth//login", "/auth/", "/api/v1/sessions/;/"])
      expect([path, parse(await sendRaw(server.url, bare(`GET ${path}`)))]).toEqual([path, 404]);
  });
});

const parse = (answer: string): number => Number(answer.split(" ", 2)[1]);

describe("what there is no route for", () => {
  test.each([
    "/auth",
    "/auth/nothing",
    "/AUTH/login",
    "/users",
    "/users/me/password",
    "/token/x",
    "/redoc/swagger-ui.css",
  ])("stays unknown: %s", async (path) => expectProblem(await server.post(path, {}), 404, "not_found"));

  test("is refused with the methods of the route that is meant", async () => {
    const answer = await server.get("/auth/login/");
    expectProblem(answer, 405, "method_not_allowed");
    expect(answer.headers.get("allow")).toBe("POST");
  });

  test("is no part of the document", async () => {
    const { body } = await server.get<OpenApiDocument>("/openapi.json");
    expect(Object.keys(body.paths).filter((path) => /^\/(auth|users|token|redoc)/.test(path))).toEqual([]);
  });
});

describe("a request that is spelled otherwise", () => {
  test("is logged by the path of the route", async () => {
    const { access_token: bearer } = await newTokens(server);
    const headers = { "x-request-id": "spelled.otherwise" };
    await server.get("/users/me/", { bearer, headers });
    while (!server.log.some((line) => line["request_id"] === "spelled.otherwise")) await Bun.sleep(5);
    expect(server.log.find((line) => line["request_id"] === "spelled.otherwise")).toMatchObject({
      route: "/api/v1/users/me",
      status: 200,
    });
  });

  test("is held to the limits of its body, told or untold", async () => {
    const long = "x".repeat(70_000);
    expectProblem(await server.post("/auth/login", { email: long }), 413, "payload_too_large");
    const chunked = ["POST /auth/login HTTP/1.1", "Host: x", "Connection: close", "Content-Type: application/json"];
    const chunk = `${long.length.toString(16)}\r\n${long}\r\n0\r\n\r\n`;
    const answer = await sendRaw(
      server.url,
      `${[...chunked, "Transfer-Encoding: chunked"].join("\r\n")}\r\n\r\n${chunk}`,
    );
    expect(answer).toContain('"code":"payload_too_large"');
  });

  test("may be a GET with a body, under any host", async () => {
    const head = "GET /health/ HTTP/1.1\r\nHost: a_b:99\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    expect(parse(await sendRaw(server.url, head))).toBe(200);
  });
});

describe("without COMPAT_PATHS", () => {
  test("none of it is there", async () => {
    const strict = await startServer();
    try {
      const paths = ["/auth/register", "/auth/login", "/auth/refresh", "/auth/logout", "/auth/logout-all", "/token"];
      for (const path of paths) expectProblem(await strict.post(path, {}), 404, "not_found");
      for (const path of ["/users/me", "/redoc", "/api/v1/sessions/", "/health/"])
        expectProblem(await strict.get(path), 404, "not_found");
      const { email } = await signUp(strict);
      const body = { email, password: goodPassword, delivery: "cookie" };
      const { cookies } = await strict.post("/api/v1/auth/login", body);
      expect(cookies.filter(({ name }) => name === "refresh_token").map((one) => one.attributes["path"])).toEqual([
        "/api/v1/auth",
      ]);
    } finally {
      await strict.end();
    }
  });
});
