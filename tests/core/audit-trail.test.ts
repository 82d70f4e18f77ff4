import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { anonymous, operator } from "../../src/core/actors.ts";
import { explainSession } from "../../src/core/audit/explanation.ts";
import { whatOf } from "../../src/core/audit/narration.ts";
import { sealAudit } from "../../src/core/audit/sealing.ts";
import { followAudit, pageOfAudit, pagesOfAudit } from "../../src/core/audit/trail.ts";
import { type Action, actionNames, actions, record } from "../../src/core/audit.ts";
import type { Core } from "../../src/core/core.ts";
import { resetCounts } from "../../src/core/limit-counts.ts";
import { login, signOut } from "../../src/core/login.ts";
import { purge, purgeKinds } from "../../src/core/purging.ts";
import { refresh } from "../../src/core/refresh-tokens.ts";
import { grantRole, revokeRole } from "../../src/core/roles.ts";
import { authenticate, revokeOwnSession, revokeSessions, signOutEverywhere } from "../../src/core/sessions.ts";
import { replaceSigningKeys } from "../../src/core/signing-keys/retirement.ts";
import { proveAgain } from "../../src/core/step-up.ts";
import { changePassword, setPassword } from "../../src/core/users/new-passwords.ts";
import { register } from "../../src/core/users/registration.ts";
import { createUser, deleteOwnAccount, deleteUser, disableUser, enableUser, updateUser } from "../../src/core/users.ts";
import type { AuditFilter } from "../../src/store/audit-events.ts";
import { failToSignIn } from "../support/audit-trail.ts";
import {
  codeOf,
  firefox,
  goodPassword,
  openTestCore,
  registerAda,
  root,
  safari,
  type TestCore,
  visitor,
} from "../support/core.ts";
import { dialect } from "../support/database.ts";
import { watched } from "../support/watched.ts";

/** SQLite has one writer: there nothing commits late. */
const onlyOnPostgres: (name: string, run: () => Promise<void>) => void =
  dialect === "postgres" ? test : () => undefined;

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const another = "another good long phrase";

let core: TestCore;
beforeEach(async () => {
  core = await openTestCore();
});
afterEach(() => core.close());

const signIn = (credential: "session" | "tokens" = "session", at: Core = core) =>
  login(at, visitor, { identifier: "ada@example.com", password: goodPassword, credential });
const sessionIn = async (credential: "session" | "tokens" = "session") => {
  const given = await signIn(credential);
  return { id: given.standing.session.id, given };
};
const tokensIn = async () => {
  const { id, given } = await sessionIn("tokens");
  if (given.credential !== "tokens") throw new Error("asked for tokens");
  return { id, given };
};
const refreshToken = async (token: string, client = firefox) => await refresh(core, anonymous(client), token);
const newest = async () => (await core.store.auditEvents.page({}, 1))[0];

describe("every sign-in and failure", () => {
  test("records who, what, on whom, from where, with which request id and why", async () => {
    const { user } = await registerAda(core);
    const from = { ip: firefox.ip, userAgent: firefox.userAgent, requestId: "test-request", actorKind: "anonymous" };
    const { id } = await sessionIn();
    expect(await newest()).toMatchObject({ ...from, action: "login.succeeded", userId: user.id, sessionId: id });
    await failToSignIn(core);
    expect(await newest()).toMatchObject({
      ...from,
      action: "login.failed",
      userId: user.id,
      reason: "wrong-password",
    });
    await failToSignIn(core, "nobody@example.com");
    expect(await newest()).toMatchObject({ ...from, action: "login.failed", userId: null, reason: "unknown-user" });
    await disableUser(core, operator("root@test", "on leave"), user.id);
    expect(await newest()).toMatchObject({ actor: "root@test", reason: "on leave", ip: null });
    expect(await codeOf(signIn())).toBe("invalid_credentials");
    expect(await newest()).toMatchObject({ ...from, action: "login.failed", userId: user.id, reason: "disabled" });
  });

  test("whose password was changed in the meantime is a failure too", async () => {
    const { user } = await registerAda(core);
    let isFirst = true;
    const at = watched(core, () => {});
    const store: TestCore["store"] = {
      ...at.store,
      write: async (work) => {
        if (isFirst) {
          isFirst = false;
          await setPassword(core, root, user.id, another);
        }
        return await at.store.write(work);
      },
    };
    expect(await codeOf(signIn("session", { ...at, store }))).toBe("invalid_credentials");
    expect(await newest()).toMatchObject({ action: "login.failed", userId: user.id, reason: "changed-meanwhile" });
  });

  test("never keeps more of a header than real ones have", async () => {
    const by = anonymous({ ...firefox, userAgent: "x".repeat(9_000) });
    await register(core, by, { email: "ada@example.com", password: goodPassword });
    expect((await newest())?.userAgent).toHaveLength(512);
  });
});

/**
 * What needs no entry of its own: reading, counting, the use of a session, an ordinary rotation, and the batches of
 * a purge, of which its end tells.
 */
const silent = new RegExp(
  [
    "^(auditHeads|tries|servers|jobs)\\.",
    "\\.(by[A-Z]\\w*|standing|ofUser|rolesOf|heldBy|names|current|countActive|oldest|chain)$",
    "\\.(claim|claimRole|touch|advance|countRetry|purge|retireExpired|removeExpired)$",
  ].join("|"),
);

describe("whatever changes something records it", () => {
  const acts: Readonly<Record<string, readonly [Action, (at: Core, id: string) => Promise<unknown>]>> = {
    register: ["user.registered", (at) => register(at, visitor, { email: "g@example.com", password: goodPassword })],
    createUser: ["user.created", (at) => createUser(at, root, { email: "g@example.com" })],
    updateUser: ["user.updated", (at, id) => updateUser(at, root, id, { username: "ada.l" })],
    disableUser: ["user.disabled", (at, id) => disableUser(at, root, id)],
    enableUser: [
      "user.enabled",
      async (at, id) => {
        await disableUser(core, root, id);
        await enableUser(at, root, id);
      },
    ],
    deleteUser: ["user.deleted", (at, id) => deleteUser(at, root, id)],
    deleteOwnAccount: ["user.deleted", async (at) => deleteOwnAccount(at, (await principal()).by, goodPassword)],
    setPassword: ["user.password_changed", (at, id) => setPassword(at, root, id, another)],
    changePassword: [
      "user.password_changed",
      async (at) => changePassword(at, (await principal()).by, goodPassword, another),
    ],
    grantRole: ["user.role_granted", (at, id) => grantRole(at, root, id, "admin")],
    revokeRole: ["user.role_revoked", (at, id) => revokeRole(at, root, id, "user")],
    login: ["login.succeeded", (at) => signIn("tokens", at)],
    signOut: ["session.revoked", async (at) => signOut(at, visitor, [(await tokensIn()).given.refreshToken])],
    revokeOwnSession: [
      "session.revoked",
      async (at) => {
        const { by } = await principal();
        await revokeOwnSession(at, by, by.session.id);
      },
    ],
    revokeSessions: [
      "session.revoked",
      async (at, userId) => revokeSessions(at, root, [{ id: (await sessionIn()).id, userId }]),
    ],
    signOutEverywhere: ["session.all_revoked", (at, id) => signOutEverywhere(at, root, id)],
    "another client": [
      "session.client_changed",
      async (at) => codeOf(authenticate(at, (await tokensIn()).given.accessToken, safari)),
    ],
    "another network": [
      "session.network_changed",
      async (at) => {
        const { given } = await tokensIn();
        core.clock.advance(minute);
        await authenticate(at, given.accessToken, { ...firefox, ip: "203.0.113.9" });
      },
    ],
    "a late retry": [
      "refresh.late_retry",
      async (at) => {
        const { given } = await tokensIn();
        await refresh(core, visitor, given.refreshToken);
        core.clock.advance(minute);
        await refresh(at, visitor, given.refreshToken);
      },
    ],
    reuse: [
      "refresh.reused",
      async (at) => {
        const { given } = await tokensIn();
        const next = await refresh(core, visitor, given.refreshToken);
        if (next.credential === "tokens") await refresh(core, visitor, next.refreshToken);
        await codeOf(refresh(at, visitor, given.refreshToken));
      },
    ],
    proveAgain: ["session.proved", async (at) => proveAgain(at, (await principal()).by, goodPassword)],
    resetCounts: [
      "limit.reset",
      async (at, id) => {
        const limited = await core.again({ RATE_LIMITS: "on" });
        await failToSignIn(limited);
        await limited.store.close();
        await resetCounts(at, root, id);
      },
    ],
    replaceSigningKeys: ["key.rotated", (at) => replaceSigningKeys(at, root)],
    purge: [
      "purge.done",
      async (at) => {
        await signIn();
        core.clock.advance(day);
        const budget = { batchSize: 500, pause: 0, maxTime: minute, maxRows: 500 };
        await purge(at, root, { kinds: purgeKinds, olderThan: 0, ...budget });
      },
    ],
  };
  const principal = async () => await authenticate(core, (await tokensIn()).given.accessToken, firefox);

  test.each(Object.entries(acts))("%s", async (_, [action, act]) => {
    const { user } = await registerAda(core);
    const before = (await core.store.auditEvents.page({ action }, 100)).length;
    let writes: string[] = [];
    const unrecorded: string[][] = [];
    const at = watched(core, (call) => {
      if (call === "write") writes = [];
      else if (call !== "commit") writes.push(call);
      else if (writes.some((one) => !silent.test(one)) && !writes.includes("auditEvents.insert"))
        unrecorded.push(writes);
    });
    await act(at, user.id);
    expect((await core.store.auditEvents.page({ action }, 100)).length).toBeGreaterThan(before);
    expect(unrecorded).toEqual([]);
  });

  test("every action has its words", async () => {
    for (const action of actionNames) {
      await core.store.write((tx) => record(core, tx, root, { action, particulars: { why: "to see", rows: 3 } }));
    }
    const told = (await core.store.auditEvents.pageOnwards({ actor: "root@test" }, 100)).map(whatOf);
    expect(told).toEqual(Object.values(actions).map((words) => `${words}: to see, rows 3`));
  });
});

describe("pages", () => {
  const all = async (filter: AuditFilter, newestOnes?: number): Promise<string[]> => {
    const ids: string[] = [];
    for await (const page of pagesOfAudit(core, filter, newestOnes)) ids.push(...page.map(({ id }) => id));
    return ids;
  };

  beforeEach(async () => {
    await registerAda(core);
    await core.store.write(async (tx) => {
      for (let made = 0; made < 450; made++) {
        core.clock.advance(1);
        const particulars = { made };
        const action = made % 3 === 0 ? "mail.retried" : "mail.failed";
        await record(core, tx, made % 2 === 0 ? root : visitor, { action, particulars });
      }
    });
  });

  test("go to the end, oldest first, or begin at the newest so many", async () => {
    const ids = await all({});
    expect(ids).toHaveLength(453);
    expect(ids).toEqual(ids.toSorted());
    for (const number of [1, 199, 200, 201, 452, 453, 999]) expect(await all({}, number)).toEqual(ids.slice(-number));
    expect(await all({ actor: "root@test" }, 200)).toHaveLength(200);
  });

  test("are filtered by everything at once", async () => {
    expect(await all({ actor: "root@test" })).toHaveLength(225);
    expect(await all({ action: "mail.retried" })).toHaveLength(150);
    expect(await all({ ip: firefox.ip!, action: "mail.failed" })).toHaveLength(150);
    const noon = Date.parse("2026-01-01T12:00:00Z");
    const [since, until] = [new Date(noon + 100), new Date(noon + 201)];
    expect(await all({ since, until })).toHaveLength(101);
    expect(await all({ since: until })).toHaveLength(250);
    expect(await all({ since, until, action: "mail.retried", actor: "root@test" })).toHaveLength(17);
  });

  test("of a user hold what was done by and to the user, once and in order", async () => {
    const { user } = await registerAda(core, "grace@example.com");
    await grantRole(core, root, user.id, "admin");
    const { by } = await authenticate(core, await accessTokenOf("grace@example.com"), firefox);
    const ada = (await core.store.users.byEmailKey("ada@example.com"))!;
    await grantRole(core, by, ada.id, "admin");
    await core.store.write((tx) => record(core, tx, by, { action: "users.exported" }));
    await updateUser(core, by, user.id, { fullName: "Grace" });
    const told = (await core.store.auditEvents.pageOnwards({ involved: user.id }, 9)).map(({ action }) => action);
    const byHer = ["login.succeeded", "user.role_granted", "users.exported", "user.updated"] as const;
    expect(told).toEqual(["user.registered", "user.role_granted", ...byHer]);
    expect(await all({ involved: user.id, action: "user.role_granted" })).toHaveLength(2);
    expect(await all({ userId: user.id })).toHaveLength(4);
  });
  const accessTokenOf = async (identifier: string) => {
    const given = await login(core, visitor, { identifier, password: goodPassword, credential: "tokens" });
    return given.credential === "tokens" ? given.accessToken : "";
  };

  test("of the API go on where the last one ended, whatever has come since", async () => {
    const ids = (await all({})).toReversed();
    const seen: string[] = [];
    for (let cursor: string | undefined, isFirst = true; isFirst || cursor !== undefined; isFirst = false) {
      const page = await pageOfAudit(core, {}, { limit: 100, cursor });
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
      core.clock.advance(1);
      await failToSignIn(core);
    }
    expect(seen).toEqual(ids);
    for (const broken of ["", "x", "AZ7r", `${ids[0]}`, "AZt5bdYAdFSwQmgSe9tCKA=="])
      expect(await codeOf(pageOfAudit(core, {}, { limit: 1, cursor: broken }))).toBe("validation_failed");
  });
});

describe("whoever follows the trail", () => {
  /** What comes, page by page, each time as long as it is asked for. */
  function following(filter: AuditFilter, last: number) {
    const end = new AbortController();
    const pages = followAudit(core, filter, last, end.signal);
    const next = async (): Promise<unknown[]> => {
      const step = pages.next();
      for (let isOver = false; !isOver; ) {
        isOver = await Promise.race([step.then(() => true), Bun.sleep(5).then(() => false)]);
        if (!isOver) core.clock.advance(500);
      }
      const { value } = await step;
      return (value ?? []).map(({ reason, action }) => reason ?? action);
    };
    return { next, end };
  }
  const note = (reason: string) => core.store.write((tx) => record(core, tx, root, { action: "purge.done", reason }));

  test("sees the newest, and then each new one once", async () => {
    await note("a");
    await sealAudit(core);
    await note("b");
    const { next, end } = following({ action: "purge.done" }, 5);
    expect(await next()).toEqual(["a", "b"]);
    await note("c");
    expect(await next()).toEqual(["c"]);
    await Promise.all(["d", "e"].map(note));
    // One that is sealed while the other commits comes by itself.
    const [first, second = (await next())[0]] = await next();
    expect(new Set([first, second])).toEqual(new Set(["d", "e"]));
    end.abort();
    expect(await next()).toEqual([]);
  });

  // SQLite has one writer: there, whoever writes first commits first.
  onlyOnPostgres("sees an entry too that commits after younger ones", async () => {
    const { next, end } = following({ action: "purge.done" }, 5);
    const [held, written] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const late = core.store.write(async (tx) => {
      await record(core, tx, root, { action: "purge.done", reason: "late" });
      written.resolve();
      await held.promise;
    });
    await written.promise;
    await note("young");
    expect(await next()).toEqual(["young"]);
    held.resolve();
    await late;
    expect(await next()).toEqual(["late"]);
    end.abort();
    expect(await next()).toEqual([]);
  });
});

describe("a session is explained:", () => {
  const why = async (id: string) => (await explainSession(core, id)).why;
  let userId: string;
  beforeEach(async () => {
    userId = (await registerAda(core)).user.id;
  });

  test("alive", async () => {
    const { id } = await sessionIn();
    expect(await explainSession(core, id)).toMatchObject({ alive: true, since: core.clock.now(), by: null });
    expect(await why(id)).toBe(
      "alive until 2026-01-01T13:00:00Z if it is not used again, and until 2026-01-02T12:00:00Z at the latest; last used 2026-01-01T12:00:00Z by Firefox on Linux from 192.0.2.7",
    );
  });

  test("a spent refresh token came back", async () => {
    const { id, given } = await tokensIn();
    const next = await refreshToken(given.refreshToken);
    if (next.credential !== "tokens") throw new Error("asked for tokens");
    await refreshToken(next.refreshToken);
    core.clock.advance(38_000);
    const thief = { ...safari, ip: "198.51.100.7" };
    const stolen = { ...core, settings: { ...core.settings, SESSION_BINDING: "off" as const } };
    expect(await codeOf(refresh(stolen, anonymous(thief), next.refreshToken))).toBe("refresh_token_reused");
    expect(await explainSession(core, id)).toMatchObject({ alive: false, since: core.clock.now(), by: "its user" });
    expect(await why(id)).toBe(
      "revoked 2026-01-01T12:00:38Z by refresh-token-reused: generation 2 presented by Safari on macOS from 198.51.100.7, 38 s after it was spent",
    );
  });

  test("a refresh token of long ago came back", async () => {
    const { id, given } = await tokensIn();
    const next = await refreshToken(given.refreshToken);
    if (next.credential === "tokens") await refreshToken(next.refreshToken);
    expect(await codeOf(refreshToken(given.refreshToken))).toBe("refresh_token_reused");
    expect(await why(id)).toBe(
      "revoked 2026-01-01T12:00:00Z by refresh-token-reused: generation 1 presented by Firefox on Linux from 192.0.2.7, when generation 3 was the current one",
    );
  });

  test("it came from another client", async () => {
    const { id, given } = await tokensIn();
    await codeOf(refreshToken(given.refreshToken, safari));
    expect(await why(id)).toBe(
      "revoked 2026-01-01T12:00:00Z by another-client: given to Firefox on Linux, presented by Safari on macOS from 192.0.2.7",
    );
  });

  test("its user signed out", async () => {
    const { id, given } = await tokensIn();
    await signOut(core, visitor, [given.refreshToken]);
    expect(await why(id)).toBe("revoked 2026-01-01T12:00:00Z by logout: by its user, Firefox on Linux from 192.0.2.7");
  });

  test("an operator ended it", async () => {
    const { id } = await sessionIn();
    await revokeSessions(core, operator("root@test", "lost laptop"), [{ id, userId }]);
    const sentence = "revoked 2026-01-01T12:00:00Z by revoked-by-operator: by operator root@test (lost laptop)";
    expect(await explainSession(core, id)).toMatchObject({ why: sentence, by: "operator root@test (lost laptop)" });
  });

  test("it rested for too long", async () => {
    const { id } = await sessionIn();
    core.clock.advance(2 * hour);
    const sentence = "expired 2026-01-01T13:00:00Z: it was last used 2026-01-01T12:00:00Z, and rested for too long";
    expect(await why(id)).toBe(sentence);
    // Whatever comes later is not what ended it.
    await disableUser(core, root, userId);
    expect(await why(id)).toBe(sentence);
  });

  test("it reached its absolute limit", async () => {
    const { id, given } = await sessionIn();
    const token = given.credential === "session" ? given.sessionToken : "";
    for (let hours = 0; hours < 24; hours += 0.5) {
      await authenticate(core, token, firefox);
      core.clock.advance(hour / 2);
    }
    expect(await why(id)).toBe("expired 2026-01-02T12:00:00Z: it reached its absolute limit, 24 h after it began");
  });

  test("its user was signed out everywhere, and the cause of that", async () => {
    const { id } = await sessionIn();
    await signOutEverywhere(core, root, userId);
    const all = "signed out with every session of its user 2026-01-01T12:00:00Z";
    expect(await why(id)).toBe(`${all}: by operator root@test`);
    core.clock.advance(minute);
    const { id: second, given } = await tokensIn();
    const { by } = await authenticate(core, (await tokensIn()).given.accessToken, firefox);
    await changePassword(core, by, goodPassword, another);
    expect(await why(second)).toBe(
      "signed out with every session of its user 2026-01-01T12:01:00Z: the password was changed, by its user, Firefox on Linux from 192.0.2.7",
    );
    expect((await explainSession(core, by.session.id)).alive).toBe(true);
    expect(given.credential).toBe("tokens");
  });

  test("its user was disabled, and enabled again", async () => {
    const { id } = await sessionIn();
    await disableUser(core, operator("root@test", "on leave"), userId);
    const by = "by operator root@test (on leave)";
    expect(await why(id)).toBe(`dead since its user was disabled 2026-01-01T12:00:00Z: ${by}`);
    core.clock.advance(minute);
    await enableUser(core, root, userId);
    expect(await why(id)).toBe(
      `signed out with every session of its user 2026-01-01T12:00:00Z: the user was disabled, ${by}`,
    );
  });

  test("its user was deleted", async () => {
    const { id } = await sessionIn();
    await deleteUser(core, root, userId);
    expect(await explainSession(core, id)).toMatchObject({ userId, alive: false, by: "operator root@test" });
    expect(await why(id)).toBe("gone since its user was deleted 2026-01-01T12:00:00Z: by operator root@test");
  });

  test("its row was purged", async () => {
    const [{ id }, { id: revoked }] = [await sessionIn(), await sessionIn()];
    await revokeSessions(core, root, [{ id: revoked, userId }]);
    core.clock.advance(2 * day);
    await core.store.write((tx) => tx.sessions.purge(core.clock.now(), 9));
    expect(await why(id)).toBe("gone: it began 2026-01-01T12:00:00Z, and was removed after it had ended");
    expect(await why(revoked)).toBe(
      "revoked 2026-01-01T12:00:00Z by revoked-by-operator: by operator root@test; its row has been removed since",
    );
  });

  test("nobody has ever heard of it", async () => {
    expect(await codeOf(explainSession(core, "01900000-0000-7000-8000-000000000000"))).toBe("not_found");
  });
});
