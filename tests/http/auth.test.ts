import { afterAll, describe, expect, test } from "bun:test";
import { decodeJwt, decodeProtectedHeader } from "jose";
import { safariAgent, type Tokens, type WireUser } from "../support/client.ts";
import { goodPassword } from "../support/core.ts";
import { formats } from "../support/openapi.ts";
import {
  expectProblem,
  newEmail,
  newSession,
  newTokens,
  signIn,
  signInForSession,
  signUp,
  statusOfMe,
} from "../support/people.ts";
import { startServer } from "../support/server.ts";

const server = await startServer({ REFRESH_LATE_RETRY: "off" });
afterAll(server.end);

const auth = "/api/v1/auth";

describe("POST /register", () => {
  const register = <T = WireUser>(body: object) => server.post<T>(`${auth}/register`, body);

  test("makes an ordinary user and tells who that is, without a secret", async () => {
    const email = newEmail("Ada");
    const { status, body, text } = await register({ email, password: goodPassword, full_name: "Ada Lovelace" });
    expect(status).toBe(201);
    expect(body).toEqual({
      id: expect.stringMatching(formats.uuid),
      email,
      email_verified: false,
      username: null,
      full_name: "Ada Lovelace",
      locale: null,
      profile: {},
      is_active: true,
      is_admin: false,
      roles: ["user"],
      created_at: expect.stringMatching(formats["date-time"]),
      updated_at: body.created_at,
      last_login_at: null,
    });
    expect(text).not.toContain(goodPassword);
  });

  test("AZ-2 reads no member that it does not name", async () => {
    const sent = { is_admin: true, roles: ["admin"], email_verified: true, is_active: false, id: "mine", epoch: 9 };
    const { status, body } = await register({ email: newEmail(), password: goodPassword, ...sent });
    expect(status).toBe(201);
    expect(body).toMatchObject({ is_admin: false, roles: ["user"], email_verified: false, is_active: true });
    expect(body.id).not.toBe("mine");
  });

  test("IO-2 an address is taken in any case and with blanks around it", async () => {
    const { email } = await signUp(server);
    for (const same of [email, email.toUpperCase(), ` ${email} `])
      expectProblem(await register({ email: same, password: goodPassword }), 409, "email_taken");
  });

  test("a user name is taken in any case", async () => {
    await register({ email: newEmail(), password: goodPassword, username: "Grace.Hopper" });
    const answer = await register({ email: newEmail(), password: goodPassword, username: "grace.hopper" });
    expectProblem(answer, 409, "username_taken");
  });

  test("PW-2 a weak password is refused with every reason, and never repeated", async () => {
    const answer = await register({ email: newEmail(), password: "qwertyuiop" });
    const { errors } = expectProblem(answer, 422, "weak_password");
    expect(errors?.length).toBeGreaterThan(1);
    expect(errors?.every((one) => one.path === "password")).toBe(true);
    expect(answer.text).not.toContain("qwertyuiop");
  });

  test.each([
    ["no address", { password: goodPassword }, "email"],
    ["no password", { email: "a@example.com" }, "password"],
    ["an address that is none", { email: "nowhere", password: goodPassword }, "email"],
    ["two addresses", { email: "a@example.com,b@example.com", password: goodPassword }, "email"],
    ["a number for a password", { email: "a@example.com", password: 7 }, "password"],
    ["a short user name", { email: "a@example.com", password: goodPassword, username: "a" }, "username"],
    ["a reserved user name", { email: "a@example.com", password: goodPassword, username: "admin" }, "username"],
    ["a name of two lines", { email: "a@example.com", password: goodPassword, full_name: "A\nB" }, "full_name"],
  ])("what does not fit is named: %s", async (_, body, path) => {
    const { errors } = expectProblem(await register(body), 422, "validation_failed");
    expect(errors?.map((one) => one.path)).toEqual([path]);
  });
});

describe("POST /login", () => {
  test("gives tokens by address or by user name, in any case", async () => {
    const username = `ada.${process.pid}`;
    const email = newEmail();
    await server.post(`${auth}/register`, { email, username, password: goodPassword });
    for (const name of [{ email }, { email: email.toUpperCase() }, { username }, { username: email }]) {
      const { status, body } = await server.post<Tokens>(`${auth}/login`, { ...name, password: goodPassword });
      expect(status).toBe(200);
      expect(body).toMatchObject({ token_type: "Bearer", user: { email, username } });
      expect(Object.keys(body).toSorted().join()).toBe(
        "access_token,expires_in,refresh_expires_in,refresh_token,session_id,token_type,user",
      );
    }
  });

  test("the access token is an RFC 9068 JWT of the session, without an address in it", async () => {
    const given = await newTokens(server);
    expect(decodeProtectedHeader(given.access_token)).toEqual({
      alg: "ES256",
      kid: expect.any(String),
      typ: "at+jwt",
    });
    const claims = decodeJwt(given.access_token);
    expect(claims).toMatchObject({
      iss: "http://localhost:8000",
      aud: "http://localhost:8000",
      sub: given.user.id,
      sid: given.session_id,
      client_id: "first-party",
      roles: ["user"],
      scope: "",
    });
    expect(JSON.stringify(claims)).not.toContain("@");
    expect(claims.exp! - claims.iat!).toBe(given.expires_in);
    expect(given.expires_in).toBeGreaterThanOrEqual(0.95 * 900 - 1);
    expect(given.expires_in).toBeLessThanOrEqual(900);
    expect(given.refresh_expires_in).toBe(7 * 86_400);
  });

  test("gives one session token where that is asked for", async () => {
    const given = await newSession(server);
    expect(Object.keys(given).toSorted().join()).toBe("expires_in,session_id,session_token,token_type,user");
    expect(given.session_token).toMatch(new RegExp(`^st_${given.session_id}\\.[\\w-]{43}\\.[\\w-]{43}$`));
    expect(given.expires_in).toBe(3600);
    expect(await statusOfMe(server, given.session_token)).toBe(200);
  });

  test("SE-1 begins a new session each time, whatever came with the request", async () => {
    const first = await newSession(server);
    const again = await signInForSession(server, { email: first.user.email }, { bearer: first.session_token });
    const cookie = `session=${first.session_token}; access_token=${first.session_token}`;
    const third = await signInForSession(server, { email: first.user.email }, { headers: { cookie } });
    expect(new Set([first, again, third].map((one) => one.session_id)).size).toBe(3);
  });

  test("PW-4 says the same of an unknown address, a wrong password and an address that is none", async () => {
    const { email } = await signUp(server);
    const tries = [
      { email, password: "not the password at all" },
      { email: newEmail("nobody"), password: goodPassword },
      { email: "nowhere", password: goodPassword },
      { username: "nobody.here", password: goodPassword },
      { email, password: "" },
      { email, password: "x".repeat(2000) },
    ];
    const said = await Promise.all(
      tries.map(async (body) => {
        const answer = await server.post(`${auth}/login`, body);
        const { request_id: _, ...rest } = expectProblem(answer, 401, "invalid_credentials");
        return JSON.stringify([rest, [...answer.headers.keys()].toSorted()]);
      }),
    );
    expect(new Set(said).size).toBe(1);
  });

  test.each([
    ["neither name", {}],
    ["both names", { email: "a@example.com", username: "ada" }],
    ["an unknown credential", { email: "a@example.com", credential: "cookie" }],
    ["an unknown delivery", { email: "a@example.com", delivery: "post" }],
    ["an object for a name", { email: { $ne: null } }],
  ])("refuses %s", async (_, body) => {
    expectProblem(await server.post(`${auth}/login`, { password: goodPassword, ...body }), 422, "validation_failed");
  });
});

describe("POST /refresh", () => {
  const refresh = (token: string, headers = {}) =>
    server.post<Tokens>(`${auth}/refresh`, { refresh_token: token }, { headers });

  test("trades a refresh token for its successor on the same session", async () => {
    const first = await newTokens(server);
    const { status, body } = await refresh(first.refresh_token);
    expect(status).toBe(200);
    expect(body.session_id).toBe(first.session_id);
    expect(body.refresh_token).not.toBe(first.refresh_token);
    expect(await statusOfMe(server, body.access_token)).toBe(200);
  });

  test("refuses what is missing, forged, or another kind of token", async () => {
    const { access_token, refresh_token } = await newTokens(server);
    const { session_token } = await newSession(server);
    expectProblem(await server.post(`${auth}/refresh`), 401, "unauthenticated");
    expectProblem(await server.post(`${auth}/refresh`, {}), 401, "unauthenticated");
    for (const token of ["", "garbage", `${refresh_token}x`, access_token, session_token])
      expectProblem(await refresh(token), 401, "unauthenticated");
    expect((await refresh(refresh_token)).status).toBe(200);
  });

  test("TK-3 an older generation ends the session, and says so once", async () => {
    const first = await newTokens(server);
    const second = (await refresh(first.refresh_token)).body;
    const third = (await refresh(second.refresh_token)).body;
    expectProblem(await refresh(first.refresh_token), 401, "refresh_token_reused");
    expectProblem(await refresh(third.refresh_token), 401, "unauthenticated");
    expect(await statusOfMe(server, third.access_token)).toBe(401);
  });

  test("another browser family ends the session", async () => {
    const { refresh_token, access_token } = await newTokens(server);
    expectProblem(await refresh(refresh_token, { "user-agent": safariAgent }), 403, "session_hijack_suspected");
    expectProblem(await refresh(refresh_token), 401, "unauthenticated");
    expect(await statusOfMe(server, access_token)).toBe(401);
  });

  test("HEAD never rotates", async () => {
    const { refresh_token } = await newTokens(server);
    const answer = await server.send("HEAD", `${auth}/refresh`, undefined, {
      headers: { cookie: `refresh_token=${refresh_token}` },
    });
    expect(answer.status).toBe(405);
    expect((await refresh(refresh_token)).body.refresh_token.split(".")[3]).toBe("2");
  });
});

describe("POST /logout", () => {
  const logout = (body?: object, bearer?: string) => server.post(`${auth}/logout`, body, bearer ? { bearer } : {});

  test.each([
    ["an access token", (given: Tokens) => logout(undefined, given.access_token)],
    ["a refresh token", (given: Tokens) => logout({ refresh_token: given.refresh_token })],
    ["both", (given: Tokens) => logout({ refresh_token: given.refresh_token }, given.access_token)],
  ])("SE-3 ends a session with tokens at once, by %s", async (_, send) => {
    const given = await newTokens(server);
    const { status, text } = await send(given);
    expect([status, text]).toEqual([204, ""]);
    expect(await statusOfMe(server, given.access_token)).toBe(401);
    const spent = await server.post(`${auth}/refresh`, { refresh_token: given.refresh_token });
    expectProblem(spent, 401, "unauthenticated");
  });

  test("SE-3 ends a session by its session token, and every session that the request holds a handle on", async () => {
    const [given, session] = [await newTokens(server), await newSession(server)];
    expect((await logout({ refresh_token: given.refresh_token }, session.session_token)).status).toBe(204);
    expect(await statusOfMe(server, session.session_token)).toBe(401);
    expect(await statusOfMe(server, given.access_token)).toBe(401);
  });

  test("answers 204 whatever comes, and leaves other sessions alone", async () => {
    const given = await newTokens(server);
    const other = await signIn(server, { email: given.user.email });
    expect((await logout()).status).toBe(204);
    for (const garbage of ["", "x", "st_a.b.c", "rt1.a.b.1.c", "e30.e30.e30", given.access_token.slice(0, -2)])
      expect((await logout({ refresh_token: garbage }, garbage || "x")).status).toBe(204);
    expect(await statusOfMe(server, given.access_token)).toBe(200);
    for (let again = 0; again < 2; again++) expect((await logout(undefined, given.access_token)).status).toBe(204);
    expect(await statusOfMe(server, other.access_token)).toBe(200);
  });
});

describe("POST /logout-all", () => {
  test("SE-3 ends every session of the user and of nobody else, and counts those that were alive", async () => {
    const first = await newTokens(server);
    const { email } = first.user;
    const others = [await signIn(server, { email }), await signIn(server, { email })];
    const session = await signInForSession(server, { email });
    const stranger = await newTokens(server);
    await server.post(`${auth}/logout`, undefined, { bearer: others[0]!.access_token });
    const { status, body } = await server.post<unknown>(`${auth}/logout-all`, undefined, {
      bearer: session.session_token,
    });
    expect([status, body]).toEqual([200, { revoked: 3 }]);
    for (const token of [first.access_token, others[1]!.access_token, session.session_token])
      expect(await statusOfMe(server, token)).toBe(401);
    const spent = await server.post(`${auth}/refresh`, { refresh_token: first.refresh_token });
    expectProblem(spent, 401, "unauthenticated");
    expect(await statusOfMe(server, stranger.access_token)).toBe(200);
    expect(await statusOfMe(server, (await signIn(server, { email })).access_token)).toBe(200);
  });
});
