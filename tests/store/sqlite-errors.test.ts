import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { causedByStorage, isBusy } from "../../src/store/dialects/sqlite-errors.ts";

const directory = mkdtempSync(join(tmpdir(), "authctl-errors-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const file = join(directory, "some.db");
const made = new Database(file);
made.run("CREATE TABLE things (name TEXT PRIMARY KEY)");
afterAll(() => made.close());

const thrownBy = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
};

/** Each as SQLite really throws it. */
const failures: ReadonlyArray<
  readonly [name: string, error: () => unknown, expected: { storage: boolean; busy: boolean }]
> = [
  [
    "a file that may only be read",
    () => thrownBy(() => new Database(file, { readonly: true }).run("INSERT INTO things VALUES ('a')")),
    { storage: true, busy: false },
  ],
  [
    "a full disk",
    () =>
      thrownBy(() => {
        made.run("PRAGMA max_page_count = 1");
        made.run("INSERT INTO things VALUES (hex(zeroblob(100000)))");
      }),
    { storage: true, busy: false },
  ],
  [
    "another writer",
    () => {
      const other = new Database(file);
      other.run("BEGIN IMMEDIATE");
      const error = thrownBy(() => made.run("INSERT INTO things VALUES ('b')"));
      other.close();
      return error;
    },
    { storage: true, busy: true },
  ],
  [
    "a file that is no database",
    () => {
      const path = join(directory, "text.db");
      writeFileSync(path, "this is a text, and longer than the header of a database would be: ".repeat(20));
      return thrownBy(() => new Database(path).run("CREATE TABLE x (y)"));
    },
    { storage: true, busy: false },
  ],
  [
    "a row that is there already",
    () =>
      thrownBy(() => {
        made.run("PRAGMA max_page_count = 1000");
        for (const _ of [1, 2]) made.run("INSERT INTO things VALUES ('c')");
      }),
    { storage: false, busy: false },
  ],
  ["a statement that is none", () => thrownBy(() => made.run("SELEKT")), { storage: false, busy: false }],
];

test.each(failures)("%s is told from a defect, however it is wrapped", (_, error, expected) => {
  const one = error();
  const wrapped = new Error("Failed query", { cause: one });
  for (const each of [one, wrapped]) expect({ storage: causedByStorage(each), busy: isBusy(each) }).toEqual(expected);
});
