import { afterEach, describe, expect, test } from "bun:test";
import { anonymous } from "../../src/core/actors.ts";
import type { Core, SessionCache } from "../../src/core/core.ts";
import { forgetting } from "../../src/core/forgetting.ts";
import { login, signOut } from "../../src/core/login.ts";
import { refresh } from "../../src/core/refresh-tokens.ts";
import { createRole, deleteRole, grantRole, revokeRole } from "../../src/core/roles.ts";
import {
  authenticate,
  type Principal,
  revokeOwnSession,
  revokeSessions,
  signOutEverywhere,
} from "../../src/core/sessions.ts";
import { seedAdmin } from "../../src/core/users/admins.ts";
import { changePassword, setPassword } from "../../src/core/users/new-passwords.ts";
import { deleteOwnAccount, deleteUser, disableUser, enableUser, updateUser } from "../../src/core/users.ts";
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
import { counted, watched } from "../support/watched.ts";

const email = "ada@example.com";
const seconds = 1000;

/** Redis as it is while it is well, with the time of the test: `gone` stands where something was forgotten. */
function memoryCache(clock: () => number) {
  const entries = new Map<string, { readonly text: string; readonly until: number }>();
  const standing = (id: string) => {
    const entry = entries.get(id);
    return entry && entry.until > clock() ? entry : undefined;
  };
  const cache: SessionCache = {
    recall: async (id) => (standing(id)?.text === "gone" ? undefined : standing(id)?.text),
    keep: async (id, text, life) => void (standing(id) ?? entries.set(id, { text, until: clock() + life })),
    forget: async (ids) => ids.forEach((id) => entries.set(id, { text: "gone", until: clock() + 6 * seconds })),
  };
  return { cache, entries };
}

let base: TestCore;
/** The core with a cache of five seconds. */
let core: TestCore;
let entries: ReturnType<typeof memoryCache>["entries"];
afterEach(() => base.close());

async function start(): Promise<void> {
  base = await openTestCore();
  const memory = memoryCache(() => base.clock.now().getTime());
  entries = memory.entries;
  core = {
    ...base,
    settings: { ...base.settings, SESSION_CACHE_TTL: 5 * seconds },
    sessionCache: memory.cache,
    store: forgetting(base.store, memory.cache, base),
  };
  await registerAda(core);
}

async function signIn(at: Core = core) {
  const given = await login(at, visitor, { identifier: email, password: goodPassword, credential: "tokens" });
  if (given.credential !== "tokens") throw new Error("asked for tokens");
  return given;
}

const use = (token: string, at: Core = core): Promise<Principal> => authenticate(at, token, firefox);

describe("SE-3a a session that was checked a moment ago", () => {
  test("is checked without the database, and is the same", async () => {
    await start();
    const { accessToken } = await signIn();
    const first = await use(accessToken);
    const { core: at, calls } = counted(core);
    const second = await use(accessToken, at);
    expect(calls).toEqual([]);
    expect(second).toEqual(first);
  });

  test("is checked in the database again after the time that it is kept", async () => {
    await start();
    const { accessToken } = await signIn();
    await use(accessToken);
    core.clock.advance(5 * seconds + 1);
    const { core: at, calls } = counted(core);
    await use(accessToken, at);
    expect(calls).toContain("sessions.standing");
  });

  test("is not kept at all unless that is turned on", async () => {
    await start();
    const { accessToken } = await signIn();
    await use(accessToken, { ...core, settings: base.settings });
    expect(entries.size).toBe(0);
  });

  test("has its use written once a minute all the same", async () => {
    await start();
    const { accessToken, standing } = await signIn();
    for (let at = 0; at < 125; at++) {
      core.clock.advance(seconds);
      const { core: watching, calls } = counted(core);
      await use(accessToken, watching);
      expect(calls.includes("sessions.touch")).toBe(at === 59 || at === 119);
    }
    const { lastSeenAt } = (await core.store.sessions.byId(standing.session.id))!;
    expect(core.clock.now().getTime() - lastSeenAt.getTime()).toBe(5 * seconds);
  });

  test("is dead at its idle limit, kept or not", async () => {
    await start();
    const at = { ...core, settings: { ...core.settings, SESSION_IDLE_TTL: 2 * seconds } };
    const given = await login(at, visitor, { identifier: email, password: goodPassword, credential: "session" });
    if (given.credential !== "session") throw new Error("asked for a session token");
    await use(given.sessionToken, at);
    core.clock.advance(2 * seconds);
    expect(await codeOf(use(given.sessionToken, at))).toBe("unauthenticated");
  });

  test("does not open to another secret of the same session", async () => {
    await start();
    const given = await login(core, visitor, { identifier: email, password: goodPassword, credential: "session" });
    if (given.credential !== "session") throw new Error("asked for a session token");
    await use(given.sessionToken);
    const forged = given.sessionToken.replace(/\.[^.]+\./, `.${"A".repeat(43)}.`);
    expect(await codeOf(use(forged))).toBe("unauthenticated");
  });
});

describe("SE-3a what is kept", () => {
  const keptText = async (): Promise<[id: string, text: string, token: string]> => {
    await start();
    const { accessToken } = await signIn();
    await use(accessToken);
    const [[id, { text }] = ["", { text: "" }]] = entries;
    return [id, text, accessToken];
  };

  test("tells whoever reads it nothing, and holds no password hash", async () => {
    const [id, text, token] = await keptText();
    expect(text).toMatch(/^v1\.[\w-]{8}\.[\w-]+$/);
    const { user } = await use(token);
    expect(user).not.toHaveProperty("passwordHash");
    expect(text).not.toContain(id);
  });

  test("is believed neither altered, nor of another session, nor when it is older than it may be", async () => {
    const [id, text, token] = await keptText();
    const other = await signIn();
    await use(other.accessToken);
    const otherText = entries.get(other.standing.session.id)!.text;
    const until = core.clock.now().getTime() + 3_600 * seconds;
    for (const lie of [`${text.slice(0, -3)}AAA`, otherText, "{}", "", "v1.x.y"]) {
      entries.set(id, { text: lie, until });
      const { core: at, calls } = counted(core);
      await use(token, at);
      expect(calls).toEqual(["sessions.standing"]);
    }
    entries.set(id, { text, until });
    core.clock.advance(5 * seconds + 1);
    const { core: at, calls } = counted(core);
    await use(token, at);
    expect(calls).toContain("sessions.standing");
  });
});

type Scene = { readonly principal: Principal; readonly token: string; readonly refreshToken: string };
const better = "another good long phrase";

/** Every act that changes who stands behind a session. What it leaves of the session that was kept stands behind it. */
const acts: Readonly<Record<string, [act: (at: Core, scene: Scene) => Promise<unknown>, then: "dead" | "changed"]>> = {
  signOut: [(at, { token }) => signOut(at, visitor, [token]), "dead"],
  signOutEverywhere: [(at, { principal }) => signOutEverywhere(at, root, principal.user.id), "dead"],
  revokeOwnSession: [(at, { principal }) => revokeOwnSession(at, principal.by, principal.session.id), "dead"],
  revokeSessions: [(at, { principal }) => revokeSessions(at, root, [principal.session]), "dead"],
  "authenticate from another client": [(at, { token }) => codeOf(authenticate(at, token, safari)), "dead"],
  "refresh from another client": [
    (at, { refreshToken }) => codeOf(refresh(at, anonymous(safari), refreshToken)),
    "dead",
  ],
  setPassword: [(at, { principal }) => setPassword(at, root, principal.user.id, better), "dead"],
  disableUser: [(at, { principal }) => disableUser(at, root, principal.user.id), "dead"],
  deleteUser: [(at, { principal }) => deleteUser(at, root, principal.user.id), "dead"],
  deleteOwnAccount: [(at, { principal }) => deleteOwnAccount(at, principal.by, goodPassword), "dead"],
  "changePassword elsewhere": [
    async (at) => changePassword(at, (await use((await signIn(at)).accessToken, at)).by, goodPassword, better),
    "dead",
  ],
  changePassword: [(at, { principal }) => changePassword(at, principal.by, goodPassword, better), "changed"],
  grantRole: [(at, { principal }) => grantRole(at, root, principal.user.id, "admin"), "changed"],
  revokeRole: [(at, { principal }) => revokeRole(at, root, principal.user.id, "user"), "changed"],
  deleteRole: [
    async (at, { principal }) => {
      await createRole(base, root, "support", {});
      await grantRole(base, root, principal.user.id, "support");
      await deleteRole(at, root, "support");
    },
    "changed",
  ],
  seedAdmin: [
    (at) => seedAdmin(at, root, { email, password: () => Promise.reject(new Error("not asked")) }),
    "changed",
  ],
  updateUser: [(at, { principal }) => updateUser(at, root, principal.user.id, { fullName: "Ada" }), "changed"],
};

describe("SE-3 SE-3a what was kept counts no more when the act is acknowledged", () => {
  const prepare = async (): Promise<Scene> => {
    await start();
    const { accessToken: token, refreshToken } = await signIn();
    const principal = await use(token);
    expect(entries.has(principal.session.id)).toBe(true);
    return { principal, token, refreshToken };
  };

  test.each(Object.entries(acts))("%s", async (_, [act, then]) => {
    const scene = await prepare();
    await act(core, scene);
    expect(entries.get(scene.principal.session.id)?.text).toBe("gone");
    if (then === "dead") expect(await codeOf(use(scene.token))).toBe("unauthenticated");
    else expect(await use(scene.token)).not.toEqual(scene.principal);
  });

  test.each(Object.entries(acts))("%s is told of after the commit", async (_, [act]) => {
    const scene = await prepare();
    const order: string[] = [];
    const cache: SessionCache = {
      ...core.sessionCache!,
      forget: async (ids) => void order.push(ids.includes(scene.principal.session.id) ? "forgotten" : "other"),
    };
    const { store } = watched(base, (call) => call === "commit" && order.push("commit"));
    await act({ ...core, store: forgetting(store, cache, base) }, scene);
    expect(order).toContain("forgotten");
    expect(order[order.indexOf("forgotten") - 1]).toBe("commit");
  });

  test("enableUser brings nobody back: the sessions of before are dead", async () => {
    const scene = await prepare();
    await disableUser(core, root, scene.principal.user.id);
    await enableUser(core, root, scene.principal.user.id);
    expect(await codeOf(use(scene.token))).toBe("unauthenticated");
  });

  test("SE-4 a reader that was slow cannot bring back what it has read before", async () => {
    const { principal, token } = await prepare();
    const { promise, resolve } = Promise.withResolvers<void>();
    entries.clear();
    const slow: Core = {
      ...core,
      sessionCache: {
        ...core.sessionCache!,
        keep: async (...given) => {
          await promise;
          await core.sessionCache!.keep(...given);
        },
      },
    };
    await use(token, slow);
    await revokeOwnSession(core, principal.by, principal.session.id);
    resolve();
    await Bun.sleep(0);
    expect(entries.get(principal.session.id)?.text).toBe("gone");
    expect(await codeOf(use(token))).toBe("unauthenticated");
  });

  test("an act that failed has nothing forgotten", async () => {
    const { principal } = await prepare();
    await grantRole(base, root, principal.user.id, "admin");
    expect(await codeOf(disableUser(core, root, principal.user.id))).toBe("last_admin");
    expect(entries.get(principal.session.id)?.text).not.toBe("gone");
  });

  test("an act that could not tell the cache is acknowledged all the same", async () => {
    const { principal } = await prepare();
    const store = {
      ...base.store,
      sessions: { ...base.store.sessions, idsOfUser: () => Promise.reject(new Error("the database is gone")) },
    };
    const at = { ...core, store: forgetting(store, core.sessionCache!, base) };
    expect(await grantRole(at, root, principal.user.id, "admin")).toBe(true);
    expect(base.lines.map(({ event }) => event)).toContain("session_cache_not_told");
  });
});
