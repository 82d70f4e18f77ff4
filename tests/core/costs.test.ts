/** What an operation asks of the database and of the processor, counted: a guard that needs no clock. */
import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import pg from "pg";
import type { Core } from "../../src/core/core.ts";
import { login, signOut } from "../../src/core/login.ts";
import { refresh } from "../../src/core/refresh-tokens.ts";
import { authenticate, listSessions } from "../../src/core/sessions.ts";
import { codeOf, firefox, goodPassword, openTestCore, registerAda, type TestCore, visitor } from "../support/core.ts";
import { dialect, dump } from "../support/database.ts";
import { counted } from "../support/watched.ts";

const email = "ada@example.com";
const input = { identifier: email, password: goodPassword } as const;

let base: TestCore;
let core: Core;
let calls: string[];
let hashes: number;

beforeEach(async () => {
  base = await openTestCore({ RATE_LIMITS: "on" });
  await registerAda(base, email);
  // The first sign-in of all is from a device that nobody knows.
  await login(base, visitor, { ...input, credential: "tokens" });
  const watched = counted(base);
  calls = watched.calls;
  hashes = 0;
  const verify: Core["hashing"]["verify"] = async (...given) => {
    hashes++;
    return await base.hashing.verify(...given);
  };
  const hash: Core["hashing"]["hash"] = async (...given) => {
    hashes++;
    return await base.hashing.hash(...given);
  };
  core = { ...watched.core, hashing: { ...base.hashing, verify, hash } };
});
afterEach(() => base.close());

async function signedIn(credential: "session" | "tokens") {
  const given = await login(core, visitor, { ...input, credential });
  calls.length = 0;
  hashes = 0;
  return given.credential === "session" ? { access: given.sessionToken } : { access: given.accessToken, ...given };
}

describe("what is asked of the database", () => {
  test("by a sign-in", async () => {
    await login(core, visitor, { ...input, credential: "tokens" });
    expect(calls.join(" ")).toBe(
      [
        "users.byEmailKey",
        "write tries.reserve tries.reserve tries.reserve commit",
        "write users.noteLogin sessions.hasDevice sessions.insert refreshFamilies.insert roles.heldBy",
        "tries.giveBack tries.giveBack tries.giveBack auditEvents.insert commit",
      ].join(" "),
    );
  });

  test("by a refresh", async () => {
    const { refreshToken } = (await signedIn("tokens")) as { refreshToken: string };
    await refresh(core, visitor, refreshToken);
    expect(calls).toEqual(["refreshFamilies.rotate"]);
  });

  test.skipIf(dialect === "sqlite")("on the wire: one statement for a refresh, and one for a check", async () => {
    const { refreshToken } = (await signedIn("tokens")) as { refreshToken: string };
    const sent = spyOn(pg.Client.prototype, "query");
    try {
      const next = await refresh(core, visitor, refreshToken);
      expect(sent).toHaveBeenCalledTimes(1);
      if (next.credential !== "tokens") throw new Error("asked for tokens");
      await authenticate(core, next.accessToken, firefox);
      expect(sent).toHaveBeenCalledTimes(2);
    } finally {
      sent.mockRestore();
    }
  });

  test.each(["session", "tokens"] as const)(
    "by the check of a credential (%s), and a second one",
    async (credential) => {
      const { access } = await signedIn(credential);
      await authenticate(core, access, firefox);
      expect(calls).toEqual(["sessions.standing"]);
      await authenticate(core, access, firefox);
      expect(calls).toHaveLength(dialect === "sqlite" ? 1 : 2);
    },
  );

  test("by a list of the own sessions, and by signing out", async () => {
    const { access } = await signedIn("session");
    const { user } = await authenticate(core, access, firefox);
    calls.length = 0;
    await listSessions(core, user.id);
    expect(calls).toEqual(["sessions.ofUser"]);
    calls.length = 0;
    await signOut(core, visitor, [access]);
    expect(calls).toEqual(["write", "sessions.revoke", "auditEvents.insert", "commit"]);
  });

  test("by a forged credential: nothing", async () => {
    const { access } = await signedIn("session");
    const forged = `${access.slice(0, -4)}AAAA`;
    expect(await authenticate(core, forged, firefox).catch((error: unknown) => error)).toMatchObject({
      code: "unauthenticated",
    });
    expect(calls).toEqual([]);
  });

  test("by a forged refresh token: nothing", async () => {
    const { refreshToken } = (await signedIn("tokens")) as { refreshToken: string };
    const another = refreshToken.replace(/\.1\./, ".2.");
    for (const forged of [`${refreshToken.slice(0, -4)}AAAA`, another])
      expect(await codeOf(refresh(core, visitor, forged))).toBe("unauthenticated");
    expect(calls).toEqual([]);
  });
});

describe("how often is hashed", () => {
  test.each([
    ["the right password", input],
    ["a wrong one", { ...input, password: "wrong horse battery staple" }],
    ["an unknown user", { ...input, identifier: "nobody@example.com" }],
  ])("for %s: once", async (_, tried) => {
    await login(core, visitor, { ...tried, credential: "tokens" }).catch(() => {});
    expect(hashes).toBe(1);
  });

  test("for a check and a refresh: never", async () => {
    const { access, refreshToken } = (await signedIn("tokens")) as { access: string; refreshToken: string };
    await authenticate(core, access, firefox);
    await refresh(core, visitor, refreshToken);
    expect(hashes).toBe(0);
  });
});

test("a refresh adds no row, and neither does a check", async () => {
  let { refreshToken, access } = (await signedIn("tokens")) as { access: string; refreshToken: string };
  // But for where the chain of the audit trail ends: a row that is made when it is first sealed, soon after a sign-in.
  const rows = async () => {
    const { audit_heads: _, ...tables } = await dump(base);
    return Object.values(tables).reduce((sum, table) => sum + table.length, 0);
  };
  const before = await rows();
  for (let turn = 0; turn < 50; turn++) {
    base.clock.advance(15 * 60_000);
    const given = await refresh(core, visitor, refreshToken);
    if (given.credential !== "tokens") throw new Error("asked for tokens");
    ({ refreshToken, accessToken: access } = given);
    await authenticate(core, access, firefox);
  }
  expect(await rows()).toBe(before);
});
