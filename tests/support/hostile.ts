/** What no well-behaved client sends: arbitrary requests for a route of the OpenAPI document. */
import * as fc from "fast-check";
import { filled, plainest, type Route, type Schema } from "./openapi.ts";

/** Stands in much of what is sent, and must stand in no failure. */
export const marker = "zqMarkerqz";

export type HostileRequest = {
  readonly route: Route;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
  /** Whose credential goes with it. */
  readonly credential: "none" | "access" | "session" | "cookies";
};

const nasty = [
  "",
  " ",
  marker,
  `${marker}@example.com`,
  `${marker}\0`,
  `${marker}\r\nSet-Cookie: a=b`,
  `\ud800${marker}`,
  `<script>${marker}</script>`,
  `'; DROP TABLE users; -- ${marker}`,
  `../../${marker}`,
  marker.repeat(500),
  "ﬁ\u202e\u0000\uffff\u{1f600}",
  "st_a.b.c",
  "rt1.AAAAAAAA.a.1.b",
  `rt2.AAAAAAAA.a.1.${"b".repeat(43)}.${"c".repeat(43)}`,
  `ve_${"a".repeat(43)}`,
  `rp_${"a".repeat(43)}`,
  "e30.e30.e30",
  "__proto__",
  "9".repeat(400),
] as const;

const hostileText = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...nasty) },
  fc.string({ unit: "binary", maxLength: 64 }),
  fc.string({ maxLength: 5000 }),
);

const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  hostileText,
  fc.constantFrom(
    null,
    true,
    -1,
    0.5,
    1e308,
    Number.MAX_SAFE_INTEGER,
    [],
    {},
    [[[]]],
    { $ne: null },
    { toString: marker },
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

/** A body that nearly fits: some members as they should be, some of another type, some that nobody asked for. */
function nearlyFitting(schema: Schema): fc.Arbitrary<unknown> {
  const members = Object.entries(schema.properties ?? {}).map(([name, member]) => {
    const choices = [fc.constant(plainest(member)), hostileText, hostileValue, ...(member.enum ?? []).map(fc.constant)];
    return [name, fc.oneof(...choices)] as const;
  });
  const extra = fc.dictionary(fc.constantFrom("is_admin", "roles", "id", "constructor", marker), hostileValue, {
    maxKeys: 2,
  });
  return fc
    .tuple(fc.record(Object.fromEntries(members), { requiredKeys: [] }), extra)
    .map(([known, more]): unknown => ({ ...known, ...more }));
}

const bytes = (text: string): Uint8Array => Buffer.from(text);

const brokenBodies = fc.constantFrom(
  bytes("{"),
  bytes("null"),
  bytes("[]"),
  bytes(`"${marker}"`),
  bytes(`{"email":"${marker}","email":"b@example.com","password":1e400}`),
  bytes(
    `{"__proto__":{"is_admin":true},"constructor":{"prototype":{"x":"${marker}"}},"email":"a@example.com","password":"x"}`,
  ),
  bytes(`{"email":"\\ud800${marker}","password":"\\u0000"}`),
  bytes("[".repeat(3000)),
  bytes(`${'{"a":'.repeat(200)}1${"}".repeat(200)}`),
  bytes(`\ufeff{"email":"${marker}"}`),
  bytes(`email=${marker}&password=%zz&password=x`),
  bytes("x".repeat(70_000)),
  Buffer.from(`{"email":"${marker}"}`, "utf16le"),
  new Uint8Array([0xff, 0xfe, 0x00, 0xc0, 0xaf]),
  new Uint8Array(0),
);

const bodyFor = (route: Route): fc.Arbitrary<Uint8Array | undefined> => {
  if (route.method === "GET") return fc.constant(undefined);
  const written = route.body
    ? nearlyFitting(route.body.schema).map((value) => bytes(textOf(route.body!.type, value)))
    : hostileValue.map((value) => bytes(JSON.stringify(value)));
  return fc.oneof({ weight: 5, arbitrary: written }, { weight: 2, arbitrary: brokenBodies }, fc.constant(undefined));
};

const textOf = (type: string, value: unknown): string =>
  type === "application/json"
    ? JSON.stringify(value)
    : Object.entries(value as object)
        .map(([name, member]) => `${name}=${encodeURIComponent(JSON.stringify(member).toWellFormed())}`)
        .join("&");

const types = [
  "text/plain",
  "application/xml",
  "multipart/form-data; boundary=x",
  "application/json; charset=latin1",
  "json",
  "*/*",
];

const oddHeaders = fc.constantFrom<Readonly<Record<string, string>>>(
  {},
  {},
  { accept: "text/html" },
  { "content-encoding": "gzip" },
  { "x-http-method-override": "DELETE" },
  { "x-forwarded-for": marker, "x-forwarded-host": `${marker}.example`, forwarded: `host=${marker}` },
  { "x-request-id": "a b" },
  { origin: `<${marker}>`, "sec-fetch-site": "cross-site" },
  { "user-agent": `${marker}/1.0 (${marker})` },
  { "if-none-match": `"${marker}"`, range: "bytes=0-1" },
  { expect: "200-ok", te: "trailers" },
);

const badCredentials = fc.constantFrom<Readonly<Record<string, string>>>(
  { authorization: `Bearer ${marker}` },
  { authorization: "Bearer" },
  { authorization: `Basic ${marker}` },
  { authorization: "Bearer e30.e30.e30" },
  { authorization: `Bearer st_${marker}.${"a".repeat(43)}.${"b".repeat(43)}` },
  { authorization: `Bearer ${"a".repeat(9000)}` },
  { cookie: `access_token=${marker}; access_token=x` },
  { cookie: `session={"a":"${marker}"}; refresh_token=%00` },
  { cookie: `;;=;${marker}; session` },
  { cookie: `refresh_token=rt1.AAAAAAAA.${marker}.1.${"a".repeat(43)}` },
);

const oddPaths = (path: string): fc.Arbitrary<string> => {
  const values = [
    "x",
    marker,
    "%00",
    "%ff",
    "%zz",
    "a".repeat(3000),
    "..%2f..",
    "%2e%2e",
    "'",
    "constructor",
    "__proto__",
  ];
  const queries = [
    "",
    "",
    "",
    `?${marker}=1`,
    "?a=1&a=2",
    "?q=%zz",
    "?q=%00",
    `?${"a=".repeat(300)}`,
    "?__proto__=x",
    "?limit=-1",
  ];
  const places = path.includes("{")
    ? fc.constantFrom(...values).map((value) => filled(path, value))
    : fc.constant(path);
  return fc.tuple(places, fc.constantFrom(...queries)).map(([place, query]) => place + query);
};

const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

export function hostileRequest(routes: readonly Route[]): fc.Arbitrary<HostileRequest> {
  return fc.constantFrom(...routes).chain((route) => {
    const type = fc.oneof(
      { weight: 6, arbitrary: fc.constant(route.body?.type ?? "application/json") },
      fc.constantFrom(...types),
    );
    const headers = fc
      .tuple(type, oddHeaders, fc.option(badCredentials, { freq: 3, nil: {} }))
      .map(([contentType, odd, bad]) => ({ "content-type": contentType, ...odd, ...bad }));
    const request = fc.record({
      route: fc.constant(route),
      method: fc.oneof({ weight: 8, arbitrary: fc.constant(route.method) }, fc.constantFrom(...methods)),
      path: oddPaths(route.path),
      headers,
      body: bodyFor(route),
      credential: fc.constantFrom("none", "access", "session", "cookies"),
    });
    return request.map((one) => Object.assign(one, { [fc.toStringMethod]: () => briefly(one) }));
  });
}

/** As much of a request as a person wants to read of one that failed. */
const briefly = ({ method, path, headers, credential, body }: HostileRequest): string =>
  `${method} ${path.slice(0, 200)} as ${credential} ${JSON.stringify(headers).slice(0, 500)} ${Buffer.from(body ?? [])
    .toString()
    .slice(0, 500)}`;
