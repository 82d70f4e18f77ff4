import { afterAll, describe, expect, test } from "bun:test";
import { type Answer, firefoxAgent, type Tokens, type WireSession } from "../support/client.ts";
import { CookieJar, type SetCookie } from "../support/cookie-jar.ts";
import { goodPassword } from "../support/core.ts";
import {
  expectProblem,
  newSession,
  newTokens,
  signIn,
  signInForSession,
  signUp,
  statusOfMe,
} from "../support/people.ts";
import { startServer } from "../support/server.ts";

const server = await startServer({
  PUBLIC_URL: "https://auth.example.com",
  ALLOWED_ORIGINS: "https://app.example.com",
});
afterAll(server.end);

const me = "/api/v1/users/me";
const ours = { origin: "https://auth.example.com", "sec-fetch-site": "same-origin" };
const foreign = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };

/** A browser in which somebody has signed in. */
async function signedIn(credential: "tokens" | "session", headers = {}): Promise<CookieJar> {
  const jar = new CookieJar();
  const choice = { email: (await signUp(server)).email, delivery: "cookie" } as const;
  if (credential === "tokens") await signIn(server, choice, { jar, headers });
  else await signInForSession(server, choice, { jar, headers });
  return jar;
}

const attributesOf = (answer: Answer<unknown>): Record<string, object> =>
  Object.fromEntries(answer.cookies.map((cookie) => [cookie.name, withoutValue(cookie)]));
const withoutValue = ({ attributes, value }: SetCookie) => ({ ...attributes, empty: value === "" });

describe("SE-6 cookies", () => {
  const flags = { httponly: "", secure: "" };
  const lax = { ...flags, samesite: "Lax", path: "/" };
  const strict = { ...flags, samesite: "Strict", path: "/api/v1/auth" };
  const known = { "__Host-device": { ...lax, "max-age": "31536000", empty: false } };
  const forgotten = { "max-age": "0", empty: true };
  const login = async (credential: string) =>
    await server.post<Tokens>("/api/v1/auth/login", {
      email: (await signUp(server)).email,
      password: goodPassword,
      delivery: "cookie",
      credential,
    });

  test("tokens come in two cookies, as narrow as they can be, and no secret stands in the body", async () => {
    const answer = await login("tokens");
    expect(attributesOf(answer)).toEqual({
      access_token: { ...lax, "max-age": String(answer.body.expires_in), empty: false },
      refresh_token: { ...strict, "max-age": String(answer.body.refresh_expires_in), empty: false },
      "__Host-session": { ...lax, ...forgotten },
      ...known,
    });
    expect(Object.keys(answer.body).toSorted().join()).toBe("expires_in,refresh_expires_in,session_id,token_type,user");
    for (const { value } of answer.cookies) if (value !== "") expect(answer.text).not.toContain(value);
    expect(answer.headers.get("cache-control")).toBe("no-store");
  });

  test("a session token comes in one that ends with the browser, and takes the others away", async () => {
    const answer = await login("session");
    expect(attributesOf(answer)).toEqual({
      "__Host-session": { ...lax, empty: false },
      access_token: { ...lax, ...forgotten },
      refresh_token: { ...strict, ...forgotten },
      ...known,
    });
    expect(Object.keys(answer.body).toSorted().join()).toBe("expires_in,session_id,token_type,user");
  });

  test("none is larger than a browser keeps", async () => {
    for (const { name, value } of (await login("tokens")).cookies) expect((name + value).length).toBeLessThan(4096);
  });

  test("signing out clears each with the attributes that it was set with", async () => {
    const jar = await signedIn("tokens");
    const answer = await server.post("/api/v1/auth/logout", undefined, { jar });
    expect(answer.status).toBe(204);
    expect(attributesOf(answer)).toEqual({
      access_token: { ...lax, ...forgotten },
      refresh_token: { ...strict, ...forgotten },
      "__Host-session": { ...lax, ...forgotten },
    });
    expect(jar.names).toEqual(["__Host-device"]);
  });

  test("a refresh that came by cookie is answered by cookie, and one from the body in the body", async () => {
    const jar = await signedIn("tokens");
    const before = jar.get("refresh_token");
    const answer = await server.post<Tokens>("/api/v1/auth/refresh", undefined, { jar });
    expect(answer.status).toBe(200);
    expect(jar.get("refresh_token")).not.toBe(before);
    expect(answer.body.refresh_token).toBeUndefined();
    const refresh_token = jar.get("refresh_token");
    const inBody = await server.post<Tokens>("/api/v1/auth/refresh", { refresh_token });
    expect(inBody.body.refresh_token).toMatch(/^rt2\./);
    expect(inBody.cookies).toEqual([]);
  });

  test("the refresh cookie is sent to the routes that take it, and to no other", async () => {
    const jar = await signedIn("tokens");
    expect(jar.headerFor(me)).not.toContain("refresh_token");
    expect(jar.headerFor("/api/v1/authors")).not.toContain("refresh_token");
    expect(jar.headerFor("/api/v1/auth/refresh")).toContain("refresh_token");
  });

  test.each(["tokens", "session"] as const)("%s in cookies sign a browser in everywhere", async (credential) => {
    const jar = await signedIn(credential);
    expect((await server.get(me, { jar })).status).toBe(200);
    expect((await server.get<WireSession[]>("/api/v1/sessions", { jar })).body[0]?.current).toBe(true);
    expect((await server.patch(me, { full_name: "Ada" }, { jar, headers: ours })).status).toBe(200);
  });

  test("a cookie that is sent twice counts as none, whichever comes first", async () => {
    const { session_token: good } = await newSession(server);
    const { session_token: planted } = await newSession(server);
    for (const pair of [
      `__Host-session=${good}; __Host-session=${planted}`,
      `__Host-session=x; __Host-session=${good}`,
    ])
      expectProblem(await server.get(me, { headers: { cookie: pair } }), 401, "unauthenticated");
  });

  test("a broken cookie never stands in the way of a good one", async () => {
    const { session_token: good } = await newSession(server);
    for (const broken of ["access_token=x", "access_token=%%%", 'access_token={"a":1}', "access_token", ";;;=;", "="]) {
      const { status } = await server.get(me, { headers: { cookie: `${broken}; __Host-session=${good}` } });
      expect([broken, status]).toEqual([broken, 200]);
    }
  });

  test("Authorization wins over cookies, good or bad", async () => {
    const jar = await signedIn("session");
    const bearer = (await newTokens(server)).access_token;
    const own = await server.get<{ id: string }>(me, { jar });
    expect((await server.get<{ id: string }>(me, { jar, bearer })).body.id).not.toBe(own.body.id);
    for (const authorization of ["Bearer x", "Basic YTpi", "Bearer", ""])
      expectProblem(await server.get(me, { jar, headers: { authorization } }), 401, "unauthenticated");
  });
});

describe("BR-1 an unsafe request that cookies carry", () => {
  const rename = async (headers: Record<string, string>, jar?: CookieJar) =>
    await server.patch(me, { full_name: "Changed" }, { jar: jar ?? (await signedIn("session")), headers });
  const silent = { "user-agent": firefoxAgent };
  const csrfToken = async (jar: CookieJar) =>
    (await server.get<{ csrf_token: string }>("/api/v1/auth/csrf", { jar })).body.csrf_token;

  test.each([
    ["another origin", { origin: "https://evil.example" }, "https://evil.example"],
    ["another site", { "sec-fetch-site": "cross-site" }, "none"],
    ["a sibling host", { "sec-fetch-site": "same-site", origin: "https://www.example.com" }, "https://www.example.com"],
    ["no origin at all", { origin: "null" }, "none"],
    ["our host over http", { origin: "http://auth.example.com" }, "http://auth.example.com"],
    ["another port", { origin: "https://auth.example.com:8443" }, "https://auth.example.com:8443"],
    ["a longer name", { origin: "https://auth.example.com.evil.example" }, "https://auth.example.com.evil.example"],
    ["words for an origin", { origin: "<script>alert(1)</script>" }, "none"],
  ])("from %s is refused, and says what was expected and what was seen", async (_, headers, seen) => {
    const jar = await signedIn("session");
    const { detail } = expectProblem(await rename(headers, jar), 403, "csrf_rejected");
    expect(detail).toContain(`the origin ${seen};`);
    expect(detail).toContain("expected is https://auth.example.com or https://app.example.com");
    expect((await server.get<{ full_name: null }>(me, { jar })).body.full_name).toBeNull();
  });

  test.each([
    ["our own pages", ours],
    ["our own pages, in an older browser", { origin: "https://auth.example.com" }],
    ["an allowed origin", { origin: "https://app.example.com", "sec-fetch-site": "same-site" }],
    ["the address bar", { "sec-fetch-site": "none" }],
  ])("from %s is taken", async (_, headers: Record<string, string>) => {
    expect((await rename(headers)).status).toBe(200);
  });

  test("from another origin ends nothing, refreshes nothing, and signs nobody in", async () => {
    const jar = await signedIn("tokens");
    const send = (path: string, body?: object) => server.post(`/api/v1/auth/${path}`, body, { jar, headers: foreign });
    for (const path of ["logout", "logout-all", "refresh"]) expectProblem(await send(path), 403, "csrf_rejected");
    expectProblem(await server.delete(me, { password: goodPassword }, { jar, headers: foreign }), 403, "csrf_rejected");
    const { email } = await signUp(server);
    expectProblem(await send("login", { email, password: goodPassword, delivery: "cookie" }), 403, "csrf_rejected");
    expect((await server.get(me, { jar })).status).toBe(200);
    expect((await server.post("/api/v1/auth/refresh", undefined, { jar })).status).toBe(200);
  });

  test.each(["tokens", "session"] as const)(
    "of a browser that does not say whence is taken with a token of its own session alone (%s)",
    async (credential) => {
      const jar = await signedIn(credential);
      expectProblem(await rename(silent, jar), 403, "csrf_rejected");
      const token = await csrfToken(jar);
      const foreignToken = await csrfToken(await signedIn(credential));
      const anonymousToken = await csrfToken(new CookieJar());
      const forged = `${token.slice(0, -1)}${token.endsWith("A") ? "Q" : "A"}`;
      for (const wrong of [foreignToken, anonymousToken, forged, "", "x".repeat(5000), token.split(".")[0]!]) {
        expectProblem(await rename({ ...silent, "x-csrf-token": wrong }, jar), 403, "csrf_rejected");
      }
      expect((await rename({ ...silent, "x-csrf-token": token }, jar)).status).toBe(200);
      // What the browser does say is not overruled.
      expectProblem(await rename({ ...foreign, "x-csrf-token": token }, jar), 403, "csrf_rejected");
    },
  );

  test("needs no such proof from what is no browser, as no person's cookies are there", async () => {
    const curl = { "user-agent": "curl/8.5.0" };
    expect((await rename(curl, await signedIn("session", curl))).status).toBe(200);
  });

  test("refreshes and signs out with such a token", async () => {
    const jar = await signedIn("tokens");
    const send = (path: string, token?: string) =>
      server.post(`/api/v1/auth/${path}`, undefined, {
        jar,
        headers: { ...silent, ...(token !== undefined && { "x-csrf-token": token }) },
      });
    const token = await csrfToken(jar);
    for (const path of ["refresh", "logout"]) expectProblem(await send(path), 403, "csrf_rejected");
    expect((await send("refresh", token)).status).toBe(200);
    // The session is the same one, whichever handles it has by now.
    expect((await send("logout", token)).status).toBe(204);
    expect(jar.names).toEqual(["__Host-device"]);
  });

  test("needs no such proof where no cookie carries it", async () => {
    const { access_token: bearer, refresh_token } = await newTokens(server);
    const sending = { bearer, headers: foreign };
    expect((await server.patch(me, { full_name: "Ada" }, sending)).status).toBe(200);
    expect((await server.post("/api/v1/auth/refresh", { refresh_token }, { headers: foreign })).status).toBe(200);
    expect((await server.get(me, { jar: await signedIn("session"), headers: foreign })).status).toBe(200);
    expect((await server.post("/api/v1/auth/logout", undefined, sending)).status).toBe(204);
    expect(await statusOfMe(server, bearer)).toBe(401);
  });
});

describe("BR-2 a page of another origin", () => {
  const listed = "https://app.example.com";
  const others = [
    "https://evil.example",
    "null",
    "https://app.example.com.evil.example",
    "http://app.example.com",
    "*",
  ];
  const shared = (answer: Answer<unknown>) =>
    ["origin", "credentials"].map((name) => answer.headers.get(`access-control-allow-${name}`));
  const preflight = (origin: string, path = me, method = "PATCH") =>
    server.send("OPTIONS", path, undefined, {
      headers: { origin, "access-control-request-method": method, "access-control-request-headers": "content-type" },
    });

  test("reads every answer where it is listed, failures too, and nothing says so to any other", async () => {
    const bearer = (await newTokens(server)).access_token;
    for (const [path, status] of [
      [me, 200],
      ["/nowhere", 404],
      ["/health", 200],
    ] as const) {
      const allowed = await server.get(path, { bearer, headers: { origin: listed } });
      expect([path, allowed.status]).toEqual([path, status]);
      expect(shared(allowed)).toEqual([listed, "true"]);
      expect(allowed.headers.get("vary")).toBe("origin");
      expect(allowed.headers.get("access-control-expose-headers")).toContain("retry-after");
      for (const origin of others) {
        const refused = await server.get(path, { bearer, headers: { origin } });
        expect([origin, ...shared(refused), refused.headers.get("vary")]).toEqual([origin, null, null, "origin"]);
      }
    }
    expect(shared(await server.get(me, { headers: { origin: listed } }))).toEqual([listed, "true"]);
  });

  test("may ask beforehand where it is listed", async () => {
    const answer = await preflight(listed);
    expect(answer.status).toBe(204);
    expect(shared(answer)).toEqual([listed, "true"]);
    expect(answer.headers.get("access-control-allow-methods")).toContain("PATCH");
    for (const name of ["authorization", "content-type", "x-csrf-token", "if-match"])
      expect(answer.headers.get("access-control-allow-headers")).toContain(name);
    expect(answer.headers.get("access-control-max-age")).toBe("600");
  });

  test.each(others)("is told who was expected where it is %s", async (origin) => {
    const answer = await preflight(origin);
    expectProblem(answer, 403, "csrf_rejected");
    expect(shared(answer)).toEqual([null, null]);
  });

  test("asks in vain for a path that there is not", async () => {
    expectProblem(await preflight(listed, "/api/v1/nowhere"), 404, "not_found");
    expectProblem(await server.send("OPTIONS", me), 405, "method_not_allowed");
  });
});

describe("SE-6 a cookie that is no credential", () => {
  const cookie = { cookie: "access_token=eyJhbGciOiJub25lIn0.e30.; theme=dark; __Host-session=st_x" };

  test("is cleared by the answer that refuses it, and no other cookie is", async () => {
    const answer = await fetch(`${server.url}/api/v1/users/me`, { headers: cookie });
    expect(answer.status).toBe(401);
    const cleared = answer.headers.getSetCookie().map((one) => one.replace(/=.*?;/, "=;"));
    expect(cleared).toEqual([
      "access_token=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
      "__Host-session=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
    ]);
  });

  test("is left alone where `Authorization` was what counted", async () => {
    const answer = await fetch(`${server.url}/api/v1/users/me`, { headers: { ...cookie, authorization: "Bearer x" } });
    expect(answer.status).toBe(401);
    expect(answer.headers.getSetCookie()).toEqual([]);
  });
});
