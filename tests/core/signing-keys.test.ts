import { afterEach, describe, expect, test } from "bun:test";
import { decodeProtectedHeader } from "jose";
import type { Core } from "../../src/core/core.ts";
import { login } from "../../src/core/login.ts";
import { purge } from "../../src/core/purging.ts";
import { beat, callServers, startHeartbeat } from "../../src/core/servers.ts";
import { authenticate } from "../../src/core/sessions.ts";
import { listSigningKeys } from "../../src/core/signing-keys/listing.ts";
import { replaceLeakedKeys, replaceSigningKeys, retireSigningKey } from "../../src/core/signing-keys/retirement.ts";
import { rotateIfDue, rotateSigningKey, takeStep } from "../../src/core/signing-keys/rotation.ts";
import { currentKeys, keysWith } from "../../src/core/signing-keys.ts";
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
import { until } from "../support/until.ts";
import { counted, watched } from "../support/watched.ts";

const second = 1000;
const minute = 60 * second;
/** A published key may sign once every server has read it, no client has kept keys without it, and one minute for skew. */
const due = 6 * minute + 5 * second;

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
const step = (at: Core = core) => takeStep(at, root, "ES256");
const leak = (at: Core = core) => replaceSigningKeys(at, root);
const states = async () => (await listSigningKeys(core)).map((key) => key.state);
const counts = async () =>
  Object.fromEntries(
    Object.entries(Object.groupBy(await states(), (one) => one)).map(([state, all]) => [state, all.length]),
  );
const algorithmOf = (token: string) => decodeProtectedHeader(token).alg;
const keyIn = async (state: string) => (await listSigningKeys(core)).find((key) => key.state === state)!;
/** Time passes while somebody waits, as it does outside of tests. */
const passing = async <T>(work: Promise<T>, each = 50, waits = () => true): Promise<T> => {
  let over = false;
  void work.finally(() => (over = true)).catch(() => {});
  await until("the end", () => {
    if (waits()) core.clock.advance(each);
    return over;
  });
  return await work;
};
const purgeKeys = () =>
  purge(core, root, { kinds: ["keys"], olderThan: 0, batchSize: 1, pause: 0, maxTime: minute, maxRows: 10 });

describe("TK-6 a rotation", () => {
  test("lets the key sign that was published before, and publishes another one", async () => {
    await start();
    const [active, next] = [await keyIn("active"), await keyIn("next")];
    core.clock.advance(due);
    expect(await rotateSigningKey(core, root)).toEqual({
      algorithm: "ES256",
      activated: next.kid,
      replaced: active.kid,
      rotatedAt: core.clock.now(),
      isEarlier: false,
    });
    expect((await currentKeys(core)).signing.kid).toBe(next.kid);
    expect([(await keyIn("retiring")).kid, (await keyIn("active")).kid]).toEqual([active.kid, next.kid]);
    expect(await counts()).toEqual({ active: 1, next: 1, retiring: 1 });
  });

  test("is not due while a client may hold the keys without the next one, to the millisecond", async () => {
    await start();
    const next = await keyIn("next");
    core.clock.advance(due - 1);
    const waiting = { kid: next.kid, until: new Date(core.clock.now().getTime() + 1), lacking: [] };
    expect(await step()).toEqual({ waiting });
    expect(next.knownAt).toEqual(waiting.until);
    expect(await counts()).toEqual({ active: 1, next: 1 });
    core.clock.advance(1);
    expect(await step()).toMatchObject({ rotation: { activated: next.kid } });
    expect(await step()).toHaveProperty("waiting");
  });

  test("is not due while a server that runs does not say that it serves the next key", async () => {
    await start();
    const presence = { id: "slow", host: "test", version: "1", startedAt: core.clock.now() };
    core.clock.advance(due);
    await core.store.write((tx) =>
      tx.servers.beat({ ...presence, seenAt: core.clock.now(), keys: "another", secrets: null }),
    );
    expect(await step()).toMatchObject({ waiting: { lacking: [{ id: "slow" }] } });
    await beat(core, presence);
    expect(await step()).toHaveProperty("rotation");
  });

  test("calls the servers that are behind, and goes on when they have answered", async () => {
    await start();
    const other = await core.again();
    await currentKeys(other);
    const presence = { id: "behind", host: "test", version: "1", startedAt: core.clock.now() };
    core.clock.advance(due);
    await core.store.write((tx) =>
      tx.servers.beat({ ...presence, seenAt: core.clock.now(), keys: "another", secrets: null }),
    );
    const heart = startHeartbeat(other, presence);
    expect(await passing(rotateSigningKey(core, root))).toMatchObject({ isEarlier: false });
    heart.stop();
    await other.store.close();
  });

  test("waits for its time, tells for what, and goes on where another run has gone on meanwhile", async () => {
    await start();
    const next = await keyIn("next");
    const told: string[] = [];
    const onWait = ({ kid, until }: { kid: string; until: Date }) => void told.push(`${kid} ${until.toISOString()}`);
    const begun = core.clock.now().getTime();
    let going = 2;
    const runs = [1, 2].map(() => rotateSigningKey(core, root, { onWait }).finally(() => going--));
    // A database that is slow takes time, but none of this clock's.
    const both = await passing(Promise.all(runs), 5 * second, () => core.clock.pending >= going);
    expect(new Set(both.map(({ activated }) => activated))).toEqual(new Set([next.kid]));
    expect(both.filter(({ isEarlier }) => isEarlier)).toHaveLength(1);
    expect(core.clock.now().getTime() - begun).toBeWithin(due, due + 15 * second);
    expect(new Set(told)).toEqual(new Set([`${next.kid} ${new Date(begun + due).toISOString()}`]));
    expect(await counts()).toEqual({ active: 1, next: 1, retiring: 1 });
  });

  test("that is interrupted keeps what is done, and says when to run it again", async () => {
    await start({ TOKEN_ALGORITHM: "ES256" });
    const stopping = new AbortController();
    const onWait = () => stopping.abort();
    const failed = await rotateSigningKey(core, root, {
      algorithm: "EdDSA",
      interrupted: stopping.signal,
      onWait,
    }).catch((error: unknown) => error);
    const published = (await listSigningKeys(core)).find(({ algorithm }) => algorithm === "EdDSA");
    expect(failed).toMatchObject({
      code: "partly_done",
      detail: expect.stringContaining(published!.knownAt!.toISOString()),
    });
    core.clock.advance(due);
    expect(await rotateSigningKey(core, root, { algorithm: "EdDSA" })).toMatchObject({ activated: published!.kid });
  });

  test("that was killed after its last step is not done twice", async () => {
    await start();
    core.clock.advance(due);
    const first = await rotateSigningKey(core, root);
    core.clock.advance(due - 1);
    expect(await rotateSigningKey(core, root)).toEqual({ ...first, isEarlier: true });
    core.clock.advance(1);
    expect(await rotateSigningKey(core, root)).toMatchObject({ replaced: first.activated, isEarlier: false });
  });

  test("refuses no token that was given out before: the old key verifies until its last token has expired", async () => {
    await start();
    core.clock.advance(due);
    const last = await newToken();
    await step();
    core.clock.advance(14 * minute);
    expect(await use(last)).toBeUndefined();
    expect((await purgeKeys()).removed.keys).toBe(0);
    core.clock.advance(3 * minute);
    expect((await purgeKeys()).removed.keys).toBe(1);
    expect(await counts()).toEqual({ active: 1, next: 1, retired: 1 });
  });

  test("by somebody whose settings have shorter tokens spares those that a server has signed", async () => {
    await start();
    const server = await core.again({ ACCESS_TOKEN_TTL: "12h" });
    const token = await newToken(server);
    const cron = await core.again({ ACCESS_TOKEN_TTL: "1m" });
    core.clock.advance(due);
    await step(cron);
    core.clock.advance(11 * 60 * minute);
    await rotateIfDue(cron, root);
    expect(await use(token)).toBeUndefined();
    core.clock.advance(2 * 60 * minute);
    expect((await rotateIfDue(cron, root)).retired).toHaveLength(1);
    for (const one of [server, cron]) await one.store.close();
  });

  test("erases the private part of a key that is retired", async () => {
    await start();
    await leak();
    const retired = (await listSigningKeys(core)).filter((key) => key.state === "retired");
    expect(retired).toHaveLength(2);
    for (const key of retired) expect(key).toMatchObject({ privateJwk: null, retiredAt: core.clock.now() });
  });

  test("is recorded with who did it", async () => {
    await start();
    core.clock.advance(due);
    const { activated, replaced } = await rotateSigningKey(core, root);
    const event = (await core.store.auditEvents.page({}, 50)).find((one) => one.action === "key.rotated");
    expect(event).toMatchObject({
      actorKind: "operator",
      actor: "root@test",
      particulars: { algorithm: "ES256", activated, replaced },
    });
  });
});

describe("TK-6 a key that has leaked", () => {
  test("dies with its tokens at the next request, and with it every key that lay beside it", async () => {
    await start();
    const before = (await listSigningKeys(core)).map(({ kid }) => kid);
    const token = await newToken();
    expect(await use(token)).toBeUndefined();
    const { activated, retired } = await passing(replaceLeakedKeys(core, root, { timeout: 0 }));
    expect(retired.toSorted()).toEqual(before.toSorted());
    expect(before).not.toContain(activated);
    core.clock.advance(5 * second);
    expect(await use(token)).toBe("unauthenticated");
    expect(await use(await newToken())).toBeUndefined();
    const { document } = await currentKeys(core);
    for (const kid of before) expect(document).not.toContain(kid);
    expect(await counts()).toEqual({ active: 1, next: 1, retired: 2 });
  });

  test("is let go of by every server that lives, and what each signs from then on counts everywhere at once", async () => {
    await start();
    const servers = [await core.again(), await core.again()];
    const hearts: Array<{ stop(): void }> = [];
    for (const [at, server] of servers.entries()) {
      const presence = { id: `server-${at}`, host: "test", version: "1", startedAt: core.clock.now() };
      await beat(server, presence);
      hearts.push(startHeartbeat(server, presence));
    }
    for (let rotation = 0; rotation < 3; rotation++) {
      const old = await newToken(servers[0]);
      expect(await use(old, servers[1])).toBeUndefined();
      const { answered } = await passing(replaceLeakedKeys(core, root, { timeout: 10 * second }));
      expect(answered).toMatchObject({ silent: [], heard: [{ id: "server-0" }, { id: "server-1" }] });
      expect(answered.took).toBeLessThanOrEqual(2 * second);
      const fresh = await Promise.all(servers.map((server) => newToken(server)));
      for (const server of servers) {
        expect(await use(old, server)).toBe("unauthenticated");
        for (const token of fresh) expect(await use(token, server)).toBeUndefined();
      }
    }
    for (const heart of hearts) heart.stop();
    for (const server of servers) await server.store.close();
  });

  test("is let go of within five seconds by a server that nobody could call", async () => {
    await start();
    const other = await core.again();
    const token = await newToken(other);
    await leak();
    core.clock.advance(5 * second);
    expect(await use(token, other)).toBe("unauthenticated");
    await other.store.close();
  });

  test("is let go of by a server whose reading of the keys had begun before", async () => {
    await start();
    const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
    let isHeld = false;
    const other = await core.again();
    const current: typeof other.store.signingKeys.current = async () => {
      const rows = await other.store.signingKeys.current();
      if (isHeld) return rows;
      isHeld = true;
      await held;
      return rows;
    };
    const store = { ...other.store, signingKeys: { ...other.store.signingKeys, current } };
    const slow: Core = { ...other, store, keyCache: {} };
    const reading = currentKeys(slow);
    const { activated } = await leak();
    const presence = { id: "slow", host: "test", version: "1", startedAt: core.clock.now() };
    await beat(core, presence);
    const heart = startHeartbeat(slow, presence);
    const called = callServers(core, { timeout: 5 * second });
    const answered = passing(called);
    letGo();
    await reading;
    expect((await answered).silent).toEqual([]);
    expect(slow.keyCache.keys?.signing.kid).toBe(activated);
    heart.stop();
    await other.store.close();
  });
});

describe("retiring one key", () => {
  const retire = (kid: string, force = false) => retireSigningKey(core, root, kid, { force, timeout: 0 });
  const kidOf = async (state: string) => (await keyIn(state)).kid;

  test("refuses one that signs, and one whose tokens could be alive, until they are over", async () => {
    await start();
    core.clock.advance(due);
    expect(await codeOf(retire(await kidOf("active")))).toBe("key_in_use");
    await step();
    const retiring = await kidOf("retiring");
    expect(await codeOf(retire(retiring))).toBe("key_in_use");
    core.clock.advance(15 * minute + 65 * second - 1);
    expect(await codeOf(retire(retiring))).toBe("key_in_use");
    core.clock.advance(1);
    expect(await retire(retiring)).toMatchObject({ retired: retiring, activated: null });
    expect(await retire(retiring)).toMatchObject({ retired: null });
  });

  test("by force kills its tokens, and lets the next one sign where it did", async () => {
    await start();
    const [active, next] = [await keyIn("active"), await keyIn("next")];
    const early = await retire(active.kid, true).catch((error: unknown) => error);
    expect(early).toMatchObject({ code: "key_in_use", detail: expect.stringContaining("key rotate --now") });
    core.clock.advance(due);
    const token = await newToken();
    expect(await retire(active.kid, true)).toMatchObject({ retired: active.kid, activated: next.kid });
    core.clock.advance(5 * second);
    expect(await use(token)).toBe("unauthenticated");
    expect(await use(await newToken())).toBeUndefined();
    expect(await counts()).toEqual({ active: 1, next: 1, retired: 1 });
  });

  test("publishes another one in the place of one that was still to come, which waits anew", async () => {
    await start();
    core.clock.advance(due);
    const leaked = await kidOf("next");
    expect(await retire(leaked)).toMatchObject({ retired: leaked, activated: null });
    expect(await kidOf("next")).not.toBe(leaked);
    expect(await step()).toHaveProperty("waiting");
  });

  test("refuses one that nobody knows", async () => {
    await start();
    expect(await codeOf(retire("none"))).toBe("not_found");
  });
});

describe("TK-6 another algorithm", () => {
  test.each(["EdDSA", "RS256"] as const)(
    "%s of the settings is published, and signs only after a rotation",
    async (wanted) => {
      await start();
      const restarted = await core.again({ TOKEN_ALGORITHM: wanted });
      expect(restarted.lines).toContainEqual({
        level: "warn",
        event: "token_algorithm_differs",
        fields: { wanted, signing: "ES256" },
      });
      const token = await newToken(restarted);
      expect(algorithmOf(token)).toBe("ES256");
      expect(await use(token)).toBeUndefined();
      core.clock.advance(due);
      await rotateSigningKey(restarted, root);
      core.clock.advance(5 * second);
      // Both, whatever their settings say.
      const tokens = [await newToken(), await newToken(restarted)];
      expect(tokens.map(algorithmOf)).toEqual([wanted, wanted]);
      for (const one of [token, ...tokens]) {
        for (const server of [core, restarted]) expect(await use(one, server)).toBeUndefined();
      }
      await restarted.store.close();
    },
  );

  test("that nobody wants any more leaves no key to come", async () => {
    await start();
    const restarted = await core.again({ TOKEN_ALGORITHM: "EdDSA" });
    core.clock.advance(due);
    await rotateSigningKey(restarted, root);
    const next = (await listSigningKeys(core)).filter(({ state }) => state === "next");
    expect(next.map(({ algorithm }) => algorithm)).toEqual(["EdDSA"]);
    await restarted.store.close();
  });
});

describe("cron", () => {
  const day = 24 * 60 * minute;

  test("finds nothing to do, publishes, rotates and retires, each in its time and without waiting", async () => {
    await start({ KEY_ROTATION: "30d" });
    const nothing = { published: null, activated: null, retired: [] };
    const [first, next] = [await keyIn("active"), await keyIn("next")];
    expect(await rotateIfDue(core, root)).toEqual(nothing);
    core.clock.advance(30 * day - 1);
    expect(await rotateIfDue(core, root)).toEqual(nothing);
    core.clock.advance(1);
    expect(await rotateIfDue(core, root)).toEqual({ ...nothing, activated: next.kid });
    expect(await rotateIfDue(core, root)).toEqual(nothing);
    core.clock.advance(17 * minute);
    expect(await rotateIfDue(core, root)).toEqual({ ...nothing, retired: [first.kid] });
    expect(await core.store.jobs.all()).toContainEqual({
      name: "key-rotation",
      succeededAt: core.clock.now(),
      summary: { published: 0, activated: 0, retired: 1 },
    });
  });

  test("lets nothing sign that nobody knows, however old the key is that signs", async () => {
    await start({ KEY_ROTATION: "1d" });
    core.clock.advance(2 * day);
    await core.store.write(async (tx) => {
      for (const { kid, state } of await tx.signingKeys.current())
        if (state === "next") await tx.signingKeys.retire([kid], core.clock.now());
    });
    const { published, activated } = await rotateIfDue(core, root);
    expect([typeof published, activated]).toEqual(["string", null]);
    core.clock.advance(due);
    expect((await rotateIfDue(core, root)).activated).toBe(published);
  });

  test("never rotates with KEY_ROTATION=0", async () => {
    await start({ KEY_ROTATION: "0" });
    core.clock.advance(1000 * day);
    expect((await rotateIfDue(core, root)).activated).toBeNull();
  });
});

describe("the list", () => {
  test("says how many sessions may hold a token of each key, at most", async () => {
    await start();
    const held = async () =>
      Object.fromEntries((await listSigningKeys(core)).map((key) => [key.state, key.heldByAtMost]));
    expect(await held()).toEqual({ active: 0, next: 0 });
    await newToken();
    await newToken();
    expect(await held()).toEqual({ active: 2, next: 0 });
    core.clock.advance(due);
    await step();
    core.clock.advance(10 * second);
    await newToken();
    expect(await held()).toEqual({ retiring: 2, active: 1, next: 0 });
    core.clock.advance(17 * minute);
    expect(await held()).toEqual({ retiring: 0, active: 0, next: 0 });
  });
});

describe("a second server", () => {
  test("takes up a rotation without a restart, and refuses no token on the way", async () => {
    await start();
    const other = await core.again();
    const old = await newToken(other);
    core.clock.advance(due);
    await currentKeys(other);
    const { activated } = await rotateSigningKey(core, root);
    const fresh = await newToken();
    // The next key was published before it signs, so the other server knows it already.
    for (const token of [old, fresh]) expect(await use(token, other)).toBeUndefined();
    expect((await currentKeys(other)).signing.kid).not.toBe(activated);
    core.clock.advance(5 * second);
    expect((await currentKeys(other)).signing.kid).toBe(activated);
    for (const token of [old, await newToken(other)]) expect(await use(token)).toBeUndefined();
    await other.store.close();
  });

  test("that lives through two rotations at once asks for a key that it has never heard of", async () => {
    await start();
    const other = await core.again();
    await currentKeys(other);
    await leak();
    await leak();
    core.clock.advance(5 * second - 1);
    delete core.keyCache.keys;
    const token = await newToken();
    expect(await use(token, other)).toBeUndefined();
    await other.store.close();
  });
});

test("what signs is asked of nobody, as long as the keys are fresh", async () => {
  await start();
  await newToken();
  const { core: watchedCore, calls } = counted(core);
  await newToken(watchedCore);
  expect(calls.filter((call) => call.startsWith("signingKeys"))).toEqual([]);
});

describe("an unknown kid", () => {
  test("makes the keys be read again once a second, however many tokens name it", async () => {
    await start();
    await currentKeys(core);
    const { core: watchedCore, calls } = counted(core);
    const askAll = () => Promise.all(Array.from({ length: 200 }, (_, at) => keysWith(watchedCore, `unknown-${at}`)));
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

describe("TK-6 a process that ends at any of its calls of the database", () => {
  const acts: Readonly<Record<string, (at: Core, active: string) => Promise<unknown>>> = {
    "while it rotates": (at) => takeStep(at, root, "ES256"),
    "while it publishes the first key of an algorithm": (at) => takeStep(at, root, "EdDSA"),
    "in a run of cron": (at) => rotateIfDue(at, root),
    "while it replaces a leaked key": (at) => replaceLeakedKeys(at, root, { timeout: 0 }),
    "while it retires by force": (at, active) => retireSigningKey(at, root, active, { force: true, timeout: 0 }),
  };

  test.each(Object.entries(acts))("%s leaves keys that work, and the next run does the rest", async (_, act) => {
    for (let failing = 1; ; failing++) {
      await start({ KEY_ROTATION: "10m" });
      core.clock.advance(11 * minute);
      const active = (await keyIn("active")).kid;
      let number = 0;
      const broken = watched(core, () => {
        if (++number === failing) throw new Error("broke");
      });
      const broke = await act(broken, active).then(
        () => false,
        () => true,
      );
      expect((await counts())["active"]).toBe(1);
      expect((await counts())["next"]).toBeGreaterThan(0);
      core.clock.advance(5 * second);
      expect(await use(await newToken())).toBeUndefined();
      await act(core, active).catch((error: unknown) => expect(error).toMatchObject({ code: "key_in_use" }));
      core.clock.advance(5 * second);
      expect((await counts())["active"]).toBe(1);
      expect(await use(await newToken())).toBeUndefined();
      if (!broke) return expect(failing).toBeGreaterThan(5);
      await core.close();
    }
  });
});

describe("TK-6 races", () => {
  test.each([
    { servers: 2, algorithms: ["ES256", "EdDSA"] },
    { servers: 20, algorithms: ["ES256"] },
    { servers: 20, algorithms: ["ES256", "EdDSA", "RS256"] },
  ])(
    "$servers servers that start for the first time end with one key to sign with: $algorithms",
    async ({ servers, algorithms }) => {
      const fresh = await freshDatabase();
      core = await openTestCore();
      const env = { ...core.env, ...fresh.env };
      const { clock, log, random } = core;
      const all = await Promise.all(
        Array.from({ length: servers }, (_, at) =>
          openCore({
            env: { ...env, TOKEN_ALGORITHM: algorithms[at % algorithms.length]! },
            cwd: "/",
            purpose: "serve",
            clock,
            log,
            random,
          }),
        ),
      );
      clock.advance(5 * second);
      const signing = await Promise.all(all.map(async (one) => (await currentKeys(one)).signing.kid));
      expect(new Set(signing).size).toBe(1);
      const keys = await listSigningKeys(all[0]!);
      expect(keys.filter(({ state }) => state === "active").map(({ kid }) => kid)).toEqual([...new Set(signing)]);
      const next = keys.filter(({ state }) => state === "next");
      expect(new Set(next.map(({ algorithm }): string => algorithm))).toEqual(new Set(algorithms));
      for (const one of all) await one.close();
      await fresh.drop();
    },
  );

  test("of 20 operators who rotate when it is due one does, and the others find it done", async () => {
    await start();
    const others = await Promise.all([core.again(), core.again(), core.again()]);
    core.clock.advance(due);
    const rotations = await Promise.all(
      Array.from({ length: 20 }, (_, at) => rotateSigningKey([core, ...others][at % 4]!, root)),
    );
    expect(rotations.filter(({ isEarlier }) => !isEarlier)).toHaveLength(1);
    expect(new Set(rotations.map(({ activated }) => activated)).size).toBe(1);
    expect(await counts()).toEqual({ active: 1, next: 1, retiring: 1 });
    for (const other of others) await other.store.close();
  });

  test("of 20 runs of cron at once those that hold no lock are told so, and one rotates", async () => {
    await start({ KEY_ROTATION: "10m" });
    const others = await Promise.all([core.again(), core.again(), core.again()]);
    core.clock.advance(11 * minute);
    const activated: Array<string | null> = [];
    const codes = await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        codeOf(rotateIfDue([core, ...others][at % 4]!, root).then((done) => activated.push(done.activated))),
      ),
    );
    expect(codes.filter((code) => code !== undefined && code !== "lock_held")).toEqual([]);
    expect(activated.filter((kid) => kid !== null)).toHaveLength(1);
    expect(await counts()).toEqual({ active: 1, next: 1, retiring: 1 });
    for (const other of others) await other.store.close();
  });

  test("20 of each at once, of whatever kind, leave one key to sign with, one to come, and servers that sign", async () => {
    await start({ KEY_ROTATION: "10m" });
    const others = await Promise.all([core.again(), core.again(), core.again()]);
    core.clock.advance(11 * minute);
    const first = await keyIn("active");
    const kinds: ReadonlyArray<(at: Core) => Promise<unknown>> = [
      (at) => leak(at),
      (at) => step(at),
      (at) => rotateIfDue(at, root),
      (at) => retireSigningKey(at, root, first.kid, { force: true, timeout: 0 }),
    ];
    const codes = await Promise.all(
      Array.from({ length: 80 }, (_, at) => codeOf(kinds[at % 4]!([core, ...others][Math.floor(at / 4) % 4]!))),
    );
    expect(new Set(codes).difference(new Set([undefined, "lock_held", "key_in_use"]))).toEqual(new Set());
    const { active, next } = await counts();
    expect([active, next]).toEqual([1, 1]);
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
