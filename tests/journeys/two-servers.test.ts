/** Two servers on one database, without anything else between them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { newSession, statusOfMe } from "../support/people.ts";
import { startServer, type TestServer } from "../support/server.ts";

let one: TestServer;
let other: TestServer;
beforeAll(async () => {
  one = await startServer();
  other = await startServer(one.env);
});
afterAll(async () => {
  await other.end();
  await one.end();
});

test("SE-3 whoever signs out at one of them is signed out at the busy other one with the next request", async () => {
  const busy = (await newSession(one)).session_token;
  const sessions = await Promise.all(Array.from({ length: 40 }, () => newSession(one)));
  const over = new AbortController();
  const keepBusy = async (): Promise<void> => {
    while (!over.signal.aborted) expect(await statusOfMe(other, busy)).toBe(200);
  };
  const crowd = Array.from({ length: 8 }, keepBusy);
  for (const { session_token: session } of sessions) {
    expect(await statusOfMe(other, session)).toBe(200);
    expect((await one.post("/api/v1/auth/logout", {}, { bearer: session })).status).toBe(204);
    expect(await statusOfMe(other, session)).toBe(401);
  }
  over.abort();
  await Promise.all(crowd);
});
