/** What holds for every route that there is: the routes are read from the OpenAPI document, so a new one is tested at once. */
import { afterAll, describe, expect, test } from "bun:test";
import { type OwnPermission, ownPermissions } from "../../src/core/permissions.ts";
import { createApp } from "../../src/http/app.ts";
import type { OpenApiDocument } from "../../src/http/openapi.ts";
import { openTestCore } from "../support/core.ts";
import { filled, plainest, type Route, readRoutes } from "../support/openapi.ts";
import { expectProblem, newSession, newTokens, statusOfMe } from "../support/people.ts";
import { holderOf } from "../support/roles.ts";
import { startServer } from "../support/server.ts";
import { bare, sendRaw } from "../support/wire.ts";

const server = await startServer();
afterAll(server.end);

const routes = await readRoutes(server);
const withBody = routes.filter((route) => route.body);

/** Every route that anyone may ask. All others want a credential (rule AZ-1): a new route is closed until it stands here. */
const open = [
  "GET /",
  "GET /health",
  "GET /livez",
  "GET /readyz",
  "GET /.well-known/jwks.json",
  "GET /.well-known/change-password",
  "GET /.well-known/security.txt",
  "POST /api/v1/auth/register",
  "POST /api/v1/auth/login",
  "POST /api/v1/auth/login-form",
  "POST /api/v1/auth/refresh",
  "POST /api/v1/auth/logout",
  "POST /api/v1/auth/verify-email",
  "POST /api/v1/auth/verify-email/resend",
  "POST /api/v1/auth/forgot-password",
  "POST /api/v1/auth/reset-password",
  "POST /api/v1/auth/recover",
  "GET /api/v1/auth/csrf",
];
const closed = routes.filter(({ name }) => !open.includes(name));
const guarded = routes.filter(
  (route): route is Route & { permission: OwnPermission } => route.permission !== undefined,
);
const named = <R extends Route>(all: readonly R[]) => all.map((route) => [route.name, route] as const);

/** A request that fits the document in all but what `changed` says. */
function ask(route: Route, changed: { body?: string; type?: string; bearer?: string; cookie?: string } = {}) {
  const type = changed.type ?? route.body?.type;
  const fitting = route.body && textOf(route.body.type, plainest(route.body.schema));
  const { bearer, cookie } = changed;
  return server.send(route.method, filled(route.path), changed.body ?? fitting, {
    headers: { ...(type && { "content-type": type }), ...(cookie && { cookie }) },
    ...(bearer && { bearer }),
  });
}

const textOf = (type: string, value: unknown): string =>
  type === "application/json"
    ? JSON.stringify(value)
    : new URLSearchParams(Object.entries(value as Record<string, string>)).toString();

describe("AZ-1 default deny", () => {
  test("the list of open routes names routes that there are", () => {
    expect(open.filter((name) => !routes.some((route) => route.name === name))).toEqual([]);
    expect(closed.length).toBeGreaterThan(5);
  });

  test("the document hides no route but itself and the pages for people", async () => {
    const core = await openTestCore();
    const health = () => Promise.resolve({ ok: true, checks: [] });
    const app = createApp(core, { version: "0", health, isDraining: () => false, reusePort: false });
    const all = app.routes.map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, "{$1}")}`);
    const hidden = all.filter((name) => !routes.some((route) => route.name === name));
    const forPeople = /^GET \/(openapi\.json|docs(\/[a-z.-]+)?|verify-email|reset-password|recover|pages\/[a-z.]+)$/;
    expect(hidden.filter((name) => !forPeople.test(name))).toEqual([]);
    await core.close();
  });

  test("the document says of each route what the list says", () => {
    const differing = routes.filter(({ name, isPublic }) => isPublic !== open.includes(name));
    expect(differing.map(({ name }) => name)).toEqual([]);
  });

  test.each(named(closed))("%s answers 401 without a credential, and with one that is none", async (_, route) => {
    expectProblem(await ask(route), 401, "unauthenticated");
    const { access_token } = await newTokens(server);
    for (const bearer of ["x", `${access_token}x`, access_token.slice(0, -10)])
      expectProblem(await ask(route, { bearer }), 401, "unauthenticated");
    const cookie = "access_token=x; session=y; refresh_token=z";
    expectProblem(await ask(route, { cookie }), 401, "unauthenticated");
  });

  test("the document says which permission a route asks for, in a member and in words", async () => {
    expect(guarded.length).toBeGreaterThan(5);
    const { body } = await server.get<OpenApiDocument>("/openapi.json");
    for (const { method, path, permission } of guarded) {
      expect(ownPermissions).toContain(permission);
      const operation = body.paths[path]?.[method.toLowerCase()];
      expect(operation?.description).toContain(`\`${permission}\``);
      expect(JSON.stringify(operation?.responses["403"])).toContain("`forbidden`");
    }
  });

  test.each(named(guarded))("%s answers 403 to whoever is signed in without its permission", async (_, route) => {
    const others = ownPermissions.filter((one) => one !== route.permission);
    for (const bearer of [(await newTokens(server)).access_token, await holderOf(server, others)])
      expectProblem(await ask(route, { bearer }), 403, "forbidden");
  });

  test.each(named(guarded))("%s admits whoever holds exactly its permission", async (_, route) => {
    for (const permission of [route.permission, `${route.permission.split(":")[0]}:*`, "*"]) {
      const { status } = await ask(route, { bearer: await holderOf(server, [permission]) });
      expect([401, 403]).not.toContain(status);
    }
  });

  test.each(named(guarded.filter(({ body }) => body)))(
    "%s says nothing of a body to whoever may not send one",
    async (_, route) => {
      const { access_token: bearer } = await newTokens(server);
      for (const body of ["{}", '{"name":1,"email":1,"permissions":"x","ids":"x"}'])
        expectProblem(await ask(route, { body, bearer }), 403, "forbidden");
      expectProblem(await ask(route, { body: "{}" }), 401, "unauthenticated");
    },
  );

  test.each(named(closed))("%s takes a session token as well as an access token", async (_, route) => {
    for (const bearer of [(await newTokens(server)).access_token, (await newSession(server)).session_token])
      expect((await ask(route, { bearer })).body).not.toMatchObject({ code: "unauthenticated" });
  });
});

describe("IO-1 a body", () => {
  /** Of somebody whom every route listens to. */
  const bearer = (): Promise<string> => holderOf(server, ["*"]);

  test.each(named(withBody))("%s of another content type is refused", async (_, route) => {
    const token = await bearer();
    for (const type of [
      "text/plain",
      "multipart/form-data; boundary=x",
      "application/xml",
      "application/json; charset=utf-16",
    ])
      expectProblem(await ask(route, { type, bearer: token }), 415, "unsupported_media_type");
    const other = route.body?.type === "application/json" ? "application/x-www-form-urlencoded" : "application/json";
    expectProblem(await ask(route, { type: other, bearer: token }), 415, "unsupported_media_type");
  });

  test.each(named(withBody))("%s over 64 KiB is refused", async (_, route) => {
    const answer = await ask(route, { body: "x".repeat(65_537), bearer: await bearer() });
    expectProblem(answer, 413, "payload_too_large");
  });

  test.each(named(withBody.filter(({ body }) => body?.type === "application/json")))(
    "%s that is no JSON object is refused",
    async (_, route) => {
      const token = await bearer();
      for (const body of ["{", '{"a":1}}', "nul", '{"a":"\\u0000"}', '{"a":"\\ud800"}', "[".repeat(5000)])
        expectProblem(await ask(route, { body, bearer: token }), 400, "malformed_request");
      for (const body of ["[]", "1", '"text"', "null"])
        expectProblem(await ask(route, { body, bearer: token }), 422, "validation_failed");
    },
  );

  test.each(named(withBody))("%s that is refused has changed nothing", async (_, route) => {
    const token = await bearer();
    await ask(route, { body: "{", bearer: token });
    expect(await statusOfMe(server, token)).toBe(200);
  });
});

describe("every answer", () => {
  test.each(named(routes))("of %s carries the caller's request id", async (_, { method, path }) => {
    const { headers } = await server.send(method, filled(path), undefined, { headers: { "x-request-id": "mine.1" } });
    expect(headers.get("x-request-id")).toBe("mine.1");
  });

  test.each(named(routes))(
    "of %s to another method is 405 and names those that are taken",
    async (_, { path, method }) => {
      const answer = await server.send("PROPFIND", filled(path));
      expectProblem(answer, 405, "method_not_allowed");
      expect(answer.headers.get("allow")?.split(", ")).toContain(method);
    },
  );

  test.each(named(routes))("of %s is known in one spelling only", async (_, { method, path }) => {
    const good = filled(path);
    const others = [`/${good}`, `${good}/`, `${good}%2f`, `${good};x`, `${good}/.`, good.toUpperCase()];
    for (const other of others.filter((one) => one !== good)) {
      const answer = await sendRaw(server.url, bare(`${method} ${other}`));
      expect(answer, other).toStartWith("HTTP/1.1 404 ");
      expect(answer).toContain('"code":"not_found"');
    }
  });

  test("TK-5 that carries a credential is kept by no cache", async () => {
    const { refresh_token } = await newTokens(server);
    const answer = await server.post("/api/v1/auth/refresh", { refresh_token });
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "no-store"]);
  });
});
