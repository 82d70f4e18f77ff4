import { afterAll, describe, expect, test } from "bun:test";
import { decodeJwt } from "jose";
import { grantRole, revokeRole } from "../../src/core/roles.ts";
import { disableUser } from "../../src/core/users.ts";
import type { Tokens, WireUser } from "../support/client.ts";
import { safariAgent } from "../support/client.ts";
import { goodPassword, root } from "../support/core.ts";
import {
  besides,
  expectProblem,
  newEmail,
  newSession,
  newTokens,
  signIn,
  signUp,
  statusOfMe,
} from "../support/people.ts";
import { startServer } from "../support/server.ts";

const server = await startServer();
afterAll(server.end);

const me = "/api/v1/users/me";
const betterPassword = "another good long phrase";

describe("GET /users/me", () => {
  test("tells who is signed in, the same by access token and by session token", async () => {
    const given = await newTokens(server);
    const { body, status } = await server.get<WireUser>(me, { bearer: given.access_token });
    expect(status).toBe(200);
    expect(body).toEqual(given.user);
    const session = await newSession(server);
    const byToken = await server.get<WireUser>(me, { bearer: session.session_token });
    expect(byToken.body).toEqual(session.user);
    expect(byToken.body.last_login_at).not.toBeNull();
  });

  test.each([
    ["no credential", {}],
    ["another scheme", { authorization: "Basic YTpi" }],
    ["an empty bearer", { authorization: "Bearer " }],
    ["no token", { authorization: "Bearer x" }],
    ["a refresh token", { authorization: "Bearer rt1.AAAAAAAA.a.1.b" }],
    ["two tokens", { authorization: "Bearer a, Bearer b" }],
    ["a long token", { authorization: `Bearer ${"a".repeat(9000)}` }],
  ])("refuses %s, and says how to sign in", async (_, headers: Record<string, string>) => {
    const answer = await server.get(me, { headers });
    expectProblem(answer, 401, "unauthenticated");
    expect(answer.headers.get("www-authenticate")).toBe(
      headers["authorization"] === undefined
        ? 'Bearer realm="authctl"'
        : 'Bearer realm="authctl", error="invalid_token"',
    );
  });

  test("another browser family ends the session", async () => {
    const { session_token } = await newSession(server);
    const moved = await server.get(me, { bearer: session_token, headers: { "user-agent": safariAgent } });
    expectProblem(moved, 403, "session_hijack_suspected");
    expect(await statusOfMe(server, session_token)).toBe(401);
  });

  test("AZ-3 roles are those of the database, not those of the token", async () => {
    const { access_token: bearer, user } = await newTokens(server);
    await besides(server, (core) => grantRole(core, root, user.id, "guest"));
    expect((await server.get<WireUser>(me, { bearer })).body.roles).toEqual(["guest", "user"]);
    await besides(server, (core) => revokeRole(core, root, user.id, "user"));
    expect((await server.get<WireUser>(me, { bearer })).body.roles).toEqual(["guest"]);
    expect(decodeJwt(bearer)["roles"]).toEqual(["user"]);
  });

  test("SE-3 a user who is disabled is out with the next request, and cannot sign in", async () => {
    const { access_token, user } = await newTokens(server);
    await besides(server, (core) => disableUser(core, root, user.id));
    expect(await statusOfMe(server, access_token)).toBe(401);
    const again = await server.post("/api/v1/auth/login", { email: user.email, password: goodPassword });
    expectProblem(again, 401, "invalid_credentials");
  });
});

describe("PUT and PATCH /users/me", () => {
  test.each(["put", "patch"] as const)("%s changes what is named, and null takes it away", async (method) => {
    const { access_token: bearer, user } = await newTokens(server);
    const change = (body: object) => server[method]<WireUser>(me, body, { bearer });
    const username = `${method}.${process.pid}`;
    expect((await change({ full_name: "  Ada  ", username })).body).toMatchObject({ full_name: "Ada", username });
    const { body } = await change({ full_name: null });
    expect(body).toMatchObject({ full_name: null, username, id: user.id, created_at: user.created_at });
    expect(Date.parse(body.updated_at)).toBeGreaterThanOrEqual(Date.parse(user.updated_at));
    expect((await change({})).body).toMatchObject({ full_name: null, username });
  });

  test("AZ-2 reads no member that it does not name", async () => {
    const { access_token: bearer, user } = await newTokens(server);
    const sent = { is_admin: true, roles: ["admin"], email: "x@example.com", email_verified: true, is_active: false };
    const { body } = await server.patch<WireUser>(me, sent, { bearer });
    expect({ ...body, updated_at: user.updated_at }).toEqual(user);
  });

  test("refuses names that are taken or no names", async () => {
    const first = await newTokens(server);
    const second = await newTokens(server);
    const username = `taken.${process.pid}`;
    await server.patch(me, { username }, { bearer: first.access_token });
    const change = (body: object) => server.patch(me, body, { bearer: second.access_token });
    expectProblem(await change({ username: username.toUpperCase() }), 409, "username_taken");
    expectProblem(await change({ username: "a b" }), 422, "validation_failed");
    const both = expectProblem(await change({ username: "root", full_name: "" }), 422, "validation_failed");
    expect(both.errors?.map((one) => one.path)).toEqual(["username", "full_name"]);
    const own = await server.patch<WireUser>(me, { username: username.toUpperCase() }, { bearer: first.access_token });
    expect(own.body.username).toBe(username.toUpperCase());
  });
});

describe("POST /users/me/password", () => {
  const change = (bearer: string, current_password: string, new_password: string) =>
    server.post(`${me}/password`, { current_password, new_password }, { bearer });

  test("PW-8 changes the password, keeps the session that asked, and ends every other one", async () => {
    const asking = await newTokens(server);
    const { email } = asking.user;
    const other = await signIn(server, { email });
    const { status, text } = await change(asking.access_token, goodPassword, betterPassword);
    expect([status, text]).toEqual([204, ""]);
    expect(await statusOfMe(server, asking.access_token)).toBe(200);
    expect(await statusOfMe(server, other.access_token)).toBe(401);
    const refresh = (token: string) => server.post<Tokens>("/api/v1/auth/refresh", { refresh_token: token });
    expect((await refresh(asking.refresh_token)).status).toBe(200);
    expect((await refresh(other.refresh_token)).status).toBe(401);
    const old = await server.post("/api/v1/auth/login", { email, password: goodPassword });
    expectProblem(old, 401, "invalid_credentials");
    await signIn(server, { email, password: betterPassword });
  });

  test("refuses a wrong current password and a weak new one, and ends nothing", async () => {
    const { access_token: bearer, user } = await newTokens(server);
    expectProblem(await change(bearer, betterPassword, betterPassword), 401, "invalid_credentials");
    const { errors } = expectProblem(await change(bearer, goodPassword, "short"), 422, "weak_password");
    expect(errors?.[0]?.path).toBe("new_password");
    const named = `${user.email.split("@")[0]}-12345`;
    expectProblem(await change(bearer, goodPassword, named), 422, "weak_password");
    expectProblem(await server.post(`${me}/password`, {}, { bearer }), 422, "validation_failed");
    await signIn(server, { email: user.email });
    expect(await statusOfMe(server, bearer)).toBe(200);
  });
});

describe("DELETE /users/me", () => {
  const remove = (bearer: string, body: object = { password: goodPassword }) => server.delete(me, body, { bearer });

  test("AZ-4 wants the password", async () => {
    const { access_token } = await newTokens(server);
    expectProblem(await remove(access_token, { password: betterPassword }), 401, "invalid_credentials");
    expectProblem(await remove(access_token, {}), 422, "validation_failed");
    expect(await statusOfMe(server, access_token)).toBe(200);
  });

  test("takes the account with every session, clears the cookies, and frees the address", async () => {
    const { access_token, refresh_token, user } = await newTokens(server);
    const { status, cookies } = await remove(access_token);
    expect(status).toBe(204);
    expect(cookies.map(({ name, attributes }) => [name, attributes["max-age"]])).toEqual([
      ["access_token", "0"],
      ["refresh_token", "0"],
      ["session", "0"],
    ]);
    expect(await statusOfMe(server, access_token)).toBe(401);
    expectProblem(await server.post("/api/v1/auth/refresh", { refresh_token }), 401, "unauthenticated");
    const login = await server.post("/api/v1/auth/login", { email: user.email, password: goodPassword });
    expectProblem(login, 401, "invalid_credentials");
    expect((await signUp(server, user.email)).id).not.toBe(user.id);
  });

  test("AZ-2 the last active admin stays", async () => {
    const [first, second] = [
      await newTokens(server),
      await signIn(server, { email: (await signUp(server, newEmail())).email }),
    ];
    await besides(server, async (core) => {
      await grantRole(core, root, first.user.id, "admin");
      await grantRole(core, root, second.user.id, "admin");
    });
    expect((await remove(first.access_token)).status).toBe(204);
    expectProblem(await remove(second.access_token), 409, "last_admin");
    expect(await statusOfMe(server, second.access_token)).toBe(200);
  });
});
