import { afterAll, describe, expect, test } from "bun:test";
import type { WireSession } from "../support/client.ts";
import { firefoxAgent } from "../support/client.ts";
import { formats } from "../support/openapi.ts";
import { expectProblem, newSession, newTokens, signIn, signInForSession, statusOfMe } from "../support/people.ts";
import { startServer } from "../support/server.ts";

const server = await startServer();
afterAll(server.end);

const sessions = "/api/v1/sessions";
const list = async (bearer: string) => (await server.get<WireSession[]>(sessions, { bearer })).body;
const end = (bearer: string, id: string) => server.delete(`${sessions}/${id}`, undefined, { bearer });

describe("GET /sessions", () => {
  test("SE-5 shows the own live sessions, newest first, the current one marked", async () => {
    const first = await newTokens(server);
    const { email } = first.user;
    const second = await signInForSession(server, { email });
    const third = await signIn(server, { email });
    await server.post("/api/v1/auth/logout", undefined, { bearer: third.access_token });
    await newTokens(server);
    const seen = await list(second.session_token);
    expect(seen.map(({ id, current }) => [id, current])).toEqual([
      [second.session_id, true],
      [first.session_id, false],
    ]);
  });

  test("SE-5 tells when, where from and with what, and nothing that can be replayed", async () => {
    const { access_token, refresh_token, session_id } = await newTokens(server);
    const { body, text } = await server.get<WireSession[]>(sessions, { bearer: access_token });
    const time = expect.stringMatching(formats["date-time"]);
    expect(body).toEqual([
      {
        id: session_id,
        current: true,
        created_at: time,
        last_seen_at: time,
        expires_at: time,
        ip: "127.0.0.1",
        user_agent: firefoxAgent,
        device: { browser: "Firefox", os: "Linux", kind: "desktop" },
      },
    ]);
    for (const secret of [access_token, refresh_token, refresh_token.split(".").at(-1)!])
      expect(text).not.toContain(secret);
  });

  test("a program that names itself is a program, and one that says nothing is unknown", async () => {
    const { user } = await newTokens(server);
    const deviceOf = async (agent: string) => {
      const headers = { "user-agent": agent };
      const { session_token } = await signInForSession(server, { email: user.email }, { headers });
      const { body } = await server.get<WireSession[]>(sessions, { bearer: session_token, headers });
      return body.find((one) => one.current)?.device;
    };
    expect(await deviceOf("curl/8.9.1")).toMatchObject({ browser: "curl", kind: "program" });
    expect(await deviceOf("?")).toEqual({ browser: null, os: null, kind: "unknown" });
  });
});

describe("DELETE /sessions/{id}", () => {
  test("SE-3 ends one of the own sessions with the next request, and 204 again where it had ended", async () => {
    const first = await newTokens(server);
    const second = await signIn(server, { email: first.user.email });
    for (let again = 0; again < 2; again++) {
      const { status, text } = await end(second.access_token, first.session_id);
      expect([status, text]).toEqual([204, ""]);
    }
    expect(await statusOfMe(server, first.access_token)).toBe(401);
    const refreshed = await server.post("/api/v1/auth/refresh", { refresh_token: first.refresh_token });
    expectProblem(refreshed, 401, "unauthenticated");
    expect((await list(second.access_token)).map((one) => one.id)).toEqual([second.session_id]);
  });

  test("ends the current one too", async () => {
    const { session_token, session_id } = await newSession(server);
    expect((await end(session_token, session_id)).status).toBe(204);
    expect(await statusOfMe(server, session_token)).toBe(401);
  });

  test("AZ-2 those of others are as unknown as those that never were", async () => {
    const mine = await newTokens(server);
    const theirs = await newTokens(server);
    const never = "01890a5d-ac96-774b-bcce-b302099a8057";
    const ids = [theirs.session_id, never, "x", "%20", "a".repeat(128), theirs.session_id.toUpperCase()];
    for (const id of ids) expectProblem(await end(mine.access_token, id), 404, "not_found");
    expect(await statusOfMe(server, theirs.access_token)).toBe(200);
  });

  test("refuses an id that is too long for one", async () => {
    const { access_token } = await newTokens(server);
    expectProblem(await end(access_token, "a".repeat(129)), 422, "validation_failed");
  });
});
