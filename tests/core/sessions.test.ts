import { afterEach, describe, expect, test } from "bun:test";
import { anonymous, type Client } from "../../src/core/actors.ts";
import { login, signOut } from "../../src/core/login.ts";
import {
  authenticate,
  listSessions,
  revokeOwnSession,
  revokeSessions,
  signOutEverywhere,
} from "../../src/core/sessions.ts";
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
import { dialect, dump, rawSql } from "../support/database.ts";
import { counted, watched } from "../support/watched.ts";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;

let core: TestCore;
afterEach(() => core.close());

async function start(env: Record<string, string> = {}): Promise<string> {
  core = await openTestCore(env);
  await registerAda(core);
  return await signIn();
}

async function signIn(client = firefox): Promise<string> {
  const given = await login(core, anonymous(client), {
    identifier: "ada@example.com",
    password: goodPassword,
    credential: "session",
  });
  if (given.credential !== "session") throw new Error("asked for a session token");
  return given.sessionToken;
}

const use = (token: string, client = firefox) => authenticate(core, token, client);
const idOf = (token: string): string => token.slice("st_".length).split(".")[0]!;

describe("SE-3 the clocks of a session token", () => {
  test("it is alive to the last millisecond of an hour of rest, and dead with the next", async () => {
    const [lucky, late] = [await start(), await signIn()];
    core.clock.advance(hour - 1);
    await use(lucky);
    core.clock.advance(1);
    expect(await codeOf(use(late))).toBe("unauthenticated");
    await use(lucky);
  });

  test("each use moves the idle limit on, up to 24 hours that nothing moves", async () => {
    const token = await start();
    for (let use_ = 0; use_ < 47; use_++) {
      core.clock.advance(30 * minute);
      await use(token);
    }
    core.clock.advance(30 * minute - 1);
    await use(token);
    core.clock.advance(1);
    expect(await codeOf(use(token))).toBe("unauthenticated");
  });

  test("a clock that goes back wakes no session that was revoked", async () => {
    const token = await start();
    await revokeOwnSession(core, (await use(token)).by, idOf(token));
    core.clock.advance(-hour);
    expect(await codeOf(use(token))).toBe("unauthenticated");
  });

  test("a use is written at most once a minute", async () => {
    const token = await start();
    const { core: watchedCore, calls } = counted(core);
    for (let at = 0; at < 180; at++) {
      core.clock.advance(second);
      await authenticate(watchedCore, token, firefox);
    }
    expect(calls.filter((call) => call === "sessions.touch")).toHaveLength(3);
    // SQLite says whether anybody has written since: what was read is read again only then.
    const reads = calls.filter((call) => call === "sessions.standing").length;
    if (dialect === "postgres") expect(reads).toBe(180);
    else expect(reads).toBeLessThan(10);
  });

  test("a session that may rest only briefly is written oftener, so that using it keeps it", async () => {
    const token = await start({ SESSION_IDLE_TTL: "1m" });
    for (let use_ = 0; use_ < 20; use_++) {
      core.clock.advance(20 * second);
      await use(token);
    }
    core.clock.advance(minute);
    expect(await codeOf(use(token))).toBe("unauthenticated");
  });

  test("where nothing can be written, a session is still recognised, and the log hears of it", async () => {
    const token = await start();
    core.clock.advance(2 * minute);
    const broken = watched(core, (call) => {
      if (call === "write") throw new Error("the disk is full");
    });
    expect((await authenticate(broken, token, firefox)).user.email).toBe("ada@example.com");
    expect(core.lines.map((line) => line.event)).toContain("session_touch_failed");
  });
});

describe("SE-2 a session token", () => {
  test("is stored only as a hash", async () => {
    const token = await start();
    const stored = JSON.stringify(await dump(core));
    const [, secret, signature] = token.split(".");
    expect(stored).toContain(idOf(token));
    for (const part of [token, secret!, signature!]) expect(stored).not.toContain(part);
  });

  // `counted` stands between the core and the store: a forgery that made a query would leave a call there.
  test.each([
    ["no signature", (token: string) => token.split(".").slice(0, 2).join(".")],
    ["another signature", (token: string) => `${token.slice(0, -43)}${"A".repeat(43)}`],
    ["a signature of another secret", (token: string) => token.replace(/\.[\w-]{43}\./, `.${"B".repeat(43)}.`)],
    ["another id", (token: string) => token.replace(idOf(token), "01890a5d-ac96-774b-bcce-b302099a8057")],
    ["something after it", (token: string) => `${token}x`],
    ["a line after it", (token: string) => `${token}\n`],
    ["a part too many", (token: string) => `${token}.${token}`],
    ["another prefix", (token: string) => token.replace("st_", "sx_")],
    ["no prefix", (token: string) => token.replace("st_", "")],
    ["megabytes", (token: string) => token + "a".repeat(2_000_000)],
    ["nothing", () => ""],
  ])("with %s is refused before the database is asked", async (_, forge) => {
    const token = await start();
    const { core: watchedCore, calls } = counted(core);
    expect(await codeOf(authenticate(watchedCore, forge(token), firefox))).toBe("unauthenticated");
    expect(calls).toEqual([]);
    await use(token);
  });

  test("that another server secret signed is refused, however well it is known in the database", async () => {
    const token = await start({ SECRET_KEY: "Zk3uQ9pL7xW2vN8rT5yB1mC6dF4gH0jS" });
    const hash = (await dump(core))["sessions"]?.[0]?.["secret_hash"];
    const other = await signIn();
    await rawSql(core, `UPDATE sessions SET secret_hash = '${String(hash)}'`);
    expect(await codeOf(use(other))).toBe("unauthenticated");
    await use(token);
  });

  test("is not guessed from an id, which is public", async () => {
    const token = await start();
    for (const guess of [idOf(token), `st_${idOf(token)}`, `st_${idOf(token)}..`])
      expect(await codeOf(use(guess))).toBe("unauthenticated");
  });
});

describe("SE-4 and SE-5 ending sessions", () => {
  test("what was revoked is dead for every process at once, and stays so", async () => {
    const token = await start();
    const other = await core.again();
    await authenticate(other, token, firefox);
    await revokeOwnSession(core, (await use(token)).by, idOf(token));
    expect(await codeOf(authenticate(other, token, firefox))).toBe("unauthenticated");
    await other.store.close();
    const restarted = await core.again();
    expect(await codeOf(authenticate(restarted, token, firefox))).toBe("unauthenticated");
    await restarted.store.close();
  });

  test("a session that ended keeps its first reason", async () => {
    const token = await start();
    const { by } = await use(token);
    await revokeOwnSession(core, by, idOf(token));
    await revokeOwnSession(core, by, idOf(token));
    await signOut(core, visitor, [token]);
    expect(await revokeSessions(core, root, [{ id: idOf(token), userId: by.userId }])).toBe(0);
    expect((await core.store.sessions.byId(idOf(token)))?.revokeReason).toBe("revoked-by-user");
    const events = await core.store.auditEvents.page({}, 100);
    expect(events.filter((event) => event.action === "session.revoked")).toHaveLength(1);
  });

  test("a touch that comes after the end does not bring it back", async () => {
    const token = await start();
    const { by } = await use(token);
    core.clock.advance(2 * minute);
    const racing = Array.from({ length: 20 }, () => codeOf(use(token)));
    await Promise.all([...racing, revokeOwnSession(core, by, idOf(token))]);
    expect(await codeOf(use(token))).toBe("unauthenticated");
  });

  test("the list holds what is alive, and nothing that is revoked, expired or signed out everywhere", async () => {
    const first = await start();
    const { user, by } = await use(first);
    core.clock.advance(50 * minute);
    const [second, third] = [await signIn(), await signIn()];
    await revokeOwnSession(core, by, idOf(second));
    core.clock.advance(20 * minute);
    expect((await listSessions(core, user.id)).map((session) => session.id)).toEqual([idOf(third)]);
    expect(await signOutEverywhere(core, root, user.id)).toBe(1);
    expect(await listSessions(core, user.id)).toEqual([]);
  });

  test("an expired access token still signs out, and nothing else", async () => {
    core = await openTestCore();
    await registerAda(core);
    const given = await login(core, visitor, {
      identifier: "ada@example.com",
      password: goodPassword,
      credential: "tokens",
    });
    if (given.credential !== "tokens") throw new Error("asked for tokens");
    core.clock.advance(hour);
    expect(await codeOf(use(given.accessToken))).toBe("unauthenticated");
    await signOut(core, visitor, [given.accessToken]);
    expect((await core.store.sessions.byId(given.standing.session.id))?.revokeReason).toBe("logout");
  });
});

describe("SE-3 SESSION_BINDING for session tokens", () => {
  test.each([
    ["ua-family", "session_hijack_suspected", "unauthenticated"],
    ["ua-strict", "session_hijack_suspected", "unauthenticated"],
    ["observe", undefined, undefined],
    ["off", undefined, undefined],
  ])("%s: another browser is met with %p, and the owner afterwards with %p", async (SESSION_BINDING, thief, owner) => {
    const token = await start({ SESSION_BINDING });
    expect(await codeOf(use(token, safari))).toBe(thief);
    expect(await codeOf(use(token))).toBe(owner);
  });

  test("of 20 parallel requests from another browser one is recorded as the end", async () => {
    const token = await start();
    const codes = await Promise.all(Array.from({ length: 20 }, () => codeOf(use(token, safari))));
    // One that comes after the end meets a session that is over.
    for (const code of codes) expect(["session_hijack_suspected", "unauthenticated"]).toContain(code!);
    expect(codes).toContain("session_hijack_suspected");
    const events = await core.store.auditEvents.page({}, 100);
    expect(events.filter((event) => event.action === "session.revoked")).toHaveLength(1);
  });
});

describe("a change of network", () => {
  const from = (ip: string): Client => ({ ...firefox, ip });
  const changes = async () =>
    (await core.store.auditEvents.page({ action: "session.network_changed" }, 100)).map(({ ip, sessionId }) => ({
      ip,
      sessionId,
    }));

  test("ends no session, and is recorded once where 20 requests bring it, as often as a use is written", async () => {
    const token = await start();
    const { session } = await authenticate(core, token, firefox);
    await use(token, from("203.0.113.9"));
    expect(await changes()).toEqual([]);
    core.clock.advance(minute);
    const other = await core.again();
    const at = (turn: number) => (turn % 2 === 0 ? core : other);
    await Promise.all(Array.from({ length: 20 }, (_, turn) => authenticate(at(turn), token, from("203.0.113.9"))));
    await other.close();
    expect(await changes()).toEqual([{ ip: "203.0.113.9", sessionId: session.id }]);
    core.clock.advance(minute);
    await use(token, from("203.0.113.9"));
    expect(await changes()).toHaveLength(1);
    expect((await core.store.sessions.byId(session.id))?.ip).toBe("203.0.113.9");
  });

  test("is none within the /64 that one customer has", async () => {
    const token = await start();
    const hops = ["2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"];
    for (const ip of hops) {
      core.clock.advance(minute);
      await use(token, from(ip));
    }
    expect(new Set((await changes()).map(({ ip }) => ip))).toEqual(new Set([hops[0]!, hops[2]!]));
  });
});
