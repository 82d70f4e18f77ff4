import { afterAll, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { parts, settings, toy } from "./toy.ts";

const server = toy();
afterAll(server.stop);

const json = { "content-type": "application/json" };
const formType = { "content-type": "application/x-www-form-urlencoded" };

async function post(path: string, body?: RequestInit["body"], headers: Record<string, string> = json) {
  const answer = await server.fetch(path, { method: "POST", headers, ...(body !== undefined && { body }) });
  const text = await answer.text();
  return {
    status: answer.status,
    type: answer.headers.get("content-type"),
    body: text === "" ? undefined : JSON.parse(text),
  };
}

const nested = (levels: number) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;

const chunked = (chunks: number, size: number, fill = 0x20) =>
  new ReadableStream({
    start(controller) {
      for (let i = 0; i < chunks; i++) controller.enqueue(new Uint8Array(size).fill(fill));
      controller.close();
    },
  });

describe("BR-1 IO-1 a JSON route", () => {
  test.each([
    "application/json",
    "application/json; charset=utf-8",
    'application/json;charset="UTF-8"',
    "Application/JSON",
  ])("takes %s", async (type) => {
    expect(await post("/login", '{"email":"a@b.c"}', { "content-type": type })).toMatchObject({
      status: 200,
      body: { email: "a@b.c" },
    });
  });

  test.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json; charset=latin1",
    "application/json, text/plain",
    "application/jsonp",
    "application/problem+json",
    "text/json",
  ])("refuses %s", async (type) => {
    expect(await post("/login", '{"email":"a@b.c"}', { "content-type": type })).toMatchObject({
      status: 415,
      type: "application/problem+json",
      body: { code: "unsupported_media_type", detail: "Send the body with `Content-Type: application/json`." },
    });
  });

  test("refuses a body of no type, two types, or another type though it is empty", async () => {
    const head = "POST /login HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";
    const type = "Content-Type: application/json\r\n";
    for (const request of [
      `${head}Content-Length: 2\r\n\r\n{}`,
      `${head}${type}${type}Content-Length: 2\r\n\r\n{}`,
      `${head}Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n`,
    ]) {
      expect(parts(await server.raw(request)).status).toBe(415);
    }
  });

  test.each(["gzip", "br", "identity, gzip"])("refuses a body that is encoded: %s", async (encoding) => {
    expect(await post("/login", "{}", { ...json, "content-encoding": encoding })).toMatchObject({ status: 415 });
  });

  test("takes the encoding that is none", async () => {
    expect((await post("/anything", "{}", { ...json, "content-encoding": "identity" })).status).toBe(200);
  });

  test.each(["{", "nul", '{"email":}', "{'a':1}", '{"a":1} x', '\uFEFF{"email":"a@b.c"}', "NaN"])(
    "refuses what is not JSON: %s",
    async (text) => {
      expect(await post("/login", text)).toMatchObject({ status: 400, body: { code: "malformed_request" } });
    },
  );

  test.each(['["a"]', "5", '"text"', "null", "true"])(
    "takes objects only, also where the body is optional: %s",
    async (text) => {
      for (const path of ["/login", "/logout"]) {
        expect(await post(path, text)).toMatchObject({
          status: 422,
          body: { errors: [{ path: "body", message: "must be an object" }] },
        });
      }
    },
  );

  test("refuses bytes that are no UTF-8", async () => {
    for (const bytes of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xe2, 0x82]]) {
      const body = Buffer.concat([Buffer.from('{"email":"'), Buffer.from(bytes), Buffer.from('"}')]);
      expect(await post("/login", body)).toMatchObject({ status: 400, body: { code: "malformed_request" } });
    }
  });

  test.each(['{"email":"a\\u0000b"}', '{"email":"\\ud800"}', '{"x":["\\udc00x"]}', '{"a\\u0000":1}', '{"\\ud800":1}'])(
    "refuses NUL and lone surrogates, in members and their names: %s",
    async (text) => {
      expect(await post("/login", text)).toMatchObject({ status: 400, body: { code: "malformed_request" } });
    },
  );

  test("takes 32 levels and no more", async () => {
    expect((await post("/anything", nested(32))).status).toBe(200);
    expect((await post("/anything", nested(33))).status).toBe(400);
    expect((await post("/anything", "[".repeat(settings.BODY_LIMIT))).status).toBe(400);
    expect((await post("/anything", `{"a":${"[".repeat(30_000)}${"]".repeat(30_000)}}`)).status).toBe(400);
  });

  test("forgets members that could reach a prototype", async () => {
    const { body } = await post(
      "/anything",
      '{"__proto__":{"is_admin":true},"constructor":1,"a":{"prototype":1,"b":2}}',
    );
    expect(body).toEqual({ body: { a: { b: 2 } }, keys: ["a"] });
  });

  test("forgets members that its schema does not name", async () => {
    expect((await post("/login", '{"email":"a@b.c","is_admin":true}')).body).toEqual({ email: "a@b.c" });
  });
});

describe("an optional body", () => {
  const head = "POST /logout HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";

  test.each([
    ["no body at all", `${head}\r\n`],
    ["a length of 0", `${head}Content-Length: 0\r\n\r\n`],
    ["a length of 0 and a type", `${head}Content-Type: application/json\r\nContent-Length: 0\r\n\r\n`],
    ["no chunks", `${head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ])("is undefined with %s", async (_, request) => {
    expect(parts(await server.raw(request))).toMatchObject({ status: 200, body: '{"body":"undefined"}' });
  });

  test("is what was sent otherwise", async () => {
    expect((await post("/logout", "{}")).body).toEqual({ body: {} });
    expect((await post("/logout", '{"refresh_token":"x"}')).body).toEqual({ body: { refresh_token: "x" } });
    expect(await post("/logout", '{"refresh_token":1}')).toMatchObject({
      status: 422,
      body: { errors: [{ path: "refresh_token", message: "must be a string" }] },
    });
  });

  test("is the only one that may be missing", async () => {
    expect(await post("/login", undefined, {})).toMatchObject({
      status: 422,
      body: { errors: [{ path: "email", message: "is required" }] },
    });
  });
});

describe("IO-1 the limit", () => {
  const full = `{"email":"a@b.c"}`.padEnd(settings.BODY_LIMIT, " ");

  test("lets a body of just that size in", async () => {
    expect((await post("/login", full)).status).toBe(200);
  });

  test.each([1, 5_000_000])("refuses a body that is %p bytes longer", async (more) => {
    expect(await post("/login", full + " ".repeat(more))).toMatchObject({
      status: 413,
      type: "application/problem+json",
      body: { code: "payload_too_large" },
    });
  });

  test.each([2, 200])("refuses a body that does not say how long it is, and is %p chunks of it", async (chunks) => {
    expect(await post("/login", chunked(chunks, settings.BODY_LIMIT))).toMatchObject({
      status: 413,
      body: { code: "payload_too_large" },
    });
  });

  test("takes a chunked body within it", async () => {
    expect((await post("/anything", new Blob(['{"a":', "1}"]).stream())).body).toMatchObject({ body: { a: 1 } });
  });

  test("is the same for two equal lengths", async () => {
    const length = `Content-Length: ${full.length + 1}\r\n`;
    const answer = await server.raw(
      `POST /login HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\n${length}${length}\r\n${full} `,
    );
    expect(parts(answer).status).toBe(413);
  });
});

describe("a form route", () => {
  test("takes a form", async () => {
    expect((await post("/login-form", "username=a%40b&password=x+y%2B%C3%A9&other=1", formType)).body).toEqual({
      username: "a@b",
      password: "x y+é",
    });
  });

  test.each([
    ["JSON", "{}", json, 415],
    ["a type too few", "a=1", { "content-type": "text/plain" }, 415],
    ["a field twice", "username=a&username=b&password=x", formType, 422],
    ["a field twice, spelled otherwise", "username=a&usern%61me=b&password=x", formType, 422],
    ["a field too few", "username=a", formType, 422],
    ["no field", "", formType, 422],
    ["odd percents", "username=%zz&password=x", formType, 400],
    ["NUL", "username=%00&password=x", formType, 400],
    ["a surrogate", "username=%ed%a0%80&password=x", formType, 400],
  ])("refuses %s", async (_, body, headers, status) => {
    expect(await post("/login-form", body, headers)).toMatchObject({ status, type: "application/problem+json" });
  });
});

describe("what does not fit", () => {
  test("is told by its path and by what it must be", async () => {
    const { status, body } = await post(
      "/login",
      JSON.stringify({
        email: "x",
        age: 0,
        roles: ["ok", "x"],
        kind: "marker",
        full_name: 5,
        device: { trusted: "no" },
        handle: "A",
      }),
    );
    expect(status).toBe(422);
    expect(body.errors).toEqual([
      { path: "email", message: "must be a string of 3 to 30 characters" },
      { path: "age", message: "must be a whole number of at least 1" },
      { path: "roles.1", message: "must be a string of at least 2 characters" },
      { path: "kind", message: 'must be "tokens" or "session"' },
      { path: "full_name", message: "must be a string or null" },
      { path: "device.trusted", message: "must be true or false" },
      { path: "handle", message: "must be a string in the documented form" },
    ]);
  });

  test("is told of what is missing", async () => {
    expect((await post("/login", "{}")).body.errors).toEqual([{ path: "email", message: "is required" }]);
  });

  test("is told at most twenty times", async () => {
    const roles = Array.from({ length: 40 }, () => "x");
    expect((await post("/login", JSON.stringify({ email: "a@b.c", roles }))).body.errors).toHaveLength(20);
  });
});

describe("IO-3 whatever is sent", () => {
  const marker = "mArKeR7";

  test("is never a defect, and never comes back with a failure", async () => {
    const text = fc.oneof(
      fc.json().map((one) => one.replace(/"/, `"${marker}`)),
      fc.string({ unit: "binary" }).map((one) => marker + one),
      fc
        .record({ email: fc.anything(), roles: fc.anything(), device: fc.object(), kind: fc.string() })
        .map((one) => JSON.stringify({ ...one, kind: marker }, (_, value) => (typeof value === "bigint" ? 1 : value))),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("/login", "/login-form", "/logout", "/anything", "/bare"),
        fc.constantFrom(json, formType, { "content-type": "text/plain" }),
        text,
        async (path, headers, sent) => {
          const answer = await server.fetch(path, { method: "POST", headers, body: sent });
          const heard = await answer.text();
          expect(answer.status).toBeLessThan(500);
          if (answer.status < 400) return;
          expect(answer.headers.get("content-type")).toBe("application/problem+json");
          expect(heard).not.toContain(marker);
        },
      ),
      { numRuns: 500 },
    );
    expect(JSON.stringify(server.lines)).not.toContain(marker);
  });

  test("as bytes, is never a defect", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(json, formType), async (bytes, headers) => {
        const path = headers === json ? "/login" : "/login-form";
        expect([400, 422]).toContain(
          (await server.fetch(path, { method: "POST", headers, body: Buffer.from(bytes) })).status,
        );
      }),
      { numRuns: 300 },
    );
  });
});
