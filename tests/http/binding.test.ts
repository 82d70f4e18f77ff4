/** SESSION_BINDING over HTTP: which of the clients that present a credential is the one that it was given to. */
import { afterAll, describe, expect, test } from "bun:test";
import { firefoxAgent, safariAgent } from "../support/client.ts";
import { expectProblem, newEmail, signIn, signInForSession, signUp } from "../support/people.ts";
import { startServer, type TestServer } from "../support/server.ts";

const agents = {
  "the same": firefoxAgent,
  "a newer version": firefoxAgent.replaceAll("141.0", "147.0.2"),
  "an older version": firefoxAgent.replaceAll("141.0", "128.5"),
  "another system": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:141.0) Gecko/20100101 Firefox/141.0",
  "another browser": safariAgent,
  "a program": "curl/8.5.0",
} as const;
type Agent = keyof typeof agents;

const versions = ["the same", "a newer version", "an older version"] as const satisfies Agent[];
const all = Object.keys(agents) as Agent[];

/** Which clients go on with a credential that was given to another one; every other one ends the session. */
const bindings = {
  off: all,
  observe: all,
  "ua-family": versions,
  "ua-strict": ["the same"],
} as const satisfies Record<string, readonly Agent[]>;

/** The ways to present one, with the status of success. */
const ways = {
  "a session token": async (server: TestServer, email: string) => {
    const { session_token: bearer } = await signInForSession(server, { email });
    return (headers: Record<string, string>) => server.get("/api/v1/users/me", { bearer, headers });
  },
  "an access token": async (server: TestServer, email: string) => {
    const { access_token: bearer } = await signIn(server, { email });
    return (headers: Record<string, string>) => server.get("/api/v1/users/me", { bearer, headers });
  },
  "a refresh token": async (server: TestServer, email: string) => {
    const { refresh_token } = await signIn(server, { email });
    return (headers: Record<string, string>) =>
      server.post("/api/v1/auth/refresh", { refresh_token }, { headers: { ...headers } });
  },
};

describe.each(Object.entries(bindings))("SE-3 SESSION_BINDING=%s", (SESSION_BINDING, good: readonly Agent[]) => {
  const starting = startServer({ SESSION_BINDING, TRUSTED_PROXIES: "127.0.0.1" });
  afterAll(async () => (await starting).end());

  const rows = all.flatMap((agent) => Object.entries(ways).map(([way, present]) => [way, agent, present] as const));
  test.each(rows)("%s from %s", async (_, agent, present) => {
    const server = await starting;
    const email = newEmail();
    await signUp(server, email);
    const ask = await present(server, email);
    const answer = await ask({ "user-agent": agents[agent] });
    if (good.includes(agent)) {
      expect(answer.status, answer.text).toBe(200);
      return;
    }
    expectProblem(answer, 403, "session_hijack_suspected");
    // It is over for whoever it was given to as well.
    expectProblem(await ask({ "user-agent": firefoxAgent }), 401, "unauthenticated");
  });

  test("an address far away is no other client", async () => {
    const server = await starting;
    const email = newEmail();
    await signUp(server, email);
    for (const present of Object.values(ways)) {
      const ask = await present(server, email);
      for (const address of ["203.0.113.9", "2001:db8::7"])
        expect((await ask({ "x-forwarded-for": address })).status).toBe(200);
    }
  });
});
