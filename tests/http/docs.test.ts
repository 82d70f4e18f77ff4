import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { OpenApiDocument } from "../../src/http/openapi.ts";
import { toy } from "./toy.ts";

const server = toy();
afterAll(server.stop);

let document: OpenApiDocument;
beforeAll(async () => {
  document = JSON.parse(await (await server.fetch("/openapi.json")).text());
});

const body = (path: string) => document.paths[path]?.["post"]?.requestBody;

describe("the document", () => {
  test("is OpenAPI 3.0 of this version", () => {
    expect(document).toMatchObject({ openapi: "3.0.3", info: { title: "authctl", version: "1.2.3" } });
  });

  test("lists every route but those of the documentation", () => {
    const listed = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((one) => `${one} ${path}`),
    );
    const there = server.app.routes
      .filter(({ hooks }) => !hooks.detail?.hide)
      .map(({ method, path }) => `${method.toLowerCase()} ${path.replace(/:(\w+)/g, "{$1}")}`);
    expect(listed.toSorted()).toEqual(there.toSorted());
    expect(listed.join()).not.toMatch(/docs|openapi/);
  });

  test("names for each body the one content type that the route takes, and whether it must be there", () => {
    expect(Object.keys(body("/login")?.content ?? {})).toEqual(["application/json"]);
    expect(Object.keys(body("/login-form")?.content ?? {})).toEqual(["application/x-www-form-urlencoded"]);
    expect(body("/login")?.required).toBe(true);
    expect(body("/logout")?.required).toBe(false);
    expect(body("/bare")).toBeUndefined();
  });

  test("tells what is answered, and each failure by its status", () => {
    const { responses, security } = document.paths["/login"]!["post"]!;
    expect(Object.keys(responses)).toEqual(["200", "400", "401", "413", "415", "422", "429", "500", "503"]);
    expect(responses["401"]).toEqual({
      description: "`invalid_credentials`: The sign-in failed",
      content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
    });
    expect(security).toEqual([]);
    expect(document.paths["/logout"]!["post"]!.responses["204"]).not.toHaveProperty("content");
  });

  test("tells of credentials where they are asked for", () => {
    expect(Object.keys(document.paths["/page"]!["get"]!.responses)).toEqual(["200", "401", "403", "422", "429", "500"]);
    expect(document.components.securitySchemes).toMatchObject({
      bearer: { type: "http", scheme: "bearer" },
      password: { type: "oauth2", flows: { password: { tokenUrl: "/api/v1/auth/login-form" } } },
      access_cookie: { type: "apiKey", in: "cookie", name: "access_token" },
      session_cookie: { type: "apiKey", in: "cookie", name: "__Host-session" },
    });
  });

  test("is written in the words of OpenAPI 3.0 alone", () => {
    const text = JSON.stringify(document);
    expect(text).not.toMatch(/"const"|"type":"null"|"patternProperties"|"format":"(integer|numeric|boolean)"/);
    expect(document.paths["/login"]!["post"]!.requestBody!.content["application/json"]!.schema).toMatchObject({
      properties: {
        age: { type: "integer", minimum: 1 },
        kind: { type: "string", enum: ["tokens", "session"] },
        full_name: { type: "string", nullable: true },
      },
    });
  });

  test("refers to nothing that it does not hold", () => {
    for (const [, name] of JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      expect(document.components.schemas).toHaveProperty(name!);
    }
  });
});

describe("the page", () => {
  test("loads nothing but what this server has, and runs nothing that stands in it", async () => {
    const answer = await server.fetch("/docs");
    const html = await answer.text();
    expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(html).not.toMatch(/https?:|\/\//);
    expect(html).not.toMatch(/<script>|<style|\son\w+=/);
    for (const [, path] of html.matchAll(/(?:src|href)="(\/[^"]+)"/g))
      expect((await server.fetch(path!)).status).toBe(200);
    expect(answer.headers.get("content-security-policy")).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
  });

  test.each([
    ["swagger-ui.css", "text/css; charset=utf-8"],
    ["swagger-ui-bundle.js", "text/javascript; charset=utf-8"],
    ["init.js", "text/javascript; charset=utf-8"],
  ])("has assets that are sent once: %s", async (name, type) => {
    const first = await server.fetch(`/docs/${name}`);
    expect(first.headers.get("content-type")).toBe(type);
    expect(first.headers.get("cache-control")).toBe("public, max-age=3600");
    expect((await first.text()).length).toBeGreaterThan(100);
    const again = await server.fetch(`/docs/${name}`, { headers: { "if-none-match": first.headers.get("etag")! } });
    expect(again.status).toBe(304);
    expect(await again.text()).toBe("");
  });

  test.each(["/swagger", "/swagger/json", "/docs/json", "/listed", "/docs/index.html", "/docs/../package.json"])(
    "is the only one: %s",
    async (path) => {
      expect((await server.fetch(path)).status).toBe(404);
    },
  );
});
