/** The endpoints of operators in the documents of the templates. */
import { afterAll, describe, expect, test } from "bun:test";
import type { Tokens, WireUser } from "../support/client.ts";
import { expectProblem, newTokens, signUp } from "../support/people.ts";
import { startSeedServer } from "../support/seed-server.ts";
import { endpointsOf, settingsOf } from "../support/seeds.ts";

const server = await startSeedServer("002");
afterAll(server.end);

const settings = settingsOf("002");
const { body: admin } = await server.post<Tokens>("/api/v1/auth/login", {
  email: settings["ADMIN_EMAIL"],
  password: settings["ADMIN_PASSWORD"],
});

describe("002, its endpoints for admins", () => {
  const rows = endpointsOf("002").filter(({ path }) => path.startsWith("/api/v1/users/") && !path.endsWith("/me"));

  test("are read as they stand", () => {
    expect(rows.map(({ method, path, auth }) => `${method} ${path} ${auth}`)).toEqual([
      "GET /api/v1/users/ Admin",
      "PUT /api/v1/users/{id} Admin",
    ]);
  });

  test.each(rows.map((row) => [`${row.method} ${row.path}`, row] as const))("%s", async (_, { method, path }) => {
    const { id } = await signUp(server);
    const body = method === "PUT" ? { full_name: "Renamed" } : undefined;
    const ask = (bearer?: string) =>
      server.send<WireUser>(method, path.replace("{id}", id), body, bearer === undefined ? {} : { bearer });
    expectProblem(await ask(), 401, "unauthenticated");
    expectProblem(await ask((await newTokens(server)).access_token), 403, "forbidden");
    const answer = await ask(admin.access_token);
    expect(answer.status, answer.text).toBe(200);
    if (method === "PUT") expect(answer.body.full_name).toBe("Renamed");
    else expect(answer.text).toContain(id);
  });
});
