import { afterEach, describe, expect, test } from "bun:test";
import type { Core } from "../../src/core/core.ts";
import { login } from "../../src/core/login.ts";
import { refresh } from "../../src/core/refresh-tokens.ts";
import { open } from "../../src/core/secrets.ts";
import { authenticate } from "../../src/core/sessions.ts";
import { replaceSigningKeys } from "../../src/core/signing-keys/retirement.ts";
import { setPassword } from "../../src/core/users/new-passwords.ts";
import { register } from "../../src/core/users/registration.ts";
import { createUser, disableUser } from "../../src/core/users.ts";
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
import { takeOverOnly } from "../support/secrets.ts";
import { counted } from "../support/watched.ts";

const email = "ada@example.com";

let core: TestCore;
afterEach(() => core.close());

const signIn = (identifier = email, password = goodPassword, at: Core = core) =>
  login(at, visitor, { identifier, password, credential: "tokens" });

/** The same core, and every verification and hash that it was asked for. */
function countedHashing(of: TestCore): { core: TestCore; work: string[] } {
  const work: string[] = [];
  const { hashing } = of;
  const verify: typeof hashing.verify = async (...given) => {
    work.push(`verify ${costOf(given[1])}`);
    return await hashing.verify(...given);
  };
  const hash: typeof hashing.hash = async (...given) => {
    work.push("hash");
    return await hashing.hash(...given);
  };
  return { core: { ...of, hashing: { ...hashing, verify, hash } }, work };
}

const costOf = (phc: string): string => phc.split("$").slice(1, 4).join(" ");

describe("PW-4 a sign-in that fails", () => {
  const causes = [
    ["of an unknown address", "nobody@example.com", goodPassword, "unknown-user"],
    ["of an unknown user name", "nobody.here", goodPassword, "unknown-user"],
    ["of what is no name at all", "@@", goodPassword, "unknown-user"],
    ["of a disabled user, with the right password", "off@example.com", goodPassword, "disabled"],
    ["of a disabled user, with a wrong one", "off@example.com", "not the password at all", "wrong-password"],
    ["of a user without a password", "none@example.com", goodPassword, "wrong-password"],
    ["with a wrong password", email, "not the password at all", "wrong-password"],
  ] as const;

  test.each(causes)(
    "%s costs one verification of the same price, one record and one answer",
    async (_, name, password, reason) => {
      core = await openTestCore();
      await registerAda(core);
      await createUser(core, root, { email: "none@example.com" });
      await disableUser(core, root, (await registerAda(core, "off@example.com")).user.id);
      const hashed = countedHashing(core);
      const { core: watchedCore, calls } = counted(hashed.core);
      expect(await codeOf(signIn(name, password, watchedCore))).toBe("invalid_credentials");
      expect(hashed.work).toEqual(["verify argon2id v=19 m=8,t=1,p=1"]);
      expect(calls.filter((call) => !call.startsWith("users.by"))).toEqual(["write", "auditEvents.insert", "commit"]);
      const [event] = await core.store.auditEvents.page({}, 1);
      expect(event).toMatchObject({ action: "login.failed", reason, ip: firefox.ip, requestId: "test-request" });
      expect(JSON.stringify(event)).not.toContain(password);
    },
  );

  test("for want of a turn to hash asks nothing of the database, whoever is meant (PW-5)", async () => {
    core = await openTestCore({ HASH_CONCURRENCY: "1", HASH_QUEUE: "0", RATE_LIMITS: "on" });
    await registerAda(core);
    const busy = core.hashing.hash(goodPassword);
    const { core: watchedCore, calls } = counted(core);
    for (const name of [email, "nobody@example.com"])
      expect(await codeOf(signIn(name, "x", watchedCore))).toBe("overloaded");
    await busy;
    expect(calls).toEqual([]);
  });

  test("never repeats what was typed, not even an address that nobody has", async () => {
    core = await openTestCore();
    await codeOf(signIn("my secret password typed into the wrong field", "x"));
    expect((await textsOf(core)).join()).not.toContain("typed into");
  });
});

describe("PW-1 the parameters of a hash", () => {
  const hashOf = async (at: TestCore) => {
    const row = (await dump(at))["users"]![0]!;
    return open(at.keyring, "password-hash", String(row["password_hash"]), String(row["id"]))!;
  };

  test("are brought up to date by a sign-in, once, and the password stays", async () => {
    core = await openTestCore();
    await registerAda(core);
    const stronger = await core.again({ ARGON2_MEMORY_KIB: "16", ARGON2_TIME_COST: "2" });
    expect(costOf(await hashOf(core))).toBe("argon2id v=19 m=8,t=1,p=1");
    const { core: watchedCore, work } = countedHashing(stronger);
    await signIn(email, goodPassword, watchedCore);
    expect(costOf(await hashOf(stronger))).toBe("argon2id v=19 m=16,t=2,p=1");
    await signIn(email, goodPassword, watchedCore);
    expect(work.filter((one) => one === "hash")).toHaveLength(1);
    await stronger.store.close();
  });

  test("are brought up to date by sign-ins that come at once, and each of them succeeds", async () => {
    core = await openTestCore();
    await registerAda(core);
    const stronger = await core.again({ ARGON2_TIME_COST: "2", HASH_CONCURRENCY: "4" });
    await Promise.all(Array.from({ length: 4 }, () => signIn(email, goodPassword, stronger)));
    expect(costOf(await hashOf(stronger))).toBe("argon2id v=19 m=8,t=2,p=1");
    await stronger.store.close();
  });

  test("stay as they are where the password was wrong", async () => {
    core = await openTestCore();
    await registerAda(core);
    const stronger = await core.again({ ARGON2_TIME_COST: "2" });
    const before = await hashOf(core);
    await codeOf(signIn(email, "not the password at all", stronger));
    expect(await hashOf(stronger)).toBe(before);
    await stronger.store.close();
  });

  test("TK-7 a sign-in seals the hash under the secret that writes", async () => {
    const [old, fresh] = ["Zk3uQ9pL7xW2vN8rT5yB1mC6dF4gH0jS", "p0Yt6Rw2Qe8Ui4Oa1Sd7Fg3Hj9Kl5Zxc"];
    core = await openTestCore({ SECRET_KEY: old });
    await registerAda(core);
    const rotated = await core.again({ SECRET_KEY: `${fresh} ${old}` });
    await takeOverOnly(rotated);
    await signIn(email, goodPassword, rotated);
    // The signing keys are still sealed by the old secret; the password is not.
    await replaceSigningKeys(rotated, root);
    await rotated.store.close();
    const without = await core.again({ SECRET_KEY: fresh });
    expect(await hashOf(without)).toStartWith("$argon2id$");
    await signIn(email, goodPassword, without);
    await without.store.close();
  });

  test("a password that is set while a sign-in with the old one is verified makes it fail", async () => {
    core = await openTestCore();
    const { user } = await registerAda(core);
    const { hashing } = core;
    const slow: TestCore = {
      ...core,
      hashing: {
        ...hashing,
        verify: async (...given) => {
          const right = await hashing.verify(...given);
          await setPassword(core, root, user.id, "another good long phrase");
          return right;
        },
      },
    };
    expect(await codeOf(signIn(email, goodPassword, slow))).toBe("invalid_credentials");
    expect(await core.store.sessions.ofUser(user.id, core.clock.now())).toEqual([]);
  });
});

describe("PW-7 a dump of the database", () => {
  test("signs nobody in: no text that stands in it is a password, a session, a bearer or a refresh token", async () => {
    core = await openTestCore();
    await registerAda(core);
    await register(core, visitor, { email: "grace@example.com", username: "grace.h", password: goodPassword });
    const given = await signIn();
    await login(core, visitor, { identifier: email, password: goodPassword, credential: "session" });
    if (given.credential !== "tokens") throw new Error("asked for tokens");
    await refresh(core, visitor, given.refreshToken);

    const texts = await textsOf(core);
    expect(texts.length).toBeGreaterThan(30);
    const { sessions, refresh_families: families } = await dump(core);
    const guesses = [
      ...texts,
      ...sessions!.flatMap(({ id, secret_hash: hash }) => [
        `st_${String(id)}.${String(hash)}.${String(hash)}`,
        String(id),
      ]),
      ...families!.flatMap(({ id, nonce, secret_version: version }) => [
        `rt1.${String(version)}.${String(id)}.2.${String(nonce)}`,
        `rt2.${String(version)}.${String(id)}.2.${String(nonce)}.${String(nonce)}`,
      ]),
    ];
    for (const guess of guesses) {
      expect(await codeOf(authenticate(core, guess, firefox))).toBe("unauthenticated");
      expect(await codeOf(refresh(core, visitor, guess))).toBe("unauthenticated");
      for (const identifier of [email, "grace.h"])
        expect(await codeOf(signIn(identifier, guess))).toBe("invalid_credentials");
    }
  });

  test("holds no hash that could be guessed at offline", async () => {
    core = await openTestCore();
    await registerAda(core);
    for (const text of await textsOf(core)) expect(text).not.toContain("$argon2");
    expect((await dump(core))["users"]![0]!["password_hash"]).toMatch(/^v1\.[\w-]{8}\.[\w-]+$/);
  });
});

test("SE-1 no two sign-ins share anything that is secret or public", async () => {
  core = await openTestCore();
  await registerAda(core);
  const all = await Promise.all(Array.from({ length: 20 }, () => signIn()));
  const handles = all.flatMap((one) =>
    one.credential === "tokens" ? [one.accessToken, one.refreshToken, one.standing.session.id] : [],
  );
  expect(new Set(handles).size).toBe(60);
});
