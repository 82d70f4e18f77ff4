/** TK-7: another server secret takes over, and nobody notices. */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { anonymous } from "../../src/core/actors.ts";
import { sealAudit } from "../../src/core/audit/sealing.ts";
import { verifyAudit } from "../../src/core/audit/verification.ts";
import { DomainError } from "../../src/core/errors.ts";
import { rememberDevice } from "../../src/core/known-devices.ts";
import { login } from "../../src/core/login.ts";
import { openHash } from "../../src/core/passwords.ts";
import { refresh } from "../../src/core/refresh-tokens.ts";
import { listSecrets, needsOf, verifySecrets } from "../../src/core/secrets/needs.ts";
import { openSealed, sealedPlaces } from "../../src/core/secrets/resealing.ts";
import { retireSecret } from "../../src/core/secrets/rotation.ts";
import { sealedBy, writingVersion } from "../../src/core/secrets.ts";
import {
  beat,
  join as joinServers,
  liveServers,
  type Presence,
  secretsOf,
  startHeartbeat,
} from "../../src/core/servers.ts";
import { authenticate } from "../../src/core/sessions.ts";
import { replaceSigningKeys } from "../../src/core/signing-keys/retirement.ts";
import { currentKeys } from "../../src/core/signing-keys.ts";
import { reservePasswordTry } from "../../src/core/tries.ts";
import { changePassword, forgotPassword } from "../../src/core/users/new-passwords.ts";
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
import { takeOver, takeOverOnly } from "../support/secrets.ts";
import { until } from "../support/until.ts";

const [old, fresh] = ["Zk3uQ9pL7xW2vN8rT5yB1mC6dF4gH0jS", "p0Yt6Rw2Qe8Ui4Oa1Sd7Fg3Hj9Kl5Zxc"];
const email = "ada@example.com";

let core: TestCore;
const others: TestCore[] = [];

afterEach(async () => {
  for (const other of others.splice(0)) await other.close();
  await core.close();
});

const again = async (env: Record<string, string> = {}): Promise<TestCore> => {
  const other = await core.again(env);
  others.push(other);
  return other;
};

const signIn = (credential: "session" | "tokens", where = core, password = goodPassword) =>
  login(where, visitor, { identifier: email, password, credential });

async function sessionToken(where = core): Promise<string> {
  const given = await signIn("session", where);
  if (given.credential !== "session") throw new Error("asked for a session");
  return given.sessionToken;
}

async function refreshToken(where = core): Promise<string> {
  const given = await signIn("tokens", where);
  if (given.credential !== "tokens") throw new Error("asked for tokens");
  return given.refreshToken;
}

async function refreshed(where: TestCore, token: string): Promise<string> {
  const given = await refresh(where, visitor, token);
  if (given.credential !== "tokens") throw new Error("asked for tokens");
  return given.refreshToken;
}

const secretFile = (): string => join(core.directory, "secret.key");
const states = async (): Promise<string[]> => (await listSecrets(core)).map(({ state }) => state);
const presence = (id: string): Presence => ({ id, host: "test", version: "1", startedAt: new Date(0) });

/** Time passes while somebody waits, as it does outside of tests. */
async function passing<T>(work: Promise<T>): Promise<T> {
  let over = false;
  void work.finally(() => (over = true)).catch(() => {});
  await until("the end of a wait", () => {
    core.clock.advance(50);
    return over;
  });
  return await work;
}

describe("TK-7 a rotation", () => {
  test("keeps the new secret in the file, in front of the old one, and seals everything anew", async () => {
    core = await openTestCore();
    const { user } = await registerAda(core);
    const before = writingVersion(core.keyring);
    const rotation = await takeOver(core);
    expect(rotation).toMatchObject({ replaced: before, finished: true });
    expect(rotation.version).not.toBe(before);
    expect(statSync(secretFile()).mode & 0o777).toBe(0o600);
    const kept = readFileSync(secretFile(), "utf8").trim().split(/\s+/);
    expect(kept).toHaveLength(2);
    expect(kept).toEqual(core.keyring.secrets.map(({ material }) => material));
    expect(sealedBy((await core.store.users.byId(user.id))!.passwordHash!)).toBe(rotation.version);
    const { examined } = await verifySecrets(core);
    expect(examined.map(({ older, unopened }) => older + unopened)).toEqual(sealedPlaces.map(() => 0));
    expect(examined.reduce((sum, { rows }) => sum + rows, 0)).toBeGreaterThan(2);
    expect(await states()).toEqual(["retiring", "active"]);
  });

  test("signs nobody out: tokens of every kind go on, and move to the new secret as they are used", async () => {
    core = await openTestCore();
    await registerAda(core);
    const [session, token] = [await sessionToken(), await refreshToken()];
    const { version, replaced } = await takeOver(core);
    expect((await authenticate(core, session, firefox)).user.email).toBe(email);
    const next = await refreshed(core, token);
    expect([token.split(".")[1], next.split(".")[1]]).toEqual([replaced!, version]);
    // An answer that was lost is asked for again, with the token of the old secret.
    expect(await refreshed(core, token)).toBe(next);
    expect(await signIn("session")).toMatchObject({ credential: "session" });
  });

  test("goes on where an earlier one ended, and begins none where it is only to go on", async () => {
    core = await openTestCore();
    await registerAda(core);
    expect(await takeOver(core, { resume: true })).toMatchObject({ replaced: null, resealed: 0, finished: true });
    const { version } = await takeOverOnly(core);
    expect(await takeOver(core)).toMatchObject({ version, replaced: null, finished: true });
    expect(await takeOver(core, { resume: true })).toMatchObject({ version, resealed: 0 });
    // Nothing is left to go on with.
    expect((await takeOver(core)).replaced).toBe(version);
  });

  test("takes the secret that was kept by a run which ended right after", async () => {
    core = await openTestCore();
    writeFileSync(secretFile(), `${fresh}\n${readFileSync(secretFile(), "utf8")}`);
    await takeOver(core, { resume: true });
    expect(core.keyring.secrets[0].material).toBe(fresh);
    expect(readFileSync(secretFile(), "utf8").trim().split(/\s+/)).toHaveLength(2);
  });

  test("needs somebody to set the secret where it comes from the environment", async () => {
    core = await openTestCore({ SECRET_KEY: old });
    expect(await codeOf(takeOver(core))).toBe("secret_not_writable");
    expect(await states()).toEqual(["active"]);
    const set = await again({ SECRET_KEY: `${fresh} ${old}` });
    // It is accepted, and does not write yet.
    expect(writingVersion(set.keyring)).toBe(writingVersion(core.keyring));
    await takeOver(set, { resume: true });
    expect(set.keyring.secrets[0].material).toBe(fresh);
  });

  test("of 20 at once is done by one, and the others are told so", async () => {
    core = await openTestCore();
    await registerAda(core);
    const cores = [core, ...(await Promise.all(Array.from({ length: 19 }, () => again())))];
    const codes = await Promise.all(cores.map((one) => codeOf(takeOver(one))));
    const done = codes.filter((code) => code === undefined).length;
    expect(done).toBeGreaterThan(0);
    expect(codes.filter((code) => code !== undefined && code !== "lock_held")).toEqual([]);
    expect((await states()).filter((state) => state === "active")).toHaveLength(1);
    expect(await states()).toHaveLength(1 + done);
    const last = await again();
    expect((await verifySecrets(last)).examined.every(({ older, unopened }) => older + unopened === 0)).toBe(true);
  });
});

/** A server that was called, and accepts the secret that is about to take over. */
async function accepting(): Promise<TestCore> {
  writeFileSync(secretFile(), `${fresh}\n${readFileSync(secretFile(), "utf8")}`);
  return await again();
}

describe("TK-7 servers", () => {
  test("accept the new secret before any of them writes by it, without a restart", async () => {
    core = await openTestCore();
    await registerAda(core);
    const servers = [await again(), await again()];
    const hearts = [];
    for (const [at, server] of servers.entries()) {
      await joinServers(server, presence(`s${at}`));
      hearts.push(startHeartbeat(server, presence(`s${at}`)));
    }
    const token = await refreshToken(servers[0]);
    const { version } = await passing(takeOver(core, { wait: 20_000 }));
    for (const server of servers) expect(writingVersion(server.keyring)).toBe(version);
    for (const one of await liveServers(core)) expect(secretsOf(one)[0]).toBe(version);
    expect((await refreshed(servers[1]!, token)).split(".")[1]).toBe(version);
    for (const heart of hearts) heart.stop();
  });

  test("that do not accept it keep the old one writing, and are named", async () => {
    core = await openTestCore({ SECRET_KEY: old });
    await registerAda(core);
    await joinServers(core, presence("late"));
    const heart = startHeartbeat(core, presence("late"));
    const operator = await again({ SECRET_KEY: `${fresh} ${old}` });
    const failure = await passing(takeOver(operator, { wait: 20_000 })).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DomainError);
    expect(failure).toMatchObject({ code: "secret_not_accepted", errors: [{ path: "test/late" }] });
    expect(writingVersion(operator.keyring)).toBe(writingVersion(core.keyring));
    heart.stop();
    // Once it has been started anew with both, the rotation goes on.
    const restarted = await again({ SECRET_KEY: `${fresh} ${old}` });
    await beat(restarted, presence("late"));
    const { replaced } = await passing(takeOver(operator, { resume: true, wait: 20_000 }));
    expect(replaced).toBe(writingVersion(core.keyring));
  });

  test("that were told late go on with the old one, and what they issue is good everywhere", async () => {
    core = await openTestCore();
    await registerAda(core);
    const late = await accepting();
    const before = writingVersion(late.keyring);
    const { version } = await takeOver(core);
    const session = await sessionToken(late);
    expect((await authenticate(core, session, firefox)).user.email).toBe(email);
    expect((await core.store.sessions.byId(session.slice(3).split(".")[0]!))?.secretVersion).toBe(before);
    expect((await needsOf(core)).find(({ what }) => what === "sessions")).toMatchObject({ version: before, rows: 1 });
    expect(version).not.toBe(before);
  });

  test("that accept it and do not know yet that it writes hand on no older token for a newer one", async () => {
    core = await openTestCore();
    await registerAda(core);
    const late = await accepting();
    const before = writingVersion(late.keyring);
    const { version } = await takeOver(core);
    expect(writingVersion(late.keyring)).toBe(before);
    const token = await refreshToken(core);
    expect((await refreshed(late, token)).split(".")[1]).toBe(version);
    expect((await refreshed(late, await refreshToken(late))).split(".")[1]).toBe(before);
  });

  test("that slept through it take what the new one has made, at once", async () => {
    core = await openTestCore();
    await registerAda(core);
    const asleep = await again();
    const { version } = await takeOver(core);
    const token = await refreshToken(core);
    expect((await refreshed(asleep, token)).split(".")[1]).toBe(version);
    const another = await again();
    await takeOver(core);
    expect(await signIn("session", another)).toMatchObject({ credential: "session" });
    // What nobody has made is not looked for over and over.
    const reads: number[] = [];
    const shelf = { ...core.secretShelf, read: () => (reads.push(1), core.secretShelf.read()) };
    const forged = token.replace(version, "unheard0");
    for (let turn = 0; turn < 20; turn++)
      expect(await codeOf(refresh({ ...core, secretShelf: shelf }, visitor, forged))).toBe("unauthenticated");
    expect(reads).toHaveLength(1);
  });

  test("do not begin where another secret writes than they hold, and nothing is touched", async () => {
    core = await openTestCore({ SECRET_KEY: old });
    await registerAda(core);
    const heldByNobody = await core.again({ SECRET_KEY: `${fresh} ${old}` });
    await takeOver(heldByNobody);
    const events = await core.store.auditEvents.count();
    expect(await codeOf(core.again({ SECRET_KEY: old }))).toBe("secret_mismatch");
    expect(await codeOf(core.again({ SECRET_KEY: "x9Yt6Rw2Qe8Ui4Oa1Sd7Fg3Hj9Kl5Z00" }))).toBe("secret_mismatch");
    // Whoever was opened before and has not begun to serve yet finds it out then.
    expect(await codeOf(joinServers(core, presence("old")))).toBe("secret_mismatch");
    expect(await core.store.auditEvents.count()).toBe(events);
    await heldByNobody.close();
  });

  test("keep what they have where the file cannot be read, and say so", async () => {
    core = await openTestCore();
    const server = await again();
    await joinServers(server, presence("s"));
    const heart = startHeartbeat(server, presence("s"));
    const text = readFileSync(secretFile(), "utf8");
    writeFileSync(secretFile(), "half");
    await core.store.write((tx) => tx.servers.call("call", new Date(0)));
    await until("a line in the log", () => {
      core.clock.advance(1_000);
      return server.lines.some(({ event }) => event === "secrets_not_read");
    });
    expect(server.keyring.secrets).toHaveLength(1);
    expect((await currentKeys(server)).signing.kid).toBeString();
    heart.stop();
    writeFileSync(secretFile(), text);
  });
});

describe("what goes on beside it", () => {
  test("a sign-in that has read the hash before it was sealed anew is let in", async () => {
    core = await openTestCore();
    const { user } = await registerAda(core);
    const slow = await accepting();
    const { promise: isHashing, resolve: hashing } = Promise.withResolvers<void>();
    const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>();
    const hashing_ = slow.hashing;
    const verify: typeof hashing_.verify = async (...given) => {
      hashing();
      await mayGoOn;
      return await hashing_.verify(...given);
    };
    const halting = { ...slow, hashing: { ...hashing_, verify } } as unknown as TestCore;
    const signing = signIn("session", halting);
    await isHashing;
    const { version } = await takeOver(core);
    goOn();
    expect(await signing).toMatchObject({ credential: "session" });
    const stored = (await core.store.users.byId(user.id))!.passwordHash!;
    expect(sealedBy(stored)).toBe(version);
    expect(openHash(core, user.id, stored)).toStartWith("$argon2id$");
  });

  test("a password that is changed while everything is sealed anew stays changed", async () => {
    core = await openTestCore();
    const { user } = await registerAda(core);
    const by = (await authenticate(core, await sessionToken(), firefox)).by;
    const next = "another good password for ada";
    let changed = false;
    const replace = core.store.write;
    const store: typeof core.store = {
      ...core.store,
      // Between what was read and what is written.
      write: async (work) => {
        const mine = await core.store.sealedTexts.page("users.password_hash", 1, {});
        if (!changed && writingVersion(core.keyring) !== sealedBy(mine[0]!.text)) {
          changed = true;
          await changePassword(core, by, goodPassword, next);
        }
        return await replace(work);
      },
    };
    await takeOver({ ...core, store });
    expect(changed).toBe(true);
    expect(await codeOf(signIn("session"))).toBe("invalid_credentials");
    expect(await signIn("session", core, next)).toMatchObject({ credential: "session" });
    expect(
      openSealed(
        core.keyring,
        "users.password_hash",
        (await core.store.sealedTexts.page("users.password_hash", 1, {}))[0]!,
      ),
    ).toBeString();
    expect(user.id).toBeString();
  });

  test("40 sign-ins and refreshes during ten rotations are all taken", async () => {
    core = await openTestCore();
    await registerAda(core);
    const server = await again();
    await joinServers(server, presence("s"));
    const heart = startHeartbeat(server, presence("s"));
    const tokens = await Promise.all(Array.from({ length: 20 }, () => refreshToken(server)));
    const sessions = await Promise.all(Array.from({ length: 5 }, () => sessionToken(server)));
    for (let round = 0; round < 10; round++) {
      const rotating = passing(takeOver(core, { wait: 20_000 }));
      const refreshing = tokens.map((token, at) => refreshed(at % 2 === 0 ? server : core, token));
      const checks = sessions.map((token) => authenticate(server, token, firefox));
      const logins = Array.from({ length: 4 }, () => signIn("tokens", server));
      tokens.splice(0, tokens.length, ...(await Promise.all(refreshing)));
      await Promise.all([...checks, ...logins, rotating]);
      core.clock.advance(1);
    }
    heart.stop();
    expect(await states()).toEqual([...Array.from({ length: 10 }, () => "retiring"), "active"]);
    for (const token of sessions) expect((await authenticate(core, token, firefox)).user.email).toBe(email);
    // It waits for the server, which is silent by now, and goes on without it.
    await passing(takeOver(core, { resume: true }));
    expect((await verifySecrets(core)).examined.every(({ older, unopened }) => older + unopened === 0)).toBe(true);
  });

  test("a signing key that is rotated at the same time keeps its private part", async () => {
    core = await openTestCore();
    await Promise.all([takeOver(core), replaceSigningKeys(core, root)]);
    await takeOver(core, { resume: true });
    const other = await again();
    core.clock.advance(5_000);
    expect((await currentKeys(other)).signing.kid).toBe((await currentKeys(core)).signing.kid);
  });
});

describe("what is counted", () => {
  test("LI-1 mails to an address are counted on: a new secret forgets none", async () => {
    core = await openTestCore({ RATE_LIMITS: "on" });
    const ask = (where: TestCore, ip: string) =>
      forgotPassword(where, anonymous({ ...firefox, ip }), "nobody@example.com");
    let asked = 0;
    while ((await codeOf(ask(core, `192.0.2.${asked}`))) === undefined) asked += 1;
    expect(asked).toBeGreaterThan(0);
    await takeOver(core);
    expect(await codeOf(ask(core, "198.51.100.1"))).toBe("rate_limited");
  });

  test("LI-1 a name that nobody has stays as locked as one that somebody has", async () => {
    core = await openTestCore({ RATE_LIMITS: "on" });
    const attempt = (ip: string) =>
      codeOf(
        reservePasswordTry(core, anonymous({ ...firefox, ip }), { user: undefined, identifier: "nobody@example.com" }),
      );
    let tried = 0;
    while ((await attempt(`192.0.2.${tried}`)) === undefined) tried += 1;
    await takeOver(core);
    expect(await attempt("198.51.100.1")).toBe("rate_limited");
  });

  test("LI-2 a known device keeps its name, and is signed by the new secret at the next sign-in", async () => {
    core = await openTestCore();
    const { user } = await registerAda(core);
    const proof = rememberDevice(core, user.id, undefined);
    await takeOver(core);
    const renewed = rememberDevice(core, user.id, proof);
    expect(renewed.split(".")[1]).toBe(proof.split(".")[1]);
    expect(renewed).not.toBe(proof);
  });
});

describe("a secret is retired", () => {
  const retire = (version: string, force = false) => retireSecret(core, root, version, { force });
  const settled = () => core.clock.advance(30_000);

  test("only when nothing needs it: neither a session, nor a refresh token that may come again, nor who may still write by it", async () => {
    core = await openTestCore();
    await registerAda(core);
    const session = await sessionToken();
    const token = await refreshToken();
    const { replaced } = await takeOver(core);
    const what = async () => (await needsOf(core)).map((need) => need.what);
    expect(await what()).toEqual(["sessions", "refresh_families", "writers"]);
    expect(await codeOf(retire(replaced!))).toBe("secret_in_use");
    settled();
    expect(await what()).toEqual(["sessions", "refresh_families"]);
    // The first refresh leaves the old token in its grace; with the second one nothing of it can come again.
    const next = await refreshed(core, token);
    expect(await what()).toEqual(["sessions", "refresh_families"]);
    await refreshed(core, next);
    expect(await what()).toEqual(["sessions"]);
    core.clock.advance(core.settings.SESSION_ABSOLUTE_TTL);
    expect(await what()).toEqual([]);
    expect((await verifySecrets(core)).droppable).toEqual([replaced!]);
    expect(await retire(replaced!)).toEqual({ version: replaced!, ended: 0, removed: true });
    expect(readFileSync(secretFile(), "utf8").trim().split(/\s+/)).toHaveLength(1);
    expect(core.keyring.secrets).toHaveLength(1);
    expect(await codeOf(authenticate(core, session, firefox))).toBe("unauthenticated");
    // Again, it is done already.
    expect(await retire(replaced!)).toMatchObject({ ended: 0, removed: true });
  });

  test("never while it writes, while a text is sealed by it, or where there is none", async () => {
    core = await openTestCore();
    await registerAda(core);
    expect(await codeOf(retire(writingVersion(core.keyring)))).toBe("secret_in_use");
    expect(await codeOf(retire("nonsense"))).toBe("not_found");
    const { replaced } = await takeOverOnly(core);
    settled();
    expect(await codeOf(retire(replaced!))).toBe("secret_in_use");
    expect(await codeOf(retire(replaced!, true))).toBe("secret_in_use");
    await takeOver(core, { resume: true });
    expect(await retire(replaced!)).toMatchObject({ removed: true });
  });

  test("by force with the sessions that need it, and no others", async () => {
    core = await openTestCore();
    await registerAda(core);
    const [session, token] = [await sessionToken(), await refreshToken()];
    const { replaced } = await takeOver(core);
    const mine = await sessionToken();
    settled();
    expect(await retire(replaced!, true)).toMatchObject({ ended: 2 });
    expect(await codeOf(authenticate(core, session, firefox))).toBe("unauthenticated");
    expect(await codeOf(refresh(core, visitor, token))).toBe("unauthenticated");
    expect((await authenticate(core, mine, firefox)).user.email).toBe(email);
    const [ended] = await core.store.auditEvents.page({ action: "session.revoked" }, 1);
    expect(ended?.particulars).toEqual({ why: "secret-retired" });
  });

  test("and the audit trail that it proved stays proven, over several rotations", async () => {
    core = await openTestCore();
    await registerAda(core);
    await sealAudit(core);
    for (let round = 0; round < 3; round++) {
      const { replaced } = await takeOver(core);
      settled();
      await retire(replaced!);
    }
    await sealAudit(core);
    expect(await states()).toEqual(["retired", "retired", "retired", "active"]);
    const bare = await again();
    expect(bare.keyring.secrets).toHaveLength(1);
    expect(await verifyAudit(bare)).toMatchObject({ unproven: 0, found: 0 });
    // What checks the trail does nothing else.
    expect(bare.keyring.auditKeys.size).toBe(3);
  });

  test("for good: put back into the file, it is accepted by nobody", async () => {
    core = await openTestCore();
    await registerAda(core);
    const before = readFileSync(secretFile(), "utf8");
    const session = await sessionToken();
    const { replaced } = await takeOver(core);
    settled();
    await retire(replaced!, true);
    writeFileSync(secretFile(), `${readFileSync(secretFile(), "utf8")}${before}`);
    const other = await again();
    expect(other.keyring.secrets).toHaveLength(1);
    expect(await codeOf(authenticate(other, session, firefox))).toBe("unauthenticated");
  });
});
