/** Whatever is sent to any route, the answer is one of the contract. `FUZZ_RUNS` and `FUZZ_SEED` make it another run. */
import { afterAll, expect, test } from "bun:test";
import * as fc from "fast-check";
import { catalogue } from "../../src/core/errors.ts";
import { updateRole } from "../../src/core/roles.ts";
import { statuses } from "../../src/http/problem.ts";
import { wholeFrom } from "../support/chance.ts";
import { firefoxAgent, type Problem, type SessionToken, type Tokens } from "../support/client.ts";
import { root } from "../support/core.ts";
import { type HostileRequest, hostileRequest, marker } from "../support/hostile.ts";
import { misfits, type Route, readRoutes } from "../support/openapi.ts";
import { besides, expectProblem, newSession, newTokens } from "../support/people.ts";
import { startServer } from "../support/server.ts";

const runs = wholeFrom("FUZZ_RUNS", 2000);
const seed = wholeFrom("FUZZ_SEED", 20_260_101);

const server = await startServer();
afterAll(server.end);
const routes = await readRoutes(server);
// Whoever signs up may do everything, so that the requests get behind the guards.
await besides(server, (core) => updateRole(core, root, "user", { permissions: ["*"] }));

/** What any route may say, because it is said before the route is asked. */
const saidByTheEdge: readonly string[] = [
  "malformed_request",
  "not_found",
  "method_not_allowed",
  "payload_too_large",
  "unsupported_media_type",
  "validation_failed",
];

let tokens: Tokens | undefined;
let session: SessionToken | undefined;

/** The credential of somebody who is signed in; a new one where the last request may have ended it. */
async function credentialsFor(credential: HostileRequest["credential"]): Promise<Record<string, string>> {
  if (credential === "none") return {};
  if (credential === "session") {
    session ??= await newSession(server);
    return { authorization: `Bearer ${session.session_token}` };
  }
  tokens ??= await newTokens(server);
  return credential === "access"
    ? { authorization: `Bearer ${tokens.access_token}` }
    : { cookie: `access_token=${tokens.access_token}; refresh_token=${tokens.refresh_token}` };
}

async function send(request: HostileRequest) {
  const headers = { "user-agent": firefoxAgent, ...(await credentialsFor(request.credential)), ...request.headers };
  const { method, path, body } = request;
  const carries = body !== undefined && method !== "GET" && method !== "HEAD";
  const response = await fetch(server.url + path, { method, headers, redirect: "manual", ...(carries && { body }) });
  if (method !== "GET" && method !== "HEAD") [tokens, session] = [undefined, undefined];
  if (response.status === 403) [tokens, session] = [undefined, undefined];
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const parameter = /\{\w+\}/g;

/** The route that was asked in the end: another method may be another route, and `%2e%2e` never arrives as it was sent. */
const answering = ({ route, method, path }: HostileRequest): Route => {
  const { pathname } = new URL(path, server.url);
  const [asked] = routes
    .filter((one) => one.method === method && new RegExp(`^${one.path.replace(parameter, "[^/]+")}$`).test(pathname))
    .toSorted((one, other) => one.path.split("{").length - other.path.split("{").length);
  return asked ?? routes.find((one) => one.path === route.path && one.method === method) ?? route;
};

/** What is wrong with an answer, in words. */
function complaints(request: HostileRequest, answer: Awaited<ReturnType<typeof send>>): string[] {
  const { status, headers, text } = answer;
  const found: string[] = [];
  if (status >= 500) found.push(`a ${status}`);
  if (!/^[A-Za-z0-9._-]{1,128}$/.test(headers.get("x-request-id") ?? "")) found.push("no request id");
  if (request.method === "HEAD") return text === "" ? found : [...found, "a HEAD with a body"];
  if (status >= 400) return [...found, ...complaintsOfProblem(request, answer)];
  const schema = answering(request).answers.get(status);
  if (schema === undefined) return [...found, `${status} is not in the document`];
  if (schema === null) return text === "" ? found : [...found, `${status} with a body`];
  const isJson = /json/.test(headers.get("content-type") ?? "");
  return [...found, ...misfits(schema, isJson ? JSON.parse(text) : text)];
}

function complaintsOfProblem(
  request: HostileRequest,
  { status, headers, text }: Awaited<ReturnType<typeof send>>,
): string[] {
  const echoes = text.includes(marker) || [...headers].some(([, value]) => value.includes(marker));
  if (headers.get("content-type") !== "application/problem+json") return ["a failure that is no problem JSON"];
  const problem = JSON.parse(text) as Problem;
  if (!Object.hasOwn(catalogue, problem.code)) return [`the unknown code ${problem.code}`];
  const wanted = statuses[catalogue[problem.code].kind];
  const known = answering(request).answers.has(status) || saidByTheEdge.includes(problem.code);
  return [
    ...(echoes ? ["an echo of what was sent"] : []),
    ...(wanted === status && problem.status === status ? [] : [`${problem.code} with ${status}`]),
    ...(known ? [] : [`${problem.code} is not in the document of the route`]),
    ...(problem.code === "method_not_allowed" && !headers.get("allow") ? ["405 without Allow"] : []),
    ...(problem.code === "unauthenticated" && !headers.get("www-authenticate") ? ["401 without WWW-Authenticate"] : []),
    ...misfits(answering(request).answers.get(500)!, problem, "problem"),
  ];
}

test(
  `IO-1 IO-3 ${runs} hostile requests: never a 5xx, never an echo, always an answer of the document`,
  async () => {
    const seen = new Map<number, number>();
    const started = performance.now();
    const property = fc.asyncProperty(hostileRequest(routes), async (request) => {
      const answer = await send(request);
      seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
      expect(complaints(request, answer)).toEqual([]);
    });
    await fc.assert(property, { numRuns: runs, seed, endOnFailure: false });
    const counts = [...seen].toSorted(([one], [other]) => one - other).map(([status, count]) => `${status}: ${count}`);
    console.log(
      `fuzz: seed ${seed}, ${runs} runs in ${Math.round(performance.now() - started)} ms; ${counts.join(", ")}`,
    );
    // A fuzzer that gets nowhere near the routes has proven nothing.
    for (const status of [200, 204, 400, 401, 404, 405, 413, 415, 422])
      expect(seen.get(status) ?? 0).toBeGreaterThan(0);
    expect(server.log.filter((line) => line["level"] === "error")).toEqual([]);
    expect(server.errors()).toBe("");
  },
  60_000 + runs * 20,
);

test("IO-3 a member called toString is no defect: Elysia makes a text of what does not fit, outside of production", async () => {
  for (const value of ['{"toString":"x"}', '[{"toString":1}]', '{"valueOf":1,"toString":2}']) {
    const answer = await server.post("/api/v1/auth/register", `{"email":${value},"password":"y"}`);
    expectProblem(answer, 422, "validation_failed");
  }
});
