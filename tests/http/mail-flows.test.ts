/** The flows that go through somebody's mailbox, as an app and a person meet them. */
import { afterAll, describe, expect, test } from "bun:test";
import { updateUser } from "../../src/core/users.ts";
import { mailOf } from "../support/challenge-mail.ts";
import type { Answer, Tokens, WireUser } from "../support/client.ts";
import { goodPassword, root } from "../support/core.ts";
import { rawSql } from "../support/database.ts";
import { besides, expectProblem, newEmail, newTokens, signIn, signUp, statusOfMe } from "../support/people.ts";
import { startServer } from "../support/server.ts";
import { until } from "../support/until.ts";
import { bare, sendRaw } from "../support/wire.ts";

const server = await startServer();
const strict = await startServer({ REQUIRE_EMAIL_VERIFICATION: "true" });
const limited = await startServer({ RATE_LIMITS: "on", RATE_LIMIT_MAIL_ACCOUNT: "2/1h" });
afterAll(() => Promise.all([server.end(), strict.end(), limited.end()]));

const auth = "/api/v1/auth";
const better = "another good long phrase";
const verify = (token: unknown, at = server) => at.post(`${auth}/verify-email`, { token });
const reset = (token: unknown, password = better) => server.post(`${auth}/reset-password`, { token, password });
const forgot = (email: string, at = server) => at.post(`${auth}/forgot-password`, { email });
const resend = (email: string, at = server) => at.post(`${auth}/verify-email/resend`, { email });
const verified = async (bearer: string) =>
  (await server.get<WireUser>("/api/v1/users/me", { bearer })).body.email_verified;

/** An answer but for what is another one in every answer. */
const shown = ({ status, headers, text }: Answer<unknown>) => ({
  status,
  text,
  headers: [...headers].filter(([name]) => name !== "x-request-id" && name !== "date"),
});

const oddTokens = [
  "",
  " ",
  "x",
  "ve_",
  "rp_",
  "\u202e",
  "a".repeat(8192),
  `ve_${"a".repeat(43)}`,
  `rp_${"a".repeat(43)}`,
];

describe("POST /verify-email", () => {
  test("takes the token of the mail once, from anybody, and says nothing", async () => {
    const { access_token, user } = await newTokens(server);
    const { token } = await mailOf(server, user.email);
    expect(await verified(access_token)).toBe(false);
    const { status, text } = await verify(token);
    expect([status, text]).toEqual([204, ""]);
    expect(await verified(access_token)).toBe(true);
    expectProblem(await verify(token), 400, "token_invalid");
  });

  test.each(oddTokens)("answers 400 to %p", async (token) => {
    expectProblem(await verify(token), 400, "token_invalid");
  });

  test("answers 422 to what is no text, or too much of it", async () => {
    for (const token of [null, 7, [], {}, true, ["ve_x"], "a".repeat(8193)])
      expectProblem(await verify(token), 422, "validation_failed");
  });

  test("answers 400 to NUL and half a character", async () => {
    for (const token of ["ve_\u0000", "ve_\ud800"]) expectProblem(await verify(token), 400, "malformed_request");
  });

  test("TK-4 of twenty at once one is answered 204", async () => {
    const { email } = await signUp(server);
    const { token } = await mailOf(server, email);
    const all = await Promise.all(Array.from({ length: 20 }, () => verify(token)));
    expect(all.filter(({ status }) => status === 204)).toHaveLength(1);
    expect(all.filter(({ status }) => status === 400)).toHaveLength(19);
  });

  test("is needed before the first sign-in, where the operator wants it so", async () => {
    const { email } = await signUp(strict);
    const login = () => strict.post(`${auth}/login`, { email, password: goodPassword });
    expectProblem(await login(), 403, "email_not_verified");
    expectProblem(await strict.post(`${auth}/login`, { email, password: better }), 401, "invalid_credentials");
    const { token } = await mailOf(strict, email);
    expect((await verify(token, strict)).status).toBe(204);
    expect((await login()).status).toBe(200);
  });
});

describe("POST /reset-password", () => {
  test("sets the password, ends every session, and signs nobody in", async () => {
    const { access_token, user } = await newTokens(server);
    await forgot(user.email);
    const { token } = await mailOf(server, user.email, "reset-password");
    const answer = await reset(token);
    expect([answer.status, answer.text, answer.cookies]).toEqual([204, "", []]);
    expect(await statusOfMe(server, access_token)).toBe(401);
    await signIn(server, { email: user.email, password: better });
    const old = await server.post(`${auth}/login`, { email: user.email, password: goodPassword });
    expectProblem(old, 401, "invalid_credentials");
    expectProblem(await reset(token), 400, "token_invalid");
  });

  test("refuses a weak password, and the token stays good", async () => {
    const { email } = await signUp(server);
    await forgot(email);
    const { token } = await mailOf(server, email, "reset-password");
    const { errors } = expectProblem(await reset(token, "short"), 422, "weak_password");
    expect(errors?.[0]?.path).toBe("password");
    expect((await reset(token)).status).toBe(204);
  });

  test("TK-4 of twenty at once one is answered 204", async () => {
    const { email } = await signUp(server);
    await forgot(email);
    const { token } = await mailOf(server, email, "reset-password");
    const all = await Promise.all(Array.from({ length: 20 }, () => reset(token)));
    expect(all.map(({ status }) => status).toSorted((one, other) => one - other)).toEqual([
      204,
      ...Array.from({ length: 19 }, () => 400),
    ]);
  });

  test.each(oddTokens)("answers 400 to %p", async (token) => {
    expectProblem(await reset(token), 400, "token_invalid");
  });

  test("TK-2 takes no token of another purpose, and none is taken elsewhere", async () => {
    const { email } = await signUp(server);
    const verifying = (await mailOf(server, email)).token;
    await forgot(email);
    const resetting = (await mailOf(server, email, "reset-password")).token;
    expectProblem(await reset(verifying), 400, "token_invalid");
    expectProblem(await verify(resetting), 400, "token_invalid");
    expect(await statusOfMe(server, resetting)).toBe(401);
    expectProblem(await server.post(`${auth}/refresh`, { refresh_token: resetting }), 401, "unauthenticated");
  });
});

describe("POST /users/me/email", () => {
  const change = (bearer: string, new_email: string, password = goodPassword) =>
    server.post("/api/v1/users/me/email", { new_email, password }, { bearer });

  test("REG-7 changes the address once the new one confirms", async () => {
    const { access_token, user } = await newTokens(server);
    const next = newEmail("new");
    const answer = await change(access_token, next);
    expect([answer.status, answer.text]).toEqual([202, ""]);
    await signIn(server, { email: user.email });
    expect((await mailOf(server, user.email)).facts).toEqual({ new_email: next });
    const { token, kind } = await mailOf(server, next);
    expect(kind).toBe("confirm-email");
    const all = await Promise.all(Array.from({ length: 20 }, () => verify(token)));
    expect(all.filter(({ status }) => status === 204)).toHaveLength(1);
    const me = await server.get<WireUser>("/api/v1/users/me", { bearer: access_token });
    expect(me.body).toMatchObject({ id: user.id, email: next, email_verified: true });
    expect((await mailOf(server, user.email)).kind).toBe("email-changed");
    await signIn(server, { email: next });
  });

  test("refuses a wrong password, no address, and the one that it is", async () => {
    const { access_token, user } = await newTokens(server);
    expectProblem(await change(access_token, newEmail(), better), 401, "invalid_credentials");
    for (const email of ["nowhere", user.email.toUpperCase()]) {
      const { errors } = expectProblem(await change(access_token, email), 422, "validation_failed");
      expect(errors?.map(({ path }) => path)).toEqual(["new_email"]);
    }
  });

  test("looks the same where somebody else has the address, who is told", async () => {
    const [{ access_token }, grace] = [await newTokens(server), await signUp(server)];
    const [known, unknown] = [await change(access_token, grace.email), await change(access_token, newEmail())];
    expect(shown(known)).toEqual(shown(unknown));
    expect((await mailOf(server, grace.email)).kind).toBe("account-exists");
  });

  test("answers 409 to a confirmation that comes too late", async () => {
    const { access_token } = await newTokens(server);
    const next = newEmail("late");
    await change(access_token, next);
    const { token } = await mailOf(server, next);
    await signUp(server, next);
    expectProblem(await verify(token), 409, "email_taken");
  });
});

describe("PW-4 nobody learns who is there", () => {
  test.each([
    ["forgot-password", forgot],
    ["verify-email/resend", resend],
  ])("by %s", async (_, ask) => {
    const { email } = await signUp(server);
    const [known, unknown] = [await ask(email), await ask(newEmail("nobody"))];
    expect([known.status, known.text]).toEqual([202, ""]);
    expect(shown(known)).toEqual(shown(unknown));
    for (const odd of ["", "nowhere", "a@b@example.com", `${email},x@example.com`]) {
      const { errors } = expectProblem(await ask(odd), 422, "validation_failed");
      expect(errors?.map(({ path }) => path)).toEqual(["email"]);
    }
  });

  test.each([
    ["forgot-password", forgot],
    ["verify-email/resend", resend],
  ])("by the limit of %s", async (_, ask) => {
    const told: unknown[] = [];
    for (const email of [(await signUp(limited)).email, newEmail("nobody")]) {
      for (let time = 0; time < 2; time++) expect((await ask(email, limited)).status).toBe(202);
      const answer = await ask(email, limited);
      expectProblem(answer, 429, "rate_limited");
      expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(3500);
      const { request_id: _, ...problem } = answer.body;
      told.push([problem, answer.headers.get("ratelimit-policy")]);
    }
    expect(told[0]).toEqual(told[1]);
  });

  test("by registering, where addresses must be verified", async () => {
    const { email } = await signUp(strict);
    const register = async (address: string) => {
      const body = { email: address, password: goodPassword, full_name: "Eve", is_admin: true };
      const answer = await strict.post<WireUser>(`${auth}/register`, body);
      const { id, created_at, updated_at } = answer.body;
      expect(id).toMatch(/^[0-9a-f-]{36}$/);
      expect(Math.abs(Date.parse(created_at) - Date.now())).toBeLessThan(60_000);
      const text = answer.text
        .replaceAll(created_at, "T")
        .replaceAll(updated_at, "T")
        .replace(id, "I")
        .replace(address, "A");
      return shown({ ...answer, text });
    };
    const [known, unknown] = [await register(email), await register(newEmail())];
    expect(known.status).toBe(201);
    // The length of the address is that of what was sent.
    const lengthless = (one: typeof known) => one.headers.filter(([name]) => name !== "content-length");
    expect([known.text, lengthless(known)]).toEqual([unknown.text, lengthless(unknown)]);
    expect((await mailOf(strict, email)).kind).toBe("account-exists");
  });
});

describe("BR-4 a link", () => {
  test("leads where the settings say, whatever a request says of its host", async () => {
    const { email } = await signUp(server);
    const body = JSON.stringify({ email });
    const lying = [
      "Content-Type: application/json",
      `Content-Length: ${body.length}`,
      "X-Forwarded-Host: evil.example",
      "X-Forwarded-Proto: ftp",
      "X-Forwarded-For: 203.0.113.9",
      "Forwarded: host=evil.example;proto=ftp",
      "Origin: https://evil.example",
      "Referer: https://evil.example/x",
      "X-Original-URL: https://evil.example",
    ];
    const request = bare(`POST ${auth}/forgot-password`, ...lying).replace("Host: localhost", "Host: evil.example");
    expect(await sendRaw(server.url, request + body)).toStartWith("HTTP/1.1 202");
    const { link } = await mailOf(server, email, "reset-password");
    expect(link).toStartWith("http://localhost:8000/reset-password#token=rp_");
  });

  test("proves nothing once an operator has given the user another address", async () => {
    const { id, email } = await signUp(server);
    const { token } = await mailOf(server, email);
    await forgot(email);
    const resetting = (await mailOf(server, email, "reset-password")).token;
    await besides(server, (core) => updateUser(core, root, id, { email: newEmail("moved") }));
    expectProblem(await verify(token), 400, "token_invalid");
    expectProblem(await reset(resetting), 400, "token_invalid");
  });

  test("TK-5 stands in no line of the log, and in no row of the database", async () => {
    const { access_token, user } = await newTokens(server);
    const next = newEmail("next");
    await forgot(user.email);
    await server.post("/api/v1/users/me/email", { new_email: next, password: goodPassword }, { bearer: access_token });
    const mails = [
      await mailOf(server, user.email, "reset-password"),
      await mailOf(server, next),
      await mailOf(server, user.email, "verify-email"),
    ];
    const stored = JSON.stringify([
      await rawSql(server, "SELECT * FROM challenges"),
      await rawSql(server, "SELECT * FROM mails"),
      await rawSql(server, "SELECT * FROM audit_events"),
    ]);
    for (const { token } of mails) {
      await verify(token);
      await reset(token);
    }
    const told = () => server.log.filter((line) => line["route"] === `${auth}/reset-password`).length;
    await until("the last line of the log", () => told() >= mails.length);
    for (const { token } of mails) {
      expect(token).toMatch(/^(ve|ce|rp)_[\w-]{43}$/);
      for (const text of [stored, JSON.stringify(server.log), server.errors()])
        expect(text).not.toContain(token.slice(3));
    }
    expect(server.log.some((line) => line["route"] === `${auth}/verify-email`)).toBe(true);
  });
});

test("BR-1 GET and HEAD of where a token is sent are refused and use none", async () => {
  const { email } = await signUp(server);
  const { token } = await mailOf(server, email);
  for (const method of ["GET", "HEAD"]) {
    const answer = await server.send(method, `${auth}/verify-email?token=${token}`);
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, "POST"]);
  }
  expect((await verify(token)).status).toBe(204);
});

test("the answer to a new device, a reset and a deletion waits for no mail", async () => {
  const tokens: Tokens = await newTokens(server);
  expect(
    (await server.delete("/api/v1/users/me", { password: goodPassword }, { bearer: tokens.access_token })).status,
  ).toBe(204);
  expect((await mailOf(server, tokens.user.email)).kind).toBe("account-deleted");
});
