/** What the core relies on, of every database: of the one that `TEST_DIALECT` names. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { createStore, type Store } from "../../src/store/store.ts";
import { dialect, type FreshDatabase, freshDatabase, openDialect, rawSql } from "../support/database.ts";
import { aFamily, aKey, anEvent, aSession, at, aUser } from "../support/rows.ts";

describe(dialect, () => {
  let database: FreshDatabase;
  let store: Store;
  /** The same database, over connections of its own. */
  let other: Store;

  beforeEach(async () => {
    database = await freshDatabase();
    const first = await openDialect(database);
    await first.migrations.up(at(0));
    store = createStore(first);
    other = createStore(await openDialect(database));
  });
  afterEach(async () => {
    await other.close();
    await store.close();
    await database.drop();
  });

  const addUser = (id: string, changed = {}) => store.write((tx) => tx.users.insert(aUser(id, changed)));
  const addSession = (id: string, changed = {}) => store.write((tx) => tx.sessions.insert(aSession(id, "u1", changed)));

  describe("a write", () => {
    test("is seen by everybody once it is done", async () => {
      expect(await addUser("u1")).toBe(true);
      for (const one of [store, other]) expect((await one.users.byId("u1"))?.email).toBe("u1@example.com");
    });

    test("is seen by nobody but itself until then", async () => {
      await store.write(async (tx) => {
        await tx.users.insert(aUser("u1"));
        expect(await tx.users.byId("u1")).toBeDefined();
        for (const one of [store, other]) expect(await one.users.byId("u1")).toBeUndefined();
      });
    });

    test("that throws is taken back as a whole, and throws what was thrown", async () => {
      const reason = new Error("on second thoughts");
      const work = store.write(async (tx) => {
        await tx.users.insert(aUser("u1"));
        await tx.auditEvents.insert(anEvent("e1"));
        throw reason;
      });
      await expect(work).rejects.toBe(reason);
      expect([await store.users.byId("u1"), await store.auditEvents.page({}, 9)]).toEqual([undefined, []]);
      expect(await addUser("u1")).toBe(true);
    });

    test("that a statement breaks is taken back as a whole", async () => {
      const work = store.write(async (tx) => {
        await tx.users.insert(aUser("u1"));
        await tx.sessions.insert(aSession("s1", "nobody"));
      });
      await expect(work).rejects.toThrow();
      expect(await store.users.byId("u1")).toBeUndefined();
    });

    test("inside a write is refused with a sentence, and not waited for", async () => {
      const nested = store.write(async () => await store.write((tx) => tx.users.insert(aUser("u1"))));
      await expect(nested).rejects.toThrow("a write inside a write");
      expect(await store.users.byId("u1")).toBeUndefined();
      expect(await addUser("u1")).toBe(true);
    });

    test("answers what its work answers", async () => {
      expect(await store.write(() => Promise.resolve(7))).toBe(7);
    });
  });

  describe("writers at the same time", () => {
    test("never lose an update: who was not the fastest is told so, and looks again", async () => {
      await addUser("u1");
      await addSession("s1");
      await store.write((tx) => tx.refreshFamilies.insert(aFamily("f1", "s1")));
      const count = async (where: Store): Promise<void> => {
        const counted = await where.write(async (tx) => {
          const family = await tx.refreshFamilies.byId("f1");
          return await tx.refreshFamilies.advance("f1", family!.generation, at(1), "version1");
        });
        if (!counted) await count(where);
      };
      await Promise.all(Array.from({ length: 40 }, (_, turn) => count(turn % 2 === 0 ? store : other)));
      expect((await store.refreshFamilies.byId("f1"))?.generation).toBe(41);
    });

    test("of two processes all get through, and none is told that the database is busy", async () => {
      const writer = join(import.meta.dir, "../support/writer.ts");
      const { env } = database;
      const command = (name: string) => [process.execPath, "--no-env-file", writer, name];
      const children = ["a", "b"].map((name) => Bun.spawn(command(name), { env, stdout: "ignore", stderr: "pipe" }));
      for (let mine = 0; mine < 100; mine++) await store.write((tx) => tx.auditEvents.insert(anEvent(`mine${mine}`)));
      for (const child of children) expect([await child.exited, await child.stderr.text()]).toEqual([0, ""]);
      expect(await store.auditEvents.page({}, 1000)).toHaveLength(300);
    });
  });

  describe("users", () => {
    test("have one address and one user name each: the second of a kind is not inserted", async () => {
      expect(await addUser("u1", { username: "Ada", usernameKey: "ada" })).toBe(true);
      expect(await addUser("u2", { emailKey: "u1@example.com" })).toBe(false);
      expect(await addUser("u3", { username: "ADA", usernameKey: "ada" })).toBe(false);
      expect(await addUser("u4")).toBe(true);
      expect((await store.users.byUsernameKey("ada"))?.id).toBe("u1");
      expect((await store.users.byEmailKey("u4@example.com"))?.id).toBe("u4");
    });

    test("are claimed in the revision that is expected, by one of many, and by nobody in another", async () => {
      await addUser("u1");
      const claim = (revision?: number | number[]) => store.write((tx) => tx.users.claim("u1", revision));
      expect([(await claim())?.revision, (await claim(1))?.revision]).toEqual([1, 2]);
      expect([await claim(1), await claim([0, 7]), await claim([])]).toEqual([undefined, undefined, undefined]);
      expect((await claim([0, 2]))?.revision).toBe(3);
      const claims = Array.from({ length: 20 }, (_, turn) =>
        (turn % 2 === 0 ? store : other).write((tx) => tx.users.claim("u1", 3)),
      );
      expect((await Promise.all(claims)).filter((user) => user !== undefined)).toHaveLength(1);
    });

    test("hold a role once, and roles that exist", async () => {
      await addUser("u1");
      const grant = (role: string) => store.write((tx) => tx.users.grantRole("u1", role, at(0)));
      expect([await grant("admin"), await grant("admin")]).toEqual([true, false]);
      await expect(grant("nothing")).rejects.toThrow();
      expect(await store.users.countActive("admin")).toBe(1);
      expect((await store.roles.heldBy("u1"))[0]?.name).toBe("admin");
      expect(await store.write((tx) => tx.users.revokeRole("u1", "admin"))).toBe(true);
      expect(await store.write((tx) => tx.users.revokeRole("u1", "admin"))).toBe(false);
    });

    test("that are deleted take sessions, families and roles with them, and leave the audit trail", async () => {
      await addUser("u1");
      await addSession("s1");
      await store.write(async (tx) => {
        await tx.refreshFamilies.insert(aFamily("f1", "s1"));
        await tx.users.grantRole("u1", "user", at(0));
        await tx.auditEvents.insert(anEvent("e1", { userId: "u1" }));
      });
      expect(await store.write((tx) => tx.users.delete("u1"))).toBe(true);
      expect(await store.sessions.byId("s1")).toBeUndefined();
      expect(await store.refreshFamilies.byId("f1")).toBeUndefined();
      expect(await store.users.rolesOf("u1")).toEqual([]);
      expect(await store.auditEvents.page({ userId: "u1" }, 9)).toHaveLength(1);
      expect(await store.write((tx) => tx.users.delete("u1"))).toBe(false);
    });
  });

  describe("sessions", () => {
    beforeEach(async () => void (await addUser("u1")));

    test("are found with whom they belong to and what that user holds", async () => {
      await addSession("s1");
      await store.write(async (tx) => {
        for (const role of ["user", "admin"]) await tx.users.grantRole("u1", role, at(0));
      });
      const standing = await store.sessions.standing("s1");
      expect(standing).toMatchObject({ session: aSession("s1", "u1"), user: { id: "u1" }, roles: ["admin", "user"] });
      expect(await store.sessions.standing("s2")).toBeUndefined();
    });

    test("are found by any number of askers at once, each the one that they asked for", async () => {
      await addUser("u2");
      const ids = Array.from({ length: 70 }, (_, at) => `s${at}`);
      await store.write(async (tx) => {
        for (const role of ["user", "admin"]) await tx.users.grantRole("u1", role, at(0));
        for (const [at, id] of ids.entries()) await tx.sessions.insert(aSession(id, at % 2 === 0 ? "u1" : "u2"));
      });
      const found = await Promise.all([...ids, "nobody's", "s1"].map((id) => store.sessions.standing(id)));
      expect(found.map((one) => one?.session.id)).toEqual([...ids, undefined, "s1"]);
      expect(found.slice(0, 2).map((one) => [one?.user.id, one?.roles])).toEqual([
        ["u1", ["admin", "user"]],
        ["u2", []],
      ]);
    });

    test("are revoked once, and a touch does not bring them back", async () => {
      for (const id of ["s1", "s2"]) await addSession(id);
      const revoke = (...ids: string[]) => store.write((tx) => tx.sessions.revoke(ids, at(1), "logout"));
      expect(await revoke("s1")).toEqual([{ id: "s1", userId: "u1" }]);
      expect(await revoke("s1", "s2", "s3")).toEqual([{ id: "s2", userId: "u1" }]);
      expect(await revoke()).toEqual([]);
      await store.write((tx) => tx.sessions.touch("s1", at(2), at(9), "192.0.2.9"));
      expect(await store.sessions.byId("s1")).toMatchObject({ lastSeenAt: at(0), revokedAt: at(1) });
    });

    test("of a user are listed while they are alive, newest first", async () => {
      for (const id of ["s1", "s2", "s3", "s4"]) await addSession(id);
      await addSession("s5", { idleExpiresAt: at(5) });
      await addSession("s6", { epoch: 1 });
      await store.write((tx) => tx.sessions.revoke(["s2"], at(1), "logout"));
      const ids = async (when: Date) => (await store.sessions.ofUser("u1", when)).map(({ id }) => id);
      expect(await ids(at(4))).toEqual(["s5", "s4", "s3", "s1"]);
      expect(await ids(at(5))).toEqual(["s4", "s3", "s1"]);
      expect(await store.sessions.count({ userId: "u1", aliveAt: at(5) })).toEqual({ sessions: 3, users: 1 });
      await store.write((tx) => tx.users.advanceEpoch("u1"));
      expect(await ids(at(5))).toEqual(["s6"]);
    });

    test("are purged oldest first, no more than asked for, and none that is not over", async () => {
      for (const [id, end] of [
        ["s1", 3],
        ["s2", 1],
        ["s3", 2],
        ["s4", 9],
      ] as const)
        await addSession(id, { idleExpiresAt: at(end) });
      const left = async () => [await store.sessions.countExpired(at(3)), await store.sessions.oldestExpired(at(3))];
      expect(await left()).toEqual([3, at(1)]);
      const purge = (from?: Date) => store.write((tx) => tx.sessions.purge(at(3), 2, from));
      expect(await purge()).toEqual({ removed: 2, reached: at(2) });
      expect(await store.sessions.byId("s1")).toBeDefined();
      expect(await purge(at(2))).toEqual({ removed: 1, reached: at(3) });
      expect(await purge(at(3))).toEqual({ removed: 0, reached: at(3) });
      expect(await left()).toEqual([0, undefined]);
      expect(await store.sessions.byId("s4")).toBeDefined();
    });
  });

  test("more rows than one statement counts are counted to the last, also where many end at one moment", async () => {
    const when = dialect === "sqlite" ? "n / 7" : "to_timestamp(n / 7 / 1000.0)";
    await rawSql(
      database,
      `WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 249999)
       INSERT INTO tries (key, spent, ends_at) SELECT 'k' || n, 1, ${when} FROM numbers`,
    );
    expect(await store.tries.countExpired(at(0))).toBe(250_000);
    expect(await store.tries.countExpired(new Date(99))).toBe(700);
  });

  test("a window that was begun anew while a purge was looking stays", async () => {
    await store.write((tx) => tx.tries.reserve("k", 5, at(0), at(1)));
    const renewed = store.write((tx) => tx.tries.reserve("k", 5, at(2), at(9)));
    const purged = other.write((tx) => tx.tries.purge(at(2), 10));
    await Promise.all([renewed, purged]);
    expect(await store.tries.byKey("k")).toMatchObject({ spent: 1, endsAt: at(9) });
  });

  test("a family advances from the generation that it has, and from no other", async () => {
    await addUser("u1");
    await addSession("s1");
    await store.write((tx) => tx.refreshFamilies.insert(aFamily("f1", "s1")));
    const advance = (generation: number) =>
      store.write((tx) => tx.refreshFamilies.advance("f1", generation, at(7), "version1"));
    expect([await advance(2), await advance(1), await advance(1)]).toEqual([false, true, false]);
    const retry = (generation: number) => store.write((tx) => tx.refreshFamilies.countRetry("f1", generation, 1));
    expect([await retry(2), await retry(1), await retry(1)]).toEqual([false, true, false]);
    expect(await store.refreshFamilies.byId("f1")).toMatchObject({ generation: 2, rotatedAt: at(7), retries: 1 });
    await advance(2);
    expect(await store.refreshFamilies.byId("f1")).toMatchObject({ generation: 3, retries: 0 });
  });

  test("TK-6 there is one active and one next key of an algorithm, whoever inserts", async () => {
    const insert = (kid: string, state: "active" | "next", algorithm: "ES256" | "EdDSA" = "ES256") =>
      store.write((tx) => tx.signingKeys.insert(aKey(kid, state, algorithm)));
    expect([await insert("k1", "active"), await insert("k2", "active")]).toEqual([true, false]);
    expect([await insert("k3", "next"), await insert("k4", "next")]).toEqual([true, false]);
    expect(await insert("k5", "active", "EdDSA")).toBe(true);
    expect(await store.write((tx) => tx.signingKeys.lengthen("k1", 60_000))).toBe(true);
    expect(await store.write((tx) => tx.signingKeys.lengthen("k1", 1_000))).toBe(true);
    await store.write((tx) => tx.signingKeys.deactivate("k1", at(5)));
    // Too late: its end is known.
    expect(await store.write((tx) => tx.signingKeys.lengthen("k1", 90_000))).toBe(false);
    expect((await store.signingKeys.all()).find(({ kid }) => kid === "k1")?.longestLife).toBe(60_000);
    expect(await store.write((tx) => tx.signingKeys.activate("k3", at(4)))).toBe(true);
    expect(await store.write((tx) => tx.signingKeys.retireExpired(at(4)))).toEqual([]);
    expect(await store.write((tx) => tx.signingKeys.retireExpired(at(5)))).toEqual(["k1"]);
    expect((await store.signingKeys.current()).map(({ kid }) => kid)).toEqual(["k3", "k5"]);
    expect((await store.signingKeys.all()).find(({ kid }) => kid === "k1")?.privateJwk).toBeNull();
    expect(await store.write((tx) => tx.signingKeys.retire(["k1", "k3"], at(6)))).toEqual(["k3"]);
    expect((await store.signingKeys.current()).map(({ kid }) => kid)).toEqual(["k5"]);
  });

  test("times keep their milliseconds, and JSON its members", async () => {
    await store.write((tx) =>
      tx.auditEvents.insert(anEvent("e1", { at: at(0.123), particulars: { a: 1, b: null, c: "é" } })),
    );
    expect((await store.auditEvents.page({}, 1))[0]).toMatchObject({
      at: at(0.123),
      particulars: { a: 1, b: null, c: "é" },
    });
  });

  test("a lock is held by one, over all processes, until it is given back", async () => {
    const release = await store.lock("purge");
    expect(release).toBeDefined();
    expect(await other.lock("purge")).toBeUndefined();
    const another = await other.lock("rotation");
    expect(another).toBeDefined();
    await another?.();
    await release?.();
    const again = await other.lock("purge");
    expect(again).toBeDefined();
    await again?.();
  });

  test("says how large it is", async () => {
    expect(await store.size()).toBeGreaterThan(10_000);
  });
});
