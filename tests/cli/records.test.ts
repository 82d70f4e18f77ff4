import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { type Container, guessContainer, readRecords } from "../../cli/records.ts";
import type { Incoming } from "../../src/core/importing/candidates.ts";

/** The bytes in pieces of `size`, as a file or a pipe gives them. */
async function* pieces(content: string | Uint8Array, size = 7): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(content);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(content: string | Uint8Array, { size = 7 } = {}) {
  const { container, bytes } = await guessContainer(pieces(content, size));
  const records: Incoming[] = [];
  for await (const record of readRecords(container, bytes)) records.push(record);
  return { container, records };
}
const values = ({ records }: { records: Incoming[] }) =>
  records.map((one) => ("value" in one ? { ...(one.value as object) } : one.problem));

const ada = { id: "1", email: "ada@example.com" };
const eve = { id: "2", email: "eve@example.com" };

describe("what a file is", () => {
  test.each<[Container, string]>([
    ["ndjson", `${JSON.stringify(ada)}\n${JSON.stringify(eve)}\n`],
    ["ndjson", `\ufeff${JSON.stringify(ada)}\r\n\r\n${JSON.stringify(eve)}`],
    ["csv", "id,email\n1,ada@example.com\n2,eve@example.com\n"],
    ["csv", '\ufeffid,"email"\r\n1,"ada@example.com"\r\n\r\n2,eve@example.com'],
    ["json", JSON.stringify([ada, eve])],
    ["json", JSON.stringify([ada, eve], undefined, 2)],
    ["json", JSON.stringify({ users: [ada, eve] })],
    [
      "json",
      `\ufeff ${JSON.stringify({ realm: "x", clients: [{ id: 5 }], users: [ada, eve], groups: [] }, undefined, 2)}`,
    ],
  ])("is told by its beginning, and the same users are in it: %s", async (container, content) => {
    for (const size of [1, 7, 1_000_000]) {
      const found = await read(content, { size });
      expect(found.container).toBe(container);
      expect(values(found)).toEqual([ada, eve]);
    }
  });

  test("may be nothing", async () => {
    expect((await read("")).records).toEqual([]);
  });

  test("whatever it is, its end is reached and nothing is thrown", async () => {
    const letters = fc.constantFrom(...Array.from('{}[]",:\n\r01eé\0\ufffd\\u users'));
    const content = fc.oneof(fc.string({ unit: letters }), fc.uint8Array({ max: 255 }));
    await fc.assert(
      fc.asyncProperty(content, async (one) => void (await read(one))),
      { numRuns: 500 },
    );
  });
});

describe("lines of JSON", () => {
  test("that are no JSON, or too long, are refused by their numbers; the rest is read", async () => {
    const long = JSON.stringify({ id: "x".repeat(10_000_000) });
    const content = [JSON.stringify(ada), "{nonsense", long, "", JSON.stringify(eve)].join("\n");
    const { records } = await read(content, { size: 65_536 });
    expect(records).toEqual([
      { line: 1, value: ada },
      { line: 2, problem: "unreadable" },
      { line: 3, problem: "too_large" },
      { line: 5, value: eve },
    ]);
  });

  test("without a newline are no more than one that is too long, however many bytes come", async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield Buffer.from(`${JSON.stringify(ada)}\n`);
      for (let at = 0; at < 2_000; at++) yield Buffer.alloc(65_536, 97);
    }
    const before = process.memoryUsage().rss;
    const found: Incoming[] = [];
    for await (const one of readRecords("ndjson", endless())) found.push(one);
    expect(found).toEqual([
      { line: 1, value: ada },
      { line: 2, problem: "too_large" },
    ]);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 2 ** 20);
  });
});

describe("CSV", () => {
  test("may hold commas, quotes and line breaks in its cells; a row of another length is refused", async () => {
    const content =
      'id,name,email\n1,"King, ""Ada""\nof",ada@example.com\n2,too,many,cells\n3,few\n4,,eve@example.com\n';
    expect(
      (await read(content)).records.map((one) => ({
        ...one,
        ...("value" in one && { value: { ...(one.value as object) } }),
      })),
    ).toEqual([
      { line: 3, value: { id: "1", name: 'King, "Ada"\nof', email: "ada@example.com" } },
      { line: 4, problem: "unreadable" },
      { line: 5, problem: "unreadable" },
      { line: 6, value: { id: "4", name: null, email: "eve@example.com" } },
    ]);
  });

  test.each([
    'id,email\n1,ada@example.com\n2,"eve',
    'id,email\n1,ada@example.com\n"2"x,eve\n3,y',
    `id,email\n1,ada@example.com\n2,"${"x".repeat(2_000_000)}"\n`,
  ])("that breaks is read up to there, and says so", async (content) => {
    expect(values(await read(content, { size: 65_536 }))).toEqual([ada, "broken"]);
  });

  test("takes away what our own export put before a formula, and only there", async () => {
    const ours = "email_verified,is_active,is_admin,roles,locale,profile";
    const names = async (columns: string) =>
      values(await read(`full_name,${columns}\n'=1+1,,,,,,\n'quoted,,,,,,\n`)).map((one) =>
        Reflect.get(Object(one), "full_name"),
      );
    expect(await names(ours)).toEqual(["=1+1", "'quoted"]);
    expect(await names(ours.replace("profile", "about"))).toEqual(["'=1+1", "'quoted"]);
  });

  test("whose header names a prototype changes none", async () => {
    const [first] = values(await read("__proto__,constructor,id\nx,y,1\n"));
    expect(Object.getPrototypeOf(first)).toBe(Object.prototype);
    expect(Object.keys(Object(first))).toContain("constructor");
  });
});

describe("a JSON document", () => {
  test.each([
    '[{"id":"1","email":"ada@example.com"},{"id"',
    '[{"id":"1","email":"ada@example.com"},{"id":2}}',
    '[{"id":"1","email":"ada@example.com"} nonsense',
  ])("that breaks is read up to there, and says so: %s", async (content) => {
    expect(values(await read(content)).filter((one) => one === "broken")).toHaveLength(1);
    expect(values(await read(content))[0]).toEqual(ada);
  });

  test("that never comes to the next user is given up", async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('[{"id":"');
      for (;;) yield Buffer.alloc(65_536, 97);
    }
    const found: Incoming[] = [];
    for await (const one of readRecords("json", endless())) found.push(one);
    expect(found).toEqual([{ line: 1, problem: "broken" }]);
  });
});
