/** A small app on the real edge, listening on a real port, and ways to send it what no well-behaved client sends. */
import { connect } from "node:net";
import { Elysia, t } from "elysia";
import type { Fields, Log } from "../../src/core/core.ts";
import { fail } from "../../src/core/errors.ts";
import { type Meter, noMeter } from "../../src/core/meter.ts";
import { strictBody } from "../../src/http/body.ts";
import { docs } from "../../src/http/docs.ts";
import { edge, visitOf } from "../../src/http/edge.ts";
import { describe } from "../../src/http/openapi.ts";
import { createTestClock } from "../support/clock.ts";

export const settings = {
  PUBLIC_URL: "https://auth.example.com",
  BODY_LIMIT: 64 * 1024,
  TRUSTED_PROXIES: [],
  ALLOWED_ORIGINS: ["https://app.example.com"],
  PROXY_HEADER: "x-forwarded-for" as const,
  COOKIE_ACCESS_NAME: "access_token",
  COOKIE_REFRESH_NAME: "refresh_token",
  COOKIE_SESSION_NAME: "__Host-session",
  COMPAT_PATHS: false,
  TRACES_URL: undefined,
} as const;

type Line = { readonly level: string; readonly event: string; readonly fields: Fields; readonly cause?: unknown };

export function toy(changed: { PUBLIC_URL?: string; COMPAT_PATHS?: boolean } = {}) {
  const clock = createTestClock();
  const lines: Line[] = [];
  const note =
    (level: string) =>
    (event: string, fields: Fields = {}, cause?: unknown) => {
      lines.push({ level, event, fields, cause });
    };
  const log: Log = { debug: note("debug"), info: note("info"), warn: note("warn"), error: note("error") };
  const seconds = (): number => clock.now().getTime() / 1000;
  const meter: Meter = { ...noMeter, now: seconds, request: (_method, _route, _status, since) => seconds() - since };
  const random = { bytes: (length: number) => new Uint8Array(length), id: () => Bun.randomUUIDv7() };

  const app = new Elysia({
    strictPath: true,
    systemRouter: false,
    handler: { standardHostname: false },
    serve: { development: false, maxRequestBodySize: 16 * 1024 * 1024 },
  })
    .use(edge({ log, clock, random, meter, settings: { ...settings, ...changed } }))
    .use(strictBody(settings))
    .use(docs({ version: "1.2.3", settings }))
    .use(answers)
    .use(failures(clock))
    .use(bodies);
  app.listen({ port: 0, hostname: "127.0.0.1" });
  const port = app.server!.port!;

  return {
    app,
    lines,
    port,
    url: `http://127.0.0.1:${port}`,
    fetch: (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${port}${path}`, init),
    /** One request as it stands, byte for byte, and all that comes back. */
    raw: (text: string) => raw(port, text),
    accessLines: () => lines.filter(({ event }) => event === "request").map(({ fields }) => fields),
    stop: () => app.stop(true),
  };
}

const answers = new Elysia()
  .get("/", () => "root")
  .get("/object", () => ({ a: 1 }))
  .get("/whoami", ({ request }) => visitOf(request))
  .get("/response", () => new Response("own", { headers: { "content-type": "text/plain" } }))
  .get("/static", new Response("static"))
  .get("/empty", ({ set }) => void (set.status = 204))
  .get("/jwks", ({ set }) => {
    set.headers["cache-control"] = "public, max-age=300";
    return { keys: [] };
  })
  .get("/users/me", () => "me")
  .delete("/users/me", () => "gone")
  .get("/users/:id", ({ params }) => params)
  .post("/users/:id/roles/:name", ({ params }) => params)
  .get("/page", ({ query }) => query, {
    query: t.Object({ limit: t.Optional(t.Integer({ minimum: 1, maximum: 200 })), q: t.Optional(t.String()) }),
    detail: describe("A page", { tag: "users", ok: { 200: t.Object({ limit: t.Integer() }) } }),
  });

const failures = (clock: ReturnType<typeof createTestClock>) =>
  new Elysia()
    .get("/slow", () => clock.advance(25))
    .get("/broken", () => {
      throw new Error("secret words: insert into users values ('marker')");
    })
    .get("/thrown/text", () => {
      throw "a string"; // oxlint-disable-line no-throw-literal typescript/only-throw-error
    })
    .get("/thrown/nothing", () => {
      throw undefined; // oxlint-disable-line no-throw-literal typescript/only-throw-error
    })
    .get("/thrown/late-nothing", () => Promise.reject(undefined)) // oxlint-disable-line prefer-promise-reject-errors typescript/prefer-promise-reject-errors
    .get("/busy", () => fail("overloaded", { retryAfter: 1.2 }))
    .get("/signed-out", () => fail("unauthenticated"))
    .get("/wrong-password", () => fail("invalid_credentials"))
    .get("/half-done", ({ set }) => {
      set.headers["cache-control"] = "public";
      set.headers["set-cookie"] = ["a=; Max-Age=0", "b=; Max-Age=0"];
      fail("session_hijack_suspected");
    });

const bodies = new Elysia()
  .post("/login", ({ body }) => body, {
    body: t.Object({
      email: t.String({ minLength: 3, maxLength: 30 }),
      age: t.Optional(t.Integer({ minimum: 1 })),
      roles: t.Optional(t.Array(t.String({ minLength: 2 }), { maxItems: 40 })),
      kind: t.Optional(t.Union([t.Literal("tokens"), t.Literal("session")])),
      full_name: t.Optional(t.Nullable(t.String())),
      device: t.Optional(t.Object({ trusted: t.Boolean() })),
      handle: t.Optional(t.String({ pattern: "^[a-z]+$" })),
    }),
    detail: describe("Sign in", {
      tag: "auth",
      security: [],
      ok: { 200: t.Object({ at: t.Nullable(t.String({ format: "date-time" })) }) },
      errors: ["invalid_credentials", "overloaded"],
    }),
  })
  .post("/login-form", ({ body }) => body, {
    parse: "urlencoded",
    body: t.Object({ username: t.String(), password: t.String() }),
    detail: describe("Sign in by form", { tag: "auth", security: [], ok: { 200: t.Object({}) } }),
  })
  .post("/logout", ({ body }) => ({ body: body === undefined ? "undefined" : body }), {
    body: t.Optional(t.Object({ refresh_token: t.Optional(t.String()) })),
    detail: describe("Sign out", { tag: "auth", security: [], ok: { 204: null } }),
  })
  .post("/anything", ({ body }) => ({ body, keys: typeof body === "object" && body !== null ? Object.keys(body) : [] }))
  .post("/bare", () => "bare");

function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let heard = "";
    const socket = connect(port, "127.0.0.1", () => void socket.write(text, "latin1"));
    socket.on("data", (data) => (heard += data.toString("latin1")));
    socket.on("error", reject);
    socket.on("close", () => resolve(heard));
  });
}

/** What a raw answer says, taken apart. */
export function parts(answer: string) {
  const [head = "", body = ""] = answer.split("\r\n\r\n", 2);
  const [line = "", ...headers] = head.split("\r\n");
  return {
    status: Number(line.split(" ")[1]),
    headers: new Headers(
      headers.map((one): [string, string] => [one.slice(0, one.indexOf(":")), one.slice(one.indexOf(":") + 1).trim()]),
    ),
    body,
  };
}
