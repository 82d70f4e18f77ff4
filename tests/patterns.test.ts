/** Rule IO-1: no text of a request makes a pattern take more than linear time. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isSafe } from "redos-detector";
import { createApp } from "../src/http/app.ts";
import type { OpenApiDocument } from "../src/http/openapi.ts";
import { openTestCore } from "./support/core.ts";

const root = join(import.meta.dir, "..");
const files = ["cli", "src"].flatMap((room) =>
  readdirSync(join(root, room), { recursive: true, encoding: "utf8" })
    .filter((one) => one.endsWith(".ts"))
    .map((one) => `${room}/${one}`)
    .toSorted(),
);

/** A pattern as it stands in a file: behind what an expression can follow, and before what can follow one. */
const literal =
  /(?<=[\s(,=:?&|![])\/(?![*/\s])((?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+)\/([dgimsuyv]*)(?=[.,;)\s\]])/g;

const patterns = new Map<string, string>();
for (const file of files) {
  const code = readFileSync(join(root, file), "utf8")
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/(^|\s)\/\/.*$/gm, "");
  for (const [text] of code.matchAll(literal)) if (!patterns.has(text)) patterns.set(text, file);
}

const isLinear = (text: string): boolean => {
  const end = text.lastIndexOf("/");
  return isSafe(new RegExp(text.slice(1, end), text.slice(end + 1)), { maxScore: 500 }).safe;
};

/** How many patterns of a file a text of any length could keep busy, and why none of such a length comes to them. */
const bounded: Readonly<Record<string, readonly [many: number, why: string]>> = {
  "cli/db.ts": [2, "an address that the operator types"],
  "cli/failure.ts": [1, "a stack of our own"],
  "cli/help-text.ts": [1, "a line of our own help"],
  "cli/prompt.ts": [1, "what the operator types"],
  "cli/table.ts": [1, "a time of our own"],
  "src/config/accounts.ts": [1, "a setting"],
  "src/config/parsers.ts": [1, "a setting"],
  "src/config/redis-url.ts": [1, "a setting"],
  "src/core/identifiers.ts": [1, "an address of at most 254 bytes"],
  "src/core/importing/hash-texts.ts": [1, "a hash of an import, which is bounded"],
  "src/core/importing/members.ts": [1, "a time in a row of an import, which is bounded"],
  "src/core/limits.ts": [1, "an IP address"],
  "src/core/mail/letters.ts": [1, "a setting"],
  "src/core/redaction.ts": [1, "a header, which is at most 16 KiB; it ends where it began or is taken whole"],
  "src/http/client-address.ts": [1, "a header, which is at most 16 KiB; it begins behind a semicolon alone"],
};

test("IO-1 every pattern takes linear time, or a text that is bounded", () => {
  expect(patterns.size).toBeGreaterThan(100);
  const slow = Object.groupBy(
    [...patterns].filter(([text]) => !isLinear(text)),
    ([, file]) => file,
  );
  const found = Object.entries(slow).filter(([file, those = []]) => those.length !== bounded[file]?.[0]);
  expect(found).toEqual([]);
  expect(Object.keys(slow).toSorted()).toEqual(Object.keys(bounded).toSorted());
}, 300_000);

test("IO-1 the search for slow patterns finds one", () => {
  expect(isLinear(String.raw`/^(a+)+$/`)).toBeFalse();
  expect(isLinear(String.raw`/^(?:[a-z]+\s*)*=$/`)).toBeFalse();
  expect(isLinear(String.raw`/^[a-z]+=\d+$/`)).toBeTrue();
});

type Schema = {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
};

/** What of a schema lets a text or a list of any length in, or looks at it by a pattern. */
function unbounded(where: string, schema: Schema): string[] {
  const { type, maxLength, maxItems, pattern, format, items, properties = {} } = schema;
  const parts = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
  return [
    ...(type === "string" && !schema.enum && maxLength === undefined ? [`${where}: of any length`] : []),
    ...(type === "array" && maxItems === undefined ? [`${where}: any number of items`] : []),
    // A time is read by our own parser, once it is known to be short.
    ...(pattern || (format && format !== "date-time") ? [`${where}: ${pattern ?? format}`] : []),
    ...parts.flatMap((one) => unbounded(where, one)),
    ...(items ? unbounded(`${where}[]`, items) : []),
    ...Object.entries(properties).flatMap(([name, one]) => unbounded(`${where}.${name}`, one)),
  ];
}

test("IO-1 every text that a route takes is bounded by its schema, and looked at by no pattern there", async () => {
  const core = await openTestCore();
  const health = () => Promise.resolve({ ok: true, checks: [] });
  const app = createApp(core, { version: "0", health, isDraining: () => false, reusePort: false });
  const document = (await (await app.handle(new Request("http://localhost/openapi.json"))).json()) as OpenApiDocument;
  let seen = 0;
  const found: string[] = [];
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const parameters = (operation.parameters ?? []).map((one) => ["parameter", one.schema as Schema] as const);
      const bodies = Object.entries(operation.requestBody?.content ?? {}).map(
        ([type, one]) => [type, one.schema as Schema] as const,
      );
      for (const [where, schema] of [...parameters, ...bodies]) {
        seen++;
        found.push(...unbounded(`${method} ${path} ${where}`, schema));
      }
    }
  }
  expect(seen).toBeGreaterThan(30);
  expect(found).toEqual([]);
  await core.close();
});
