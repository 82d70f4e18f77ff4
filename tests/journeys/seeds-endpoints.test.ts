/** What the documents of the templates say of endpoints, settings, pages and sessions, beside their commands. */
import { afterAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { firefoxAgent, safariAgent, type Tokens, type WireSession, type WireUser } from "../support/client.ts";
import { expectProblem, newTokens, signInForSession, signUp } from "../support/people.ts";
import { startSeedServer } from "../support/seed-server.ts";
import { endpointsOf, pagesOf, readSeed, settingsOf } from "../support/seeds.ts";

const server = await startSeedServer("002");
afterAll(server.end);

describe("002, its table of endpoints", () => {
  /** Those of operators have a file of their own; what is measured is no concern of this one. */
  const elsewhere = ["/api/v1/users/", "/api/v1/users/{id}", "/metrics"];
  const rows = endpointsOf("002").filter(({ path }) => !elsewhere.includes(path));
  const password = "securepassword123";
  const inputs: Readonly<Record<string, (email: string) => object | string>> = {
    "/api/v1/auth/register": () => ({ email: `new-${randomBytes(6).toString("hex")}@example.com`, password }),
    "/api/v1/auth/login": (email) => ({ email, password }),
    "/api/v1/auth/login-form": (email) => new URLSearchParams({ username: email, password }).toString(),
    "/api/v1/users/me": () => ({ full_name: "Test User" }),
  };

  test("is read as it stands", () => {
    expect(rows.map(({ method, path, auth }) => `${method} ${path} ${auth}`)).toEqual([
      "POST /api/v1/auth/register No",
      "POST /api/v1/auth/login No",
      "POST /api/v1/auth/login-form No",
      "POST /api/v1/auth/refresh No",
      "POST /api/v1/auth/logout Yes",
      "GET /api/v1/users/me Yes",
      "PUT /api/v1/users/me Yes",
      "GET /api/v1/sessions/ Yes",
      "DELETE /api/v1/sessions/{session_id} Yes",
      "GET / No",
      "GET /health No",
    ]);
  });

  test.each(rows.map((row) => [`${row.method} ${row.path}`, row] as const))("%s", async (_, { method, path, auth }) => {
    const { email } = await signUp(server, undefined, password);
    const login = await server.post<Tokens>("/api/v1/auth/login", { email, password });
    const { access_token: bearer, refresh_token, session_id } = login.body;
    const input = path.endsWith("/refresh") ? { refresh_token } : method === "GET" ? undefined : inputs[path]?.(email);
    const isForm = typeof input === "string" && { headers: { "content-type": "application/x-www-form-urlencoded" } };
    const ask = (more: { bearer?: string }) =>
      server.send(method, path.replace("{session_id}", session_id), input, { ...isForm, ...more });
    // Signing out where nobody is signed in is no mistake.
    if (auth === "Yes" && !path.endsWith("/logout")) expectProblem(await ask({}), 401, "unauthenticated");
    const answer = await ask(auth === "Yes" ? { bearer } : {});
    expect(answer.status, answer.text).toBeWithin(200, 300);
  });

  test("the sessions tell device, browser and address", async () => {
    const { access_token: bearer } = await newTokens(server);
    const { body } = await server.get<WireSession[]>("/api/v1/sessions/", { bearer });
    expect(body).toMatchObject([{ current: true, ip: "127.0.0.1", device: { browser: "Firefox", os: "Linux" } }]);
  });
});

describe("002, its settings", () => {
  test("make the admin that they name", async () => {
    const { ADMIN_EMAIL: email, ADMIN_PASSWORD: password, ADMIN_USERNAME: username } = settingsOf("002");
    for (const who of [{ email }, { username }]) {
      const { status, body } = await server.post<Tokens>("/api/v1/auth/login", { ...who, password });
      expect([status, body.user]).toMatchObject([200, { email, username, is_admin: true }]);
    }
  });

  test("let the pages of their origins send requests with cookies, and no others", async () => {
    const person = { email: (await signUp(server)).email, password: "correct horse battery staple" };
    const from = (origin: string) =>
      server.post("/auth/login", person, { headers: { origin, "sec-fetch-site": "cross-site" } });
    expect((await from("http://localhost:3000")).status).toBe(200);
    expectProblem(await from("http://localhost:3001"), 403, "csrf_rejected");
  });
});

describe("the pages that a document wants to be visited", () => {
  const pages = (["001", "002", "004"] as const).flatMap((name) => pagesOf(name).map((path) => [name, path] as const));

  test("are those", () => {
    expect(pages.map((row) => row.join(" "))).toEqual([
      "001 /docs",
      "001 /redoc",
      "002 /docs",
      "002 /openapi.json",
      "002 /health",
      "004 /docs",
    ]);
  });

  test.each(pages)("%s: %s", async (_, path) => {
    const { status, headers } = await server.get(path);
    expect(status).toBe(200);
    if (/docs|redoc/.test(path)) expect(headers.get("content-type")).toStartWith("text/html");
  });
});

describe("003, its token endpoint", () => {
  test("is where a client that read `tokenUrl` sends name and password", async () => {
    const [, tokenUrl] = /OAuth2PasswordBearer\(tokenUrl="(\w+)"\)/.exec(readSeed("003")) ?? [];
    const { email } = await signUp(server);
    const form = new URLSearchParams({ username: email, password: "correct horse battery staple" }).toString();
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const { status, body } = await server.post<Tokens>(`/${tokenUrl}`, form, { headers });
    expect(status).toBe(200);
    expect((await server.get<WireUser>("/users/me", { bearer: body.access_token })).body.email).toBe(email);
  });
});

describe("000, its session ids", () => {
  test("come in the body, for an hour, and are sent as a bearer", async () => {
    const { email } = await signUp(server);
    const { session_token: bearer, expires_in } = await signInForSession(server, { email });
    expect(expires_in).toBe(3600);
    expect((await server.get("/users/me", { bearer })).status).toBe(200);
    expect((await server.post("/auth/logout", undefined, { bearer })).status).toBe(204);
    expect((await server.get("/users/me", { bearer })).status).toBe(401);
  });

  test("are revoked with 403 where another client presents them", async () => {
    const { email } = await signUp(server);
    const { session_token: bearer } = await signInForSession(server, { email });
    const as = (agent: string) => server.get("/users/me", { bearer, headers: { "user-agent": agent } });
    expect((await as(firefoxAgent)).status).toBe(200);
    expectProblem(await as(safariAgent), 403, "session_hijack_suspected");
    expect((await as(firefoxAgent)).status).toBe(401);
  });
});
