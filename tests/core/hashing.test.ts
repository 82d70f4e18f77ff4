import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { DomainError } from "../../src/core/errors.ts";
import { createHashing, type HashingOptions } from "../../src/core/passwords/hashing.ts";
import { createTestClock } from "../support/clock.ts";

const cheap: HashingOptions = { memoryCost: 8, timeCost: 1, concurrency: 1, queue: 100 };
const password = "correct horse battery staple";

function setUp(options: Partial<HashingOptions> = {}) {
  const clock = createTestClock();
  return { clock, hashing: createHashing({ ...cheap, ...options }, clock) };
}

const failure = async (promise: Promise<unknown>): Promise<unknown> =>
  await promise.then(
    () => undefined,
    (error: unknown) => error,
  );

async function overload(promise: Promise<unknown>): Promise<DomainError> {
  const error = await failure(promise);
  if (error instanceof DomainError && error.code === "overloaded") return error;
  throw new Error("It was not overloaded.", { cause: error });
}

describe("a hash (PW-1)", () => {
  test("is an argon2id string with the parameters of the settings", async () => {
    expect(await setUp({ memoryCost: 16, timeCost: 3 }).hashing.hash(password)).toStartWith(
      "$argon2id$v=19$m=16,t=3,p=1$",
    );
  });

  test("fits its password and no other", async () => {
    const { hashing } = setUp();
    const phc = await hashing.hash(password);
    expect(await hashing.verify(password, phc)).toBeTrue();
    expect(await hashing.verify(`${password} `, phc)).toBeFalse();
    expect(await hashing.verify("", phc)).toBeFalse();
  });

  test("fits the same text from another keyboard", async () => {
    const { hashing } = setUp();
    const phc = await hashing.hash("crème brûlée ﬁne".normalize("NFD"));
    expect(await hashing.verify("crème brûlée fine".normalize("NFC"), phc)).toBeTrue();
  });

  test("is never made of a text that the policy refuses", async () => {
    const { hashing } = setUp();
    for (const text of ["", "x".repeat(1025), "é".repeat(513), "\ufdfa".repeat(300)]) {
      expect(await failure(hashing.hash(text))).toBeInstanceOf(RangeError);
    }
  });

  test("needs to be made again when any parameter has changed, or it is not ours", async () => {
    const { hashing } = setUp();
    const phc = await hashing.hash(password);
    expect(hashing.needsRehash(phc)).toBeFalse();
    expect(setUp({ memoryCost: 16 }).hashing.needsRehash(phc)).toBeTrue();
    expect(setUp({ timeCost: 2 }).hashing.needsRehash(phc)).toBeTrue();
    expect(hashing.needsRehash(phc.replace("p=1", "p=2"))).toBeTrue();
    expect(hashing.needsRehash(phc.replace("argon2id", "argon2i"))).toBeTrue();
    expect(hashing.needsRehash("$2b$12$abcdefghijklmnopqrstuv")).toBeTrue();
    expect(hashing.needsRehash("")).toBeTrue();
  });
});

describe("verification", () => {
  test("answers false to every string that is no hash, and to every piece of one", async () => {
    const { hashing } = setUp();
    const phc = await hashing.hash(password);
    const scrypt = "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E";
    for (const stored of [
      "",
      "garbage",
      scrypt,
      "$2b$31$abcdefghijklmnopqrstuv",
      phc.replace("v=19", "v=16"),
      `${phc}\n`,
      phc.replace(/.$/, "!"),
    ]) {
      expect(await hashing.verify(password, stored)).toBeFalse();
    }
    for (let length = 0; length < phc.length; length++) {
      expect(await hashing.verify(password, phc.slice(0, length))).toBeFalse();
    }
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary" }), async (stored) => !(await hashing.verify(password, stored))),
    );
  });

  test.each(["m=262145", "m=9999999", "t=11", "t=0", "t=999", "p=5", "p=0"])(
    "does no work for a stored %s (PW-5)",
    async (cost) => {
      const { hashing } = setUp();
      const phc = await hashing.hash(password);
      const costly = phc.replace(new RegExp(`${cost.charAt(0)}=\\d+`), cost);
      const verdict = hashing.verify(password, costly);
      expect(hashing.running).toBe(0);
      expect(await verdict).toBeFalse();
    },
  );

  test("bears what the operator chose for new hashes, however much", async () => {
    const phc = (await setUp().hashing.hash(password)).replace("m=8", "m=300000");
    const { hashing } = setUp({ memoryCost: 300_000 });
    const verdict = hashing.verify(password, phc);
    expect(hashing.running).toBe(1);
    expect(await verdict).toBeFalse();
  });

  test("does no work for a password over 1024 bytes, and the usual work for one of 1024", async () => {
    const { hashing } = setUp();
    const phc = await hashing.hash(password);
    for (const text of ["x".repeat(1025), "é".repeat(513), "x".repeat(65_536)]) {
      const verdict = hashing.verify(text, phc);
      expect(hashing.running).toBe(0);
      expect(await verdict).toBeFalse();
    }
    const verdict = hashing.verify("x".repeat(1024), phc);
    expect(hashing.running).toBe(1);
    expect(await verdict).toBeFalse();
  });
});

describe("the dummy hash (PW-4)", () => {
  test("is of the form of real ones, with the parameters of the settings", async () => {
    const { hashing } = setUp({ memoryCost: 16 });
    const form = (phc: string) => phc.replaceAll(/[A-Za-z0-9+/]{43}/g, "43 characters");
    expect(form(hashing.dummyHash)).toBe(form(await hashing.hash(password)));
    expect(form(hashing.dummyHash)).toEndWith("43 characters$43 characters");
    expect(hashing.needsRehash(hashing.dummyHash)).toBeFalse();
  });

  test("costs one verification and fits no password", async () => {
    const { hashing } = setUp();
    const dummy = hashing.dummyHash;
    const verdict = hashing.verify("x".repeat(1024), dummy);
    expect(hashing.running).toBe(1);
    expect(await verdict).toBeFalse();
    expect(await hashing.verify("x".repeat(1025), dummy)).toBeFalse();
  });
});

describe("the queue (PW-5)", () => {
  test("runs no more at once than it has slots, and lets no more wait than it has places", async () => {
    const { hashing } = setUp({ concurrency: 2, queue: 3 });
    const taken = Array.from({ length: 5 }, () => hashing.hash(password));
    const refused = overload(hashing.hash(password));
    expect([hashing.running, hashing.waiting]).toEqual([2, 3]);
    expect((await refused).retryAfter).toBeGreaterThanOrEqual(1);
    expect((await Promise.all(taken)).length).toBe(5);
    expect([hashing.running, hashing.waiting]).toEqual([0, 0]);
  });

  test("lets few at a time come as far as their look-ups, and begins nothing for whoever finds no place", async () => {
    const { hashing } = setUp({ concurrency: 1, queue: 1 });
    const begun: number[] = [];
    const attempt = (at: number) =>
      hashing.admit(async () => {
        begun.push(at);
        return await hashing.hash(password);
      });
    const taken = [attempt(1), attempt(2), attempt(3)];
    expect((await overload(attempt(4))).retryAfter).toBeGreaterThanOrEqual(1);
    expect(begun).toEqual([1, 2]);
    await Promise.all(taken);
    expect(begun).toEqual([1, 2, 3]);
    expect([hashing.running, hashing.waiting]).toEqual([0, 0]);
  });

  test("serves first who came first", async () => {
    const { hashing } = setUp();
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 20 }, async (_, at) => order.push(await hashing.hash(password).then(() => at))),
    );
    expect(order).toEqual(Array.from({ length: 20 }, (_, at) => at));
  });

  test("lets nobody wait longer than the limit", async () => {
    const { clock, hashing } = setUp({ maxWait: 2000 });
    const running = hashing.hash(password);
    const late = overload(hashing.hash(password));
    clock.advance(1500);
    const inTime = hashing.hash(password);
    clock.advance(500);
    await late;
    expect(hashing.waiting).toBe(1);
    expect(await Promise.all([running, inTime])).toBeArrayOfSize(2);
  });

  test("drops a waiter at once whose caller has gone", async () => {
    const { clock, hashing } = setUp();
    const phc = await hashing.hash(password);
    const gone = new AbortController();
    const running = hashing.hash(password);
    const cancelled = failure(hashing.verify(password, phc, gone.signal));
    const abandoned = failure(hashing.hash(password, gone.signal));
    gone.abort("gone");
    expect(hashing.waiting).toBe(0);
    expect(clock.pending).toBe(0);
    expect(await cancelled).toBe("gone");
    expect(await abandoned).toBe("gone");
    await running;
    expect(await failure(hashing.hash(password, gone.signal))).toBe("gone");
    expect(hashing.running).toBe(0);
  });

  test("keeps nothing of those that it served, refused or dropped", async () => {
    const { clock, hashing } = setUp({ concurrency: 2, queue: 5 });
    for (let round = 0; round < 20; round++) {
      const callers = Array.from({ length: 12 }, () => hashing.hash(password));
      if (round % 3 === 0) clock.advance(2000);
      await Promise.allSettled(callers);
    }
    expect([hashing.running, hashing.waiting, clock.pending]).toEqual([0, 0, 0]);
  });

  test("tells the refused to come back when those before them will be done", async () => {
    const clock = createTestClock();
    const slow = {
      ...clock,
      // Four seconds pass between any two looks at the clock, so that a turn seems to take so long.
      now: () => {
        clock.advance(4000);
        return clock.now();
      },
    };
    const hashing = createHashing({ ...cheap, queue: 2, maxWait: 1_000_000 }, slow);
    for (let turn = 0; turn < 20; turn++) await hashing.hash(password);
    const taken = Array.from({ length: 3 }, () => hashing.hash(password));
    expect((await overload(hashing.hash(password))).retryAfter).toBe(12);
    await Promise.all(taken);
  });
});
