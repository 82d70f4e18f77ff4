/** What is answered at once is what the routes would answer, for every request and at every moment. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { issueAccessToken } from "../../src/core/access-tokens.ts";
import { anonymous } from "../../src/core/actors.ts";
import { addBan } from "../../src/core/bans.ts";
import type { Fields } from "../../src/core/core.ts";
import { login } from "../../src/core/login.ts";
import { grantRole } from "../../src/core/roles.ts";
import { revokeSessions, signOutEverywhere } from "../../src/core/sessions.ts";
import { replaceSigningKeys } from "../../src/core/signing-keys/retirement.ts";
import { deleteUser, disableUser, updateUser } from "../../src/core/users.ts";
import { createApp } from "../../src/http/app.ts";
import { firefox, goodPassword, openTestCore, registerAda, root, safari, type TestCore } from "../support/core.ts";
import { dialect } from "../support/database.ts";
import { newSession } from "../support/people.ts";
import { startServer } from "../support/server.ts";
import { counted } from "../support/watched.ts";

const minute = 60_000;
const paths = ["/api/v1/users/me", "/api/v1/sessions"] as const;

let core: TestCore;
/** Another process on the same database. */
let elsewhere: TestCore;
let calls: string[];
let short: (request: Request) => Promise<Response>;
let long: (request: Request) => Promise<Response>;

const about = {
  version: "0",
  health: async () => ({ ok: true, checks: [] }),
  isDraining: () => false,
  reusePort: false,
};

beforeAll(async () => {
  core = await openTestCore({ REFRESH_TOKEN_TTL: "7d" });
  elsewhere = await core.again();
  const watched = counted(core);
  calls = watched.calls;
  const app = createApp(watched.core, about);
  // Where requests are traced, there are no shortcuts.
  const traced = { ...core.settings, TRACES_URL: "http://127.0.0.1:9/" };
  const longApp = createApp({ ...elsewhere, settings: traced }, about);
  short = async (request) => await app.handle(request);
  long = async (request) => await longApp.handle(request);
});
afterAll(async () => {
  await elsewhere.close();
  await core.close();
});

let people = 0;

/** Somebody who has just signed in, with both kinds of credentials. */
async function somebody() {
  const email = `person-${++people}@example.com`;
  const { user } = await registerAda(elsewhere, email);
  const by = anonymous(firefox);
  const sessionOf = async (credential: "session" | "tokens") => {
    const given = await login(elsewhere, by, { identifier: email, password: goodPassword, credential });
    const { session } = given.standing;
    return { session, token: given.credential === "session" ? given.sessionToken : given.accessToken };
  };
  return { user, opaque: await sessionOf("session"), tokens: await sessionOf("tokens") };
}

type Sent = { readonly method?: string; readonly headers?: Record<string, string>; readonly query?: string };

const requestOf = (path: string, { method = "GET", headers = {}, query = "" }: Sent): Request =>
  new Request(`http://localhost${path}${query}`, {
    method,
    headers: { "user-agent": firefox.userAgent!, "x-request-id": "the-same", ...headers },
  });

async function shownOf(response: Response) {
  return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() };
}

const lineOf = ({ lines }: TestCore): Fields => {
  const { duration_ms: _, ...fields } = lines.findLast(({ event }) => event === "request")!.fields;
  return fields;
};

/** Asks both ways, the short one twice, as it is short only once something is known; answers what all three said. */
async function bothWays(path: string, sent: Sent) {
  const first = await shownOf(await short(requestOf(path, sent)));
  const [again, expected] = [
    await shownOf(await short(requestOf(path, sent))),
    await shownOf(await long(requestOf(path, sent))),
  ];
  expect(first).toEqual(expected);
  expect(again).toEqual(expected);
  expect(lineOf(core)).toEqual(lineOf(elsewhere));
  return expected;
}

const bearer = (token: string | null) => ({ headers: { authorization: `Bearer ${token}` } });
const altered = (token: string | null) => `${token!.slice(0, -4)}AAAA`;

describe.each(paths)("GET %s", (path) => {
  let person: Awaited<ReturnType<typeof somebody>>;
  beforeEach(async () => {
    person = await somebody();
  });

  test("is the same with every kind of credential, good or not", async () => {
    const { opaque, tokens } = person;
    const { COOKIE_SESSION_NAME: sessionCookie, COOKIE_ACCESS_NAME: accessCookie } = core.settings;
    const statuses: number[] = [];
    for (const sent of [
      bearer(opaque.token),
      bearer(tokens.token),
      { headers: { authorization: `bearer  ${opaque.token}` } },
      { headers: { cookie: `${sessionCookie}=${opaque.token}` } },
      { headers: { cookie: `other=1; ${accessCookie}=${tokens.token}` } },
      { headers: { cookie: `${sessionCookie}=${opaque.token}; ${accessCookie}=${tokens.token}` } },
      { headers: { cookie: `${sessionCookie}=${altered(opaque.token)}; ${accessCookie}=${tokens.token}` } },
      { ...bearer(opaque.token), query: "?" },
      { ...bearer(opaque.token), query: "?a=1" },
      { ...bearer(opaque.token), method: "HEAD" },
      bearer(altered(opaque.token)),
      bearer(altered(tokens.token)),
      bearer("st_"),
      bearer(""),
      { headers: { authorization: "Basic YTpi" } },
      { headers: { cookie: `${sessionCookie}=${altered(opaque.token)}` } },
      { headers: { cookie: `${sessionCookie}=${opaque.token}; ${sessionCookie}=${opaque.token}` } },
      { headers: { authorization: `Bearer ${altered(opaque.token)}`, cookie: `${sessionCookie}=${opaque.token}` } },
      {},
      { ...bearer(opaque.token), method: "DELETE" },
      { headers: { authorization: `Bearer ${opaque.token}`, host: "one.example,other.example" } },
    ]) {
      statuses.push((await bothWays(path, sent)).status);
    }
    expect(statuses.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 200));
    expect(statuses.slice(10, 19)).toEqual(Array.from({ length: 9 }, () => 401));
  });

  test("asks the database for nothing, as long as nobody writes", async () => {
    for (const { token } of [person.opaque, person.tokens]) {
      await short(requestOf(path, bearer(token)));
      calls.length = 0;
      expect((await short(requestOf(path, bearer(token)))).status).toBe(200);
      if (dialect === "sqlite") expect(calls).toEqual([]);
      else expect(calls.filter((call) => call === "sessions.standing")).toHaveLength(1);
    }
  });

  test("an access token that was never seen before is verified at once, where its session is known", async () => {
    const { session, token } = person.tokens;
    await short(requestOf(path, bearer(token)));
    const other = await issueAccessToken(elsewhere, session, { roles: [], permissions: [] });
    calls.length = 0;
    expect((await short(requestOf(path, bearer(other.token)))).status).toBe(200);
    if (dialect === "sqlite") expect(calls).toEqual([]);
    expect((await bothWays(path, bearer(altered(other.token)))).status).toBe(401);
  });

  test("a token whose own signature is wrong never gets as far as the database", async () => {
    calls.length = 0;
    expect((await short(requestOf(path, bearer(altered(person.opaque.token))))).status).toBe(401);
    expect(calls).toEqual([]);
  });

  type Change = (of: Awaited<ReturnType<typeof somebody>>) => Promise<unknown>;
  const changes: Record<string, { change: Change; status: number }> = {
    "the session is revoked": {
      change: ({ opaque }) => revokeSessions(elsewhere, root, [opaque.session]),
      status: 401,
    },
    "the user is signed out everywhere": {
      change: ({ user }) => signOutEverywhere(elsewhere, root, user.id),
      status: 401,
    },
    "the user is disabled": { change: ({ user }) => disableUser(elsewhere, root, user.id), status: 401 },
    "the user is deleted": { change: ({ user }) => deleteUser(elsewhere, root, user.id), status: 401 },
    "the user gets another name": {
      change: ({ user }) => updateUser(elsewhere, root, user.id, { fullName: "Ada Lovelace" }),
      status: 200,
    },
    "the user gets a role": { change: ({ user }) => grantRole(elsewhere, root, user.id, "admin"), status: 200 },
    "the user signs in once more": { change: () => Promise.resolve(), status: 200 },
  };

  test.each(Object.entries(changes))("SE-3 %s by another process: it counts with the next request", async (_, one) => {
    const sent = bearer(person.opaque.token);
    const before = await bothWays(path, sent);
    core.clock.advance(1_000);
    await one.change(person);
    if (one.status === 200) {
      const given = { identifier: person.user.email, password: goodPassword, credential: "session" } as const;
      await login(elsewhere, anonymous(firefox), given);
    }
    const after = await bothWays(path, sent);
    expect(after.status).toBe(one.status);
    expect(after).not.toEqual(before);
  });

  test("SE-3 a session ends with its time, though nobody writes that", async () => {
    for (const { token, session } of [person.opaque, person.tokens]) {
      const sent = bearer(token);
      // The use of a session is written at most once a minute, and this is the last time before it is over.
      core.clock.advance(session.expiresAt.getTime() - core.clock.now().getTime() - minute / 4);
      const { status } = await bothWays(path, sent);
      if (status === 401) continue;
      core.clock.advance(minute);
      expect((await bothWays(path, sent)).status).toBe(401);
    }
  });

  test("an access token ends before its session", async () => {
    const sent = bearer(person.tokens.token);
    expect((await bothWays(path, sent)).status).toBe(200);
    core.clock.advance(core.settings.ACCESS_TOKEN_TTL);
    expect((await bothWays(path, sent)).status).toBe(401);
  });

  test("another browser ends the session", async () => {
    const sent = bearer(person.opaque.token);
    expect((await bothWays(path, sent)).status).toBe(200);
    const stolen = await short(requestOf(path, { headers: { ...sent.headers, "user-agent": safari.userAgent! } }));
    expect(stolen.status).toBe(403);
    expect((await bothWays(path, sent)).status).toBe(401);
  });

  test("a token that a leaked key has signed dies when the server is told to read anew", async () => {
    const sent = bearer(person.tokens.token);
    expect((await bothWays(path, sent)).status).toBe(200);
    await replaceSigningKeys(elsewhere, root);
    core.clock.advance(6_000);
    expect((await bothWays(path, sent)).status).toBe(401);
  });

  test("nothing is short for a network that is banned", async () => {
    await addBan(elsewhere, root, "192.0.2.0/24", undefined);
    expect((await bothWays(path, bearer(person.opaque.token))).status).toBe(200);
  });
});

test("an answer that is known is not sent again", async () => {
  const { opaque } = await somebody();
  const { headers } = await bothWays(paths[0], bearer(opaque.token));
  const known = { headers: { authorization: `Bearer ${opaque.token}`, "if-none-match": headers["etag"]! } };
  expect((await bothWays(paths[0], known)).status).toBe(304);
});

test("requests are counted on the short way, too", async () => {
  const server = await startServer({ RATE_LIMITS: "on", RATE_LIMIT_REQUESTS: "6/1m" });
  const { session_token: bearer } = await newSession(server);
  const answers: Array<[status: number, left: string | null]> = [];
  for (let at = 0; at < 5; at++) {
    const { status, headers } = await server.get(paths[0], { bearer });
    answers.push([status, /r=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1] ?? null]);
  }
  // Signing up and in were the first two.
  expect(answers).toEqual([
    [200, "3"],
    [200, "2"],
    [200, "1"],
    [200, "0"],
    [429, "0"],
  ]);
  await server.end();
});
