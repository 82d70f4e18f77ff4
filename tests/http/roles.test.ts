import { afterAll, describe, expect, test } from "bun:test";
import { decodeJwt } from "jose";
import type { grantsOf } from "../../src/core/roles.ts";
import type { roleView } from "../../src/core/views.ts";
import type { Tokens, WireUser } from "../support/client.ts";
import { expectProblem, newTokens } from "../support/people.ts";
import { give, holderOf, newRole, newRoleName } from "../support/roles.ts";
import { startServer } from "../support/server.ts";

type WireRole = ReturnType<typeof roleView>;
type Grants = Awaited<ReturnType<typeof grantsOf>>;

const server = await startServer();
afterAll(server.end);

const roles = "/api/v1/roles";
const admin = await holderOf(server, ["*"]);
const asAdmin = { bearer: admin };
const grant = (id: string, role: string, bearer = admin) =>
  server.put<WireUser>(`/api/v1/users/${id}/roles/${role}`, undefined, { bearer });
const take = (id: string, role: string, bearer = admin) =>
  server.delete<WireUser>(`/api/v1/users/${id}/roles/${role}`, undefined, { bearer });
const grantsWith = async (bearer: string) =>
  (await server.get<Grants>("/api/v1/users/me/permissions", { bearer })).body;

describe("/roles", () => {
  test("a role is made, read, listed, changed and deleted", async () => {
    const name = newRoleName();
    const permissions = ["users:read", "billing:refund", "users:read"];
    const made = await server.post<WireRole>(roles, { name, description: "Helps", permissions }, asAdmin);
    const role = { name, description: "Helps", permissions: ["billing:refund", "users:read"] };
    expect([made.status, made.body]).toEqual([201, role]);
    const read = await server.get<WireRole>(`${roles}/${name}`, asAdmin);
    expect([read.status, read.body]).toEqual([200, role]);
    const changed = await server.put<WireRole>(
      `${roles}/${name}`,
      { description: "", permissions: ["app:*"] },
      asAdmin,
    );
    expect([changed.status, changed.body]).toEqual([200, { name, description: "", permissions: ["app:*"] }]);
    const gone = await server.delete(`${roles}/${name}`, undefined, asAdmin);
    expect([gone.status, gone.text]).toEqual([204, ""]);
    expectProblem(await server.get(`${roles}/${name}`, asAdmin), 404, "not_found");
    expectProblem(await server.delete(`${roles}/${name}`, undefined, asAdmin), 404, "not_found");
  });

  test("all of them stand on one page, by name", async () => {
    const name = newRoleName();
    await server.post(roles, { name }, asAdmin);
    const { status, body } = await server.get<{ items: WireRole[] }>(roles, asAdmin);
    expect(status).toBe(200);
    expect(body).toMatchObject({ next_cursor: null, has_more: false });
    expect(body.items).toContainEqual({ name: "admin", description: "May do everything", permissions: ["*"] });
    expect(body.items).toContainEqual({ name, description: "", permissions: [] });
    const names = body.items.map((one) => one.name);
    expect(names).toEqual(names.toSorted());
  });

  test("a name that is taken is refused, and the role stays as it was", async () => {
    const name = await newRole(server, ["users:read"]);
    for (const taken of [name, "admin", "user", "guest"])
      expectProblem(await server.post(roles, { name: taken, permissions: [] }, asAdmin), 409, "role_exists");
    expect((await server.get<WireRole>(`${roles}/${name}`, asAdmin)).body.permissions).toEqual(["users:read"]);
  });

  test("of 20 parallel requests for one name one is answered with 201", async () => {
    const name = newRoleName();
    const answers = await Promise.all(Array.from({ length: 20 }, () => server.post(roles, { name }, asAdmin)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    for (const answer of answers.filter(({ status }) => status !== 201)) expectProblem(answer, 409, "role_exists");
  });

  test("what is built in stays", async () => {
    for (const name of ["admin", "user", "guest"])
      expectProblem(await server.delete(`${roles}/${name}`, undefined, asAdmin), 409, "role_built_in");
    const emptied = server.put(`${roles}/admin`, { description: "", permissions: [] }, asAdmin);
    expectProblem(await emptied, 409, "role_built_in");
  });

  test("what does not fit is told by its path", async () => {
    const tell = async (body: object) =>
      expectProblem(await server.post(roles, body, asAdmin), 422, "validation_failed").errors?.map(({ path }) => path);
    expect(await tell({})).toEqual(["name"]);
    expect(await tell({ name: "Ä", permissions: ["users:read", "x"] })).toEqual(["name", "permissions.1"]);
    expect(await tell({ name: "fine", permissions: Array(101).fill("a:b") })).toEqual(["permissions"]);
    expect(await tell({ name: "fine", permissions: [1] })).toEqual(["permissions.0"]);
    expect(await tell({ name: "fine", description: "two\nlines" })).toEqual(["description"]);
    const put = await server.put(`${roles}/user`, { description: "" }, asAdmin);
    expect(expectProblem(put, 422, "validation_failed").errors).toMatchObject([{ path: "permissions" }]);
  });

  test("a name in another spelling is as unknown as one that never was", async () => {
    const name = await newRole(server, []);
    const odd = [name.toUpperCase(), "nobody", "%20", "a%20b", "__proto__", "%c3%a4", "'", "a".repeat(128)];
    for (const other of odd) {
      expectProblem(await server.get(`${roles}/${other}`, asAdmin), 404, "not_found");
      expectProblem(await server.delete(`${roles}/${other}`, undefined, asAdmin), 404, "not_found");
      const body = { description: "", permissions: [] };
      expectProblem(await server.put(`${roles}/${other}`, body, asAdmin), 404, "not_found");
    }
  });
});

describe("/users/{id}/roles/{name}", () => {
  test("gives and takes a role, once or twice, and answers with the user", async () => {
    const { user } = await newTokens(server);
    const role = await newRole(server, ["users:read"]);
    for (let again = 0; again < 2; again++) {
      const { status, body } = await grant(user.id, role);
      expect([status, body]).toEqual([200, { ...user, roles: [role, "user"], last_login_at: expect.any(String) }]);
    }
    for (let again = 0; again < 2; again++) {
      const { status, body } = await take(user.id, role);
      expect([status, body.roles]).toEqual([200, ["user"]]);
    }
  });

  test("knows neither users nor roles that are not there, however they are spelled", async () => {
    const { user } = await newTokens(server);
    const ids = ["me", "x", "%20", "01890a5d-ac96-774b-bcce-b302099a8057", user.id.toUpperCase(), user.email];
    for (const act of [grant, take]) {
      for (const id of ids) expectProblem(await act(id, "guest"), 404, "not_found");
      for (const role of ["nobody", "%20", "GUEST", "__proto__"])
        expectProblem(await act(user.id, role), 404, "not_found");
    }
  });

  test("leaves the last admin, and tells whoever holds less that they may not", async () => {
    const first = await newTokens(server);
    await give(server, first.user.id, "admin");
    expectProblem(await take(first.user.id, "admin"), 409, "last_admin");
    const lesser = await holderOf(server, ["roles:*", "users:*", "sessions:*"]);
    expectProblem(await take(first.user.id, "user", lesser), 403, "forbidden");
    expectProblem(await grant(first.user.id, "guest", lesser), 403, "forbidden");
    const second = await newTokens(server);
    expectProblem(await grant(second.user.id, "admin", lesser), 403, "forbidden");
    expect((await grant(second.user.id, "admin", first.access_token)).body.is_admin).toBe(true);
    expect((await take(first.user.id, "admin", second.access_token)).body.is_admin).toBe(false);
    expectProblem(await take(second.user.id, "admin", second.access_token), 409, "last_admin");
  });

  test("a request that carries cookies of another origin is refused", async () => {
    const { user, access_token } = await newTokens(server);
    await give(server, user.id, await newRole(server, ["*"]));
    const headers = { cookie: `access_token=${access_token}`, origin: "https://evil.example" };
    const answer = await server.send("PUT", `/api/v1/users/${user.id}/roles/guest`, undefined, { headers });
    expectProblem(answer, 403, "csrf_rejected");
  });
});

describe("SE-3 a change of roles", () => {
  test("counts with the next request here, and in the access token with the next refresh", async () => {
    const tokens = await newTokens(server);
    const bearer = tokens.access_token;
    const ask = async () => (await server.get(roles, { bearer })).status;
    const role = await newRole(server, ["app:use"]);
    expect(await grantsWith(bearer)).toEqual({ roles: ["user"], permissions: [] });
    await grant(tokens.user.id, role);
    expect(await grantsWith(bearer)).toEqual({ roles: [role, "user"], permissions: ["app:use"] });
    expect(await ask()).toBe(403);
    await server.put(`${roles}/${role}`, { description: "", permissions: ["app:use", "roles:read"] }, asAdmin);
    expect(await ask()).toBe(200);
    // What was signed says what was so then.
    expect(decodeJwt(bearer)).toMatchObject({ roles: ["user"], scope: "" });
    const { body } = await server.post<Tokens>("/api/v1/auth/refresh", { refresh_token: tokens.refresh_token });
    expect(decodeJwt(body.access_token)).toMatchObject({ roles: [role, "user"], scope: "app:use roles:read" });
    await server.delete(`${roles}/${role}`, undefined, asAdmin);
    expect(await ask()).toBe(403);
    expect(await grantsWith(bearer)).toEqual({ roles: ["user"], permissions: [] });
    expect((await server.get<WireUser>("/api/v1/users/me", { bearer })).body.roles).toEqual(["user"]);
  });

  test("the own permissions are for whoever is signed in, and nobody else", async () => {
    expectProblem(await server.get("/api/v1/users/me/permissions"), 401, "unauthenticated");
  });
});
