import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { type AuditPurge, previewAuditPurge, purgeAudit } from "../../src/core/audit/retention.ts";
import { sealAudit } from "../../src/core/audit/sealing.ts";
import { markText, parseMark, verifyAudit } from "../../src/core/audit/verification.ts";
import { eraseAuditOf, record } from "../../src/core/audit.ts";
import { login } from "../../src/core/login.ts";
import { createKeyring } from "../../src/core/secrets.ts";
import {
  changed,
  columnsOf,
  copyEntry,
  failToSignIn,
  findingsOf,
  fiveEntries,
  otherValues,
  personChanged,
} from "../support/audit-trail.ts";
import { codeOf, goodPassword, openTestCore, registerAda, root, type TestCore, visitor } from "../support/core.ts";
import { dialect, rawSql } from "../support/database.ts";
import { anEvent } from "../support/rows.ts";
import { takeOverOnly } from "../support/secrets.ts";
import { until } from "../support/until.ts";
import { watched } from "../support/watched.ts";

/** SQLite has one writer: there nothing commits late. */
const onlyOnPostgres: (name: string, run: () => Promise<void>) => void =
  dialect === "postgres" ? test : () => undefined;

const day = 24 * 3_600_000;
const first = "Zk3uQ9pL7xW2vN8rT5yB1mC6dF4gH0jS";
const second = "Yt8nR4wE6qA1sD3fG5hJ7kL9zX0cV2bM";

let core: TestCore;
beforeEach(async () => {
  core = await openTestCore();
});
afterEach(() => core.close());

const materials = ({ keyring }: TestCore) => keyring.secrets.map(({ material }) => material);

const places = async () => {
  const rows = await rawSql(core, "SELECT id, seq FROM audit_events ORDER BY seq");
  return rows.map(({ seq }) => (seq === null ? null : Number(seq)));
};
const broken = "the head of the chain was missing or forged when the chain was gone on with here";

describe("what nobody has touched", () => {
  test("is found to be as it was written", async () => {
    await fiveEntries(core);
    expect(await verifyAudit(core)).toMatchObject({ sealed: 5, unsealed: 0, unproven: 0, found: 0, findings: [] });
    expect(await places()).toEqual([1, 2, 3, 4, 5]);
  });

  test("is so while the last entries are not sealed", async () => {
    await fiveEntries(core);
    await failToSignIn(core);
    expect(await verifyAudit(core)).toMatchObject({ sealed: 5, unsealed: 1, found: 0 });
  });

  test("is so with entries of every form", async () => {
    const particulars = { b: 1, a: "é\u2028😀", nothing: null, yes: true, half: 0.5, "": "" };
    await core.store.write((tx) => record(core, tx, root, { action: "purge.done", reason: "\\\"'", particulars }));
    await sealAudit(core);
    expect(await findingsOf(core)).toEqual([]);
  });

  test("can be followed without the server secret", async () => {
    await fiveEntries(core);
    const sha256 = (text: string) => createHash("sha256").update(text).digest("base64url");
    let hash = "";
    for (const e of await core.store.auditEvents.chain(10, 0)) {
      const { id, at, action, actorKind, actor, userId, sessionId, requestId, reason, personalDigest } = e;
      const particulars = JSON.parse(e.particulars ?? "null") as object | null;
      const sorted =
        particulars &&
        Object.fromEntries(Object.entries(particulars).toSorted(([one], [other]) => (one < other ? -1 : 1)));
      const said = ["authctl audit entry 1", id, at.getTime(), action, actorKind, actor, userId, sessionId, requestId];
      hash = sha256(`${hash}|${e.seq}|${sha256(JSON.stringify([...said, reason, sorted, personalDigest]))}`);
      expect(e.hash).toBe(hash);
    }
  });
});

describe("behind the server's back", () => {
  beforeEach(async () => {
    await fiveEntries(core);
  });

  test("every column has a value here that it could be changed to", async () => {
    expect(Object.keys(otherValues).toSorted()).toEqual((await columnsOf(core)).toSorted());
  });

  test.each(Object.entries(otherValues))("a changed %s is found, at its place", async (column, value) => {
    const personal = ["ip", "user_agent", "personal_salt"].includes(column);
    for (const seq of column === "seq" ? [3] : [3, 5]) {
      await rawSql(core, `UPDATE audit_events SET ${column} = ${value} WHERE seq = ${seq}`);
      const found = await findingsOf(core);
      if (column === "seq")
        expect(found).toEqual([
          "3: entry 3 is missing",
          "6: entries 6 to 1002 are missing",
          `1003: ${changed}`,
          expect.any(String),
        ]);
      else if (column === "mac") expect(found).toEqual([]);
      else expect(found).toContain(`${seq}: ${personal ? personChanged : changed}`);
    }
  });

  test("a MAC of a secret that there never was proves nothing, and what comes behind it proves the entry", async () => {
    await rawSql(core, `UPDATE audit_events SET mac = ${otherValues["mac"]}, reason = 'x' WHERE seq = 3`);
    expect(await findingsOf(core)).toEqual(["3: it does not follow on the entry before it"]);
  });

  test.each(Object.keys(otherValues).filter((column) => !["id", "at", "action", "actor_kind"].includes(column)))(
    "a %s that was taken away is found",
    async (column) => {
      await rawSql(core, "UPDATE audit_events SET seq = seq + 0 WHERE seq = 4");
      const [row] = await rawSql(core, "SELECT * FROM audit_events WHERE seq = 4");
      if (row?.[column] === null) return expect(await findingsOf(core)).toEqual([]);
      await rawSql(core, `UPDATE audit_events SET ${column} = NULL WHERE seq = 4`);
      expect((await findingsOf(core)).length).toBeGreaterThan(0);
    },
  );

  test("an entry without its MAC is found, wherever it stands", async () => {
    await rawSql(core, "UPDATE audit_events SET mac = NULL WHERE seq IN (1, 3, 5)");
    const problem = "it bears no MAC: it was put there by hand, or by a server of an older version";
    expect(await findingsOf(core)).toEqual([1, 3, 5].map((seq) => `${seq}: ${problem}`));
  });

  test.each([
    [1, ["1: entry 1 is missing"]],
    [3, ["3: entry 3 is missing"]],
    [5, ["4: the chain is cut off: entries up to 5 are missing"]],
  ])("a missing entry %d is found", async (seq, findings) => {
    await rawSql(core, `DELETE FROM audit_events WHERE seq = ${seq}`);
    expect(await findingsOf(core)).toEqual(findings);
    // And still when the chain has gone on.
    await failToSignIn(core);
    await sealAudit(core);
    expect(await findingsOf(core)).toEqual([`${seq}: entry ${seq} is missing`]);
  });

  test("two entries that changed their places are found", async () => {
    for (const [from, to] of [
      [2, -2],
      [4, 2],
      [-2, 4],
    ]) {
      await rawSql(core, `UPDATE audit_events SET seq = ${to} WHERE seq = ${from}`);
    }
    expect(await findingsOf(core)).toEqual([`2: ${changed}`, `4: ${changed}`]);
  });

  test("a copy of an entry is found, whatever place it takes", async () => {
    const id = otherValues["id"]!;
    await copyEntry(core, 4, { id, seq: "NULL" });
    const loose = "null: it has no place in the chain, and is not as it was written";
    expect(await findingsOf(core)).toEqual([loose]);
    await sealAudit(core);
    expect(await findingsOf(core)).toEqual([`6: ${changed}`]);
    await rawSql(core, "UPDATE audit_events SET seq = 7 WHERE seq = 6");
    expect(await findingsOf(core)).toContain(`7: ${changed}`);
  });

  test("an entry that was changed before it was sealed is found, then and later", async () => {
    await failToSignIn(core);
    await rawSql(core, "UPDATE audit_events SET ip = '203.0.113.9' WHERE seq IS NULL");
    expect(await findingsOf(core)).toEqual([`null: ${personChanged}`]);
    await rawSql(core, "UPDATE audit_events SET reason = 'disabled' WHERE seq IS NULL");
    await sealAudit(core);
    expect(await findingsOf(core)).toEqual([`6: ${changed}`, `6: ${personChanged}`]);
  });

  test("an entry that was written by hand is found, then and later", async () => {
    await core.store.write((tx) => tx.auditEvents.insert(anEvent("01900000-0000-7000-8000-000000000000")));
    expect((await findingsOf(core))[0]).toContain("null: it has no place in the chain, and is not as it was written");
    await sealAudit(core);
    expect((await findingsOf(core))[0]).toContain("6: it bears no MAC");
  });

  test("a chain that was made anew, with all hashes, is found at the first entry that was changed", async () => {
    await rawSql(core, "DELETE FROM audit_events WHERE seq = 3");
    const sha256 = (text: string) => createHash("sha256").update(text).digest("base64url");
    const [two] = await core.store.auditEvents.chain(1, 1);
    await rawSql(core, `UPDATE audit_events SET seq = 3, hash = '${sha256(`${two?.hash}|3|x`)}' WHERE seq = 4`);
    await rawSql(core, `UPDATE audit_events SET seq = 4 WHERE seq = 5`);
    expect(await findingsOf(core)).toEqual([
      `3: ${changed}`,
      `4: ${changed}`,
      "4: the chain is cut off: entries up to 5 are missing",
    ]);
  });

  test("particulars that are no JSON are found, and break nothing", async () => {
    if (dialect === "postgres")
      return expect(rawSql(core, "UPDATE audit_events SET particulars = '{'")).rejects.toThrow();
    await rawSql(core, "UPDATE audit_events SET particulars = '{' WHERE seq = 3");
    await failToSignIn(core);
    await sealAudit(core);
    return expect(await findingsOf(core)).toEqual([`3: ${changed}`]);
  });

  test.each([
    ["missing", "DELETE FROM audit_heads"],
    ["without its MAC", "UPDATE audit_heads SET mac = NULL"],
    ["set back", "UPDATE audit_heads SET seq = 3"],
    ["set forward", "UPDATE audit_heads SET seq = 9"],
    ["of another hash", "UPDATE audit_heads SET hash = 'x'"],
    ["with more that was taken over", "UPDATE audit_heads SET adopted = 5"],
  ])("a head that is %s is found, and the chain that goes on says so for good", async (_, sql) => {
    await rawSql(core, sql);
    expect(await findingsOf(core)).toEqual([expect.stringMatching(/^5: the head of the chain is (missing|not as)/)]);
    await failToSignIn(core);
    await sealAudit(core);
    expect(await verifyAudit(core)).toMatchObject({ sealed: 7, unsealed: 0, found: 1 });
    expect(await findingsOf(core)).toEqual([expect.stringContaining(`7: ${broken}`)]);
    expect(core.lines).toContainEqual(expect.objectContaining({ level: "error", event: "audit_chain_broken" }));
  });

  test("an older head of our own, with the entries since then cut off, is found by a head that was kept elsewhere", async () => {
    const [head] = await rawSql(core, "SELECT * FROM audit_heads");
    await failToSignIn(core);
    await sealAudit(core);
    const kept = (await verifyAudit(core)).head;
    expect(parseMark(markText(kept))).toEqual(kept);
    expect(await verifyAudit(core, { mark: kept })).toMatchObject({ found: 0 });
    await rawSql(core, "DELETE FROM audit_events WHERE seq = 6");
    await rawSql(
      core,
      `UPDATE audit_heads SET seq = 5, hash = '${String(head?.["hash"])}', mac = '${String(head?.["mac"])}'`,
    );
    expect(await findingsOf(core)).toEqual([]);
    const shorter = "the chain is shorter than it was when this place was noted";
    expect((await verifyAudit(core, { mark: kept })).findings).toEqual([{ id: null, seq: 6, problem: shorter }]);
    await failToSignIn(core, "grace@example.com");
    await sealAudit(core);
    const another = "the chain has another hash here than the one that was noted";
    expect((await verifyAudit(core, { mark: kept })).findings).toEqual([{ id: null, seq: 6, problem: another }]);
  });

  test("a trail of which nothing is left is found", async () => {
    await rawSql(core, "DELETE FROM audit_events");
    expect(await findingsOf(core)).toEqual(["0: the chain is cut off: entries up to 5 are missing"]);
    await rawSql(core, "DELETE FROM audit_heads");
    expect(await findingsOf(core)).toEqual([expect.stringContaining("0: the head of the chain is missing")]);
  });
});

describe("sealing", () => {
  const sealedNow = async () => (await places()).filter((seq) => seq !== null).length;

  test("comes a quarter of a second after a commit, once for all that came meanwhile", async () => {
    core.clock.advance(1_000);
    await until("the beginning is sealed", async () => (await sealedNow()) === 2);
    await Promise.all(Array.from({ length: 20 }, () => failToSignIn(core)));
    core.clock.advance(249);
    expect(await sealedNow()).toBe(2);
    core.clock.advance(1);
    await until("all is sealed", async () => (await sealedNow()) === 22);
    expect(core.clock.pending).toBe(0);
  });

  test("comes at the latest when the core is closed", async () => {
    const other = await core.again();
    for (let failed = 0; failed < 3; failed++) await failToSignIn(other);
    await other.close();
    expect(await verifyAudit(core)).toMatchObject({ sealed: 5, unsealed: 0 });
  });

  test("that fails is told to the log alone, and made good by the next one", async () => {
    const other = await core.again();
    await rawSql(core, "ALTER TABLE audit_heads RENAME TO audit_heads_away");
    await failToSignIn(other);
    await other.close();
    expect(other.lines).toContainEqual(expect.objectContaining({ level: "error", event: "audit_sealing_failed" }));
    await rawSql(core, "ALTER TABLE audit_heads_away RENAME TO audit_heads");
    await sealAudit(core);
    expect(await findingsOf(core)).toEqual([]);
  });

  test("by 20 at once gives every entry one place", async () => {
    const others = await Promise.all(Array.from({ length: 4 }, () => core.again()));
    await Promise.all(Array.from({ length: 60 }, (_, at) => failToSignIn(others[at % 4] ?? core)));
    await Promise.all(Array.from({ length: 20 }, (_, at) => sealAudit(others[at % 4] ?? core)));
    expect(await places()).toEqual(Array.from({ length: 62 }, (_, at) => at + 1));
    expect(await findingsOf(core)).toEqual([]);
    for (const other of others) await other.close();
  });

  test("of more than one batch goes on to the end", async () => {
    await core.store.write(async (tx) => {
      for (let made = 0; made < 450; made++) await record(core, tx, visitor, { action: "login.failed" });
    });
    await sealAudit(core);
    expect(await verifyAudit(core)).toMatchObject({ sealed: 452, unsealed: 0, found: 0 });
  });

  // SQLite has one writer: there, whoever writes first commits first.
  onlyOnPostgres("gives an entry that commits late a late place", async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const { promise: written, resolve: tell } = Promise.withResolvers<void>();
    const late = core.store.write(async (tx) => {
      await record(core, tx, root, { action: "purge.done", reason: "late" });
      tell();
      await held;
    });
    await written;
    core.clock.advance(1_000);
    await failToSignIn(core);
    await sealAudit(core);
    release();
    await late;
    await sealAudit(core);
    const [last] = (await core.store.auditEvents.chain(10, 0)).slice(-1);
    expect(last).toMatchObject({ seq: 4, reason: "late" });
    expect((await core.store.auditEvents.page({}, 1))[0]?.seq).toBe(3);
    expect(await findingsOf(core)).toEqual([]);
  });

  test("takes over what an older version left, at the beginning and nowhere else", async () => {
    await failToSignIn(core);
    await rawSql(core, "UPDATE audit_events SET mac = NULL, personal_digest = NULL, personal_salt = NULL");
    expect(await verifyAudit(core)).toMatchObject({ unsealed: 3, found: 0 });
    await failToSignIn(core);
    await sealAudit(core);
    expect(await verifyAudit(core)).toMatchObject({ sealed: 4, adopted: 3, found: 0 });
    await rawSql(core, "UPDATE audit_events SET ip = NULL WHERE seq = 3");
    expect(await findingsOf(core)).toEqual([`3: ${personChanged}`]);
  });
});

describe("erasing with a person", () => {
  const erase = (userId: string, limit = 100) => core.store.write((tx) => eraseAuditOf(core, tx, userId, limit));
  const personal = async (userId: string) =>
    (await core.store.auditEvents.page({ involved: userId }, 100)).filter(({ ip, userAgent }) => ip ?? userAgent);

  test("leaves no address and no browser, in batches, and a chain that is whole", async () => {
    const ada = await fiveEntries(core);
    await login(core, visitor, { identifier: "ada@example.com", password: goodPassword, credential: "session" });
    expect(await personal(ada)).toHaveLength(4);
    expect([await erase(ada, 3), await erase(ada, 3), await erase(ada, 3)]).toEqual([3, 1, 0]);
    expect(await personal(ada)).toEqual([]);
    expect(await verifyAudit(core)).toMatchObject({ erased: 4, found: 0 });
    await sealAudit(core);
    expect(await verifyAudit(core)).toMatchObject({ sealed: 6, erased: 4, found: 0 });
  });

  test("leaves others as they are", async () => {
    const ada = await fiveEntries(core);
    const { user } = await registerAda(core, "grace@example.com");
    await erase(ada);
    expect(await personal(user.id)).toHaveLength(1);
  });

  test("by somebody who has only the database is found", async () => {
    const ada = await fiveEntries(core);
    const { user } = await registerAda(core, "grace@example.com");
    await sealAudit(core);
    await erase(ada);
    await rawSql(core, "UPDATE audit_events SET ip = NULL, user_agent = NULL, personal_salt = NULL WHERE seq = 6");
    expect(await findingsOf(core)).toEqual([`6: ${personChanged}`]);
    // The proof of one person's erasure is none of another's.
    const proof = "(SELECT personal_salt FROM audit_events WHERE seq = 3)";
    await rawSql(core, `UPDATE audit_events SET personal_salt = ${proof} WHERE seq = 6`);
    expect(await findingsOf(core)).toEqual([`6: ${personChanged}`]);
    expect(await personal(user.id)).toEqual([]);
  });
});

describe("server secrets", () => {
  const withSecrets = (...secrets: string[]) => core.again({ SECRET_KEY: secrets.join(" ") });

  /** A trail of which the first half was written by the first secret, and the second by the second. */
  async function rotated(): Promise<TestCore> {
    await core.close();
    core = await openTestCore({ SECRET_KEY: first });
    await fiveEntries(core);
    const both = await withSecrets(second, first);
    await takeOverOnly(both);
    await failToSignIn(both);
    await both.close();
    return await withSecrets(second, first);
  }

  test("that were rotated verify what they wrote", async () => {
    const both = await rotated();
    expect(await verifyAudit(both)).toMatchObject({ sealed: 8, unproven: 0, found: 0 });
    await both.close();
  });

  test("that another server does not have yet are no break: it leaves the sealing to those who do", async () => {
    const both = await rotated();
    await failToSignIn(core);
    await sealAudit(core);
    expect(core.lines).toContainEqual(expect.objectContaining({ event: "audit_head_of_unknown_secret" }));
    expect(await verifyAudit(both)).toMatchObject({ sealed: 8, unsealed: 1, found: 0 });
    await sealAudit(both);
    expect(await verifyAudit(both)).toMatchObject({ sealed: 9, unsealed: 0, unproven: 0, found: 0 });
    await both.close();
  });

  test("that were dropped leave entries that those behind them prove", async () => {
    const both = await rotated();
    const dropped = { ...both, keyring: createKeyring([second]) };
    expect(await verifyAudit(dropped)).toMatchObject({ sealed: 8, unproven: 0, found: 0 });
    await rawSql(core, "UPDATE audit_events SET reason = 'x' WHERE seq = 3");
    expect(await findingsOf(dropped)).toEqual(["3: it does not follow on the entry before it"]);
    await both.close();
  });

  test("that are gone without a successor's word leave entries that cannot be proven, and are not called forged", async () => {
    await fiveEntries(core);
    const stranger = { ...core, keyring: createKeyring([second]) };
    const verified = await verifyAudit(stranger);
    expect(verified).toMatchObject({ sealed: 5, unproven: 5, found: 1 });
    expect(verified.findings[0]?.problem).toContain("secret");
  });
});

describe("a purge", () => {
  const options: AuditPurge = { keep: day, batchSize: 2, pause: 20, maxTime: 60_000, maxRows: 1_000_000 };
  const run = async (changes: Partial<AuditPurge> = {}) => {
    const onBatch = () => void setImmediate(() => core.clock.advance(20));
    return await purgeAudit(core, root, { ...options, onBatch, ...changes });
  };

  beforeEach(async () => {
    await fiveEntries(core);
    core.clock.advance(2 * day);
    await failToSignIn(core);
    await sealAudit(core);
  });

  test("removes the beginning, moves the anchor, and leaves a chain that is whole", async () => {
    const { head } = await verifyAudit(core);
    expect(await previewAuditPurge(core, day)).toMatchObject({ rows: 5 });
    expect(await run()).toEqual({ removed: 5, finished: true });
    await sealAudit(core);
    expect(await places()).toEqual([6, 7]);
    expect(await verifyAudit(core, { mark: head })).toMatchObject({ sealed: 2, anchor: { seq: 5 }, found: 0 });
    expect(await core.store.jobs.all()).toMatchObject([{ name: "audit-purge", summary: { entries: 5 } }]);
    const [last] = await core.store.auditEvents.page({}, 1);
    expect(last).toMatchObject({ action: "audit.purged", actor: "root@test", particulars: { entries: 5, up_to: 5 } });
  });

  test("with nothing to do leaves no entry, and says that it ran", async () => {
    expect(await run({ keep: 3 * day })).toEqual({ removed: 0, finished: true });
    expect((await core.store.auditEvents.page({}, 1))[0]?.action).toBe("login.failed");
    expect(await core.store.jobs.all()).toMatchObject([{ name: "audit-purge", summary: { entries: 0 } }]);
  });

  test("ends with its budget, and says that there is more", async () => {
    expect(await run({ maxRows: 3 })).toEqual({ removed: 3, finished: false });
    expect(await run({ maxTime: 0 })).toEqual({ removed: 0, finished: false });
    expect(await run({ interrupted: AbortSignal.abort() })).toEqual({ removed: 0, finished: false });
    expect(await core.store.jobs.all()).toEqual([]);
    expect(await findingsOf(core)).toEqual([]);
    expect(await run()).toEqual({ removed: 2, finished: true });
  });

  test("long ago is proven anew before the secret of that time is dropped", async () => {
    await run();
    // Something is left to be sealed, even where the clock has let the server itself seal what the purge recorded.
    await failToSignIn(core);
    await sealAudit({ ...core, keyring: createKeyring([second, ...materials(core)]) });
    expect(await verifyAudit({ ...core, keyring: createKeyring([second]) })).toMatchObject({
      anchor: { seq: 5 },
      found: 0,
    });
  });

  test("takes everything that is sealed where it is told so, and the next entry goes on with the chain", async () => {
    core.clock.advance(1);
    await run({ keep: 0 });
    await sealAudit(core);
    expect(await places()).toEqual([7]);
    expect(await findingsOf(core)).toEqual([]);
  });

  test("hides no cut: what is missing behind the anchor is found, and so is an anchor that somebody moved", async () => {
    await run({ maxRows: 2 });
    await rawSql(core, "DELETE FROM audit_events WHERE seq IN (3, 4)");
    expect(await findingsOf(core)).toEqual(["3: entries 3 to 4 are missing"]);
    const [five] = await core.store.auditEvents.chain(1, 3);
    await rawSql(core, `UPDATE audit_heads SET seq = 5, hash = '${five?.hash}' WHERE name = 'anchor'`);
    expect(await findingsOf(core)).toContain("5: the note of what was purged is not as it was written");
    expect(await codeOf(run())).toBe("audit_broken");
  });

  test("that fails at any point leaves a chain that is whole", async () => {
    for (let failing = 1; ; failing++) {
      let calls = 0;
      const at = watched(core, (call) => {
        if (++calls === failing) throw new Error(call);
      });
      const onBatch = () => void setImmediate(() => core.clock.advance(20));
      const gotThrough = await purgeAudit(at, root, { ...options, onBatch }).then(
        () => true,
        () => false,
      );
      expect(await findingsOf(core)).toEqual([]);
      if (gotThrough) break;
    }
    expect((await places()).slice(0, 1)).toEqual([6]);
  });

  test("runs once at a time", async () => {
    const runs = await Promise.all(Array.from({ length: 20 }, () => codeOf(run({ pause: 0 }))));
    expect(runs.filter((code) => code === undefined).length).toBeGreaterThan(0);
    expect(runs.every((code) => code === undefined || code === "lock_held")).toBe(true);
    expect((await core.store.auditEvents.page({ action: "audit.purged" }, 9)).length).toBe(1);
  });
});
