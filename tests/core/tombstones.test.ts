import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { verifyAudit } from "../../src/core/audit/verification.ts";
import { login } from "../../src/core/login.ts";
import { type PurgeOptions, previewPurge, purge } from "../../src/core/purging.ts";
import { refresh } from "../../src/core/refresh-tokens.ts";
import { grantRole } from "../../src/core/roles.ts";
import { authenticate } from "../../src/core/sessions.ts";
import { findTombstone, pagesOfTombstones, restoreUser } from "../../src/core/users/tombstones.ts";
import { createUser, deleteOwnAccount, deleteUser, findUser, getUser, updateUser } from "../../src/core/users.ts";
import type { AuditEvent } from "../../src/store/tables.ts";
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
import { dump, rawSql } from "../support/database.ts";

const day = 86_400_000;

let core: TestCore;
/** The same data in another process, as it were. */
let other: TestCore;
beforeEach(async () => {
  core = await openTestCore();
  other = await core.again();
});
afterEach(async () => {
  await other.store.close();
  await core.close();
});

const signIn = async (identifier = "ada@example.com") => {
  const given = await login(core, visitor, { identifier, password: goodPassword, credential: "tokens" });
  if (given.credential !== "tokens") throw new Error("asked for tokens");
  return given;
};

const restore = async (reference: string, where = core) =>
  await restoreUser(where, root, await findTombstone(where, reference));

const deleted = async (): Promise<string[]> => {
  const ids: string[] = [];
  for await (const page of pagesOfTombstones(core)) ids.push(...page.map(({ id }) => id));
  return ids;
};

/** Somebody of whom everything is known. */
async function makeGrace() {
  const { user } = await createUser(core, root, {
    email: "Grace@example.com",
    username: "Grace.H",
    fullName: "Grace Hopper",
    locale: "en-GB",
    password: goodPassword,
    emailVerified: true,
    roles: ["admin", "user"],
  });
  return user;
}

describe("a user who was deleted", () => {
  test("is brought back as they were: password, roles, names and all, but no session", async () => {
    await registerAda(core);
    const { id } = await makeGrace();
    await registerAda(core, "root@example.com").then(({ user }) => grantRole(core, root, user.id, "admin"));
    const given = await signIn("grace@example.com");
    const before = await getUser(core, id);
    await deleteUser(core, root, id);
    expect(await codeOf(findUser(core, "grace@example.com"))).toBe("not_found");
    core.clock.advance(29 * day);
    for (const name of [id, "GRACE@example.com", "grace.h"]) expect((await findTombstone(core, name)).id).toBe(id);
    expect(await restore("grace.h")).toEqual({ userId: id, missingRoles: [] });
    const { user, roles } = await getUser(core, id);
    // A new row, that tells the time of its last change.
    const anew = { epoch: 0, revision: 0, updatedAt: core.clock.now() };
    expect(user).toEqual({ ...before.user, ...anew });
    expect(roles).toEqual(before.roles);
    expect(await codeOf(authenticate(core, given.accessToken, firefox))).toBe("unauthenticated");
    expect(await codeOf(refresh(core, visitor, given.refreshToken))).toBe("unauthenticated");
    expect((await signIn("grace.h")).standing.user.id).toBe(id);
    expect(await deleted()).toEqual([]);
    const [, event] = await core.store.auditEvents.page({ userId: id }, 9);
    expect(event).toMatchObject({ action: "user.restored", actor: "root@test", particulars: { roles_left_out: 0 } });
  });

  test("stays disabled where that was so", async () => {
    const { user } = await createUser(core, root, { email: "ada@example.com", active: false });
    await deleteUser(core, root, user.id);
    await restore("ada@example.com");
    expect((await getUser(core, user.id)).user.disabledAt).toEqual(user.disabledAt);
  });

  test("is not brought back over somebody who has the address or the user name by now", async () => {
    const { id } = await makeGrace();
    await registerAda(core, "root@example.com").then(({ user }) => grantRole(core, root, user.id, "admin"));
    await deleteUser(core, root, id);
    const { user } = await registerAda(core, "grace@example.com");
    const before = await dump(core);
    expect(await codeOf(restore(id))).toBe("email_taken");
    expect(await dump(core)).toEqual(before);
    await updateUser(core, root, user.id, { email: "other@example.com", username: "grace.h" });
    expect(await codeOf(restore(id))).toBe("username_taken");
    await updateUser(core, root, user.id, { username: null });
    expect((await restore(id)).userId).toBe(id);
  });

  test("is the newest of those who had the name", async () => {
    const ids: string[] = [];
    for (let at = 0; at < 3; at++) {
      const { user } = await registerAda(core);
      await deleteUser(core, root, user.id);
      ids.push(user.id);
      core.clock.advance(day);
    }
    expect(await deleted()).toEqual(ids);
    expect((await restore("ada@example.com")).userId).toBe(ids[2]!);
    expect(await codeOf(restore("ada@example.com"))).toBe("email_taken");
    expect(await deleted()).toEqual(ids.slice(0, 2));
  });

  test("comes back without the roles that there are no longer, which are told", async () => {
    await rawSql(
      core,
      "INSERT INTO roles (name, description, permissions, created_at, updated_at) SELECT 'editor', '', permissions, created_at, updated_at FROM roles WHERE name = 'user'",
    );
    const { user } = await createUser(core, root, { email: "ada@example.com", roles: ["editor", "user"] });
    await deleteUser(core, root, user.id);
    await rawSql(core, "DELETE FROM roles WHERE name = 'editor'");
    expect((await restore(user.id)).missingRoles).toEqual(["editor"]);
    expect((await getUser(core, user.id)).roles).toEqual(["user"]);
  });

  test("is brought back once, of 20 who do so at once", async () => {
    const { user } = await registerAda(core);
    await deleteUser(core, root, user.id);
    const tombstone = await findTombstone(core, user.id);
    const codes = await Promise.all(
      Array.from({ length: 20 }, (_, at) => codeOf(restoreUser(at % 2 === 0 ? core : other, root, tombstone))),
    );
    expect(codes.filter((code) => code === undefined)).toHaveLength(1);
    expect(new Set(codes.filter((code) => code !== undefined))).toEqual(new Set(["not_found"]));
  });

  test("is unknown once the time is over, before and after the purge", async () => {
    const { user } = await registerAda(core);
    await deleteUser(core, root, user.id);
    core.clock.advance(30 * day);
    expect(await codeOf(restore(user.id))).toBe("not_found");
    expect(await deleted()).toEqual([]);
  });
});

const options: PurgeOptions = {
  kinds: ["users"],
  olderThan: 0,
  batchSize: 5,
  pause: 0,
  maxTime: day,
  maxRows: Number.MAX_SAFE_INTEGER,
};

const run = (changed: Partial<PurgeOptions> = {}) => {
  const ticking = setInterval(() => core.clock.advance(0), 1);
  return purge(core, root, { ...options, ...changed }).finally(() => clearInterval(ticking));
};

describe("the purge of deleted users", () => {
  test("removes who can no longer be restored, and where they came from, and leaves the trail readable", async () => {
    const { user } = await registerAda(core);
    const kept = await registerAda(core, "bob@example.com");
    for (let at = 0; at < 12; at++) await signIn();
    const { by } = await authenticate(core, (await signIn()).accessToken, firefox);
    await deleteOwnAccount(core, by, goodPassword);
    const events = () => core.store.auditEvents.page({ userId: user.id }, 100);
    const before = await events();
    expect(before.every(({ ip, userAgent }) => ip === firefox.ip && userAgent === firefox.userAgent)).toBe(true);

    core.clock.advance(30 * day - 1);
    expect((await run()).removed.users).toBe(0);
    core.clock.advance(1);
    expect(await previewPurge(core, options)).toEqual([
      { kind: "users", rows: 1, oldest: new Date(core.clock.now().getTime() - 30 * day) },
    ]);
    expect(await run()).toMatchObject({ removed: { users: 1 }, finished: true });

    const [purged, ...after] = await events();
    expect(purged).toMatchObject({ action: "user.purged", actor: "root@test" });
    const told = ({ id, at, action, actor, sessionId, requestId, particulars, ip, userAgent }: AuditEvent) =>
      JSON.stringify({ id, at, action, actor, sessionId, requestId, particulars, ip, userAgent });
    expect(after.map(told)).toEqual(before.map((event) => told({ ...event, ip: null, userAgent: null })));
    expect(await verifyAudit(core)).toMatchObject({ found: 0, erased: before.length });
    const { audit_events: trail, ...rest } = await dump(core);
    expect(JSON.stringify(rest)).not.toContain(user.id);
    expect(trail?.filter((event) => event["user_id"] === kept.user.id && event["ip"] === firefox.ip)).toHaveLength(1);
  });

  test("forgets the person in what they did to others, too", async () => {
    const ada = await registerAda(core);
    await grantRole(core, root, ada.user.id, "admin");
    const { by } = await authenticate(core, (await signIn()).accessToken, firefox);
    const { user } = await createUser(core, by, { email: "bob@example.com" });
    const second = await registerAda(core, "root@example.com");
    await grantRole(core, root, second.user.id, "admin");
    await deleteUser(core, root, ada.user.id);
    core.clock.advance(31 * day);
    await run();
    const [event] = await core.store.auditEvents.page({ userId: user.id }, 9);
    expect(event).toMatchObject({ action: "user.created", actor: ada.user.id, ip: null, userAgent: null });
  });

  test("writes no more rows in one transaction than it is told, however long a trail is", async () => {
    const { user } = await registerAda(core);
    for (let at = 0; at < 12; at++) await signIn();
    await deleteUser(core, root, user.id);
    core.clock.advance(31 * day);
    const erased: number[] = [];
    const watching = {
      ...core.store,
      write: async <T>(work: Parameters<typeof core.store.write<T>>[0]): Promise<T> => {
        const telling = async () => {
          const rows = await rawSql(
            core,
            `SELECT id FROM audit_events WHERE user_id = '${user.id}' AND ip IS NOT NULL`,
          );
          return rows.length;
        };
        const before = await telling();
        const answer = await core.store.write(work);
        erased.push(before - (await telling()));
        return answer;
      },
    };
    const ticking = setInterval(() => core.clock.advance(0), 1);
    const purged = await purge({ ...core, store: watching }, root, options).finally(() => clearInterval(ticking));
    expect(purged).toMatchObject({ removed: { users: 1 }, finished: true });
    expect(erased.filter((rows) => rows > 0)).toEqual([5, 5, 3]);
  });

  test("where nothing is kept there is nothing to restore, and the person is gone at once", async () => {
    const now = await core.again({ TOMBSTONE_TTL: "0" });
    const { user } = await registerAda(core);
    await deleteUser(now, root, user.id);
    expect((await dump(core))["tombstones"]).toEqual([]);
    const events = await core.store.auditEvents.page({ userId: user.id }, 9);
    expect(events.map(({ action, ip, userAgent }) => [action, ip, userAgent])).toEqual([
      ["user.deleted", null, null],
      ["user.registered", null, null],
    ]);
    await now.store.close();
  });
});
