import { expect, test } from "bun:test";
import { storageTrouble } from "../../src/core/doctor/storage.ts";
import { DomainError } from "../../src/core/errors.ts";

const because = (code: string): Error =>
  new DomainError("unavailable", {
    cause: new Error("Failed query", { cause: Object.assign(new Error("driver"), { code }) }),
  });

test.each([
  ["SQLITE_FULL", "no room"],
  ["53100", "no room"],
  ["SQLITE_READONLY_DIRECTORY", "may not be written by this user"],
  ["25006", "takes no writes"],
  ["55P03", "Another process"],
  ["53300", "no more connections"],
  ["SQLITE_CANTOPEN_ISDIR", "cannot be opened"],
  ["SQLITE_NOTADB", "is no database"],
  ["SQLITE_CORRUPT_VTAB", "is damaged"],
  ["SQLITE_IOERR_READ", "cannot be read or written"],
])("%s is told as something that can be mended", (code, words) => {
  const found = storageTrouble(because(code));
  expect(found?.problem).toContain(words);
  expect(found?.remedy).toMatch(/^[A-Z].*\.$/);
});

test("what is no trouble of storage is told by nobody", () => {
  for (const error of [because("ECONNREFUSED"), because("42P01"), new Error("x"), "x", undefined]) {
    expect(storageTrouble(error)).toBeUndefined();
  }
});
