/**
 * Promise 7, no secret in logs: every kind of secret, sent to every route in every place, and then looked for in
 * the log, the audit trail, the sessions, every error, the metrics and the traces.
 */
import { afterAll, expect, test } from "bun:test";
import { issueChallenge } from "../../src/core/challenges.ts";
import { rememberDevice } from "../../src/core/known-devices.ts";
import { grantRole } from "../../src/core/roles.ts";
import type { Answer } from "../support/client.ts";
import { root } from "../support/core.ts";
import { rawSql } from "../support/database.ts";
import { metricsToken, scrape } from "../support/metrics.ts";
import { filled, plainest, type Route, readRoutes } from "../support/openapi.ts";
import { besides, newEmail, signIn, signInForSession, signUp } from "../support/people.ts";
import { startServer } from "../support/server.ts";
import { until } from "../support/until.ts";
import { bare, sendRaw } from "../support/wire.ts";

/** What is sent to it, as a collector of traces takes it in. */
const traces: string[] = [];
const collector = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: async (request) => {
    traces.push(await request.text());
    return Response.json({});
  },
});
afterAll(() => collector.stop(true));

const environment = {
  TRACES_URL: `http://127.0.0.1:${collector.port}/v1/traces`,
  TRACES_TOKEN: "collect-9876543210fedcba-Of-A-Collector",
  LOG_LEVEL: "trace",
  METRICS_TOKEN: metricsToken,
  SECRET_KEY: "q8sKf0ZyX3nVb7wL1mRc5tHd9gJp2uEaQ6iOxTzN4kYW",
  SMTP_URL: "smtp://mailer@127.0.0.1:9",
  SMTP_PASSWORD: "Mail! pass-word of 2026",
};
const server = await startServer(environment);
afterAll(server.end);

const routes = await readRoutes(server);

/** `form`: it is known by its form, and so it is kept out even where what is sent is stored by design. */
type Secret = { readonly text: string; readonly form?: true };

async function makeSecrets(): Promise<Record<string, Secret>> {
  const password = "a Password! that leaks 4711";
  const victim = await signUp(server, newEmail("victim"), password);
  const { email } = victim;
  const proven = { email, emailKey: email };
  const tokens = await signIn(server, { email, password });
  const { session_token } = await signInForSession(server, { email, password });
  const proofs = await besides(server, async (core) => {
    const issue = (purpose: "verify-email" | "change-email" | "reset-password") =>
      core.store.write((tx) => issueChallenge(core, tx, victim.id, purpose, proven));
    const issued = [await issue("verify-email"), await issue("change-email"), await issue("reset-password")];
    return issued.map(({ facts }) => new URL(facts.link).hash.replace("#token=", ""));
  });
  const { body: csrf } = await server.get<{ csrf_token: string }>("/api/v1/auth/csrf", { bearer: session_token });
  const device = await besides(server, async (core) => rememberDevice(core, victim.id, undefined));
  const databasePassword = new URL(server.env["DATABASE_URL"] ?? "sqlite:x").password;
  return {
    password: { text: password },
    "an access token": { text: tokens.access_token, form: true },
    "a refresh token": { text: tokens.refresh_token, form: true },
    "a session token": { text: session_token, form: true },
    "a known device": { text: device, form: true },
    "a token against forgery": { text: csrf.csrf_token },
    ...Object.fromEntries(proofs.map((token) => [`the proof ${token.slice(0, 3)}`, { text: token, form: true }])),
    "the server secret": { text: environment.SECRET_KEY },
    "the password of the mail server": { text: environment.SMTP_PASSWORD },
    "the token of monitors": { text: metricsToken },
    "the token of the collector": { text: environment.TRACES_TOKEN },
    ...(databasePassword && { "the password of the database": { text: decodeURIComponent(databasePassword) } }),
  };
}

type Sent = { readonly path: string; readonly headers?: Record<string, string>; readonly body?: string };

const asBody = (route: Route, value: unknown): string =>
  route.body?.type === "application/json"
    ? JSON.stringify(value)
    : new URLSearchParams(value as Record<string, string>).toString();

/** One request for each place of a route that a secret can be put into; headers that do not touch each other share one. */
function requestsWith(route: Route, { text, form }: Secret): Sent[] {
  const path = filled(route.path);
  const encoded = encodeURIComponent(text);
  const type = { "content-type": route.body?.type ?? "application/json" };
  const body = route.body && asBody(route, plainest(route.body.schema));
  const plain = { headers: type, ...(body !== undefined && { body }) };
  // Sent as bytes of a header, which is where spaces and signs may stand, too.
  const everywhere = {
    referer: `http://localhost/?token=${encoded}#${encoded}`,
    origin: `http://${encoded}.example`,
    "x-forwarded-for": encoded,
    forwarded: `for="${encoded}"`,
    accept: text,
    "accept-language": text,
    "if-none-match": `"${text}"`,
    "x-csrf-token": text,
    "idempotency-key": text,
    traceparent: text,
    // What the caller calls himself and his request is kept by design, but for what has the form of a credential.
    ...(form && { "x-request-id": text, "user-agent": `Mozilla/5.0 (${text})` }),
  };
  const members = Object.keys(route.body?.schema.properties ?? {});
  const whole = route.body && (plainest(route.body.schema) as Record<string, unknown>);
  return [
    { path: filled(route.path, encoded), ...plain },
    { path: `${path}/${encoded}`, ...plain },
    { path: `${path}?token=${encoded}&${encoded}=1`, ...plain },
    { path, ...plain, headers: { ...type, ...everywhere } },
    { path, ...plain, headers: { ...type, authorization: `Bearer ${text}` } },
    { path, ...plain, headers: { ...type, authorization: `Basic ${btoa(`user:${text}`)}` } },
    { path, ...plain, headers: { ...type, authorization: text } },
    {
      path,
      ...plain,
      headers: { ...type, cookie: `access_token=${text}; session=${text}; refresh_token=${text}; x=${text}` },
    },
    ...(route.body
      ? [
          { path, headers: { "content-type": text }, body: text },
          { path, headers: type, body: `{"${text}` },
          { path, headers: type, body: asBody(route, { [text]: text }) },
          ...members.map((name) => ({ path, headers: type, body: asBody(route, { ...whole, [name]: text }) })),
          { path, headers: type, body: asBody(route, Object.fromEntries(members.map((name) => [name, text]))) },
        ]
      : []),
  ];
}

/** The text in the spellings that could hide it. In base64 it may begin at any of three places of a group. */
function spellings(text: string): string[] {
  const bytes = Buffer.from(text);
  const aligned = [0, 1, 2].flatMap((offset) => {
    const padded = Buffer.concat([Buffer.alloc(offset), bytes]);
    const [from, to] = [Math.ceil((offset * 4) / 3), Math.floor((padded.length * 4) / 3)];
    return [padded.toString("base64").slice(from, to), padded.toString("base64url").slice(from, to)];
  });
  const escaped = JSON.stringify(text).slice(1, -1);
  return [
    text,
    escaped,
    encodeURIComponent(text),
    encodeURIComponent(text).replaceAll("%20", "+"),
    bytes.toString("hex"),
    ...aligned,
  ];
}

test("IO-4 TK-5 no secret stands in the log, the audit trail, the sessions, an error, a metric or a trace", async () => {
  const secrets = await makeSecrets();
  const admin = await signUp(server, newEmail("admin"));
  await besides(server, (core) => grantRole(core, root, admin.id, "admin"));

  const failures: string[] = [];
  const keep = (answer: Answer<unknown>): void => {
    if (answer.status >= 400) failures.push(JSON.stringify([...answer.headers]), answer.text);
  };
  let sent = 0;
  for (const route of routes) {
    for (const secret of Object.values(secrets)) {
      // Anew each time: a request of the ones before may have signed it out.
      const { access_token } = await signIn(server, { email: admin.email });
      for (const { path, headers, body } of requestsWith(route, secret)) {
        keep(await server.send(route.method, path, body, { headers: headers ?? {} }));
        const byOther = headers?.["authorization"] ?? headers?.["cookie"];
        if (!byOther)
          keep(await server.send(route.method, path, body, { headers: headers ?? {}, bearer: access_token }));
        sent += byOther ? 1 : 2;
      }
    }
  }
  for (const { text } of Object.values(secrets).filter(({ form }) => form)) {
    // As the method itself, and as the host, which no well-behaved client can send.
    failures.push(await sendRaw(server.url, bare(`${text} /`)), await sendRaw(server.url, bare(`GET /${text} x`)));
    failures.push(await sendRaw(server.url, `GET / HTTP/1.1\r\nHost: ${text}\r\nConnection: close\r\n\r\n`));
  }
  expect(sent).toBeGreaterThan(1000);

  // What is looked through is really there, and is looked through.
  await server.get("/nothing", { headers: { "x-request-id": "marker-4711" } });
  const wrong = { email: admin.email, password: "x" };
  await server.post("/api/v1/auth/login", wrong, {
    headers: { "user-agent": "marker-4712", "x-request-id": "marker-4713" },
  });
  await until("the last line", () => server.log.at(-1)?.["request_id"] === "marker-4713");
  const places: Record<string, string> = {
    "the log": JSON.stringify(server.log),
    "standard error": server.errors(),
    "the audit trail": JSON.stringify(await rawSql(server, "SELECT * FROM audit_events")),
    "the sessions": JSON.stringify(await rawSql(server, "SELECT ip, user_agent, browser, os FROM sessions")),
    "the errors": failures.join("\n"),
    "the metrics": (await scrape(server)).text,
    "the traces": traces.join("\n"),
  };
  expect(places["the log"]).toContain("marker-4711");
  expect(places["the log"]).not.toContain("marker-4712");
  expect(places["the audit trail"]).toContain("marker-4712");
  expect(places["the audit trail"]).toContain("marker-4713");
  expect(places["the traces"]).toContain("POST /api/v1/auth/login");
  expect(places["the errors"]).toContain("unauthenticated");
  expect(places["the metrics"]).toContain("authctl_sign_ins_total");

  const found = Object.entries(secrets).flatMap(([name, { text }]) =>
    Object.entries(places)
      .filter(([, words]) => spellings(text).some((spelling) => words.includes(spelling)))
      .map(([place]) => `${name} in ${place}`),
  );
  expect(found).toEqual([]);
  expect(server.log.filter(({ level }) => level === "error").map(({ event }) => event)).toEqual([]);
}, 300_000);

test("the search finds a secret in each of its spellings", () => {
  const text = "a Password! that leaks 4711";
  for (const hidden of [
    `x${text}y`,
    `?p=${encodeURIComponent(text)}&`,
    btoa(`user:${text}`),
    btoa(`u:${text}!`),
    Buffer.from(`ab${text}`).toString("base64url"),
    JSON.stringify({ text }),
    Buffer.from(text).toString("hex"),
  ])
    expect(
      spellings(text).some((spelling) => hidden.includes(spelling)),
      hidden,
    ).toBeTrue();
});

test("a credential in the User-Agent is kept by nobody, and changes nothing else", async () => {
  const email = newEmail();
  await signUp(server, email);
  const { session_token } = await signInForSession(server, { email });
  const agent = `curl/8.0 (debug ${session_token}) more`;
  const headers = { "user-agent": agent };
  const { session_token: other, session_id } = await signInForSession(server, { email }, { headers });
  const [row] = await rawSql(server, `SELECT user_agent FROM sessions WHERE id = '${session_id}'`);
  expect(row).toEqual({ user_agent: "curl/8.0 (debug [credential]) more" });
  expect((await server.get("/api/v1/users/me", { bearer: other, headers })).status).toBe(200);
});

test("a request is logged with whose it is, its pattern, and nothing that was sent", async () => {
  const { email, id } = await signUp(server);
  const { session_token: bearer, session_id } = await signInForSession(server, { email });
  await server.delete(`/api/v1/sessions/zqMarkerqz?zqMarkerqz=1`, undefined, {
    bearer,
    headers: { "x-request-id": "mine-1", referer: "zqMarkerqz" },
  });
  await sendRaw(server.url, bare("PROPFIND /", "X-Request-Id: mine-2"));
  const lineOf = (requestId: string) => server.log.find((line) => line["request_id"] === requestId);
  await until("both lines", () => lineOf("mine-1") !== undefined && lineOf("mine-2") !== undefined);
  expect(lineOf("mine-1")).toEqual({
    level: "info",
    event: "request",
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    request_id: "mine-1",
    method: "DELETE",
    route: "/api/v1/sessions/:id",
    status: 404,
    duration_ms: expect.any(Number),
    ip: "127.0.0.1",
    user_id: id,
    session_id,
  });
  expect(lineOf("mine-2")).toMatchObject({ method: "other", route: "unmatched", status: 405 });
  expect(JSON.stringify(server.log).toLowerCase()).not.toContain("zqmarkerqz");
  const signedIn = server.log.findLast((line) => line["route"] === "/api/v1/auth/login" && line["status"] === 200);
  expect(signedIn).toMatchObject({ user_id: id, session_id });
});

test("IO-4 raw headers forge no line", async () => {
  const before = server.log.length;
  const forged = '{"level":"error","event":"forged"}';
  for (const text of [
    `a\u001b[31m`,
    "a\u0085b",
    "a\u2028b",
    "\u009b2J",
    `a\t${forged}`,
    `a\r ${forged}`,
    `a\n ${forged}`,
  ]) {
    const sent = Buffer.from(text).toString("latin1");
    await sendRaw(server.url, bare("GET /nothing", `User-Agent: ${sent}`, `X-Request-Id: ${sent}`, `Origin: ${sent}`));
  }
  await server.get("/livez", { headers: { "x-request-id": "the-last" } });
  await until("the last line", () => server.log.at(-1)?.["request_id"] === "the-last");
  const lines = server.log.slice(before);
  expect(lines.every(({ event }) => event === "request")).toBeTrue();
  expect(JSON.stringify(lines)).not.toContain("forged");
  expect(JSON.stringify(lines)).toMatch(/^[\x20-\x7e]*$/);
});
