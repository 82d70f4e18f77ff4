import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { login } from "../../src/core/login.ts";
import { authenticate } from "../../src/core/sessions.ts";
import { orderRecovery, orderReset, recoverAccount, resetPassword } from "../../src/core/users/new-passwords.ts";
import { disableUser, updateUser } from "../../src/core/users.ts";
import { kindsTo } from "../support/challenge-mail.ts";
import { person } from "../support/cli.ts";
import { codeOf, firefox, goodPassword, openTestCore, root, type TestCore, visitor } from "../support/core.ts";
import { textsOf } from "../support/database.ts";

const email = "ada@example.com";
const better = "another good long phrase";

let core: TestCore;
let id: string;
beforeEach(async () => {
  core = await openTestCore();
  id = (await person(core, email, ["user", "admin"])).user.id;
});
afterEach(() => core.close());

/** What the operator is given. */
async function tokenFor(user = id, anyUser = false): Promise<string> {
  const { facts } = await orderRecovery(core, root, user, { anyUser });
  return facts.link.split("#token=")[1]!;
}

const recover = (token: string, password = better) => codeOf(recoverAccount(core, visitor, token, password));
const signIn = (password: string) => login(core, visitor, { identifier: email, password, credential: "session" });

describe("a recovery", () => {
  test("is a link to a page of ours, of which only a hash is stored", async () => {
    await core.close();
    core = await openTestCore({ RESET_PASSWORD_PAGE: "https://app.example.com/reset" });
    id = (await person(core, email, ["admin"])).user.id;
    const { facts, expiresAt } = await orderRecovery(core, root, id, { anyUser: false });
    expect(facts.link).toMatch(/^http:\/\/localhost:8000\/recover#token=rc_[\w-]{43}$/);
    expect(expiresAt.getTime() - core.clock.now().getTime()).toBe(15 * 60_000);
    const secret = facts.link.slice(-43);
    expect((await textsOf(core)).filter((text) => text.includes(secret))).toEqual([]);
    expect(await kindsTo(core, email)).toEqual([]);
  });

  test("sets a new password, ends every session, signs nobody in, and is told and recorded", async () => {
    const before = await signIn(goodPassword);
    if (before.credential !== "session") throw new Error("no session");
    const token = await tokenFor();
    expect(await recover(token)).toBeUndefined();
    expect(await codeOf(authenticate(core, before.sessionToken, firefox))).toBe("unauthenticated");
    expect(await codeOf(signIn(goodPassword))).toBe("invalid_credentials");
    expect(await codeOf(signIn(better))).toBeUndefined();
    expect(await kindsTo(core, email)).toContain("password-changed");
    const events = (await core.store.auditEvents.page({ involved: id }, 50)).map(({ action, reason, actorKind }) => ({
      action,
      reason,
      actorKind,
    }));
    expect(events).toContainEqual({ action: "user.recovery_ordered", reason: null, actorKind: "operator" });
    expect(events).toContainEqual({ action: "user.password_changed", reason: "recovered", actorKind: "anonymous" });
  });

  test("proves no address", async () => {
    await core.store.write((tx) => tx.users.update(id, { emailVerifiedAt: null, updatedAt: core.clock.now() }));
    await recover(await tokenFor());
    expect((await core.store.users.byId(id))?.emailVerifiedAt).toBeNull();
  });

  test("works once, of twenty at the same time", async () => {
    const token = await tokenFor();
    const codes = await Promise.all(Array.from({ length: 20 }, (_, at) => recover(token, `${better} ${at}`)));
    expect(codes.filter((code) => code === undefined)).toHaveLength(1);
    expect(new Set(codes)).toEqual(new Set([undefined, "token_invalid"]));
  });

  test("is good for 15 minutes, and void once there is a newer one", async () => {
    const first = await tokenFor();
    const second = await tokenFor();
    expect(await recover(first)).toBe("token_invalid");
    core.clock.advance(15 * 60_000);
    expect(await recover(second)).toBe("token_invalid");
    const third = await tokenFor();
    core.clock.advance(15 * 60_000 - 1);
    expect(await recover(third)).toBeUndefined();
  });

  test("is left by a password that is refused, and spent by another way to a new one", async () => {
    const token = await tokenFor();
    expect(await recover(token, "password")).toBe("weak_password");
    const { facts } = await orderReset(core, root, id);
    expect(await codeOf(resetPassword(core, visitor, facts.link.split("#token=")[1]!, better))).toBeUndefined();
    expect(await recover(token, `${better} again`)).toBe("token_invalid");
  });

  test("TK-2 is taken for nothing else, and nothing else for it", async () => {
    const token = await tokenFor();
    expect(await codeOf(resetPassword(core, visitor, token, better))).toBe("token_invalid");
    expect(await codeOf(resetPassword(core, visitor, `rp_${token.slice(3)}`, better))).toBe("token_invalid");
    const reset = (await orderReset(core, root, id)).facts.link.split("#token=")[1]!;
    expect(await recover(reset)).toBe("token_invalid");
    expect(await recover(`rc_${reset.slice(3)}`)).toBe("token_invalid");
    for (const one of ["", "rc_", "rc_x", `rc_${"A".repeat(43)}`, "\0"])
      expect(await recover(one)).toBe("token_invalid");
    expect(await recover(token)).toBeUndefined();
  });

  test("is void for another address, and for who is disabled", async () => {
    await person(core, "eve@example.com", ["admin"]);
    const token = await tokenFor();
    await updateUser(core, root, id, { email: "ada@example.org" });
    expect(await recover(token)).toBe("token_invalid");
    const another = await tokenFor();
    await disableUser(core, root, id);
    expect(await recover(another)).toBe("token_invalid");
    expect(await codeOf(tokenFor())).toBe("user_disabled");
  });

  test("is for admins, unless anybody is meant", async () => {
    const bob = (await person(core, "bob@example.com")).user.id;
    expect(await codeOf(tokenFor(bob))).toBe("not_an_admin");
    expect(await codeOf(tokenFor("nobody"))).toBe("not_found");
    expect(await recover(await tokenFor(bob, true))).toBeUndefined();
  });
});
