import { afterAll, describe, expect, test } from "bun:test";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import { replaceSigningKeys } from "../../src/core/signing-keys/retirement.ts";
import { root } from "../support/core.ts";
import { besides, newTokens } from "../support/people.ts";
import { startServer } from "../support/server.ts";

const server = await startServer();
afterAll(server.end);

const jwks = (headers = {}) => server.get<JSONWebKeySet>("/.well-known/jwks.json", { headers });

describe("GET /.well-known/jwks.json", () => {
  test("publishes the key that signs and the one that comes after it, and no private part", async () => {
    const { status, body, headers } = await jwks();
    expect(status).toBe(200);
    expect(headers.get("content-type")).toBe("application/json");
    expect(body.keys).toHaveLength(2);
    for (const key of body.keys) {
      expect(Object.keys(key).toSorted()).toEqual(["alg", "crv", "kid", "kty", "use", "x", "y"]);
      expect(key).toMatchObject({ alg: "ES256", crv: "P-256", kty: "EC", use: "sig" });
    }
    expect(new Set(body.keys.map((key) => key.kid)).size).toBe(2);
  });

  test("lets anyone verify an access token without asking the server", async () => {
    const { access_token, user } = await newTokens(server);
    const { payload } = await jwtVerify(access_token, createLocalJWKSet((await jwks()).body), {
      issuer: "http://localhost:8000",
      audience: "http://localhost:8000",
      typ: "at+jwt",
    });
    expect(payload.sub).toBe(user.id);
  });

  test("can be kept for five minutes, by pages of every origin", async () => {
    const { headers } = await jwks();
    expect(headers.get("cache-control")).toBe("public, max-age=300");
    expect(headers.get("access-control-allow-origin")).toBe("*");
    expect(headers.get("cross-origin-resource-policy")).toBe("cross-origin");
  });

  test("answers 304 to its own ETag, and the whole to any other", async () => {
    const etag = (await jwks()).headers.get("etag")!;
    expect(etag).toMatch(/^"[\w-]{22}"$/);
    const same = await jwks({ "if-none-match": etag });
    expect([same.status, same.text, same.headers.get("etag")]).toEqual([304, "", etag]);
    expect((await jwks({ "if-none-match": '"another"' })).status).toBe(200);
  });

  test("HEAD says the same without a body", async () => {
    const { status, text, headers } = await server.send("HEAD", "/.well-known/jwks.json");
    expect([status, text]).toEqual([200, ""]);
    expect(headers.get("etag")).toBe((await jwks()).headers.get("etag"));
  });

  test("TK-6 a key that was rotated away at once is not published by the next start", async () => {
    const before = (await jwks()).body.keys.map((key) => key.kid);
    const { replaced, activated } = await besides(server, (core) => replaceSigningKeys(core, root));
    await server.restart();
    const after = (await jwks()).body.keys.map((key) => key.kid);
    expect(before).toContain(replaced!);
    expect(after).not.toContain(replaced!);
    expect(after).toContain(activated);
    expect(after).toHaveLength(2);
  });
});

describe("BR-4 GET /.well-known/change-password", () => {
  test("leads to the page of the settings, whatever host the request names", async () => {
    const { status, headers } = await server.get("/.well-known/change-password", {
      headers: { "x-forwarded-host": "evil.example" },
    });
    expect([status, headers.get("location")]).toEqual([302, "http://localhost:8000/reset-password"]);
  });
});

describe("GET /.well-known/security.txt", () => {
  test("is not there without a contact, and says so", async () => {
    const { status, text } = await server.get("/.well-known/security.txt");
    expect(status).toBe(404);
    expect(text).toContain("SECURITY_CONTACT");
  });

  test("names the contact, and until when that holds", async () => {
    const named = await startServer({ SECURITY_CONTACT: "mailto:security@example.com" });
    try {
      const { status, text, headers } = await named.get("/.well-known/security.txt");
      expect([status, headers.get("content-type")]).toEqual([200, "text/plain; charset=utf-8"]);
      const [contact, expires, canonical] = text.trimEnd().split("\n");
      expect(contact).toBe("Contact: mailto:security@example.com");
      expect(canonical).toBe("Canonical: http://localhost:8000/.well-known/security.txt");
      const until = Date.parse(expires?.replace("Expires: ", "") ?? "");
      const days = (until - Date.parse(headers.get("date") ?? "")) / 86_400_000;
      expect(Math.round(days)).toBe(180);
    } finally {
      await named.end();
    }
  });
});
