import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { UserActor } from "../../src/core/actors.ts";
import { login } from "../../src/core/login.ts";
import { purge } from "../../src/core/purging.ts";
import { authenticate, signOutEverywhere } from "../../src/core/sessions.ts";
import {
  orderVerification,
  proveAddress,
  requestEmailChange,
  resendVerification,
  vouchForAddress,
} from "../../src/core/users/addresses.ts";
import { changePassword, forgotPassword } from "../../src/core/users/new-passwords.ts";
import { deleteUser, disableUser, enableUser, getUser, updateUser } from "../../src/core/users.ts";
import { kindsTo, newestMail, queuedMails } from "../support/challenge-mail.ts";
import {
  codeOf,
  firefox,
  goodPassword,
  openTestCore,
  registerAda,
  root,
  type TestCore,
  visitor,
} from "../support/core.ts";
import { dump, textsOf } from "../support/database.ts";

const minute = 60_000;
const ada = "ada@example.com";
const other = "ada@example.org";
const better = "another good long phrase";

let core: TestCore;
let id: string;
beforeEach(async () => {
  core = await openTestCore();
  id = (await registerAda(core)).user.id;
});
afterEach(() => core.close());

const prove = (token: string) => codeOf(proveAddress(core, visitor, token));
const tokenFor = async (email: string, kind?: string) => (await newestMail(core, email, kind)).token;
const isVerified = async () => (await getUser(core, id)).user.emailVerifiedAt !== null;
const emailNow = async () => (await getUser(core, id)).user.email;
const actions = async () => (await core.store.auditEvents.page({ userId: id }, 100)).map(({ action }) => action);
const challenges = async () => (await dump(core))["challenges"]!.length;
const tally = (all: readonly (string | undefined)[]) =>
  Object.fromEntries(
    Object.entries(Object.groupBy(all, (one) => one ?? "done")).map(([code, those]) => [code, those?.length]),
  );

async function signIn(): Promise<UserActor> {
  const given = await login(core, visitor, { identifier: ada, password: goodPassword, credential: "session" });
  if (given.credential !== "session") throw new Error("asked for a session");
  return (await authenticate(core, given.sessionToken, firefox)).by;
}

async function askToChange(email = other): Promise<UserActor> {
  const by = await signIn();
  await requestEmailChange(core, by, email, goodPassword);
  return by;
}

describe("TK-4 the link of a registration", () => {
  test("verifies the address, once", async () => {
    const token = await tokenFor(ada);
    expect(await isVerified()).toBe(false);
    expect(await prove(token)).toBeUndefined();
    expect(await isVerified()).toBe(true);
    expect(await prove(token)).toBe("token_invalid");
    expect((await actions()).filter((one) => one === "user.email_verified")).toHaveLength(1);
    expect(await challenges()).toBe(0);
  });

  test("of twenty uses at once one succeeds", async () => {
    const token = await tokenFor(ada);
    const answers = await Promise.all(Array.from({ length: 20 }, () => prove(token)));
    expect(tally(answers)).toEqual({ done: 1, token_invalid: 19 });
    expect((await actions()).filter((one) => one === "user.email_verified")).toHaveLength(1);
  });

  test("lives for a day and no longer", async () => {
    const token = await tokenFor(ada);
    core.clock.advance(24 * 60 * minute - 1);
    const late = await tokenFor(ada);
    expect(late).toBe(token);
    core.clock.advance(1);
    expect(await prove(token)).toBe("token_invalid");
    expect(await isVerified()).toBe(false);
  });

  test("is void once another one was asked for", async () => {
    const first = await tokenFor(ada);
    await resendVerification(core, visitor, " ADA@example.com");
    const second = await tokenFor(ada);
    expect(second).not.toBe(first);
    expect(await prove(first)).toBe("token_invalid");
    expect(await prove(second)).toBeUndefined();
  });

  test("proves nothing of another address that the user was given meanwhile", async () => {
    const token = await tokenFor(ada);
    await updateUser(core, root, id, { email: other });
    expect(await prove(token)).toBe("token_invalid");
    expect(await isVerified()).toBe(false);
  });

  test("of who is disabled counts neither then nor later", async () => {
    const token = await tokenFor(ada);
    await disableUser(core, root, id);
    expect(await prove(token)).toBe("token_invalid");
    await enableUser(core, root, id);
    expect(await prove(token)).toBe("token_invalid");
  });

  test("of who is deleted is unknown", async () => {
    const token = await tokenFor(ada);
    await deleteUser(core, root, id);
    expect(await prove(token)).toBe("token_invalid");
  });

  test("is removed by a purge when it has expired, and not before", async () => {
    const options = {
      kinds: ["challenges"],
      olderThan: 0,
      batchSize: 1,
      pause: 0,
      maxTime: minute,
      maxRows: 9,
    } as const;
    await registerAda(core, "bob@example.com");
    core.clock.advance(24 * 60 * minute - 1);
    expect(await purge(core, root, options)).toMatchObject({ removed: { challenges: 0 }, finished: true });
    core.clock.advance(1);
    const purged = purge(core, root, { ...options, onBatch: () => setImmediate(() => core.clock.advance(0)) });
    expect(await purged).toMatchObject({ removed: { challenges: 2 }, finished: true });
    expect(await challenges()).toBe(0);
  });
});

describe("TK-2 a token", () => {
  test.each([
    "",
    " ",
    "ve_",
    "x",
    "ve_x",
    `ve_${"a".repeat(43)}`,
    `ce_${"a".repeat(43)}`,
    "ve_\u0000",
    "é".repeat(5000),
  ])("%p is none", async (token) => {
    expect(await prove(token)).toBe("token_invalid");
  });

  test("of another purpose, or with another beginning, is refused and stays good for its own", async () => {
    const verifying = await tokenFor(ada);
    await forgotPassword(core, visitor, ada);
    const resetting = await tokenFor(ada, "reset-password");
    const bare = verifying.slice(3);
    for (const token of [
      resetting,
      bare,
      `ce_${bare}`,
      `rp_${bare}`,
      `ve_${resetting.slice(3)}`,
      `${verifying} `,
      verifying.toUpperCase(),
    ])
      expect(await prove(token)).toBe("token_invalid");
    expect(await prove(verifying)).toBeUndefined();
  });

  test("stands nowhere in the database, and no text of it is one", async () => {
    const token = await tokenFor(ada);
    const texts = await textsOf(core);
    expect(texts.length).toBeGreaterThan(20);
    for (const text of texts) {
      expect(text).not.toContain(token.slice(3));
      for (const guess of [text, `ve_${text}`]) expect(await prove(guess)).toBe("token_invalid");
    }
    expect(texts.join()).not.toMatch(/token=|minutes/);
    expect(await prove(token)).toBeUndefined();
  });
});

describe("asking for another link", () => {
  test("gets one to who is not verified, and to nobody else", async () => {
    await resendVerification(core, visitor, "nobody@example.com");
    await resendVerification(core, visitor, ada);
    expect(await kindsTo(core, ada)).toEqual(["verify-email", "verify-email"]);
    await prove(await tokenFor(ada));
    await resendVerification(core, visitor, ada);
    expect(await queuedMails(core)).toHaveLength(2);
    expect(await codeOf(resendVerification(core, visitor, "nowhere"))).toBe("validation_failed");
  });

  test("gets none to who is disabled", async () => {
    await disableUser(core, root, id);
    await resendVerification(core, visitor, ada);
    expect(await kindsTo(core, ada)).toEqual(["verify-email"]);
  });
});

describe("a change of address", () => {
  test("REG-7 counts once the new one confirms; the old one is told before and after, and is the login until then", async () => {
    await askToChange();
    const mail = await newestMail(core, other);
    expect(mail).toMatchObject({ kind: "confirm-email", facts: { minutes: 60 } });
    expect(mail.link).toMatch(/^http:\/\/localhost:8000\/verify-email#token=ce_[\w-]{43}$/);
    expect((await newestMail(core, ada)).facts).toEqual({ new_email: other });
    expect(await emailNow()).toBe(ada);
    await signIn();

    expect(await prove(mail.token)).toBeUndefined();
    expect((await getUser(core, id)).user).toMatchObject({
      email: other,
      emailKey: other,
      emailVerifiedAt: core.clock.now(),
    });
    expect(await kindsTo(core, ada)).toEqual(["verify-email", "email-change-requested", "email-changed"]);
    expect(await codeOf(signIn())).toBe("invalid_credentials");
    expect(await prove(mail.token)).toBe("token_invalid");
    expect(await actions()).toEqual(expect.arrayContaining(["user.email_change_requested", "user.email_changed"]));
  });

  test("spends every other link of the user", async () => {
    const verifying = await tokenFor(ada);
    await forgotPassword(core, visitor, ada);
    await queuedMails(core);
    await askToChange();
    expect(await challenges()).toBe(3);
    expect(await prove(await tokenFor(other))).toBeUndefined();
    expect(await challenges()).toBe(0);
    expect(await prove(verifying)).toBe("token_invalid");
  });

  test("of twenty confirmations at once one succeeds", async () => {
    await askToChange();
    const token = await tokenFor(other);
    const answers = await Promise.all(Array.from({ length: 20 }, () => prove(token)));
    expect(tally(answers)).toEqual({ done: 1, token_invalid: 19 });
    expect((await kindsTo(core, ada)).filter((kind) => kind === "email-changed")).toHaveLength(1);
  });

  test("to one address by twenty users at once is had by one, and the others hear that it is taken", async () => {
    const tokens: string[] = [];
    for (let at = 0; at < 20; at++) {
      const email = `user${at}@example.com`;
      await registerAda(core, email);
      const given = await login(core, visitor, { identifier: email, password: goodPassword, credential: "session" });
      if (given.credential !== "session") throw new Error("asked for a session");
      await requestEmailChange(core, (await authenticate(core, given.sessionToken, firefox)).by, other, goodPassword);
      tokens.push(await tokenFor(other));
    }
    expect(tally(await Promise.all(tokens.map(prove)))).toEqual({ done: 1, email_taken: 19 });
    expect((await dump(core))["users"]!.filter((row) => row["email_key"] === other)).toHaveLength(1);
  });

  test("to one that somebody else has looks the same, and its owner is told instead", async () => {
    await registerAda(core, "grace@example.com");
    await askToChange("grace@example.com");
    expect(await kindsTo(core, "grace@example.com")).toEqual(["verify-email", "account-exists"]);
    expect(await kindsTo(core, ada)).toEqual(["verify-email", "email-change-requested"]);
    expect(await core.store.challenges.countExpired(new Date("2100-01-01"))).toBe(3);
  });

  test("to one that somebody takes meanwhile is refused, and the address stays", async () => {
    await askToChange();
    const token = await tokenFor(other);
    await registerAda(core, other);
    expect(await prove(token)).toBe("email_taken");
    expect(await emailNow()).toBe(ada);
  });

  test("to the same one in other letters is none, and to no address neither", async () => {
    const by = await signIn();
    expect(await codeOf(requestEmailChange(core, by, "ADA@Example.com", goodPassword))).toBe("validation_failed");
    expect(await codeOf(requestEmailChange(core, by, "nowhere", goodPassword))).toBe("validation_failed");
    expect(await challenges()).toBe(1);
  });

  test("AZ-4 wants the password, and a session that still counts", async () => {
    const by = await signIn();
    expect(await codeOf(requestEmailChange(core, by, other, better))).toBe("invalid_credentials");
    await signOutEverywhere(core, root, id);
    expect(await codeOf(requestEmailChange(core, by, other, goodPassword))).toBe("unauthenticated");
    expect(await kindsTo(core, other)).toEqual([]);
  });

  test.each([
    ["an operator gives the user another address", () => updateUser(core, root, id, { email: "new@example.com" })],
    [
      "the user is disabled, though enabled again",
      () => disableUser(core, root, id).then(() => enableUser(core, root, id)),
    ],
    ["the password is changed", (by: UserActor) => changePassword(core, by, goodPassword, better)],
  ])("comes to nothing where %s before it is confirmed", async (_, meanwhile) => {
    const by = await askToChange();
    const token = await tokenFor(other);
    await meanwhile(by);
    expect(await prove(token)).toBe("token_invalid");
    expect(await emailNow()).not.toBe(other);
  });

  test("has to be confirmed within the hour, and a newer one takes its place", async () => {
    await askToChange();
    const first = await tokenFor(other);
    await askToChange("ada@example.net");
    expect(await prove(first)).toBe("token_invalid");
    const second = await tokenFor("ada@example.net");
    core.clock.advance(60 * minute);
    expect(await prove(second)).toBe("token_invalid");
  });
});

describe("an operator", () => {
  test("vouches for an address, once", async () => {
    const { user } = await vouchForAddress(core, root, id);
    expect(user.emailVerifiedAt).toEqual(core.clock.now());
    await vouchForAddress(core, root, id);
    expect((await actions()).filter((one) => one === "user.email_verified")).toHaveLength(1);
  });

  test("has the link sent to who is not verified", async () => {
    expect((await orderVerification(core, root, id))?.expiresAt).toEqual(
      new Date(core.clock.now().getTime() + 24 * 60 * minute),
    );
    expect(await prove(await tokenFor(ada))).toBeUndefined();
    expect(await orderVerification(core, root, id)).toBeUndefined();
    expect(await kindsTo(core, ada)).toEqual(["verify-email", "verify-email"]);
  });

  test("does neither for who is disabled, or where there is no mail server", async () => {
    await disableUser(core, root, id);
    expect(await codeOf(vouchForAddress(core, root, id))).toBe("user_disabled");
    expect(await codeOf(orderVerification(core, root, id))).toBe("user_disabled");
    expect(await codeOf(vouchForAddress(core, root, "nobody"))).toBe("not_found");
    const mailless = { ...core, mailer: undefined };
    expect(await codeOf(orderVerification(mailless, root, id))).toBe("mail_not_configured");
  });
});
