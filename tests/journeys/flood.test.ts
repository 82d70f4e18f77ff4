import { afterAll, expect, test } from "bun:test";
import { goodPassword } from "../support/core.ts";
import { expectProblem, newTokens, signUp } from "../support/people.ts";
import { startServer } from "../support/server.ts";

/** Hashing as dear as in production, one at a time, and a short queue. */
const server = await startServer({
  ARGON2_MEMORY_KIB: "19456",
  ARGON2_TIME_COST: "2",
  HASH_CONCURRENCY: "1",
  HASH_QUEUE: "20",
});
afterAll(server.end);

test("PW-5 of 200 sign-ins at once some are told to come back, none hangs, and no session check waits for a hash", async () => {
  const { access_token: bearer } = await newTokens(server);
  const { email } = await signUp(server);
  const order: string[] = [];
  const login = async () => {
    const answer = await server.post("/api/v1/auth/login", { email, password: goodPassword });
    order.push("login");
    return answer;
  };
  const check = async () => {
    const { status } = await server.get("/api/v1/users/me", { bearer });
    order.push("check");
    return status;
  };

  const logins = Array.from({ length: 200 }, login);
  const checks: number[] = [];
  while (checks.length < 20) checks.push(await check());
  const answers = await Promise.all(logins);

  const statuses = Object.groupBy(answers, (answer) => answer.status);
  expect(Object.keys(statuses).toSorted()).toEqual(["200", "503"]);
  expect(statuses[503]!.length).toBeGreaterThan(100);
  for (const answer of statuses[503]!) {
    expectProblem(answer, 503, "overloaded");
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  }
  // One hash after another takes longer than twenty checks in a row, so the last word is a sign-in's.
  expect(checks).toEqual(Array.from({ length: 20 }, () => 200));
  expect(order.lastIndexOf("login")).toBeGreaterThan(order.lastIndexOf("check"));
  expect(server.log.filter((line) => line["level"] === "error")).toEqual([]);
  const after = await server.post("/api/v1/auth/login", { email, password: goodPassword });
  expect(after.status).toBe(200);
}, 30_000);
