import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { exportUsers } from "../../src/core/exporting.ts";
import { openTestCore, root, type TestCore } from "../support/core.ts";
import { emailOf, foreignUser, foreignUsers, importRecords } from "../support/foreign-users.ts";

let core: TestCore;
beforeEach(async () => {
  core = await openTestCore();
});
afterEach(() => core.close());

describe("an export", () => {
  const everything = async (options: Partial<Parameters<typeof exportUsers>[2]> = {}) => {
    const all = [];
    for await (const page of exportUsers(core, root, { withHashes: false, ...options })) all.push(...page);
    return all;
  };

  test("has everybody once, over the edge of a page, with the roles", async () => {
    await importRecords(core, "fastapi-users", foreignUsers("fastapi-users", 501));
    const all = await everything();
    expect(new Set(all.map(({ user }) => user.id)).size).toBe(501);
    expect(all.find(({ user }) => user.email === emailOf("fastapi-users", 0))?.roles).toEqual(["admin", "user"]);
    expect(await everything({ role: "admin" })).toHaveLength(1);
    expect(await everything({ active: false })).toEqual([]);
  });

  test("has hashes only where they are asked for, and is recorded before anything is given out", async () => {
    await importRecords(core, "fastapi-users", [foreignUser["fastapi-users"](1)]);
    expect((await everything())[0]?.hash).toBeUndefined();
    const pages = exportUsers(core, root, { withHashes: true });
    const first = await pages.next();
    expect(first.value?.[0]?.hash).toBe(String(foreignUser["fastapi-users"](1)["hashed_password"]));
    const events = await core.store.auditEvents.page({}, 9);
    const exports = events.filter(({ action }) => action === "users.exported").map(({ particulars }) => particulars);
    expect(exports).toContainEqual({ users: 1, hashes: true });
    expect(exports).toContainEqual({ users: 1, hashes: false });
  });

  test("of nobody is empty", async () => {
    expect(await everything()).toEqual([]);
  });
});
