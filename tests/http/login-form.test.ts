import { afterAll, describe, expect, test } from "bun:test";
import type { Tokens } from "../support/client.ts";
import { goodPassword } from "../support/core.ts";
import { expectProblem, signUp, statusOfMe } from "../support/people.ts";
import { startServer } from "../support/server.ts";

const server = await startServer();
afterAll(server.end);

const auth = "/api/v1/auth";

describe("POST /login-form", () => {
  const form = { "content-type": "application/x-www-form-urlencoded" };
  const send = (body: string) => server.post<Tokens>(`${auth}/login-form`, body, { headers: form });

  test("gives the answer of OAuth 2.0, by address or user name", async () => {
    const { email } = await signUp(server);
    const body = new URLSearchParams({ grant_type: "password", username: email, password: goodPassword, scope: "" });
    const { status, body: given } = await send(String(body));
    expect(status).toBe(200);
    expect(given).toMatchObject({ token_type: "Bearer", user: { email } });
    expect(await statusOfMe(server, given.access_token)).toBe(200);
  });

  test("refuses a wrong password, a missing one, another grant, and JSON", async () => {
    const { email } = await signUp(server);
    const username = encodeURIComponent(email);
    expectProblem(await send(`username=${username}&password=wrong`), 401, "invalid_credentials");
    expectProblem(await send(`username=${username}`), 422, "validation_failed");
    expectProblem(await send(`username=${username}&password=a&password=b`), 422, "validation_failed");
    const other = `grant_type=client_credentials&username=${username}&password=x`;
    expectProblem(await send(other), 422, "validation_failed");
    const json = await server.post(`${auth}/login-form`, { username: email, password: goodPassword });
    expectProblem(json, 415, "unsupported_media_type");
  });
});
