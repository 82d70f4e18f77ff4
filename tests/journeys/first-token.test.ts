import { afterAll, expect, test } from "bun:test";
import type { Tokens, WireSession, WireUser } from "../support/client.ts";
import { authctl } from "../support/command.ts";
import { CookieJar } from "../support/cookie-jar.ts";
import { goodPassword } from "../support/core.ts";
import { expectProblem, newEmail, signIn, statusOfMe } from "../support/people.ts";
import { startServer } from "../support/server.ts";

const grace = 1000;
const server = await startServer({ REFRESH_GRACE: `${grace}ms` });
afterAll(server.end);

/** The one thing that no test clock can move: the clock of another process. */
const graceToPass = (): Promise<void> => Bun.sleep(grace + 50);

const refresh = (token: string) => server.post<Tokens>("/api/v1/auth/refresh", { refresh_token: token });
const sessionsOf = async (bearer: string) => (await server.get<WireSession[]>("/api/v1/sessions", { bearer })).body;

test("a program signs up, signs in, refreshes, loses an answer, and signs out", async () => {
  const email = newEmail();
  const registered = await server.post<WireUser>("/api/v1/auth/register", { email, password: goodPassword });
  expect(registered.status).toBe(201);
  const first = await signIn(server, { email });
  const me = await server.get<WireUser>("/api/v1/users/me", { bearer: first.access_token });
  expect(me.body).toMatchObject({ id: registered.body.id, email });

  const second = (await refresh(first.refresh_token)).body;
  const third = (await refresh(second.refresh_token)).body;
  expect(new Set([first, second, third].map((one) => one.refresh_token)).size).toBe(3);
  expect(new Set([first, second, third].map((one) => one.session_id)).size).toBe(1);

  // The answer that held the third token was lost: inside the grace the spent one gets the very same again.
  expect((await refresh(second.refresh_token)).body.refresh_token).toBe(third.refresh_token);
  await graceToPass();
  // A laptop that was asleep: once in a day that is forgiven. Twice is a thief.
  expect((await refresh(second.refresh_token)).body.refresh_token).toBe(third.refresh_token);
  expect(await statusOfMe(server, third.access_token)).toBe(200);
  expectProblem(await refresh(second.refresh_token), 401, "refresh_token_reused");
  expectProblem(await refresh(third.refresh_token), 401, "unauthenticated");
  expect(await statusOfMe(server, third.access_token)).toBe(401);

  const again = await signIn(server, { email });
  const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(again.refresh_token)));
  expect(answers.map((answer) => answer.status)).toEqual(Array.from({ length: 20 }, () => 200));
  expect(new Set(answers.map((answer) => answer.body.refresh_token)).size).toBe(1);

  const { access_token: bearer } = answers[0]!.body;
  expect(await sessionsOf(bearer)).toMatchObject([{ id: again.session_id, current: true }]);
  expect((await server.post("/api/v1/auth/logout", undefined, { bearer })).status).toBe(204);
  expect(await statusOfMe(server, bearer)).toBe(401);
});

test("SE-3 an operator ends a session from a shell while the server runs, and the next request is refused", async () => {
  const email = newEmail();
  await server.post("/api/v1/auth/register", { email, password: goodPassword });
  const [kept, ended] = [await signIn(server, { email }), await signIn(server, { email })];
  const ran = await authctl(server.env, ["session", "revoke", ended.session_id, "--yes", "--reason", "lost phone"]);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  expect(await statusOfMe(server, ended.access_token)).toBe(401);
  expectProblem(await refresh(ended.refresh_token), 401, "unauthenticated");
  expect((await sessionsOf(kept.access_token)).map((one) => one.id)).toEqual([kept.session_id]);
  const out = await server.post<unknown>("/api/v1/auth/logout-all", undefined, { bearer: kept.access_token });
  expect([out.status, out.body]).toEqual([200, { revoked: 1 }]);
  expect(await statusOfMe(server, kept.access_token)).toBe(401);
});

test("a browser does the same with nothing but its cookies", async () => {
  const email = newEmail();
  const jar = new CookieJar();
  await server.post("/api/v1/auth/register", { email, password: goodPassword }, { jar });
  expect(jar.names).toEqual([]);
  const { session_id } = await signIn(server, { email, delivery: "cookie" }, { jar });
  expect((await server.get<WireUser>("/api/v1/users/me", { jar })).body).toMatchObject({ email });

  const lost = jar.get("refresh_token")!;
  const refreshByCookie = () => server.post("/api/v1/auth/refresh", undefined, { jar });
  for (let round = 0; round < 2; round++) expect((await refreshByCookie()).status).toBe(200);
  const current = jar.get("refresh_token")!;
  expect(current.split(".")[3]).toBe("3");
  // Two tabs that refresh at once end with one and the same token.
  await Promise.all(Array.from({ length: 20 }, refreshByCookie));
  expect(jar.get("refresh_token")?.split(".")[3]).toBe("4");

  const seen = await server.get<WireSession[]>("/api/v1/sessions", { jar });
  expect(seen.body).toMatchObject([{ id: session_id, current: true }]);
  expect((await server.post("/api/v1/auth/logout", undefined, { jar })).status).toBe(204);
  expect(jar.names).toEqual(["device"]);
  expect((await server.get("/api/v1/users/me", { jar })).status).toBe(401);
  const replayed = await server.post("/api/v1/auth/refresh", undefined, {
    headers: { cookie: `refresh_token=${lost}` },
  });
  expectProblem(replayed, 401, "unauthenticated");

  await signIn(server, { email, delivery: "cookie" }, { jar });
  const out = await server.post<unknown>("/api/v1/auth/logout-all", undefined, { jar });
  expect([out.status, out.body, jar.names]).toEqual([200, { revoked: 1 }, ["device"]]);
});
