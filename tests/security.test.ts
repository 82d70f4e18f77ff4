/** The rules that every line obeys, each with a page's word on it (docs/security.md) and tests that bear its name. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** How many rules there are of each kind; a few have a letter. */
const rules = [
  ...["PW 8", "SE 6", "TK 7", "AZ 4", "BR 5", "IO 5"].flatMap((kind) => numbered(kind, 1)),
  ...numbered("LI 3", 0),
  "SE-3a",
];
const parts = [
  "Redis is down",
  "The database is down",
  "The mail server is down",
  "A clock is off by a minute",
  "The disk is full, or the file may only be read",
  "The audit trail cannot be written",
];
const races = [
  "Registration of one address",
  "Use of one link",
  "Rotation of one refresh token",
  "Signing out everywhere against refreshes",
  "Disabling against sign-ins",
  "Removing the last two admins",
  "Migrations",
  "Purges",
  "Rotations of the signing key",
  "The first signing key",
  "Updates of one user with one ETag",
];

function numbered(kind: string, first: number): string[] {
  const [name, last = "0"] = kind.split(" ");
  return Array.from({ length: Number(last) - first + 1 }, (_, at) => `${name}-${first + at}`);
}

const root = join(import.meta.dir, "..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");

type Named = { readonly file: string; readonly title: string };
type Section = { readonly name: string; readonly words: string; readonly tests: readonly Named[] };

const sections: readonly Section[] = read("docs/security.md")
  .split(/^### /m)
  .slice(1)
  .map((text) => {
    const [name = "", ...lines] = text.split(/^## /m)[0]!.trimEnd().split("\n");
    const tests = lines.flatMap((line) => {
      const [, file, title] = /^- `(tests\/[\w/.-]+)`: (.+)$/.exec(line) ?? [];
      return file && title ? [{ file, title }] : [];
    });
    return { name, words: lines.filter((line) => line !== "" && !line.startsWith("- ")).join(" "), tests };
  });

/** Every title of a test or of a group of them: the text that comes first behind `test(`, `describe(` and their tables. */
const titlesOf = (file: string): string[] => {
  const code = read(file);
  const starts = [...code.matchAll(/^\s*(?:test|describe)(?:\.\w+)*(?:<.*>)?\(/gm)].map(({ index }) => index);
  return starts.map((start) => {
    const end = code.indexOf("=>", start);
    return code.slice(start, end === -1 ? undefined : end);
  });
};

const files = readdirSync(join(root, "tests"), { recursive: true, encoding: "utf8" })
  .filter((one) => one.endsWith(".test.ts"))
  .map((one) => `tests/${one}`);
const titles = new Map(files.map((file) => [file, titlesOf(file)]));

const bears = (title: string, rule: string): boolean => new RegExp(String.raw`\b${rule}(?![\w-])`).test(title);

describe("the page of security", () => {
  test("has every rule, every part that may be down, and every race", () => {
    const names = sections.map(({ name }) => name);
    expect([...rules, ...parts, ...races].filter((name) => !names.includes(name))).toEqual([]);
    expect(names.filter((name) => /^[A-Z]{2}-\d/.test(name) && !rules.includes(name))).toEqual([]);
    expect(new Set(names).size).toBe(names.length);
  });

  test.each(sections.map((one) => [one.name, one] as const))(
    "says what %s means, and names tests that there are",
    (_, section) => {
      expect(section.words).toMatch(/\.$/);
      expect(section.tests.length).toBeGreaterThan(0);
      for (const { file, title } of section.tests) {
        expect(existsSync(join(root, file)), file).toBeTrue();
        expect(read(file), `${file}: ${title}`).toContain(title);
      }
    },
  );
});

test.each(rules)("%s is borne by tests, in every file that the page names for it", (rule) => {
  const own = sections.find(({ name }) => name === rule)?.tests ?? [];
  expect(own.length).toBeGreaterThan(0);
  for (const { file } of own)
    expect(
      (titles.get(file) ?? []).some((one) => bears(one, rule)),
      file,
    ).toBeTrue();
});

test("no test bears the name of a rule that there is not", () => {
  const named = [...titles.values()]
    .flat()
    .flatMap((title) => title.match(/\b(?:PW|SE|TK|AZ|BR|LI|IO)-\d+[a-z]?\b/g) ?? []);
  expect([...new Set(named)].filter((one) => !rules.includes(one))).toEqual([]);
});
