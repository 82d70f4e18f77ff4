import { afterAll, describe, expect, test } from "bun:test";
import { grantRole } from "../../src/core/roles.ts";
import type { Tokens, WireUser } from "../support/client.ts";
import { goodPassword, root } from "../support/core.ts";
import { besides, expectProblem, newEmail, newTokens, signIn } from "../support/people.ts";
import { startServer } from "../support/server.ts";

const schema = {
  type: "object",
  additionalProperties: false,
  properties: {
    theme: { enum: ["light", "dark"] },
    plan: { type: "string", readOnly: true },
    limits: { type: "object", properties: { seats: { type: "integer" } } },
  },
};

const server = await startServer({ PROFILE_SCHEMA: JSON.stringify(schema) });
afterAll(server.end);

const me = "/api/v1/users/me";

async function anAdmin(): Promise<Tokens> {
  const tokens = await newTokens(server);
  await besides(server, (core) => grantRole(core, root, tokens.user.id, "admin"));
  return tokens;
}

describe("locale and profile", () => {
  test("come with registering, and are kept", async () => {
    const email = newEmail();
    const body = { email, password: goodPassword, locale: "PT-br", profile: { theme: "dark" } };
    const made = await server.post<WireUser>("/api/v1/auth/register", body);
    expect(made.status, made.text).toBe(201);
    expect(made.body).toMatchObject({ locale: "pt-BR", profile: { theme: "dark" } });
    expect(made.headers.get("etag")).toBe('"0"');
    expect((await signIn(server, { email })).user).toMatchObject({ locale: "pt-BR", profile: { theme: "dark" } });
  });

  test("are changed by PUT as a whole, and by PATCH member by member", async () => {
    const { access_token: bearer } = await newTokens(server);
    const put = await server.put<WireUser>(me, { profile: { theme: "dark", limits: { seats: 3 } } }, { bearer });
    expect(put.body.profile).toEqual({ theme: "dark", limits: { seats: 3 } });
    const patched = await server.patch<WireUser>(me, { locale: "en", profile: { limits: null } }, { bearer });
    expect(patched.body).toMatchObject({ locale: "en", profile: { theme: "dark" } });
    const kept = await server.put<WireUser>(me, { full_name: "Ada" }, { bearer });
    expect(kept.body).toMatchObject({ locale: "en", profile: { theme: "dark" }, full_name: "Ada" });
    const replaced = await server.put<WireUser>(me, { profile: { limits: {} }, locale: null }, { bearer });
    expect(replaced.body).toMatchObject({ locale: null, profile: { limits: {} } });
    expect((await server.get<WireUser>(me, { bearer })).body.profile).toEqual({ limits: {} });
  });

  test("what does not fit is told by its path, and nothing is changed", async () => {
    const { access_token: bearer } = await newTokens(server);
    const profile = { theme: "hunter2", limits: { seats: "many" }, isAdmin: true };
    const answer = await server.patch(me, { full_name: "Ada", profile }, { bearer });
    const { errors } = expectProblem(answer, 422, "validation_failed");
    expect(errors?.map(({ path }) => path)).toEqual(["/profile", "/profile/theme", "/profile/limits/seats"]);
    expect(answer.text).not.toMatch(/hunter2|isAdmin|many/);
    expect((await server.get<WireUser>(me, { bearer })).body).toMatchObject({ full_name: null, profile: {} });
    for (const other of [[], "x", 1, null])
      expectProblem(await server.patch(me, { profile: other }, { bearer }), 422, "validation_failed");
  });

  test("AZ-2 a member that is read-only is the operators' alone", async () => {
    const admin = await anAdmin();
    const { access_token: bearer, user } = await newTokens(server);
    const register = { email: newEmail(), password: goodPassword, profile: { plan: "pro" } };
    expectProblem(await server.post("/api/v1/auth/register", register), 422, "validation_failed");
    for (const method of ["put", "patch"] as const)
      expectProblem(await server[method](me, { profile: { plan: "pro" } }, { bearer }), 422, "validation_failed");
    const given = await server.patch<WireUser>(
      `/api/v1/users/${user.id}`,
      { profile: { plan: "pro" } },
      { bearer: admin.access_token },
    );
    expect(given.body.profile).toEqual({ plan: "pro" });
    const own = await server.put<WireUser>(me, { profile: { theme: "dark" } }, { bearer });
    expect(own.body.profile).toEqual({ plan: "pro", theme: "dark" });
    const made = await server.post<WireUser>(
      "/api/v1/users",
      { email: newEmail(), profile: { plan: "free" } },
      { bearer: admin.access_token },
    );
    expect(made.body.profile).toEqual({ plan: "free" });
  });

  test("IO-1 members that could reach a prototype are never there", async () => {
    const { access_token: bearer } = await newTokens(server);
    const body = '{"profile":{"__proto__":{"plan":"pro"},"constructor":{"x":1},"theme":"dark"}}';
    const { body: changed } = await server.patch<WireUser>(me, body, { bearer });
    expect(changed.profile).toEqual({ theme: "dark" });
  });
});
