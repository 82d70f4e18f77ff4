import { afterAll, expect, test } from "bun:test";
import { goodPassword } from "../support/core.ts";
import { expectProblem, newTokens, signUp } from "../support/people.ts";
import { give } from "../support/roles.ts";
import { startServer } from "../support/server.ts";
import { until } from "../support/until.ts";

const server = await startServer({ STEP_UP_TTL: "2s" });
afterAll(server.end);

test("AZ-4 an admin is asked for the password again, and goes on in the same session", async () => {
  const { access_token: bearer, user } = await newTokens(server);
  await give(server, user.id, "admin");
  const other = await signUp(server);
  const grant = () => server.put(`/api/v1/users/${other.id}/roles/guest`, undefined, { bearer });
  const prove = (password: string) => server.post("/api/v1/users/me/proof", { password }, { bearer });

  await until("the proof is too old", async () => (await grant()).status === 403);
  const problem = expectProblem(await grant(), 403, "step_up_required");
  expect(problem.detail).toContain("/api/v1/users/me/proof");
  expect((await server.patch(`/api/v1/users/${other.id}`, { full_name: "Other" }, { bearer })).status).toBe(200);

  expectProblem(await prove("not the password at all"), 401, "invalid_credentials");
  expectProblem(await server.delete(`/api/v1/users/${other.id}`, undefined, { bearer }), 403, "step_up_required");
  const proven = await prove(goodPassword);
  expect([proven.status, proven.text]).toEqual([204, ""]);
  expect((await grant()).status).toBe(200);
  expectProblem(await server.post("/api/v1/users/me/proof", { password: goodPassword }), 401, "unauthenticated");
});
