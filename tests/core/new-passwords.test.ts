import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { anonymous, type Client } from "../../src/core/actors.ts";
import { login } from "../../src/core/login.ts";
import { refresh } from "../../src/core/refresh-tokens.ts";
import { authenticate } from "../../src/core/sessions.ts";
import {
  changePassword,
  forgotPassword,
  orderReset,
  resetPassword,
  setPassword,
} from "../../src/core/users/new-passwords.ts";
import { createUser, deleteUser, disableUser, enableUser, getUser, updateUser } from "../../src/core/users.ts";
import { kindsTo, newestMail, queuedMails } from "../support/challenge-mail.ts";
import {
  codeOf,
  firefox,
  goodPassword,
  openTestCore,
  registerAda,
  root,
  safari,
  type TestCore,
  updatedFirefox,
  visitor,
} from "../support/core.ts";
import { dump, textsOf } from "../support/database.ts";
import { counted } from "../support/watched.ts";

const minute = 60_000;
const day = 24 * 60 * minute;
const ada = "ada@example.com";
const better = "another good long phrase";

let core: TestCore;
let id: string;
async function open(env: Record<string, string> = {}): Promise<void> {
  core = await openTestCore(env);
  id = (await registerAda(core)).user.id;
}
async function reopen(env: Record<string, string> = {}): Promise<void> {
  await core.close();
  await open(env);
}
beforeEach(() => open());
afterEach(() => core.close());

const signIn = async (password = goodPassword, from: Client = firefox) => {
  const given = await login(core, anonymous(from), { identifier: ada, password, credential: "tokens" });
  if (given.credential !== "tokens") throw new Error("asked for tokens");
  return given;
};
const signInCode = (password?: string) => codeOf(signIn(password));
const reset = (token: string, password = better) => codeOf(resetPassword(core, visitor, token, password));
const actions = async () => (await core.store.auditEvents.page({ userId: id }, 100)).map(({ action }) => action);
const challenges = async () => (await dump(core))["challenges"]!.length;

async function forgottenToken(): Promise<string> {
  await forgotPassword(core, visitor, ada);
  return (await newestMail(core, ada, "reset-password")).token;
}

describe("a forgotten password", () => {
  test("PW-4 is asked for with one write that is the same whether anybody has the address", async () => {
    await reopen({ RATE_LIMITS: "on" });
    const costOf = async (address: string) => {
      const { core: at, calls } = counted(core);
      await forgotPassword(at, visitor, address);
      return calls;
    };
    const known = await costOf(ada);
    expect(known).toEqual(["write", "tries.reserve", "tries.reserve", "mails.insert", "commit"]);
    expect(await costOf("nobody@example.com")).toEqual(known);
    await disableUser(core, root, id);
    expect(await costOf(ada)).toEqual(known);
    const asked = (await dump(core))["mails"]!.filter((row) => row["state"] === "asked");
    expect(asked).toHaveLength(3);
    expect(new Set(asked.map((row) => row["user_id"]))).toEqual(new Set([null]));
  });

  test("is sent to who has the address, as it is written there, and to nobody else", async () => {
    await forgotPassword(core, visitor, " ADA@example.com ");
    await forgotPassword(core, visitor, "nobody@example.com");
    const [, mail, ...more] = await queuedMails(core);
    expect(more).toEqual([]);
    expect(mail).toMatchObject({ kind: "reset-password", to: ada, facts: { minutes: 30 } });
    expect(mail!.link).toMatch(/^http:\/\/localhost:8000\/reset-password#token=rp_[\w-]{43}$/);
    expect(await actions()).toContain("user.password_reset_requested");
    expect(await codeOf(forgotPassword(core, visitor, "nowhere"))).toBe("validation_failed");
  });

  test("is not sent to who is disabled", async () => {
    await disableUser(core, root, id);
    await forgotPassword(core, visitor, ada);
    expect(await kindsTo(core, ada)).toEqual(["verify-email"]);
  });

  test("LI-1 is asked for five times an hour for one address in any spelling, and fifty times from one client", async () => {
    await reopen({ RATE_LIMITS: "on", RATE_LIMIT_MAIL_ADDRESS: "12/1h" });
    const ask = (address: string, ip = "192.0.2.1") =>
      codeOf(forgotPassword(core, anonymous({ ...firefox, ip }), address));
    for (const name of ["ada", "nobody"]) {
      const spellings = [
        `${name}@example.com`,
        `${name.toUpperCase()}@example.com`,
        ` ${name}@EXAMPLE.com`,
        `${name}+tag@example.com`,
        `${name}+another+one@example.com`,
      ];
      for (let time = 0; time < 5; time++) expect(await ask(spellings[time]!, `198.51.100.${time}`)).toBeUndefined();
      for (const one of spellings) expect(await ask(one, "198.51.100.9")).toBe("rate_limited");
    }
    for (let time = 0; time < 12; time++) expect(await ask(`user${time}@example.com`)).toBeUndefined();
    expect(await ask("another@example.com")).toBe("rate_limited");
    expect(await ask("another@example.com", "2001:db8::1")).toBeUndefined();
    core.clock.advance(60 * minute);
    expect(await ask(ada)).toBeUndefined();
    expect((await textsOf(core)).filter((text) => text.includes("nobody@"))).toEqual([]);
  });
});

describe("TK-4 the link that sets a new password", () => {
  test("sets it, ends every session, verifies the address, spends every link, tells the owner, and signs nobody in", async () => {
    const { accessToken, refreshToken } = await signIn();
    const token = await forgottenToken();
    expect(await challenges()).toBe(2);
    expect(await reset(token)).toBeUndefined();
    expect(await codeOf(authenticate(core, accessToken, firefox))).toBe("unauthenticated");
    expect(await codeOf(refresh(core, visitor, refreshToken))).toBe("unauthenticated");
    expect((await getUser(core, id)).user.emailVerifiedAt).toEqual(core.clock.now());
    expect(await challenges()).toBe(0);
    expect(await core.store.sessions.ofUser(id, core.clock.now())).toEqual([]);
    expect((await newestMail(core, ada)).facts).toEqual({
      device: "Firefox on Linux",
      ip: "192.0.2.7",
      at: core.clock.now().toISOString(),
    });
    expect(await kindsTo(core, ada)).toEqual(["verify-email", "reset-password", "password-changed"]);
    expect((await actions()).slice(0, 3)).toEqual([
      "session.all_revoked",
      "user.password_changed",
      "user.email_verified",
    ]);
    expect(await signInCode()).toBe("invalid_credentials");
    expect(await signInCode(better)).toBeUndefined();
    expect(await reset(token)).toBe("token_invalid");
  });

  test("of twenty uses at once one succeeds, and its password is the one that counts", async () => {
    const token = await forgottenToken();
    const passwords = Array.from({ length: 20 }, (_, at) => `a good long phrase of number ${at}`);
    const answers = await Promise.all(passwords.map((password) => reset(token, password)));
    expect(answers.filter((code) => code === undefined)).toHaveLength(1);
    expect(answers.filter((code) => code === "token_invalid")).toHaveLength(19);
    expect(await signInCode(passwords[answers.indexOf(undefined)])).toBeUndefined();
    expect((await kindsTo(core, ada)).filter((kind) => kind === "password-changed")).toHaveLength(1);
    expect((await actions()).filter((one) => one === "user.password_changed")).toHaveLength(1);
  });

  test("is still good after a password that was too weak, also one that names its user", async () => {
    const token = await forgottenToken();
    for (const weak of ["short", "", "ada@example.com", "password1234567"])
      expect(await reset(token, weak)).toBe("weak_password");
    expect(await reset(token)).toBeUndefined();
  });

  test("lives for half an hour and no longer", async () => {
    const token = await forgottenToken();
    core.clock.advance(30 * minute);
    expect(await reset(token)).toBe("token_invalid");
    const another = await forgottenToken();
    core.clock.advance(30 * minute - 1);
    expect(await reset(another)).toBeUndefined();
  });

  test("is void once another one was sent", async () => {
    const first = await forgottenToken();
    const second = await forgottenToken();
    expect(await reset(first)).toBe("token_invalid");
    expect(await reset(second)).toBeUndefined();
  });

  test.each([
    ["an operator gives the user another address", () => updateUser(core, root, id, { email: "new@example.com" })],
    ["an operator sets a password", () => setPassword(core, root, id, "yet another long phrase")],
    ["the user is disabled", () => disableUser(core, root, id)],
    [
      "the user is disabled and enabled again",
      () => disableUser(core, root, id).then(() => enableUser(core, root, id)),
    ],
    ["the user is deleted", () => deleteUser(core, root, id)],
  ])("is void where %s", async (_, meanwhile) => {
    const token = await forgottenToken();
    await meanwhile();
    expect(await reset(token)).toBe("token_invalid");
  });

  test("that is used while the user is disabled, or is given another address, sets nothing", async () => {
    for (const meanwhile of [
      () => disableUser(core, root, id),
      () => updateUser(core, root, id, { email: "new@example.com" }),
    ]) {
      await reopen();
      const token = await forgottenToken();
      const { hashing } = core;
      const slow: TestCore = {
        ...core,
        hashing: { ...hashing, hash: async (...given) => (await meanwhile(), await hashing.hash(...given)) },
      };
      const before = (await getUser(core, id)).user.passwordHash;
      expect(await codeOf(resetPassword(slow, visitor, token, better))).toBe("token_invalid");
      expect((await getUser(core, id)).user.passwordHash).toBe(before);
    }
  });

  test.each(["", "rp_", "x", `rp_${"a".repeat(43)}`, `ve_${"a".repeat(43)}`, "rp_\u0000"])(
    "%p is none",
    async (token) => {
      expect(await reset(token)).toBe("token_invalid");
    },
  );

  test("TK-2 is no other proof, and no other proof is it", async () => {
    const verifying = (await newestMail(core, ada)).token;
    expect(await reset(verifying)).toBe("token_invalid");
    expect(await reset(verifying.replace("ve_", "rp_"))).toBe("token_invalid");
    const token = await forgottenToken();
    expect(await codeOf(authenticate(core, token, firefox))).toBe("unauthenticated");
    expect(await codeOf(refresh(core, visitor, token))).toBe("unauthenticated");
    expect(await signInCode(token)).toBe("invalid_credentials");
  });

  test("no text of the database is it", async () => {
    const token = await forgottenToken();
    for (const text of await textsOf(core)) {
      expect(text).not.toContain(token.slice(3));
      for (const guess of [text, `rp_${text}`]) expect(await reset(guess)).toBe("token_invalid");
    }
    expect(JSON.stringify(core.lines)).not.toContain(token.slice(3));
  });

  test("LI-2 lets the owner in whom a stranger has locked out, and frees nothing else", async () => {
    await reopen({ RATE_LIMITS: "on", RATE_LIMIT_SIGN_IN_ADDRESS: "12/15m", RATE_LIMIT_SIGN_IN_PAIR: "50/15m" });
    const stranger = { ...firefox, ip: "203.0.113.5" };
    for (let time = 0; time < 11; time++) await codeOf(signIn("not the password at all", stranger));
    expect(await signInCode()).toBe("rate_limited");
    expect(await reset(await forgottenToken())).toBeUndefined();
    expect(await signInCode(better)).toBeUndefined();
    // Ten of the stranger's were tries, and one more was refused before it was one.
    const more = [1, 2, 3].map(() => codeOf(signIn("not the password at all", stranger)));
    expect((await Promise.all(more)).filter((code) => code === "rate_limited")).toHaveLength(1);
  });

  test("lets in who has forgotten the password, and tried until nothing more was let through", async () => {
    await reopen({ RATE_LIMITS: "on" });
    for (let time = 0; time < 11; time++) await codeOf(signIn("not the password at all"));
    expect(await reset(await forgottenToken())).toBeUndefined();
    expect(await signInCode(better)).toBeUndefined();
  });

  test("REG-5 ends what a stranger has set up with the address of somebody else", async () => {
    const stranger = await signIn();
    expect(await reset(await forgottenToken())).toBeUndefined();
    expect(await signInCode()).toBe("invalid_credentials");
    expect(await codeOf(authenticate(core, stranger.accessToken, firefox))).toBe("unauthenticated");
  });

  test("serves one who never had a password", async () => {
    await createUser(core, root, { email: "none@example.com" });
    await forgotPassword(core, visitor, "none@example.com");
    expect(await reset((await newestMail(core, "none@example.com")).token)).toBeUndefined();
    const signed = login(core, visitor, { identifier: "none@example.com", password: better, credential: "session" });
    expect(await codeOf(signed)).toBeUndefined();
  });
});

describe("an operator sends the link", () => {
  test("to a user, and it is recorded who did", async () => {
    const { expiresAt } = await orderReset(core, root, id);
    expect(expiresAt).toEqual(new Date(core.clock.now().getTime() + 30 * minute));
    const [event] = await core.store.auditEvents.page({ userId: id }, 1);
    expect(event).toMatchObject({ action: "user.password_reset_requested", actor: "root@test" });
    expect(await reset((await newestMail(core, ada)).token)).toBeUndefined();
  });

  test("to nobody who is disabled, and not where there is no mail server", async () => {
    await disableUser(core, root, id);
    expect(await codeOf(orderReset(core, root, id))).toBe("user_disabled");
    const mailless = { ...core, mailer: undefined };
    expect(await codeOf(orderReset(mailless, root, id))).toBe("mail_not_configured");
  });
});

describe("a user is told", () => {
  const told = async () => (await kindsTo(core, ada)).slice(1);

  test("PW-8 of a new password, however it came about, and every open link is spent", async () => {
    const { by } = await authenticate(core, (await signIn()).accessToken, firefox);
    await changePassword(core, by, goodPassword, better);
    expect(await challenges()).toBe(0);
    await forgottenToken();
    await setPassword(core, root, id, goodPassword);
    expect(await challenges()).toBe(0);
    expect(await told()).toEqual(["password-changed", "reset-password", "password-changed"]);
    expect((await newestMail(core, ada)).facts).toMatchObject({ device: "authctl", ip: "–" });
  });

  test("of a sign-in with a device that was not used before, but not of the first one ever", async () => {
    await signIn();
    await signIn();
    await signIn(goodPassword, updatedFirefox);
    expect(await told()).toEqual([]);
    await signIn(goodPassword, safari);
    expect((await newestMail(core, ada)).facts).toMatchObject({ device: "Safari on macOS", ip: "192.0.2.7" });
    await signIn(goodPassword, safari);
    const nothing = { ...firefox, userAgent: null, ip: null };
    await signIn(goodPassword, nothing);
    expect((await newestMail(core, ada)).facts).toMatchObject({ device: "–", ip: "–" });
    await signIn(goodPassword, nothing);
    expect(await told()).toEqual(["new-device", "new-device"]);
  });

  test("of no device where the operator turned that off, or where a sign-in failed", async () => {
    await signIn();
    await codeOf(signIn("not the password at all", safari));
    const silent = await core.again({ MAIL_NEW_DEVICE: "off" });
    await login(silent, anonymous(safari), { identifier: ada, password: goodPassword, credential: "tokens" });
    await silent.store.close();
    expect(await told()).toEqual([]);
  });

  test("once of a refresh token that came back, from where it came", async () => {
    const { refreshToken } = await signIn();
    const thief = anonymous({ ...firefox, ip: "203.0.113.5" });
    await refresh(core, visitor, refreshToken);
    core.clock.advance(2 * day);
    await refresh(core, visitor, refreshToken);
    core.clock.advance(minute);
    const again = await Promise.all(Array.from({ length: 5 }, () => codeOf(refresh(core, thief, refreshToken))));
    expect(again).toContain("refresh_token_reused");
    expect(await told()).toEqual(["session-compromised"]);
    expect((await newestMail(core, ada)).facts).toMatchObject({ ip: "203.0.113.5" });
  });

  test("of a deleted account, and how long it can be restored", async () => {
    await deleteUser(core, root, id);
    expect(await told()).toEqual(["account-deleted"]);
    expect((await newestMail(core, ada)).facts).toEqual({ days: 30 });
  });

  test("of nothing where mails go nowhere", async () => {
    const mailless = { ...core, mailer: undefined };
    await forgotPassword(mailless, visitor, ada);
    await setPassword(mailless, root, id, better);
    expect(await told()).toEqual([]);
  });
});
