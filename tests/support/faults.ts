/** The columns of the table of faults: what a server does for people, and what is tried of it while a part is down. */
import { expect, test } from "bun:test";
import type { Tokens } from "./client.ts";
import { goodPassword } from "./core.ts";
import { rawSql } from "./database.ts";
import { signIn, signUp, statusOfMe } from "./people.ts";
import type { Environment, TestServer } from "./server.ts";

const wrong = "not the password at all";

/** What is there before a part fails: a person with two sessions. */
export type Scene = { readonly email: string; readonly here: Tokens; readonly there: Tokens };

export async function setTheScene(server: TestServer): Promise<Scene> {
  const { email } = await signUp(server);
  const scene = { email, here: await signIn(server, { email }), there: await signIn(server, { email }) };
  // Kept wherever sessions are kept.
  for (const { access_token } of [scene.here, scene.there]) expect(await statusOfMe(server, access_token)).toBe(200);
  return scene;
}

/** One request of each column, as whoever the scene is about would send it. */
export const asks = {
  "session check": (server: TestServer, { here }: Scene) =>
    server.get("/api/v1/users/me", { bearer: here.access_token }),
  "sign-in": (server: TestServer, { email }: Scene) =>
    server.post("/api/v1/auth/login", { email, password: goodPassword }),
  refresh: (server: TestServer, { here }: Scene) =>
    server.post<Tokens>("/api/v1/auth/refresh", { refresh_token: here.refresh_token }),
  revocation: (server: TestServer, { here, there }: Scene) =>
    server.delete(`/api/v1/sessions/${there.session_id}`, undefined, { bearer: here.access_token }),
  mail: (server: TestServer, { email }: Scene) => server.post("/api/v1/auth/forgot-password", { email }),
} as const;
export type Column = keyof typeof asks;
export const columns = Object.keys(asks) as Column[];

/** What each is answered where it works. */
export const works: Record<Column, number> = {
  "session check": 200,
  "sign-in": 200,
  refresh: 200,
  revocation: 204,
  mail: 202,
};

/** Where a part may be down without anybody's noticing: every column but that of mails. */
export function everythingWorks(scene: () => Promise<{ server: TestServer; scene: Scene }>): void {
  test.each(columns)("%s works", async (column) => {
    const { server, scene: given } = await scene();
    const answer = await asks[column](server, given);
    expect([answer.status, answer.text]).toEqual([works[column], answer.text]);
    if (column === "revocation") expect(await statusOfMe(server, given.there.access_token)).toBe(401);
  });

  test("limits are counted in the database, in parallel too", async () => {
    const { server, scene: given } = await scene();
    const tries = Array.from({ length: 30 }, () =>
      server.post("/api/v1/auth/login", { email: given.email, password: wrong }),
    );
    const statuses = (await Promise.all(tries)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 401)).toHaveLength(10);
    expect(statuses.filter((status) => status === 429)).toHaveLength(20);
    const stored = await rawSql(server, "SELECT spent FROM tries WHERE key LIKE 'sign_in_account:%'");
    expect(stored.map(({ spent }) => Number(spent)).toSorted((one, other) => other - one)[0]).toBe(10);
  });
}

export const limits: Environment = {
  RATE_LIMITS: "on",
  RATE_LIMIT_REQUESTS: "10000/1m",
  RATE_LIMIT_REGISTER: "1000/1m",
};
