import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { beyond, isPermission, ownPermissions, permittedBy } from "../../src/core/permissions.ts";

const word = fc.stringMatching(/^[a-z][a-z0-9_.-]{0,8}$/);
const exact = fc.tuple(word, word).map(([noun, verb]) => `${noun}:${verb}`);
const anyVerb = word.map((noun) => `${noun}:*`);
const permission = fc.oneof(exact, anyVerb, fc.constant("*"));
const some = fc.array(permission, { maxLength: 6 });

describe("a permission", () => {
  test.each(["*", "users:*", "users:read", "billing:refund", "a:b", "app.orders:mark_as-paid", ...ownPermissions])(
    "%s is one",
    (text) => expect(isPermission(text)).toBe(true),
  );

  test.each([
    "",
    "users",
    "users:",
    ":read",
    "*:read",
    "*:*",
    "**",
    "users:read:all",
    "users:re*",
    "Users:read",
    "users: read",
    " users:read",
    "users:read\n",
    "users:read users:write",
    "1users:read",
    "ünits:read",
    `${"a".repeat(65)}:read`,
    "__proto__",
  ])("%p is none", (text) => expect(isPermission(text)).toBe(false));

  test("is a word of a scope: no two of them can be mistaken for a third", () => {
    fc.assert(fc.property(permission, (one) => isPermission(one) && !/[\s"\\]/.test(one)));
  });
});

describe("what is held", () => {
  const table: ReadonlyArray<readonly [held: readonly string[], wanted: string, permits: string | undefined]> = [
    [["users:read"], "users:read", "users:read"],
    [["users:*"], "users:read", "users:*"],
    [["*"], "users:read", "*"],
    [["sessions:read", "users:*"], "users:write", "users:*"],
    [["*"], "*", "*"],
    [["users:*"], "users:*", "users:*"],
    [["*"], "users:*", "*"],
    [[], "users:read", undefined],
    [["users:read"], "users:write", undefined],
    [["users:read"], "users:readx", undefined],
    [["users:readx"], "users:read", undefined],
    [["user:*"], "users:read", undefined],
    [["users:*"], "user:read", undefined],
    [["users:read", "users:write"], "users:*", undefined],
    [["users:*", "roles:*"], "*", undefined],
  ];
  test.each(table)("%j permits %s by %p", (held, wanted, permits) => {
    expect(permittedBy(held, wanted)).toBe(permits);
  });

  test("permits itself, and with * everything", () => {
    fc.assert(
      fc.property(some, (held) => {
        expect(beyond(held, held)).toEqual([]);
        expect(beyond(["*"], held)).toEqual([]);
      }),
    );
  });

  test("permits by equal words alone, never by a common beginning", () => {
    fc.assert(
      fc.property(exact, exact, (held, wanted) => {
        expect(permittedBy([held], wanted) !== undefined).toBe(held === wanted);
        const [noun, verb] = held.split(":") as [string, string];
        for (const near of [`${held}x`, `${noun}x:${verb}`, `x${held}`, `${noun}:x${verb}`])
          expect(permittedBy([held], near)).toBeUndefined();
      }),
    );
  });

  test("permits every verb of a noun by noun:*, and of no other noun", () => {
    fc.assert(
      fc.property(word, exact, (noun, wanted) => {
        expect(permittedBy([`${noun}:*`], wanted) !== undefined).toBe(wanted.split(":")[0] === noun);
      }),
    );
  });

  test("permits more where more is held, and what two steps permit one step does", () => {
    fc.assert(
      fc.property(some, some, some, (one, two, three) => {
        expect(beyond([...one, ...two], three).length).toBeLessThanOrEqual(beyond(one, three).length);
        if (beyond(one, two).length === 0 && beyond(two, three).length === 0) expect(beyond(one, three)).toEqual([]);
      }),
    );
  });
});
