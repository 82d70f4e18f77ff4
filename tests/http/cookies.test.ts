import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { credentialCookies, readCookies } from "../../src/http/cookies.ts";

const settings = {
  COOKIE_ACCESS_NAME: "access_token",
  COOKIE_REFRESH_NAME: "refresh_token",
  COOKIE_SESSION_NAME: "__Host-session",
  COOKIE_DEVICE_NAME: "__Host-device",
  COOKIE_SECURE: true,
  COOKIE_SAMESITE: "lax",
  COOKIE_DOMAIN: undefined,
  COMPAT_PATHS: false,
} as const;

const tokens = {
  credential: "tokens",
  accessToken: "a.b.c",
  expiresIn: 900,
  refreshToken: "rt1.x",
  refreshExpiresIn: 604_800,
} as const;
const session = { credential: "session", sessionToken: "st_1.2.3", expiresIn: 3600 } as const;

/** The cookies without their values and lives. */
const attributes = (cookies: string[]) =>
  cookies.map((one) => one.replace(/=[^;]*/, "").replace(/ Max-Age=\d+;/, "")).toSorted();

describe("SE-6 reading cookies", () => {
  const names = ["a", "b"] as const;

  test.each([
    [null, {}],
    ["", {}],
    ["a=1", { a: "1" }],
    ["a=1; b=2; c=3", { a: "1", b: "2" }],
    ["a=1;b=2", { a: "1", b: "2" }],
    ["  a = 1 ; b=x.y_z~-9", { a: "1", b: "x.y_z~-9" }],
  ])("gives those that are asked for: %p", (header, found) => {
    expect(readCookies(header, names)).toEqual(found);
  });

  test.each(["a=1; a=2", "a=1; a=1", "a=1; a=", "a=; a=1", "a=1; b=2; a=1"])(
    "counts one that is sent twice as none: %s",
    (header) => {
      expect(readCookies(header, names)).not.toHaveProperty("a");
    },
  );

  test.each([
    "a",
    "a=",
    'a="1"',
    "a={}",
    "a=%31",
    "a=x y",
    "a=1=2",
    "a=é",
    "a=1,2",
    "A=1",
    "=1",
    "aa=1",
    `a=${"x".repeat(4097)}`,
  ])("gives nothing that is no token: %p", (header) => {
    expect(readCookies(header, names)).toEqual({});
  });

  test("gives text, whatever it looks like", () => {
    expect(readCookies("a=true; b=12", names)).toEqual({ a: "true", b: "12" });
    expect(readCookies(`a=${"x".repeat(4096)}`, names).a).toHaveLength(4096);
  });

  test("gives nothing but tokens of the names, from anything", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc
            .array(fc.tuple(fc.constantFrom("a", "b", "__proto__"), fc.string()))
            .map((all) => all.map((one) => one.join("=")).join(";")),
        ),
        (header) => {
          for (const [name, value] of Object.entries(readCookies(header, names))) {
            expect(["a", "b"]).toContain(name);
            expect(value).toMatch(/^[A-Za-z0-9._~-]+$/);
          }
        },
      ),
    );
  });
});

describe("SE-6 credential cookies", () => {
  test("carry tokens, and end a session token's", () => {
    expect(credentialCookies(settings).set(tokens)).toEqual([
      "access_token=a.b.c; Path=/; Max-Age=900; HttpOnly; Secure; SameSite=Lax",
      "refresh_token=rt1.x; Path=/api/v1/auth; Max-Age=604800; HttpOnly; Secure; SameSite=Strict",
      "__Host-session=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
    ]);
  });

  test("carry a session token for as long as the browser is open, and end the tokens'", () => {
    expect(credentialCookies(settings).set(session)).toEqual([
      "__Host-session=st_1.2.3; Path=/; HttpOnly; Secure; SameSite=Lax",
      "access_token=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
      "refresh_token=; Path=/api/v1/auth; Max-Age=0; HttpOnly; Secure; SameSite=Strict",
    ]);
  });

  test("are cleared with the attributes that they were set with", () => {
    const domained = credentialCookies({
      ...settings,
      COOKIE_SESSION_NAME: "session",
      COOKIE_DOMAIN: "example.com",
      COOKIE_SAMESITE: "strict",
    });
    expect(attributes(domained.set(tokens))).toEqual(attributes(domained.clear()));
    expect(attributes(domained.set(session))).toEqual(attributes(domained.clear()));
  });

  test("have a domain only where one is set, and never with __Host-", () => {
    const cookies = credentialCookies({ ...settings, COOKIE_DOMAIN: "example.com" }).clear();
    expect(cookies).toEqual([
      "access_token=; Domain=example.com; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
      "refresh_token=; Domain=example.com; Path=/api/v1/auth; Max-Age=0; HttpOnly; Secure; SameSite=Strict",
      "__Host-session=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
    ]);
  });

  test("are not Secure on http, and the refresh cookie stays Strict", () => {
    const cookies = credentialCookies({
      ...settings,
      COOKIE_SECURE: false,
      COOKIE_SAMESITE: "none",
      COOKIE_SESSION_NAME: "session",
    });
    expect(cookies.set(tokens)).toEqual([
      "access_token=a.b.c; Path=/; Max-Age=900; HttpOnly; SameSite=None",
      "refresh_token=rt1.x; Path=/api/v1/auth; Max-Age=604800; HttpOnly; SameSite=Strict",
      "session=; Path=/; Max-Age=0; HttpOnly; SameSite=None",
    ]);
  });

  test("carry the refresh token to each place that takes it, and are cleared from there", () => {
    const compatible = credentialCookies({ ...settings, COMPAT_PATHS: true });
    const refresh = compatible.set(tokens).filter((one) => one.startsWith("refresh_token="));
    expect(refresh).toEqual([
      "refresh_token=rt1.x; Path=/api/v1/auth; Max-Age=604800; HttpOnly; Secure; SameSite=Strict",
      "refresh_token=rt1.x; Path=/auth; Max-Age=604800; HttpOnly; Secure; SameSite=Strict",
    ]);
    for (const cookies of [compatible.set(tokens), compatible.set(session)])
      expect(attributes(cookies)).toEqual(attributes(compatible.clear()));
  });

  test("are what the platform's own parser reads them as", () => {
    const [access] = credentialCookies(settings).set(tokens);
    expect(Bun.Cookie.parse(access!).toJSON()).toMatchObject({
      name: "access_token",
      value: "a.b.c",
      path: "/",
      httpOnly: true,
      secure: true,
      sameSite: "lax",
      maxAge: 900,
    });
  });

  test("tell a browser again for a year, whatever COOKIE_SAMESITE says, and stay when the others are cleared", () => {
    const cookies = credentialCookies({ ...settings, COOKIE_SAMESITE: "none" });
    expect(cookies.set(tokens, "dv1.a.b").at(-1)).toBe(
      "__Host-device=dv1.a.b; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax",
    );
    expect(cookies.clear().join()).not.toContain("device");
    const carrying = (cookie: string) => new Request("http://localhost/", { headers: { cookie } });
    expect(cookies.deviceOf(carrying("a=b; __Host-device=dv1.a.b"))).toBe("dv1.a.b");
    expect(cookies.deviceOf(carrying("__Host-device=dv1.a.b; __Host-device=dv1.c.d"))).toBeUndefined();
  });

  test("are told by their names", () => {
    expect(credentialCookies(settings).names).toEqual({
      access: "access_token",
      refresh: "refresh_token",
      session: "__Host-session",
    });
  });
});
