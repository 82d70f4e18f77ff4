import { describe, expect, test } from "bun:test";
import { DomainError, type InputError } from "../../src/core/errors.ts";
import { compileProfileForm } from "../../src/core/users/profile-forms.ts";
import { editedProfile, type ProfileEdit } from "../../src/core/users/profiles.ts";
import type { Profile } from "../../src/store/tables.ts";

const schema = {
  type: "object",
  additionalProperties: false,
  properties: {
    theme: { enum: ["light", "dark"] },
    plan: { type: "string", readOnly: true },
    tags: { type: "array", items: { type: "string", maxLength: 5 }, maxItems: 3 },
    address: { type: "object", required: ["city"], properties: { city: { type: "string" }, zip: { type: "string" } } },
  },
};
const form = compileProfileForm(schema);
const open = compileProfileForm({ type: "object" });

function errorsOf(work: () => unknown): readonly InputError[] {
  try {
    work();
  } catch (error) {
    if (error instanceof DomainError) return error.errors ?? [];
    throw error;
  }
  return [];
}

const edit = (before: Profile | null, how: ProfileEdit["how"], members: object, own = false, of = form) =>
  editedProfile(of, before, { how, members: { ...members } }, { own });

describe("a profile", () => {
  test("is replaced as a whole, or merged member by member, where null takes one away (RFC 7396)", () => {
    const before = { theme: "dark", plan: "free", address: { city: "Rome", zip: "1" } };
    expect(edit(before, "replace", { theme: "light" })).toEqual({ theme: "light" });
    expect(edit(before, "merge", { theme: "light" })).toEqual({ ...before, theme: "light" });
    expect(edit(before, "merge", { theme: null, address: { city: "Oslo" } })).toEqual({
      plan: "free",
      address: { city: "Oslo" },
    });
    expect(edit(before, "merge", {})).toEqual(before);
    expect(edit(null, "merge", { theme: null })).toEqual({});
  });

  test("is told by its path what does not fit, in words of the schema alone", () => {
    const secret = "hunter2-is-what-I-typed";
    const errors = errorsOf(() =>
      edit(null, "replace", { theme: secret, tags: ["a", secret], address: {}, [secret]: secret }),
    );
    expect(errors).toEqual([
      { path: "/profile", message: "must NOT have additional properties." },
      { path: "/profile/theme", message: "must be equal to one of the allowed values." },
      { path: "/profile/tags/1", message: "must NOT have more than 5 characters." },
      { path: "/profile/address/city", message: "is required." },
    ]);
    const loose = compileProfileForm({ type: "object", additionalProperties: { type: "number" } });
    expect(errorsOf(() => edit(null, "replace", { [secret]: secret }, false, loose))).toEqual([
      { path: "/profile/*", message: "must be number." },
    ]);
  });

  test("tells at most 20 of many problems", () => {
    const numbers = compileProfileForm({ type: "object", properties: { all: { items: { type: "number" } } } });
    expect(errorsOf(() => edit(null, "replace", { all: Array(500).fill("x") }, false, numbers))).toHaveLength(20);
  });

  test("has members that users cannot change themselves, nor lose", () => {
    const before = { plan: "pro", theme: "dark" };
    const refusal = [{ path: "/profile/plan", message: "is changed by operators alone." }];
    for (const how of ["merge", "replace"] as const) {
      expect(errorsOf(() => edit(before, how, { plan: "free" }, true))).toEqual(refusal);
      expect(errorsOf(() => edit(before, how, { plan: null }, true))).toEqual(refusal);
      expect(errorsOf(() => edit(null, how, { plan: "free" }, true))).toEqual(refusal);
      expect(edit(before, how, { plan: "pro", theme: "light" }, true)).toEqual({ plan: "pro", theme: "light" });
    }
    expect(edit(before, "replace", {}, true)).toEqual({ plan: "pro" });
    expect(edit(before, "replace", {})).toEqual({});
  });

  test("is bounded in size and depth, and holds nothing that a database cannot", () => {
    const refused = (members: object) => errorsOf(() => edit(null, "replace", members, false, open)).length > 0;
    expect(refused({ a: "x".repeat(16_000) })).toBe(false);
    expect(refused({ a: "x".repeat(17_000) })).toBe(true);
    expect(refused({ a: "é".repeat(9000) })).toBe(true);
    let deep: object = {};
    for (let level = 0; level < 40; level++) deep = { deep };
    expect(refused(deep)).toBe(true);
    for (const odd of ["\0", "\ud800"])
      for (const members of [{ a: [odd] }, { [odd]: 1 }]) expect(refused(members)).toBe(true);
  });

  test("reaches no prototype, whatever its members are called", () => {
    for (const name of ["__proto__", "constructor", "prototype"]) {
      const members = JSON.parse(`{"a":{"${name}":{"isAdmin":true}},"${name}":{"isAdmin":true}}`);
      expect(errorsOf(() => editedProfile(open, null, { how: "merge", members }, { own: false }))).toHaveLength(1);
    }
    expect(edit({ a: 1 }, "merge", { toString: "x", hasOwnProperty: 1 }, false, open)).toEqual({
      a: 1,
      toString: "x",
      hasOwnProperty: 1,
    } as never);
    expect(({} as Record<string, unknown>)["isAdmin"]).toBeUndefined();
  });

  test("is none where there is no form", () => {
    const none = (members: object) =>
      editedProfile(undefined, null, { how: "merge", members: { ...members } }, { own: false });
    expect(none({})).toEqual({});
    expect(errorsOf(() => none({ theme: "dark" }))[0]?.message).toContain("PROFILE_SCHEMA");
  });
});

describe("PROFILE_SCHEMA", () => {
  test.each([
    ["draft 2020-12", { $schema: "https://json-schema.org/draft/2020-12/schema", unevaluatedProperties: false }],
    ["draft-07", { $schema: "http://json-schema.org/draft-07/schema#", definitions: { a: { type: "string" } } }],
    ["no draft at all", {}],
    ["formats", { properties: { site: { type: "string", format: "uri" } } }],
    ["references within it", { properties: { a: { $ref: "#/$defs/a" } }, $defs: { a: { type: "string" } } }],
  ])("may be of %s", (_, more) => {
    expect(errorsOf(() => compileProfileForm({ type: "object", ...more }))).toEqual([]);
  });

  test.each([
    ["a misspelled keyword", { requred: ["a"] }, /unknown keyword/],
    [
      "a reference to elsewhere",
      { properties: { a: { $ref: "https://example.com/a.json" } } },
      /can't resolve reference/,
    ],
    ["another draft", { $schema: "http://json-schema.org/draft-04/schema#" }, /another draft/],
    ["a keyword of the wrong form", { properties: { a: { minLength: "x" } } }, /schema is invalid|minLength/],
    ["a pattern that is none", { properties: { a: { type: "string", pattern: "(" } } }, /pattern|regular expression/i],
    ["a check that is answered later", { $async: true }, /async/],
  ])("is refused with its reason where it has %s", (_, more, reason) => {
    const [error] = errorsOf(() => compileProfileForm({ type: "object", ...more }));
    expect(error?.path).toBe("PROFILE_SCHEMA");
    expect(error?.message).toMatch(reason);
  });
});
