import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { DomainError } from "../../src/core/errors.ts";
import type { Dialect } from "../../src/store/dialects/dialect.ts";
import { openSqlite, type ToDisk } from "../../src/store/dialects/sqlite.ts";

const unwanted = (): never => {
  throw new Error("of no matter here");
};
const failures = {
  unavailable: (cause: unknown) => new DomainError("unavailable", { cause }),
  busy: unwanted,
  unreachable: unwanted,
  misconfigured: unwanted,
  irreversible: unwanted,
  altered: unwanted,
};

let directory: string;
let dialect: Dialect;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "authctl-durability-"));
});
afterEach(async () => {
  await dialect.close();
  rmSync(directory, { recursive: true, force: true });
});

/** A disk that takes as long as it is let, and what has been asked of it. */
function slowDisk(synchronous: "full" | "normal" = "full") {
  const asked: Array<{ readonly file: number; done(): void; fail(error: Error): void }> = [];
  const arrivals: Array<() => void> = [];
  const toDisk: ToDisk = (file) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    asked.push({ file, done: resolve, fail: reject });
    arrivals.shift()?.();
    return promise;
  };
  dialect = openSqlite({ file: join(directory, "auth.db"), synchronous }, failures, toDisk);
  let answered = 0;
  const add = (name: string): Promise<void> =>
    dialect
      .write(async (db) => void (await db.run(sql`insert into things (name) values (${name})`)))
      .then(() => void answered++);
  return {
    asked,
    add,
    answered: () => answered,
    /** The next time that the disk is asked for something. */
    next: () => new Promise<void>((resolve) => arrivals.push(resolve)),
    names: async () => (await dialect.read.all<{ name: string }>(sql`select name from things`)).map(({ name }) => name),
    make: async () => {
      const made = dialect.write(async (db) => void (await db.run(sql`create table things (name text)`)));
      if (synchronous === "full") {
        while (asked.length === 0) await new Promise((turn) => setImmediate(turn));
        asked.shift()!.done();
      }
      await made;
    },
  };
}

test("a write is answered once the disk has it, readings are answered meanwhile, and what comes shares the next commit", async () => {
  const { asked, add, answered, next, names, make } = slowDisk();
  await make();

  const reached = next();
  const first = add("first");
  await reached;
  const others = [add("second"), add("third")];
  expect(await names()).toEqual(["first"]);
  expect(answered()).toBe(0);
  expect(asked).toHaveLength(1);
  if (process.platform === "linux") {
    expect(readlinkSync(`/proc/self/fd/${asked[0]!.file}`)).toEndWith("/auth.db-wal");
  }

  const again = next();
  asked.shift()!.done();
  await first;
  await again;
  expect(answered()).toBe(1);
  expect(asked).toHaveLength(1);
  asked.shift()!.done();
  await Promise.all(others);
  expect(await names()).toEqual(["first", "second", "third"]);
});

test("with `normal`, nobody waits for the disk", async () => {
  const { asked, add, names, make } = slowDisk("normal");
  await make();
  await add("first");
  expect(asked).toHaveLength(0);
  expect(await names()).toEqual(["first"]);
});

test("once the disk has failed, no write is said to have succeeded any more, until a new start", async () => {
  const { asked, add, next, make } = slowDisk();
  await make();
  const reached = next();
  const first = add("first");
  await reached;
  asked.shift()!.fail(new Error("EIO"));
  expect(await first.catch((error: unknown) => error)).toMatchObject({ code: "unavailable" });
  expect(await add("second").catch((error: unknown) => error)).toMatchObject({ code: "unavailable" });
  expect(asked).toHaveLength(0);
});
