import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { anonymous, type Client } from "../../src/core/actors.ts";
import type { Core } from "../../src/core/core.ts";
import { DomainError } from "../../src/core/errors.ts";
import { login } from "../../src/core/login.ts";
import { purge } from "../../src/core/purging.ts";
import { authenticate } from "../../src/core/sessions.ts";
import { proveAgain } from "../../src/core/step-up.ts";
import { requestEmailChange } from "../../src/core/users/addresses.ts";
import { changePassword } from "../../src/core/users/new-passwords.ts";
import { createUser, deleteOwnAccount, disableUser } from "../../src/core/users.ts";
import { codeOf, firefox, goodPassword, openTestCore, registerAda, root, type TestCore } from "../support/core.ts";

const minute = 60_000;
const wrong = "not the password at all";
const email = "ada@example.com";

let core: TestCore;
beforeEach(async () => {
  core = await openTestCore({ RATE_LIMITS: "on" });
  await registerAda(core);
});
afterEach(() => core.close());

type Try = { readonly name?: string; readonly password?: string; readonly from?: Client; readonly at?: Core };

const tryOnce = ({ name = email, password = wrong, from = firefox, at = core }: Try = {}) =>
  login(at, anonymous(from), { identifier: name, password, credential: "session" });
const outcome = async (one?: Try): Promise<string> => (await codeOf(tryOnce(one))) ?? "signed in";
const outcomes = async (times: number, one?: Try): Promise<string[]> => {
  const all: string[] = [];
  for (let done = 0; done < times; done++) all.push(await outcome(one));
  return all;
};
const tally = (all: readonly string[]) =>
  Object.fromEntries(
    Object.entries(Object.groupBy(all, (one) => one)).map(([code, those = []]) => [code, those.length]),
  );
const from = (ip: string): Client => ({ ...firefox, ip });
const failureOf = async (work: Promise<unknown>): Promise<DomainError> => {
  const error = await work.then(() => undefined).catch((thrown: unknown) => thrown);
  if (!(error instanceof DomainError)) throw new Error("it did not fail");
  return error;
};

/** The same core, counting what it computes. */
function countedHashing(of: Core): { core: Core; evaluated: () => number } {
  let evaluated = 0;
  const verify: typeof of.hashing.verify = async (...given) => {
    evaluated++;
    return await of.hashing.verify(...given);
  };
  return { core: { ...of, hashing: { ...of.hashing, verify } }, evaluated: () => evaluated };
}

describe("LI-0 tries on one account", () => {
  test("are ten in a quarter of an hour; the next is told when to come back, whatever the password", async () => {
    expect(tally(await outcomes(10))).toEqual({ invalid_credentials: 10 });
    core.clock.advance(5 * minute);
    const { code, retryAfter, allowance } = await failureOf(tryOnce({ password: goodPassword }));
    expect({ code, retryAfter, allowance }).toEqual({
      code: "rate_limited",
      retryAfter: 600,
      allowance: { limit: "sign_in_account", quota: { most: 10, window: 15 * minute }, remaining: 0, resetsIn: 600 },
    });
  });

  test("of 60 wrong passwords at once, over two servers, ten are looked at and no more", async () => {
    const other = await core.again();
    const both = [countedHashing(core), countedHashing(other)] as const;
    const all = await Promise.all(
      Array.from({ length: 60 }, (_, at) => outcome({ at: both[at % 2]!.core, from: from(`192.0.2.${at}`) })),
    );
    expect(tally(all)).toEqual({ invalid_credentials: 10, rate_limited: 50 });
    expect(both[0].evaluated() + both[1].evaluated()).toBe(10);
    await other.store.close();
  });

  test("are counted over every spelling of the address", async () => {
    for (const name of ["ADA@example.com", "ada@EXAMPLE.com", " ada@example.com"]) await outcomes(3, { name });
    expect(tally(await outcomes(2))).toEqual({ invalid_credentials: 1, rate_limited: 1 });
  });

  test("are counted over its address and its user name", async () => {
    await createUser(core, root, { email: "grace@example.com", username: "grace.h", password: goodPassword });
    await outcomes(5, { name: "grace@example.com" });
    expect(tally(await outcomes(6, { name: "grace.h" }))).toEqual({ invalid_credentials: 5, rate_limited: 1 });
  });

  test.each(["nobody@example.com", "nobody.here", "@@"])("are the same for %s, whom nobody knows", async (name) => {
    expect(tally(await outcomes(11, { name }))).toEqual({ invalid_credentials: 10, rate_limited: 1 });
    await outcomes(11);
    const told = ({ code, retryAfter, detail, allowance }: DomainError) => ({ code, retryAfter, detail, allowance });
    expect(told(await failureOf(tryOnce({ name })))).toEqual(told(await failureOf(tryOnce())));
  });

  test("of a disabled user are counted though the password is right, so that nobody learns that it is", async () => {
    const { user } = await createUser(core, root, { email: "off@example.com", password: goodPassword });
    await disableUser(core, root, user.id);
    const right = { name: "off@example.com", password: goodPassword };
    expect(tally(await outcomes(11, right))).toEqual({ invalid_credentials: 10, rate_limited: 1 });
  });

  test("do not touch those of another account", async () => {
    await registerAda(core, "grace@example.com");
    await outcomes(11);
    expect(await outcome({ name: "grace@example.com", password: goodPassword })).toBe("signed in");
  });
});

describe("LI-0 a right password", () => {
  test("is given back, however often it comes", async () => {
    expect(tally(await outcomes(30, { password: goodPassword }))).toEqual({ "signed in": 30 });
    expect(tally(await outcomes(10))).toEqual({ invalid_credentials: 10 });
  });

  test("does not forgive the wrong ones before it", async () => {
    await outcomes(6);
    expect(await outcome({ password: goodPassword })).toBe("signed in");
    expect(tally(await outcomes(5))).toEqual({ invalid_credentials: 4, rate_limited: 1 });
  });

  test("that comes back after its window is over takes nothing off the next one", async () => {
    let slow = Promise.resolve();
    const verify: typeof core.hashing.verify = async (...given) => {
      await slow;
      return await core.hashing.verify(...given);
    };
    const at: Core = { ...core, hashing: { ...core.hashing, verify } };
    const { promise, resolve } = Promise.withResolvers<void>();
    slow = promise;
    const late = outcome({ at, password: goodPassword });
    await Bun.sleep(20);
    core.clock.advance(15 * minute);
    await outcomes(1);
    resolve();
    expect(await late).toBe("signed in");
    expect(tally(await outcomes(10))).toEqual({ invalid_credentials: 9, rate_limited: 1 });
  });

  test("for which there was no time to compute the hash is no try", async () => {
    const verify = () => Promise.reject(new DomainError("overloaded", { retryAfter: 1 }));
    const at: Core = { ...core, hashing: { ...core.hashing, verify } };
    expect(tally(await outcomes(20, { at }))).toEqual({ overloaded: 20 });
    expect(tally(await outcomes(10))).toEqual({ invalid_credentials: 10 });
  });
});

describe("LI-0 whoever is signed in", () => {
  const signedIn = async () => {
    const given = await tryOnce({ password: goodPassword });
    if (given.credential !== "session") throw new Error("asked for a session token");
    return { token: given.sessionToken, by: (await authenticate(core, given.sessionToken, firefox)).by };
  };

  test("stays so while the account is tried", async () => {
    const { token } = await signedIn();
    await outcomes(20);
    expect((await authenticate(core, token, firefox)).user.email).toBe(email);
  });

  test("has ten tries by every way to prove a password together, at any server, and is refused before the hash", async () => {
    const { by } = await signedIn();
    const other = await core.again();
    const counted = countedHashing(other);
    const ways = [
      () => codeOf(changePassword(core, by, wrong, "another good long phrase")),
      () => codeOf(deleteOwnAccount(counted.core, by, wrong)),
      () => codeOf(requestEmailChange(core, by, "ada@example.org", wrong)),
      () => codeOf(proveAgain(counted.core, by, wrong)),
    ];
    for (let done = 0; done < 10; done++) expect(await ways[done % 4]!()).toBe("invalid_credentials");
    const evaluated = counted.evaluated();
    for (const way of ways) expect(await way()).toBe("rate_limited");
    expect(counted.evaluated()).toBe(evaluated);
    await other.close();
  });

  test("of 40 proofs at once is given ten, and none for a right one that came before", async () => {
    const { by } = await signedIn();
    for (let done = 0; done < 12; done++) await proveAgain(core, by, goodPassword);
    const all = await Promise.all(Array.from({ length: 40 }, async () => codeOf(proveAgain(core, by, wrong))));
    expect(tally(all.map((code) => code ?? "proven"))).toEqual({ invalid_credentials: 10, rate_limited: 30 });
  });

  test("LI-2 proves the password though strangers have spent the tries of the account and of the address", async () => {
    const { by } = await signedIn();
    const at = await core.again({ RATE_LIMIT_SIGN_IN_ADDRESS: "20/15m" });
    expect(tally(await outcomes(40, { at }))).toEqual({ invalid_credentials: 10, rate_limited: 30 });
    expect(tally(await outcomes(20, { at, name: "somebody.else" }))).toEqual({
      invalid_credentials: 10,
      rate_limited: 10,
    });
    await proveAgain(at, by, goodPassword);
    await changePassword(at, by, goodPassword, "another good long phrase");
    await at.close();
  });

  test("LI-2 keeps nobody else from signing in, nor another session from proving", async () => {
    const [{ by }, { by: another }] = [await signedIn(), await signedIn()];
    for (let done = 0; done < 20; done++) await codeOf(proveAgain(core, by, wrong));
    expect(await codeOf(proveAgain(core, by, goodPassword))).toBe("rate_limited");
    await proveAgain(core, another, goodPassword);
    expect(await outcome({ password: goodPassword })).toBe("signed in");
  });

  test("does not spend one by a new password that is too weak", async () => {
    const { by } = await signedIn();
    for (let done = 0; done < 15; done++)
      expect(await codeOf(changePassword(core, by, goodPassword, "short"))).toBe("weak_password");
  });
});

describe("LI-1 tries from one address", () => {
  const names = (times: number) => Array.from({ length: times }, (_, at) => `user${at}@example.com`);
  const spray = async (many: readonly string[], client: (at: number) => Client) => {
    const all: string[] = [];
    for (const [at, name] of many.entries()) all.push(await outcome({ name, from: client(at) }));
    return tally(all);
  };

  test("are a hundred over all accounts, and another address has its own", async () => {
    expect(await spray(names(101), () => firefox)).toEqual({ invalid_credentials: 100, rate_limited: 1 });
    expect((await failureOf(tryOnce({ name: "one.more" }))).allowance?.limit).toBe("sign_in_address");
    expect(await outcome({ from: from("192.0.2.8") })).toBe("invalid_credentials");
  });

  test("are not evaded by the many addresses of one /64", async () => {
    const client = (at: number) => from(`2001:db8:0:1:${at.toString(16)}::1`);
    expect(await spray(names(101), client)).toEqual({ invalid_credentials: 100, rate_limited: 1 });
    expect(await outcome({ from: from("2001:db8:0:2::1") })).toBe("invalid_credentials");
  });

  test("that are refused are none of the account's", async () => {
    await spray(names(100), () => firefox);
    await outcomes(20);
    expect(tally(await outcomes(10, { from: from("192.0.2.8") }))).toEqual({ invalid_credentials: 10 });
  });
});

describe("LI-1 tries on one account from one address", () => {
  test("have a quota of their own, and another address or another account has its own", async () => {
    const at = await core.again({ RATE_LIMIT_SIGN_IN_PAIR: "3/5m" });
    await registerAda(core, "grace@example.com");
    expect(tally(await outcomes(3, { at }))).toEqual({ invalid_credentials: 3 });
    const { allowance, retryAfter } = await failureOf(tryOnce({ at, password: goodPassword }));
    expect({ limit: allowance?.limit, retryAfter }).toEqual({ limit: "sign_in_pair", retryAfter: 300 });
    const good = { at, password: goodPassword };
    expect(await outcome({ ...good, from: from("192.0.2.8") })).toBe("signed in");
    expect(await outcome({ ...good, name: "grace@example.com" })).toBe("signed in");
    core.clock.advance(5 * minute);
    expect(await outcome(good)).toBe("signed in");
    await at.store.close();
  });

  test("of 40 at once, three are looked at and no more, and those that are refused are none of the account's", async () => {
    const at = await core.again({ RATE_LIMIT_SIGN_IN_PAIR: "3/5m" });
    const all = await Promise.all(Array.from({ length: 40 }, () => outcome({ at })));
    expect(tally(all)).toEqual({ invalid_credentials: 3, rate_limited: 37 });
    expect(tally(await outcomes(8, { from: from("192.0.2.8") }))).toEqual({ invalid_credentials: 7, rate_limited: 1 });
    await at.store.close();
  });

  test("are counted for a name that nobody has", async () => {
    const at = await core.again({ RATE_LIMIT_SIGN_IN_PAIR: "3/5m" });
    expect(tally(await outcomes(4, { at, name: "nobody.here" }))).toEqual({ invalid_credentials: 3, rate_limited: 1 });
    await at.store.close();
  });
});

describe("the count of tries", () => {
  test("begins anew when its window is over, to the millisecond", async () => {
    await outcomes(11);
    core.clock.advance(15 * minute - 1);
    expect(await outcome({ password: goodPassword })).toBe("rate_limited");
    core.clock.advance(1);
    expect(tally(await outcomes(11))).toEqual({ invalid_credentials: 10, rate_limited: 1 });
  });

  test("LI-1 survives a restart", async () => {
    await outcomes(11);
    const restarted = await core.again();
    expect(await outcome({ at: restarted, password: goodPassword })).toBe("rate_limited");
    await restarted.store.close();
  });

  test("holds neither an address nor a name that was typed", async () => {
    const typed: string[] = [];
    const reserve = core.store.write;
    const at: Core = {
      ...core,
      store: {
        ...core.store,
        write: (work) =>
          reserve((tx) =>
            work({
              ...tx,
              tries: { ...tx.tries, reserve: (key, ...rest) => (typed.push(key), tx.tries.reserve(key, ...rest)) },
            }),
          ),
      },
    };
    await outcome({ at, name: "my secret password" });
    await outcome({ at, name: "nobody@example.com" });
    expect(typed).toHaveLength(6);
    expect(typed.filter((key) => /secret|nobody/.test(key))).toEqual([]);
  });

  test("is purged once its window is over, and not before", async () => {
    await outcomes(3, { name: "nobody.here" });
    await outcomes(3);
    const options = { olderThan: 0, batchSize: 2, pause: 0, maxTime: minute, maxRows: 1000, kinds: ["tries"] } as const;
    const run = () => purge(core, root, { ...options, onBatch: () => setImmediate(() => core.clock.advance(0)) });
    expect((await run()).removed.tries).toBe(0);
    core.clock.advance(15 * minute);
    expect(await core.store.tries.countExpired(core.clock.now())).toBe(5);
    expect(await run()).toMatchObject({ removed: { tries: 5 }, finished: true });
    expect(tally(await outcomes(11))).toEqual({ invalid_credentials: 10, rate_limited: 1 });
  });

  test("is not kept where limits are off", async () => {
    const at = await core.again({ RATE_LIMITS: "off" });
    expect(tally(await outcomes(15, { at }))).toEqual({ invalid_credentials: 15 });
    core.clock.advance(60 * minute);
    expect(await core.store.tries.countExpired(core.clock.now())).toBe(0);
    await at.store.close();
  });
});
