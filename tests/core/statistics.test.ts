import { afterAll, beforeAll, expect, test } from "bun:test";
import { countIssued } from "../../src/core/inspection.ts";
import { login } from "../../src/core/login.ts";
import { revokeSessions, signOutEverywhere } from "../../src/core/sessions.ts";
import { gatherStatistics } from "../../src/core/statistics.ts";
import { disableUser } from "../../src/core/users.ts";
import { issuedView } from "../../src/core/views.ts";
import { codeOf, goodPassword, openTestCore, registerAda, root, type TestCore, visitor } from "../support/core.ts";
import { dialect } from "../support/database.ts";

const day = 24 * 3_600_000;

let core: TestCore;
beforeAll(async () => {
  core = await openTestCore();
});
afterAll(() => core.close());

test("statistics count every session once, by what became of it, and what went on within a day", async () => {
  const signIn = async (email: string, password = goodPassword) =>
    (await login(core, visitor, { identifier: email, password, credential: "session" })).standing.session;
  await registerAda(core);
  const bob = await registerAda(core, "bob@example.com");
  const eve = await registerAda(core, "eve@example.com");
  await signIn("ada@example.com");
  await signIn("ada@example.com");
  core.clock.advance(2 * day);
  await signIn("bob@example.com");
  await signIn("bob@example.com");
  await signIn("bob@example.com");
  await signOutEverywhere(core, root, bob.user.id);
  await signIn("eve@example.com");
  await disableUser(core, root, eve.user.id);
  const revoked = await signIn("ada@example.com");
  await revokeSessions(core, root, [revoked]);
  await signIn("ada@example.com");
  expect(await codeOf(signIn("ada@example.com", "not the password"))).toBe("invalid_credentials");

  const sessions = { alive: 1, revoked: 1, "user disabled": 1, "signed out everywhere": 3, expired: 2 };
  const found = await gatherStatistics(core);
  expect(found).toMatchObject({
    users: { stored: 3, disabled: 1, deleted: 0, signedIn: 1 },
    sessions,
    signIns: { succeeded: 6, failed: 1 },
  });
  expect(found.removable.find(({ kind }) => kind === "sessions")?.rows).toBe(2);
  expect(found.databaseBytes).toBeGreaterThan(10_000);
  expect(found.freeBytes === null).toBe(dialect === "postgres");

  const issued = issuedView(await countIssued(core));
  expect(issued.sessions_stored).toBe(8);
  const { sessions_alive, sessions_expired, sessions_revoked, sessions_signed_out, sessions_of_disabled } = issued;
  expect(sessions_alive + sessions_expired + sessions_revoked + sessions_signed_out + sessions_of_disabled).toBe(8);
});
