import { afterEach, describe, expect, test } from "bun:test";
import type { Core } from "../../src/core/core.ts";
import { login } from "../../src/core/login.ts";
import { purge } from "../../src/core/purging.ts";
import { authenticate } from "../../src/core/sessions.ts";
import { currentKeys, listSigningKeys, rotateSigningKey, verifyingKey } from "../../src/core/signing-keys.ts";
import { openCore } from "../../src/open.ts";
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
import { freshDatabase, textsOf } from "../support/database.ts";
import { counted } from "../support/watched.ts";

const second = 1000;
const minute = 60 * second;
/** A published key may sign after the JWKS that clients hold is out of date everywhere: five minutes, and one for skew. */
const due = 6 * minute;

let core: TestCore;
afterEach(() => core.close());

async function start(env: Record<string, string> = {}): Promise<void> {
  core = await openTestCore(env);
  await registerAda(core);
}

async function newToken(at: Core = core): Promise<string> {
  const given = await login(at, visitor, {
    identifier: "ada@example.com",
    password: goodPassword,
    credential: "tokens",
  });
  if (given.credential !== "tokens") throw new Error("asked for tokens");
  return given.accessToken;
}

const use = (token: string, at: Core = core) => codeOf(authenticate(at, token, firefox));
const rotate = (immediately: boolean, at: Core = core) => rotateSigningKey(at, root, { immediately });
const states = async () => (await listSigningKeys(core)).map((key) => key.state);
const counts = async () =>
  Object.fromEntries(
    Object.entries(Object.groupBy(await states(), (one) => one)).map(([state, all]) => [state, all.length]),
  );
const purgeKeys = () =>
  purge(core, root, { kinds: ["keys"], olderThan: 0, batchSize: 1, pause: 0, maxTime: minute, maxRows: 10 });

describe("TK-6 a rotation", () => {
  test("lets the key sign that was published before, and publishes another one", async () => {
    await start();
    const [active, next] = await listSigningKeys(core);
    core.clock.advance(due);
    expect(await rotate(false)).toEqual({
      algorithm: "ES256",
      activated: expect.any(String),
      replaced: expect.any(String),
    });
    const after = await listSigningKeys(core);
    const stateOf = (kid: string) => after.find((key) => key.kid === kid)?.state;
    const [was, became] = active?.state === "active" ? [active, next] : [next, active];
    expect([stateOf(was!.kid), stateOf(became!.kid)]).toEqual(["retiring", "active"]);
    expect(await counts()).toEqual({ active: 1, next: 1, retiring: 1 });
  });

  test("is not due while a client may hold the keys without the next one, to the millisecond", async () => {
    await start();
    core.clock.advance(due - 1);
    expect(await codeOf(rotate(false))).toBe("key_not_due");
    expect(await counts()).toEqual({ active: 1, next: 1 });
    core.clock.advance(1);
    expect(await codeOf(rotate(false))).toBeUndefined();
    expect(await codeOf(rotate(false))).toBe("key_not_due");
  });

  test("refuses no token that was given out before: the old key verifies until its last token has expired", async () => {
    await start();
    core.clock.advance(due);
    const last = await newToken();
    await rotate(false);
    core.clock.advance(14 * minute);
    expect(await use(last)).toBeUndefined();
    expect((await purgeKeys()).removed.keys).toBe(0);
    core.clock.advance(3 * minute);
    expect((await purgeKeys()).removed.keys).toBe(1);
    expect(await counts()).toEqual({ active: 1, next: 1, retired: 1 });
  });

  test("erases the private part of a key that is retired", async () => {
    await start();
    await rotate(true);
    const retired = (await listSigningKeys(core)).find((key) => key.state === "retired");
    expect(retired).toMatchObject({ privateJwk: null, retiredAt: core.clock.now() });
  });

  test("at once, for a leaked key: waits for nobody, and the old key's tokens are dead with the next request", async () => {
    await start();
    const token = await newToken();
    expect(await use(token)).toBeUndefined();
    await rotate(true);
    expect(await use(token)).toBe("unauthenticated");
    expect(await use(await newToken())).toBeUndefined();
    expect(await counts()).toEqual({ active: 1, next: 1, retired: 1 });
  });

  test("is recorded with who did it", async () => {
    await start();
    const { activated, replaced } = await rotate(true);
    const event = (await core.store.auditEvents.page({}, 50)).find((one) => one.action === "key.rotated");
    expect(event).toMatchObject({
      actorKind: "operator",
      actor: "root@test",
      particulars: { activated, replaced, immediately: true },
    });
  });
});

describe("a second server", () => {
  test("takes up a rotation without a restart, and refuses no token on the way", async () => {
    await start();
    const other = await core.again();
    const old = await newToken(other);
    core.clock.advance(due);
    await currentKeys(other);
    const { activated } = await rotate(false);
    const fresh = await newToken();
    // The next key was published before it signs, so the other server knows it already.
    for (const token of [old, fresh]) expect(await use(token, other)).toBeUndefined();
    expect((await currentKeys(other)).signing.kid).not.toBe(activated);
    core.clock.advance(5 * second);
    expect((await currentKeys(other)).signing.kid).toBe(activated);
    for (const token of [old, await newToken(other)]) expect(await use(token)).toBeUndefined();
    await other.store.close();
  });

  test("knows a leaked key no more after five seconds", async () => {
    await start();
    const other = await core.again();
    const token = await newToken(other);
    await rotate(true);
    core.clock.advance(5 * second);
    expect(await use(token, other)).toBe("unauthenticated");
    await other.store.close();
  });

  test("that lives through two rotations at once asks for a key that it has never heard of", async () => {
    await start();
    const other = await core.again();
    await currentKeys(other);
    await rotate(true);
    await rotate(true);
    const token = await newToken();
    core.clock.advance(second);
    expect(await use(token, other)).toBeUndefined();
    await other.store.close();
  });
});

describe("another process rotates", () => {
  test("twice in a second: what is signed here from then on counts everywhere at once", async () => {
    await start();
    const [here, there] = await Promise.all([core.again(), core.again()]);
    await Promise.all([currentKeys(here), currentKeys(there)]);
    for (let rotation = 0; rotation < 3; rotation++) {
      await rotate(true);
      const token = await newToken(here);
      for (const one of [core, here, there]) expect(await use(token, one)).toBeUndefined();
    }
    for (const one of [here, there]) await one.store.close();
  });
});

describe("an unknown kid", () => {
  test("makes the keys be read again once a second, however many tokens name it", async () => {
    await start();
    await currentKeys(core);
    const { core: watchedCore, calls } = counted(core);
    const askAll = () =>
      Promise.all(Array.from({ length: 200 }, (_, at) => verifyingKey(watchedCore, `unknown-${at}`)));
    const readings = async () => {
      calls.length = 0;
      await askAll();
      return calls.filter((call) => call === "signingKeys.current").length;
    };
    expect(await readings()).toBe(1);
    core.clock.advance(second - 1);
    expect(await readings()).toBe(0);
    core.clock.advance(1);
    expect(await readings()).toBe(1);
    expect(await readings()).toBe(0);
    core.clock.advance(second);
    expect(await readings()).toBe(1);
  });
});

describe("TK-6 races", () => {
  test("20 servers that start for the first time end with one key to sign with and one to come after it", async () => {
    const fresh = await freshDatabase();
    core = await openTestCore();
    const env = { ...core.env, ...fresh.env };
    const { clock, log, random } = core;
    const all = await Promise.all(
      Array.from({ length: 20 }, () => openCore({ env, cwd: "/", purpose: "serve", clock, log, random })),
    );
    expect((await listSigningKeys(all[0]!)).map((key) => key.state).toSorted()).toEqual(["active", "next"]);
    const signing = await Promise.all(all.map(async (one) => (await currentKeys(one)).signing.kid));
    expect(new Set(signing).size).toBe(1);
    for (const one of all) await one.close();
    await fresh.drop();
  });

  test("of 20 operators who rotate when it is due, one does", async () => {
    await start();
    const others = await Promise.all([core.again(), core.again(), core.again()]);
    core.clock.advance(due);
    const codes = await Promise.all(
      Array.from({ length: 20 }, (_, at) => codeOf(rotate(false, [core, ...others][at % 4]))),
    );
    expect(codes.filter((code) => code === undefined)).toHaveLength(1);
    expect(codes.filter((code) => code === "key_not_due")).toHaveLength(19);
    expect(await counts()).toEqual({ active: 1, next: 1, retiring: 1 });
    for (const other of others) await other.store.close();
  });

  test("20 rotations at once leave one key to sign with, one to come, and a server that signs", async () => {
    await start();
    const others = await Promise.all([core.again(), core.again(), core.again()]);
    await Promise.all(Array.from({ length: 20 }, (_, at) => rotate(true, [core, ...others][at % 4])));
    expect(await counts()).toEqual({ active: 1, next: 1, retired: 20 });
    core.clock.advance(5 * second);
    const token = await newToken();
    for (const other of others) {
      expect(await use(token, other)).toBeUndefined();
      await other.store.close();
    }
  });
});

test("PW-7 a private key stands nowhere in the database in the clear", async () => {
  await start();
  for (const text of await textsOf(core)) expect(text).not.toMatch(/"d"\s*:|PRIVATE KEY/);
});
