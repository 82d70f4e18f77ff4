import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { explainSession } from "../../src/core/audit/explanation.ts";
import { sealAudit } from "../../src/core/audit/sealing.ts";
import { verifyAudit } from "../../src/core/audit/verification.ts";
import { addBan, listBans } from "../../src/core/bans.ts";
import { fail } from "../../src/core/errors.ts";
import { login } from "../../src/core/login.ts";
import { deliverMail } from "../../src/core/mail/outbox.ts";
import { type PurgeOptions, previewPurge, purge, purgeKinds } from "../../src/core/purging.ts";
import { refresh } from "../../src/core/refresh-tokens.ts";
import { authenticate, revokeSessions } from "../../src/core/sessions.ts";
import { createUser } from "../../src/core/users.ts";
import type { Store } from "../../src/store/store.ts";
import { codeOf, firefox, goodPassword, openTestCore, root, type TestCore, visitor } from "../support/core.ts";
import { dialect, dump } from "../support/database.ts";
import { createMailbox, isBusy, isRefused, queueTests, sendTo } from "../support/mailbox.ts";
import { counted } from "../support/watched.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

let core: TestCore;
beforeEach(async () => {
  core = await openTestCore();
  await createUser(core, root, { email: "ada@example.com", password: goodPassword });
});
afterEach(() => core.close());

const signIn = async (credential: "session" | "tokens" = "session") => {
  const given = await login(core, visitor, { identifier: "ada@example.com", password: goodPassword, credential });
  return {
    token: given.credential === "session" ? given.sessionToken : given.accessToken,
    session: given.standing.session,
  };
};
const signInTimes = (times: number) => Promise.all(Array.from({ length: times }, () => signIn()));
const rows = async (table: string) => (await dump(core))[table]!.length;

const none = { sessions: 0, keys: 0, servers: 0, tries: 0, challenges: 0, mails: 0, users: 0, bans: 0, audit: 0 };

const options: PurgeOptions = {
  kinds: purgeKinds,
  olderThan: 0,
  batchSize: 10,
  pause: 20,
  maxTime: 5 * minute,
  maxRows: Number.MAX_SAFE_INTEGER,
};

/** Purges, letting each pause pass as soon as it has begun. Answers with the size of each batch. */
async function run(changed: Partial<PurgeOptions> = {}, where = core) {
  const batches: number[] = [];
  const all = { ...options, ...changed };
  const onBatch = (size: number) => {
    batches.push(size);
    all.onBatch?.(size);
    setImmediate(() => core.clock.advance(all.pause));
  };
  const purged = await purge(where, root, { ...all, onBatch });
  return { ...purged, batches };
}

const success = async () => (await core.store.jobs.all()).find(({ name }) => name === "purge");
const purgeEvents = async () =>
  (await core.store.auditEvents.page({}, 500)).filter((event) => event.action === "purge.done");

describe("a purge", () => {
  test("removes what has expired, in batches, and says so in the audit trail", async () => {
    await signInTimes(25);
    core.clock.advance(day);
    expect(await run()).toEqual({
      removed: { ...none, sessions: 25 },
      finished: true,
      batches: [10, 10, 5],
    });
    expect(await rows("sessions")).toBe(0);
    expect(await purgeEvents()).toMatchObject([{ actor: "root@test", particulars: { sessions: 25, finished: true } }]);
    expect(await success()).toMatchObject({ summary: { sessions: 25 } });
  });

  test("with nothing to do leaves no trace but the time of its success", async () => {
    await signIn();
    expect(await run()).toMatchObject({ removed: { sessions: 0 }, finished: true });
    expect(await purgeEvents()).toEqual([]);
    expect(await success()).toMatchObject({ succeededAt: core.clock.now() });
  });

  test("never takes what is alive, nor what was revoked and would not have expired yet", async () => {
    const [dead] = await signInTimes(1);
    core.clock.advance(59 * minute);
    const [alive, revoked] = [await signIn(), await signIn()];
    const family = await signIn("tokens");
    await revokeSessions(core, root, [revoked.session]);
    core.clock.advance(minute);
    expect((await run()).removed.sessions).toBe(1);
    expect(await core.store.sessions.byId(dead!.session.id)).toBeUndefined();
    expect((await core.store.sessions.byId(revoked.session.id))?.revokeReason).toBe("revoked-by-operator");
    for (const { token } of [alive, family]) expect(await codeOf(authenticate(core, token, firefox))).toBeUndefined();
    expect(await rows("refresh_families")).toBe(1);
  });

  test("takes the refresh family with its session", async () => {
    await signIn("tokens");
    core.clock.advance(7 * day);
    expect((await run()).removed.sessions).toBe(1);
    expect([await rows("sessions"), await rows("refresh_families")]).toEqual([0, 0]);
  });

  test("changes no answer: what it takes was refused before, and is refused the same afterwards", async () => {
    const { token } = await signIn();
    core.clock.advance(hour);
    expect(await codeOf(authenticate(core, token, firefox))).toBe("unauthenticated");
    await run();
    expect(await codeOf(authenticate(core, token, firefox))).toBe("unauthenticated");
  });

  test("spares what ended less long ago than it is told", async () => {
    await signIn();
    core.clock.advance(hour + minute);
    expect((await run({ olderThan: minute + 1 })).removed.sessions).toBe(0);
    expect((await run({ olderThan: minute })).removed.sessions).toBe(1);
  });

  test("does only the kinds that it is told", async () => {
    await signIn();
    core.clock.advance(2 * day);
    await core.store.write((tx) =>
      tx.servers.beat({ id: "s", host: "h", version: "1", startedAt: new Date(0), seenAt: new Date(0) }),
    );
    expect((await run({ kinds: ["servers"] })).removed).toEqual({ ...none, servers: 1 });
    expect(await rows("sessions")).toBe(1);
  });

  test("forgets a server that has been silent for a day, and no other", async () => {
    const beat = (id: string, seenAt: Date) =>
      core.store.write((tx) => tx.servers.beat({ id, host: "h", version: "1", startedAt: seenAt, seenAt }));
    await beat("silent", core.clock.now());
    core.clock.advance(1);
    await beat("just heard of", core.clock.now());
    core.clock.advance(day - 1);
    await run();
    expect((await core.store.servers.seenSince(new Date(0))).map((server) => server.id)).toEqual(["just heard of"]);
  });

  test("forgets that a mail was sent or given up after MAIL_KEEP, and never one that waits", async () => {
    const mailbox = createMailbox();
    sendTo(core, mailbox);
    mailbox.trouble = ({ to }) => ({ "dead@example.com": isRefused, "waits@example.com": isBusy })[to.address];
    await queueTests(core, "sent@example.com", "dead@example.com", "waits@example.com");
    await deliverMail(core, root);
    const keep = 7 * day;
    core.clock.advance(keep - 1);
    expect(await previewPurge(core, { kinds: ["mails"], olderThan: 0 })).toEqual([
      { kind: "mails", rows: 0, oldest: null },
    ]);
    expect((await run({ kinds: ["mails"] })).removed.mails).toBe(0);
    core.clock.advance(1);
    expect((await run({ kinds: ["mails"], olderThan: 1 })).removed.mails).toBe(0);
    expect(await previewPurge(core, { kinds: ["mails"], olderThan: 0 })).toMatchObject([{ kind: "mails", rows: 2 }]);
    expect(await run({ kinds: ["mails"], batchSize: 1 })).toMatchObject({ removed: { mails: 2 }, batches: [1, 1] });
    expect(await core.store.mails.page(undefined, 10)).toMatchObject([{ state: "queued" }]);
  });

  test("is foretold exactly by its rehearsal, which removes nothing", async () => {
    await signInTimes(3);
    core.clock.advance(hour);
    await signIn();
    const oldest = core.clock.now();
    expect(await previewPurge(core, options)).toEqual([
      { kind: "sessions", rows: 3, oldest },
      { kind: "keys", rows: 0, oldest: null },
      { kind: "servers", rows: 0, oldest: null },
      { kind: "tries", rows: 0, oldest: null },
      { kind: "challenges", rows: 0, oldest: null },
      { kind: "mails", rows: 0, oldest: null },
      { kind: "users", rows: 0, oldest: null },
      { kind: "bans", rows: 0, oldest: null },
      { kind: "audit", rows: 0, oldest: null },
    ]);
    expect(await rows("sessions")).toBe(4);
  });
});

describe("what a purge covers", () => {
  test("bans that are over, and none that still counts", async () => {
    await addBan(core, root, "192.0.2.0/24", hour);
    await addBan(core, root, "198.51.100.0/24", undefined);
    core.clock.advance(hour - 1);
    expect((await run()).removed.bans).toBe(0);
    core.clock.advance(1);
    expect(await previewPurge(core, { kinds: ["bans"], olderThan: 0 })).toEqual([
      { kind: "bans", rows: 1, oldest: core.clock.now() },
    ]);
    expect((await run()).removed.bans).toBe(1);
    expect((await listBans(core)).map(({ network }) => network)).toEqual(["198.51.100.0/24"]);
  });

  test("the audit trail beyond AUDIT_KEEP, which is verified from where it begins then", async () => {
    await sealAudit(core);
    const before = await rows("audit_events");
    core.clock.advance(400 * day - 1);
    expect((await run({ kinds: ["audit"] })).removed.audit).toBe(0);
    core.clock.advance(day);
    const [preview] = await previewPurge(core, { kinds: ["audit"], olderThan: 0 });
    expect(preview).toMatchObject({ kind: "audit", rows: before });
    expect((await run({ kinds: ["audit"] })).removed.audit).toBe(before);
    await sealAudit(core);
    expect((await verifyAudit(core, {})).found).toBe(0);
  });

  test("nothing of the audit trail where AUDIT_KEEP is forever", async () => {
    const other = await core.again({ AUDIT_KEEP: "forever" });
    await sealAudit(core);
    core.clock.advance(4_000 * day);
    expect((await run({ kinds: ["audit"] }, other)).removed.audit).toBe(0);
    expect(await previewPurge(other, { kinds: ["audit"], olderThan: 0 })).toEqual([
      { kind: "audit", rows: 0, oldest: null },
    ]);
    await other.store.close();
  });

  test("leaves the audit trail to another run that is at it", async () => {
    const release = await core.store.lock("audit-purge");
    expect(await run()).toMatchObject({ removed: { audit: 0 }, finished: true });
    await release?.();
  });

  test("is a success only where nothing was left out", async () => {
    await run({ kinds: ["sessions", "keys"] });
    await run({ olderThan: hour });
    expect(await success()).toBeUndefined();
    await run();
    expect(await success()).toBeDefined();
  });
});

describe("what a purge leaves alone", () => {
  test("a spent refresh token inside its grace, and the session that shows its reuse, to the last moment", async () => {
    const given = await login(core, visitor, {
      identifier: "ada@example.com",
      password: goodPassword,
      credential: "tokens",
    });
    if (given.credential !== "tokens") throw new Error("other credentials");
    const first = given.refreshToken;
    core.clock.advance(7 * day - 1);
    const second = await refresh(core, visitor, first);
    await run();
    expect(second.credential === "tokens" && (await refresh(core, visitor, first))).toMatchObject({
      refreshToken: second.credential === "tokens" && second.refreshToken,
    });
    core.clock.advance(7 * day - 1);
    await run();
    const third = second.credential === "tokens" ? second.refreshToken : "";
    await refresh(core, visitor, third);
    core.clock.advance(minute);
    await run();
    expect(await codeOf(refresh(core, visitor, first))).toBe("refresh_token_reused");
    const { id } = given.standing.session;
    expect(await explainSession(core, id)).toMatchObject({ alive: false, why: expect.stringContaining("reused") });
  });

  test("the answers: refused before and after with the same code, and explained as long as the trail knows it", async () => {
    const given = await login(core, visitor, {
      identifier: "ada@example.com",
      password: goodPassword,
      credential: "tokens",
    });
    const { session } = given.standing;
    const token = given.credential === "tokens" ? given.refreshToken : "";
    core.clock.advance(7 * day - 1);
    await run();
    expect((await explainSession(core, session.id)).alive).toBe(true);
    core.clock.advance(1);
    const answers = async () => [
      await codeOf(refresh(core, visitor, token)),
      (await explainSession(core, session.id)).alive,
    ];
    expect(await answers()).toEqual(["unauthenticated", false]);
    expect((await run()).removed.sessions).toBe(1);
    expect(await answers()).toEqual(["unauthenticated", false]);
    expect((await explainSession(core, session.id)).why).toContain("was removed after it had ended");
  });
});

describe("the work of a purge does not grow with what is left", () => {
  test("as its end asks whether there is one more, and counts nothing", async () => {
    await signInTimes(12);
    core.clock.advance(day);
    const { core: seen, calls } = counted(core);
    expect(await run({ maxRows: 10 }, seen)).toMatchObject({ removed: { sessions: 10 }, finished: false });
    expect(calls.filter((call) => /count/i.test(call))).toEqual([]);
    expect(calls).toContain("sessions.oldestExpired");
  });

  test("and the file gives the space back that it took", async () => {
    const slack = await core.store.slack();
    if (dialect === "postgres") return expect(slack).toBeUndefined();
    const { session } = await signIn();
    const made = 20_000;
    await core.store.write(async (tx) => {
      for (let n = 0; n < made; n++) await tx.sessions.insert({ ...session, id: `filler-${n}` });
    });
    await core.store.flatten();
    const before = await core.store.size();
    core.clock.advance(day);
    expect((await run({ batchSize: 500, pause: 0 })).removed.sessions).toBe(made + 1);
    const left = (await core.store.slack())!;
    expect(left.returnable).toBe(true);
    expect(left.free).toBeLessThanOrEqual(1_000);
    expect(await core.store.size()).toBeLessThan(before - 1024 ** 2);
    expect(await rows("sessions")).toBe(0);
    return expect(await core.store.users.byEmailKey("ada@example.com")).toBeDefined();
  });
});

describe("a purge whose batches take long", () => {
  const sizes = async (pause: number) => {
    const { session } = await signIn();
    await core.store.write(async (tx) => {
      for (let n = 1; n < 400; n++) await tx.sessions.insert({ ...session, id: `filler-${n}` });
    });
    core.clock.advance(day);
    const write: typeof core.store.write = async (work) => {
      const answer = await core.store.write(work);
      core.clock.advance(20);
      return answer;
    };
    const slow = { ...core, store: { ...core.store, write } };
    // A pause is three times as long as such a batch, and its first third passes anyway.
    const onBatch = () => void setImmediate(() => core.clock.advance(40));
    return (await run({ batchSize: 200, pause, kinds: ["sessions"], onBatch }, slow)).batches;
  };

  test("takes smaller ones", async () => {
    expect(await sizes(20)).toEqual([200, 100, 50, 50]);
  });

  test("goes on as it was told where nobody is to have time between them", async () => {
    expect(await sizes(0)).toEqual([200, 200]);
  });
});

describe("the budget of a purge", () => {
  beforeEach(async () => {
    await signInTimes(25);
    core.clock.advance(day);
  });

  test("of rows is kept to the row, and the next run goes on", async () => {
    expect(await run({ maxRows: 12 })).toEqual({
      removed: { ...none, sessions: 12 },
      finished: false,
      batches: [10, 2],
    });
    expect(await rows("sessions")).toBe(13);
    expect(await success()).toBeUndefined();
    expect(await run()).toMatchObject({ removed: { sessions: 13 }, finished: true });
    expect(await success()).toBeDefined();
  });

  test("that is just enough has finished the work", async () => {
    expect(await run({ maxRows: 25 })).toMatchObject({ removed: { sessions: 25 }, finished: true });
  });

  test("of time ends it after the batch that it ran out in", async () => {
    const purged = await run({ maxTime: minute, onBatch: () => core.clock.advance(minute) });
    expect(purged).toMatchObject({ removed: { sessions: 10 }, finished: false, batches: [10] });
    expect(await rows("sessions")).toBe(15);
  });

  test("is not spent on what expires while it runs, so that it always ends", async () => {
    const { session } = await signIn();
    const purged = await run({ maxTime: day, onBatch: () => core.clock.advance(hour) });
    expect(purged).toMatchObject({ removed: { sessions: 25 }, finished: true, batches: [10, 10, 5] });
    expect(session.idleExpiresAt < core.clock.now()).toBe(true);
    expect(await core.store.sessions.byId(session.id)).toBeDefined();
  });

  test("an interruption ends it after the batch, without waiting for the pause, and what is done stays", async () => {
    const stop = new AbortController();
    const purged = await purge(core, root, {
      ...options,
      pause: hour,
      interrupted: stop.signal,
      onBatch: () => stop.abort(),
    });
    expect(purged).toMatchObject({ removed: { sessions: 10 }, finished: false });
    expect(await rows("sessions")).toBe(15);
    expect(await purgeEvents()).toMatchObject([{ particulars: { sessions: 10, finished: false } }]);
  });
});

describe("the lock of a purge", () => {
  test("keeps a second run out, of this process or another, until the first has ended", async () => {
    const other = await core.again();
    const release = await core.store.lock("purge");
    for (const where of [core, other]) expect(await codeOf(run({}, where))).toBe("lock_held");
    await release?.();
    expect(await codeOf(run({}, other))).toBeUndefined();
    await other.store.close();
  });

  test("lets one of 20 parallel runs through, and no row is counted twice", async () => {
    await signInTimes(25);
    core.clock.advance(day);
    const others = await Promise.all([core.again(), core.again()]);
    const removed: number[] = [];
    const codes = await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        codeOf(run({}, [core, ...others][at % 3]).then((purged) => removed.push(purged.removed.sessions))),
      ),
    );
    expect(new Set(codes.filter((code) => code !== undefined))).toEqual(new Set(["lock_held"]));
    expect(removed.reduce((sum, one) => sum + one, 0)).toBe(25);
    for (const other of others) await other.store.close();
  });

  test("is freed where the run fails, and the failure remembered with its code", async () => {
    const broken = { ...core, store: { ...core.store, write: () => Promise.reject(new Error("the disk is full")) } };
    await expect(purge(broken, root, options)).rejects.toThrow("the disk is full");
    expect(await core.store.jobs.failures()).toEqual([]);
    const silent: Store["write"] = (work) =>
      core.store.write((tx) => work({ ...tx, tries: { ...tx.tries, purge: () => fail("unavailable") } }));
    expect(await codeOf(purge({ ...core, store: { ...core.store, write: silent } }, root, options))).toBe(
      "unavailable",
    );
    expect(await core.store.jobs.failures()).toEqual([
      { name: "purge", failedAt: core.clock.now(), problem: "unavailable" },
    ]);
    expect(await codeOf(run())).toBeUndefined();
  });
});
