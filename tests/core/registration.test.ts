import { afterEach, describe, expect, test } from "bun:test";
import type { Core } from "../../src/core/core.ts";
import { DomainError } from "../../src/core/errors.ts";
import { login } from "../../src/core/login.ts";
import { seedAdmin } from "../../src/core/users/admins.ts";
import { resetPassword } from "../../src/core/users/new-passwords.ts";
import { register } from "../../src/core/users/registration.ts";
import { createUser, disableUser, type Registration } from "../../src/core/users.ts";
import { userView } from "../../src/core/views.ts";
import { kindsTo, newestMail, queuedMails } from "../support/challenge-mail.ts";
import { codeOf, goodPassword, openTestCore, registerAda, root, type TestCore, visitor } from "../support/core.ts";
import { dump } from "../support/database.ts";
import { counted } from "../support/watched.ts";

const ada = "ada@example.com";
const verifying = { REQUIRE_EMAIL_VERIFICATION: "true" };

let core: TestCore;
afterEach(() => core.close());

const signUp = (changed: Partial<Registration> = {}, at: Core = core) =>
  register(at, visitor, { email: ada, password: goodPassword, ...changed });
const users = async () => (await dump(core))["users"]!.length;

describe("a registration", () => {
  test("sends the address a link that proves it, in the language of the operator", async () => {
    core = await openTestCore({ VERIFY_EMAIL_PAGE: "https://app.example.com/welcome" });
    await signUp({ email: "Ada@Example.com", fullName: "Ada" });
    expect(await queuedMails(core)).toEqual([
      {
        kind: "verify-email",
        to: "Ada@Example.com",
        name: "Ada",
        facts: { link: expect.any(String), minutes: 24 * 60 },
        link: expect.stringMatching(/^https:\/\/app\.example\.com\/welcome#token=ve_[\w-]{43}$/),
        token: expect.stringMatching(/^ve_[\w-]{43}$/),
      },
    ]);
  });

  test("that fails sends nothing", async () => {
    core = await openTestCore();
    await registerAda(core);
    expect(await codeOf(signUp())).toBe("email_taken");
    expect(await codeOf(signUp({ email: "x@example.com", password: "short" }))).toBe("weak_password");
    expect(await queuedMails(core)).toHaveLength(1);
  });

  test("by an operator, or as the first admin, sends nothing", async () => {
    core = await openTestCore();
    await createUser(core, root, { email: ada, password: goodPassword, emailVerified: true });
    await seedAdmin(core, root, { email: "root@example.com", password: () => Promise.resolve(goodPassword) });
    expect(await queuedMails(core)).toEqual([]);
  });
});

describe("REG-2 where addresses must be verified, a registration", () => {
  test("answers the same for an address that is taken, and its owner is told; nothing else happens", async () => {
    core = await openTestCore(verifying);
    const first = await signUp({ username: "ada.l", fullName: "Ada" });
    const second = await signUp({ email: "ADA@example.com", username: "eve", fullName: "Eve" });
    const fresh = await signUp({ email: "eve@example.com", username: "eve", fullName: "Eve" });
    const shown = ({ user, roles }: typeof first) => ({ ...userView(user, roles), id: "", email: "" });
    expect(shown(second)).toEqual(shown(fresh));
    expect(second.user.email).toBe("ADA@example.com");
    expect(second.user.id).not.toBe(first.user.id);
    expect(await users()).toBe(2);
    expect(await core.store.users.byId(second.user.id)).toBeUndefined();
    const told = await newestMail(core, ada);
    expect(told).toMatchObject({ kind: "account-exists", name: "Ada", token: expect.stringMatching(/^rp_/) });
    expect(told.link).toStartWith("http://localhost:8000/reset-password#token=");
    const [event] = await core.store.auditEvents.page({ userId: first.user.id }, 1);
    expect(event).toMatchObject({ action: "user.registered_again", actorKind: "anonymous" });
    expect(await codeOf(login(core, visitor, { identifier: ada, password: goodPassword, credential: "tokens" }))).toBe(
      "email_not_verified",
    );
  });

  test("REG-5 gives who owns the mailbox a link that ends what a stranger has begun with the address", async () => {
    core = await openTestCore(verifying);
    await signUp();
    const mine = "what only the owner can know";
    await signUp({ password: mine });
    await resetPassword(core, visitor, (await newestMail(core, ada, "account-exists")).token, mine);
    const signIn = (password: string) =>
      codeOf(login(core, visitor, { identifier: ada, password, credential: "tokens" }));
    expect([await signIn(mine), await signIn(goodPassword)]).toEqual([undefined, "invalid_credentials"]);
  });

  test("refuses a user name that is taken, whoever has the address: so the refusal tells nothing of that", async () => {
    core = await openTestCore(verifying);
    await signUp({ username: "ada.l" });
    await signUp({ email: "grace@example.com" });
    for (const email of [ada, "grace@example.com", "new@example.com"])
      expect(await codeOf(signUp({ email, username: "ADA.L" }))).toBe("username_taken");
    expect(await kindsTo(core, ada)).toEqual(["verify-email"]);
  });

  test("PW-4 costs a hash and as many statements in any case", async () => {
    core = await openTestCore(verifying);
    await registerAda(core);
    const costOf = async (email: string) => {
      let hashes = 0;
      const hash: Core["hashing"]["hash"] = async (...given) => {
        hashes++;
        return await core.hashing.hash(...given);
      };
      const { core: at, calls } = counted({ ...core, hashing: { ...core.hashing, hash } });
      await signUp({ email }, at);
      return { hashes, calls };
    };
    const [known, unknown] = [await costOf(ada), await costOf("new@example.com")];
    expect([known.hashes, unknown.hashes]).toEqual([1, 1]);
    expect(unknown.calls).toEqual([
      "write",
      "users.insert",
      "users.grantRole",
      "auditEvents.insert",
      "challenges.put",
      "mails.insert",
      "commit",
    ]);
    expect(known.calls).toEqual([
      "write",
      "users.insert",
      "users.byEmailKey",
      "auditEvents.insert",
      "challenges.put",
      "mails.insert",
      "commit",
    ]);
  });

  test("REG-3 twenty at once make one user, and all get the same answer", async () => {
    core = await openTestCore(verifying);
    const answers = await Promise.all(Array.from({ length: 20 }, () => codeOf(signUp())));
    expect(new Set(answers)).toEqual(new Set([undefined]));
    expect(await users()).toBe(1);
    const kinds = await kindsTo(core, ada);
    expect(kinds.filter((kind) => kind === "verify-email")).toHaveLength(1);
    expect(kinds.filter((kind) => kind === "account-exists")).toHaveLength(19);
  });

  test("fills nobody's mailbox: known or unknown, the sixth in an hour is refused", async () => {
    core = await openTestCore({ ...verifying, RATE_LIMITS: "on" });
    await createUser(core, root, { email: ada });
    const told = async (email: string) => {
      const all: unknown[] = [];
      for (let time = 0; time < 6; time++) {
        const error: unknown = await signUp({ email }).then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        all.push(error instanceof DomainError ? [error.code, error.retryAfter, error.allowance] : error);
      }
      return all;
    };
    const known = await told(ada);
    expect(known.slice(0, 5)).toEqual(Array.from({ length: 5 }, () => undefined));
    expect(known[5]).toMatchObject(["rate_limited", 3600, { limit: "mail_account" }]);
    expect(await told("new@example.com")).toEqual(known);
  });
});

describe("signing in with an address that is not verified", () => {
  const signIn = (password = goodPassword, at: Core = core) =>
    codeOf(login(at, visitor, { identifier: ada, password, credential: "tokens" }));

  test("is refused where the operator wants it so, and only to who knows the password", async () => {
    core = await openTestCore(verifying);
    const { user } = await signUp();
    expect(await signIn("not the password at all")).toBe("invalid_credentials");
    expect(await signIn()).toBe("email_not_verified");
    const [event] = await core.store.auditEvents.page({ userId: user.id }, 1);
    expect(event).toMatchObject({ action: "login.failed", reason: "unverified" });
    await disableUser(core, root, user.id);
    expect(await signIn()).toBe("invalid_credentials");
  });

  test("is no try of a password", async () => {
    core = await openTestCore({ ...verifying, RATE_LIMITS: "on" });
    await signUp();
    for (let time = 0; time < 15; time++) expect(await signIn()).toBe("email_not_verified");
  });

  test("goes well where nobody asks for it, and those who are signed in stay so when somebody does", async () => {
    core = await openTestCore();
    await signUp();
    expect(await signIn()).toBeUndefined();
    const strict = await core.again(verifying);
    expect(await signIn(goodPassword, strict)).toBe("email_not_verified");
    await strict.store.close();
  });

  test("goes well for the admin that was seeded, and for whom an operator vouched", async () => {
    core = await openTestCore(verifying);
    await seedAdmin(core, root, { email: ada, password: () => Promise.resolve(goodPassword) });
    expect(await signIn()).toBeUndefined();
  });
});
