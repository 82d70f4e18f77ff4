import { expect } from "bun:test";
import type { Core } from "../../src/core/core.ts";
import type { Code } from "../../src/core/errors.ts";
import { openCore } from "../../src/open.ts";
import type { Answer, HttpClient, Problem, Sending, SessionToken, Tokens, WireUser } from "./client.ts";
import { goodPassword } from "./core.ts";
import type { TestServer } from "./server.ts";

let people = 0;

/** An address that nobody has had before, in any run on the same data. */
export const newEmail = (name = "ada"): string => `${name}-${process.pid}-${++people}@example.com`;

export async function signUp(client: HttpClient, email = newEmail(), password = goodPassword): Promise<WireUser> {
  const answer = await client.post<WireUser>("/api/v1/auth/register", { email, password });
  expect(answer.status, answer.text).toBe(201);
  return answer.body;
}

type Choice = { readonly email: string; readonly password?: string; readonly delivery?: "body" | "cookie" };

export async function signIn(client: HttpClient, choice: Choice, sending?: Sending): Promise<Tokens> {
  const answer = await client.post<Tokens>("/api/v1/auth/login", { password: goodPassword, ...choice }, sending);
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
}

export async function signInForSession(client: HttpClient, choice: Choice, sending?: Sending): Promise<SessionToken> {
  const body = { password: goodPassword, ...choice, credential: "session" };
  const answer = await client.post<SessionToken>("/api/v1/auth/login", body, sending);
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
}

/** A new user, signed in. */
export const newTokens = async (client: HttpClient): Promise<Tokens> =>
  await signIn(client, { email: (await signUp(client)).email });

export const newSession = async (client: HttpClient): Promise<SessionToken> =>
  await signInForSession(client, { email: (await signUp(client)).email });

/** The status with which a credential is met where somebody has to be signed in. */
export const statusOfMe = async (client: HttpClient, bearer: string): Promise<number> =>
  (await client.get("/api/v1/users/me", { bearer })).status;

/** A failure as the contract wants it: one code, its status, problem JSON, the request id, never kept by a cache. */
export function expectProblem(answer: Answer<unknown>, status: number, code: Code): Problem {
  const problem = answer.body as Problem;
  expect({ status: answer.status, code: problem?.code, text: answer.text }).toEqual({
    status,
    code,
    text: answer.text,
  });
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  expect(answer.headers.get("cache-control")).toBe("no-store");
  expect(problem).toMatchObject({ type: `urn:authctl:problem:${code}`, status });
  expect(problem.request_id).toBe(answer.headers.get("x-request-id")!);
  expect(answer.headers.has("www-authenticate")).toBe(code === "unauthenticated");
  return problem;
}

/** Lets an operator act on the server's data from another process, as it were, while the server runs. */
export async function besides<T>(
  server: Pick<TestServer, "env" | "directory">,
  act: (core: Core) => Promise<T>,
): Promise<T> {
  const core = await openCore({ env: server.env, cwd: server.directory, purpose: "command" });
  try {
    return await act(core);
  } finally {
    await core.close();
  }
}
