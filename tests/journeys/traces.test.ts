import { afterAll, describe, expect, test } from "bun:test";
import { goodPassword } from "../support/core.ts";
import { startMailServer } from "../support/mail-server.ts";
import { newEmail, signIn, signUp } from "../support/people.ts";
import { type Environment, startServer } from "../support/server.ts";
import { until } from "../support/until.ts";

type Span = {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status?: object;
  readonly attributes: ReadonlyArray<{ readonly key: string; readonly value: object }>;
};
type Sent = {
  readonly resourceSpans: ReadonlyArray<{
    readonly resource: object;
    readonly scopeSpans: ReadonlyArray<{ readonly spans: readonly Span[] }>;
  }>;
};

/** Takes in what is sent to it, as a collector would. */
const received: Array<{ readonly headers: Headers; readonly text: string }> = [];
const collector = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: async (request) => {
    received.push({ headers: request.headers, text: await request.text() });
    return Response.json({});
  },
});
afterAll(() => collector.stop(true));

const TRACES_URL = `http://127.0.0.1:${collector.port}/v1/traces`;

/** Every span that a server has sent by its end. */
async function spansOf(env: Environment, work: (server: Awaited<ReturnType<typeof startServer>>) => Promise<unknown>) {
  received.length = 0;
  const server = await startServer({ TRACES_URL, ...env });
  await work(server);
  expect(await server.stop()).toBe(0);
  await server.end();
  return received.flatMap(({ text }) =>
    (JSON.parse(text) as Sent).resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
  );
}

/** Those of the requests themselves, without what was done beneath them. */
const requestsOf = async (...given: Parameters<typeof spansOf>) =>
  (await spansOf(...given)).filter(({ kind }) => kind === 2);

const callerTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const callerSpan = "00f067aa0ba902b7";
const traceparent = (flags = "01") => `00-${callerTrace}-${callerSpan}-${flags}`;

describe("traces", () => {
  test("hold each request, and beneath it what it waited for, however many there are at once", async () => {
    const spans = await spansOf({ TRACES_TOKEN: "a-token-of-the-collector" }, async (server) => {
      const emails = await Promise.all(Array.from({ length: 20 }, async () => (await signUp(server)).email));
      await Promise.all(emails.map((email) => signIn(server, { email })));
      await server.get("/nothing/here?zqMarkerqz=1");
    });
    const requests = spans.filter(({ name }) => name === "POST /api/v1/auth/login");
    expect(requests).toHaveLength(20);
    expect(new Set(requests.map(({ traceId }) => traceId)).size).toBe(20);
    expect(spans.map(({ name }) => name)).toContain("GET unmatched");
    for (const request of requests) {
      expect([request.kind, request.traceId]).toEqual([2, expect.stringMatching(/^[\da-f]{32}$/)]);
      expect(request.parentSpanId).toBeUndefined();
      expect(request.attributes).toEqual([
        { key: "http.request.method", value: { stringValue: "POST" } },
        { key: "http.route", value: { stringValue: "/api/v1/auth/login" } },
        { key: "http.response.status_code", value: { intValue: "200" } },
      ]);
      const beneath = spans.filter(({ parentSpanId }) => parentSpanId === request.spanId);
      const names = Object.groupBy(beneath, ({ name }) => name);
      expect([names["hash"]?.length, names["wait to hash"]?.length]).toEqual([1, 1]);
      expect(names["database read"]?.length).toBeGreaterThanOrEqual(1);
      expect(names["database write"]?.length).toBeGreaterThanOrEqual(1);
      for (const one of beneath) {
        expect(one.traceId).toBe(request.traceId);
        // Clocks of a trace are read to the microsecond.
        expect(BigInt(one.startTimeUnixNano) >= BigInt(request.startTimeUnixNano) - 1000n).toBeTrue();
        expect(BigInt(one.endTimeUnixNano) <= BigInt(request.endTimeUnixNano) + 1000n).toBeTrue();
      }
    }
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(spans.length);
    for (const { headers } of received) expect(headers.get("authorization")).toBe("Bearer a-token-of-the-collector");
  });

  test("IO-4 hold nothing that was sent", async () => {
    const email = newEmail("zqMarkerqz");
    await spansOf({}, async (server) => {
      await signUp(server, email);
      const { access_token, refresh_token } = await signIn(server, { email });
      const headers = { "user-agent": "zqMarkerqz", "x-request-id": "zqMarkerqz", tracestate: "zqMarkerqz=1" };
      await server.get("/api/v1/users/me?zqMarkerqz=1", { bearer: access_token, headers });
      await server.delete("/api/v1/sessions/zqMarkerqz", undefined, { bearer: access_token });
      await server.post("/api/v1/auth/refresh", { refresh_token });
    });
    const sent = received.map(({ text }) => text).join("\n");
    expect(sent).toContain("/api/v1/sessions/:id");
    for (const text of ["zqmarkerqz", "eyj", "rt2.", "st_", goodPassword, "127.0.0.1", "@example.com"])
      expect(sent.toLowerCase()).not.toContain(text);
  });

  test("hold each run of a job, and beneath it each mail, with nothing of whom it went to", async () => {
    const mails = await startMailServer();
    const email = newEmail("zqMarkerqz");
    const SMTP_URL = mails.url;
    const spans = await spansOf({ SMTP_URL }, async (server) => {
      await signUp(server, email);
      await until("the mail is there", () => mails.arrived.length === 1);
      mails.answers = { recipient: { code: 550, words: "zqMarkerqz" } };
      await server.post("/api/v1/auth/forgot-password", { email });
      await until("the other is refused", () => server.log.some(({ event }) => event === "mail_failed"));
    });
    await mails.stop();
    const sent = spans.filter(({ name }) => name === "mail");
    expect(sent.map(({ kind, status }) => [kind, status])).toEqual([
      [3, undefined],
      [3, { code: 2 }],
    ]);
    for (const mail of sent) {
      const job = spans.find(({ spanId }) => spanId === mail.parentSpanId);
      expect(job).toMatchObject({ name: "job mail-delivery", kind: 1, traceId: mail.traceId, attributes: [] });
      expect(job?.parentSpanId).toBeUndefined();
      const beside = spans.filter(({ parentSpanId }) => parentSpanId === mail.parentSpanId).map(({ name }) => name);
      expect(beside).toContain("database write");
      expect(spans.filter(({ kind, traceId }) => kind === 2 && traceId === mail.traceId)).toEqual([]);
    }
    expect(received.map(({ text }) => text.toLowerCase()).join()).not.toContain("zqmarkerqz");
  });

  test("are begun anew for a stranger, whatever he says, and go on for a proxy that is trusted", async () => {
    const visit = (server: { get: (path: string, sending: object) => Promise<unknown> }, flags?: string) =>
      server.get("/", { headers: { traceparent: traceparent(flags) } });
    const ofStranger = await requestsOf({}, visit);
    expect(ofStranger).toHaveLength(1);
    expect(ofStranger[0]!.traceId).not.toBe(callerTrace);

    const TRUSTED_PROXIES = "127.0.0.1";
    const ofProxy = await requestsOf({ TRUSTED_PROXIES, TRACES_RATIO: "0" }, async (server) => {
      await visit(server);
      await visit(server, "00");
      for (const broken of ["x", `01${traceparent().slice(2)}`, `00-${"0".repeat(32)}-${callerSpan}-01`])
        await server.get("/livez", { headers: { traceparent: broken } });
    });
    expect(ofProxy).toMatchObject([{ name: "GET /", traceId: callerTrace, parentSpanId: callerSpan }]);
  });

  test("of a part of the requests are of about that part", async () => {
    const spans = await requestsOf({ TRACES_RATIO: "0.5" }, async (server) => {
      for (let times = 0; times < 200; times++) await server.get("/livez");
    });
    // Six standard deviations to either side.
    expect(spans.length).toBeGreaterThan(57);
    expect(spans.length).toBeLessThan(143);
  });

  test("that cannot be sent hold nobody up", async () => {
    const server = await startServer({ TRACES_URL: "http://127.0.0.1:9/v1/traces" });
    expect((await server.get("/")).status).toBe(200);
    await until("it is told", () => server.log.some(({ event }) => event === "traces_not_sent"));
    expect((await server.get("/")).status).toBe(200);
    expect(await server.stop()).toBe(0);
    await server.end();
  });

  test("are none where they are not asked for", async () => {
    received.length = 0;
    const server = await startServer();
    await server.get("/");
    expect(await server.stop()).toBe(0);
    expect(received).toEqual([]);
    await server.end();
  });
});
