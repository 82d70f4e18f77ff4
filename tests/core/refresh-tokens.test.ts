import { afterEach, describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { decodeJwt } from "jose";
import { anonymous, type Client } from "../../src/core/actors.ts";
import type { Credentials } from "../../src/core/credentials.ts";
import { login } from "../../src/core/login.ts";
import { refresh as refreshAct, refreshToken } from "../../src/core/refresh-tokens.ts";
import { grantRole } from "../../src/core/roles.ts";
import { mintSecret } from "../../src/core/secrets.ts";
import { authenticate, revokeSessions, signOutEverywhere } from "../../src/core/sessions.ts";
import { changePassword, setPassword } from "../../src/core/users/new-passwords.ts";
import { deleteUser, disableUser } from "../../src/core/users.ts";
import {
  codeOf,
  firefox,
  goodPassword,
  openTestCore,
  registerAda,
  root,
  safari,
  type TestCore,
  updatedFirefox,
  visitor,
} from "../support/core.ts";
import { rawSql } from "../support/database.ts";
import { inTheOldForm } from "../support/old-tokens.ts";
import { takeOver } from "../support/secrets.ts";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

type Tokens = Extract<Credentials, { credential: "tokens" }>;

let core: TestCore;
afterEach(() => core.close());

async function signIn(env: Record<string, string> = {}): Promise<Tokens> {
  core = await openTestCore(env);
  await registerAda(core);
  return await signInAgain();
}

async function signInAgain(): Promise<Tokens> {
  const given = await login(core, visitor, {
    identifier: "ada@example.com",
    password: goodPassword,
    credential: "tokens",
  });
  if (given.credential !== "tokens") throw new Error("asked for tokens");
  return given;
}

async function refresh(token: string, client: Client = firefox): Promise<Tokens> {
  const given = await refreshAct(core, anonymous(client), token);
  if (given.credential !== "tokens") throw new Error("a refresh gives tokens");
  return given;
}

const isAlive = async (given: Tokens): Promise<boolean> => {
  const standing = await core.store.sessions.standing(given.standing.session.id);
  return standing?.session.revokedAt === null && standing.session.epoch === standing.user.epoch;
};

const actionsOf = async (): Promise<string[]> =>
  (await core.store.auditEvents.page({}, 100)).map((event) => event.action);

describe("TK-3 rotation", () => {
  test("a refresh token is traded for its successor and a fresh access token", async () => {
    const first = await signIn();
    const next = await refresh(first.refreshToken);
    expect(next.refreshToken).not.toBe(first.refreshToken);
    expect(next.accessToken).not.toBe(first.accessToken);
    expect((await authenticate(core, next.accessToken, firefox)).user.email).toBe("ada@example.com");
  });

  test("no row is added by rotating, and nothing of a token is stored", async () => {
    let given = await signIn();
    const before = await actionsOf();
    for (let round = 0; round < 20; round++) given = await refresh(given.refreshToken);
    const families = await core.store.refreshFamilies.ofSession(given.standing.session.id);
    expect(families).toHaveLength(1);
    expect(families[0]?.generation).toBe(21);
    expect(await actionsOf()).toEqual(before);
    expect(JSON.stringify(families)).not.toContain(given.refreshToken.split(".").at(-1)!);
  });

  test("twenty parallel requests with one token all get the same successor, and the session lives on", async () => {
    const first = await signIn();
    const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(first.refreshToken)));
    expect(new Set(answers.map((answer) => answer.refreshToken)).size).toBe(1);
    expect((await refresh(answers[0]!.refreshToken)).refreshToken).toContain(".3.");
    expect(await isAlive(first)).toBe(true);
  });

  test("twenty families are rotated at once without mixing them up", async () => {
    await signIn();
    const families = await Promise.all(Array.from({ length: 20 }, signInAgain));
    const rotated = await Promise.all(families.map((given) => refresh(given.refreshToken)));
    for (const [at, given] of rotated.entries())
      expect(given.standing.session.id).toBe(families[at]!.standing.session.id);
  });
});

describe("TK-3 a spent token", () => {
  test("inside the grace gets the very same successor", async () => {
    const first = await signIn();
    const next = await refresh(first.refreshToken);
    core.clock.advance(10 * second);
    expect((await refresh(first.refreshToken)).refreshToken).toBe(next.refreshToken);
  });

  test("inside the grace is answered twenty times and not once more", async () => {
    const first = await signIn();
    const next = await refresh(first.refreshToken);
    for (let retry = 0; retry < 20; retry++)
      expect((await refresh(first.refreshToken)).refreshToken).toBe(next.refreshToken);
    expect(await codeOf(refresh(first.refreshToken))).toBe("refresh_token_reused");
    expect(await isAlive(first)).toBe(false);
  });

  test("after the grace is taken once in 24 hours, and recorded", async () => {
    const first = await signIn();
    const next = await refresh(first.refreshToken);
    core.clock.advance(10 * second + 1);
    expect((await refresh(first.refreshToken)).refreshToken).toBe(next.refreshToken);
    expect(await actionsOf()).toContain("refresh.late_retry");
    expect(await codeOf(refresh(first.refreshToken))).toBe("refresh_token_reused");
  });

  test("gets another late retry when a day has passed", async () => {
    const first = await signIn();
    const second = await refresh(first.refreshToken);
    core.clock.advance(hour);
    await refresh(first.refreshToken);
    const third = await refresh(second.refreshToken);
    core.clock.advance(day);
    expect((await refresh(second.refreshToken)).refreshToken).toBe(third.refreshToken);
  });

  test("after the grace revokes the session where late retries are off, and the revocation stands", async () => {
    const first = await signIn({ REFRESH_LATE_RETRY: "off" });
    const next = await refresh(first.refreshToken);
    core.clock.advance(11 * second);
    expect(await codeOf(refresh(first.refreshToken))).toBe("refresh_token_reused");
    expect(await codeOf(refresh(next.refreshToken))).toBe("unauthenticated");
    expect(await codeOf(authenticate(core, next.accessToken, firefox))).toBe("unauthenticated");
    const session = await core.store.sessions.byId(first.standing.session.id);
    expect(session?.revokeReason).toBe("refresh-token-reused");
  });

  test("of two generations ago is reuse at once", async () => {
    const first = await signIn();
    await refresh((await refresh(first.refreshToken)).refreshToken);
    expect(await codeOf(refresh(first.refreshToken))).toBe("refresh_token_reused");
    const event = (await core.store.auditEvents.page({}, 100)).find((one) => one.action === "refresh.reused");
    expect(event?.particulars).toMatchObject({ presented: 1, current: 3 });
  });

  test("is reuse at once where the grace is zero", async () => {
    const first = await signIn({ REFRESH_GRACE: "0s", REFRESH_LATE_RETRY: "off" });
    await refresh(first.refreshToken);
    core.clock.advance(1);
    expect(await codeOf(refresh(first.refreshToken))).toBe("refresh_token_reused");
  });

  test("ends one session and leaves the user's others alone", async () => {
    const first = await signIn({ REFRESH_LATE_RETRY: "off" });
    const other = await signInAgain();
    await refresh(first.refreshToken);
    core.clock.advance(11 * second);
    expect(await codeOf(refresh(first.refreshToken))).toBe("refresh_token_reused");
    expect(await isAlive(other)).toBe(true);
  });
});

test("a generation that was never given out means that storage went back in time: revoked, and an alarm", async () => {
  const first = await signIn();
  const next = await refresh(first.refreshToken);
  // What a restored copy of the database looks like from here.
  await rawSql(core, "UPDATE refresh_families SET generation = 1");
  expect(await codeOf(refresh(next.refreshToken))).toBe("refresh_token_reused");
  expect((await core.store.sessions.byId(first.standing.session.id))?.revokeReason).toBe("refresh-generation-ahead");
  expect(core.lines.map((line) => line.event)).toContain("storage_rolled_back");
});

describe("TK-2 a forged token", () => {
  test.each([
    ["another generation", (token: string) => token.replace(".1.", ".2.")],
    ["another MAC", (token: string) => `${token.slice(0, -43)}${"A".repeat(43)}`],
    ["a shorter MAC", (token: string) => token.slice(0, -1)],
    ["another secret version", (token: string) => token.replace(/^rt2\.[^.]+/, "rt2.AAAAAAAA")],
    ["another prefix", (token: string) => token.replace("rt2", "rt3")],
    ["a generation with a leading zero", (token: string) => token.replace(".1.", ".01.")],
    ["nothing", () => ""],
    ["a lot", (token: string) => token.repeat(50)],
  ])("with %s is refused, and nothing is written", async (_, forge) => {
    const first = await signIn();
    const before = await actionsOf();
    expect(await codeOf(refresh(forge(first.refreshToken)))).toBe("unauthenticated");
    expect(await actionsOf()).toEqual(before);
    expect(await isAlive(first)).toBe(true);
  });

  test("an access token is no refresh token, nor the other way round", async () => {
    const first = await signIn();
    expect(await codeOf(refresh(first.accessToken))).toBe("unauthenticated");
    expect(await codeOf(authenticate(core, first.refreshToken, firefox))).toBe("unauthenticated");
  });

  test("the database alone makes no token of a family: whoever reads it lacks the server secret", async () => {
    const first = await signIn();
    const [version, family] = first.refreshToken.split(".").slice(1, 3);
    const row = (await core.store.refreshFamilies.byId(family!))!;
    for (const text of ["rt2|1", `${row.clientId}|1`]) {
      const guess = createHmac("sha256", row.nonce).update(text).digest("base64url");
      for (const forged of [`rt1.${version}.${family}.1.${guess}`, `rt2.${version}.${family}.1.${row.nonce}.${guess}`])
        expect(await codeOf(refresh(forged))).toBe("unauthenticated");
    }
    expect((await refresh(first.refreshToken)).refreshToken).toContain(".2.");
  });

  test("the server secret alone makes none either: its nonce is not the one of the row, and nothing is written", async () => {
    const first = await signIn();
    const family = { id: first.refreshToken.split(".")[2]!, nonce: mintSecret(core.random) };
    const before = await core.store.refreshFamilies.byId(family.id);
    for (const generation of [1, 2])
      expect(await codeOf(refresh(refreshToken(core, family, generation)))).toBe("unauthenticated");
    expect(await core.store.refreshFamilies.byId(family.id)).toEqual(before);
    expect(await isAlive(first)).toBe(true);
  });
});

describe("a token of the form before", () => {
  test("is taken, once or in parallel, and traded for one of today's", async () => {
    const first = await signIn();
    const old = await inTheOldForm(core, first.refreshToken);
    const answers = await Promise.all([refresh(old), refresh(old), refresh(first.refreshToken)]);
    expect(new Set(answers.map((answer) => answer.refreshToken)).size).toBe(1);
    const [next] = answers;
    expect(next.refreshToken).toMatch(/^rt2\./);
    await refresh(next.refreshToken);
    expect(await codeOf(refresh(old))).toBe("refresh_token_reused");
  });

  test("is refused where its MAC is of another generation", async () => {
    const first = await signIn();
    const old = await inTheOldForm(core, first.refreshToken);
    expect(await codeOf(refresh(old.replace(".1.", ".2.")))).toBe("unauthenticated");
    expect(await isAlive(first)).toBe(true);
  });
});

describe("the one statement of an ordinary rotation decides by what is so when it is made", () => {
  /** Refreshes, and lets this happen just before the statement. */
  async function refreshAfter(token: string, change: () => Promise<unknown>): Promise<Tokens> {
    const { refreshFamilies } = core.store;
    const rotate: typeof refreshFamilies.rotate = async (rotation) => {
      await change();
      return await refreshFamilies.rotate(rotation);
    };
    const store = { ...core.store, refreshFamilies: { ...refreshFamilies, rotate } };
    return (await refreshAct({ ...core, store }, anonymous(firefox), token)) as Tokens;
  }

  test.each([
    ["the session was revoked", (one: Tokens) => revokeSessions(core, root, [one.standing.session])],
    ["the user was signed out everywhere", (one: Tokens) => signOutEverywhere(core, root, one.standing.user.id)],
    ["the user was disabled", (one: Tokens) => disableUser(core, root, one.standing.user.id)],
    ["the user was deleted", (one: Tokens) => deleteUser(core, root, one.standing.user.id)],
  ])("%s meanwhile: refused", async (_, change) => {
    const first = await signIn();
    expect(await codeOf(refreshAfter(first.refreshToken, () => change(first)))).toBe("unauthenticated");
    const family = await core.store.refreshFamilies.byId(first.refreshToken.split(".")[2]!);
    expect(family?.generation ?? 1).toBe(1);
  });

  test("a role was granted meanwhile: the access token has it", async () => {
    const first = await signIn();
    const next = await refreshAfter(first.refreshToken, () => grantRole(core, root, first.standing.user.id, "admin"));
    expect(decodeJwt(next.accessToken)).toMatchObject({
      roles: ["admin", "user"],
      scope: expect.stringContaining("*"),
    });
  });

  test("somebody was faster: the same successor", async () => {
    const first = await signIn();
    let faster: Tokens | undefined;
    const next = await refreshAfter(first.refreshToken, async () => void (faster = await refresh(first.refreshToken)));
    expect(next.refreshToken).toBe(faster!.refreshToken);
  });

  test("it moves the idle limit on as often as a use is written, and no further than the absolute limit", async () => {
    let given = await signIn();
    const { session } = given.standing;
    for (const [rest, touched] of [
      [minute - 1, false],
      [1, true],
      [6 * day, true],
    ] as const) {
      core.clock.advance(rest);
      given = await refresh(given.refreshToken);
      const now = core.clock.now();
      const stored = (await core.store.sessions.byId(session.id))!;
      expect(stored.lastSeenAt).toEqual(touched ? now : session.createdAt);
      expect(given.refreshExpiresIn).toBe(Math.round((stored.idleExpiresAt.getTime() - now.getTime()) / 1000));
      expect(stored.idleExpiresAt <= stored.expiresAt).toBe(true);
    }
  });
});

describe("SE-3 the three clocks", () => {
  test("a session that rests longer than REFRESH_TOKEN_TTL is over", async () => {
    const first = await signIn();
    core.clock.advance(7 * day);
    expect(await codeOf(refresh(first.refreshToken))).toBe("unauthenticated");
  });

  test("each use moves the idle limit on, up to the absolute limit that nothing moves", async () => {
    let given = await signIn();
    for (let use = 0; use < 4; use++) {
      core.clock.advance(6 * day);
      given = await refresh(given.refreshToken);
    }
    core.clock.advance(6 * day - second);
    const last = await refresh(given.refreshToken);
    expect(last.refreshExpiresIn).toBe(1);
    core.clock.advance(second);
    expect(await codeOf(refresh(last.refreshToken))).toBe("unauthenticated");
  });

  test("an access token never outlives its session", async () => {
    const first = await signIn({ REFRESH_ABSOLUTE_TTL: "16m", REFRESH_TOKEN_TTL: "16m" });
    core.clock.advance(10 * minute);
    expect((await refresh(first.refreshToken)).expiresIn).toBeLessThanOrEqual(6 * 60);
  });
});

describe("SE-3 signing out everywhere", () => {
  test("kills every family at once, in one row, and later sign-ins live", async () => {
    const first = await signIn();
    const other = await signInAgain();
    expect(await signOutEverywhere(core, root, first.standing.user.id)).toBe(2);
    for (const given of [first, other]) expect(await codeOf(refresh(given.refreshToken))).toBe("unauthenticated");
    await refresh((await signInAgain()).refreshToken);
  });

  test("a password that is set by an operator ends every session", async () => {
    const first = await signIn();
    await setPassword(core, root, first.standing.user.id, "another good long phrase");
    expect(await codeOf(refresh(first.refreshToken))).toBe("unauthenticated");
  });

  test("PW-8 a password that is changed ends every session but the one that asked", async () => {
    const first = await signIn();
    const other = await signInAgain();
    const principal = await authenticate(core, first.accessToken, firefox);
    await changePassword(core, principal.by, goodPassword, "another good long phrase");
    expect(await codeOf(refresh(other.refreshToken))).toBe("unauthenticated");
    await refresh(first.refreshToken);
  });

  test("disabling a user counts with the next request", async () => {
    const first = await signIn();
    await disableUser(core, root, first.standing.user.id);
    expect(await codeOf(refresh(first.refreshToken))).toBe("unauthenticated");
    expect(await codeOf(authenticate(core, first.accessToken, firefox))).toBe("unauthenticated");
  });

  test("no refresh survives it, however the two are interleaved", async () => {
    const first = await signIn();
    const families = await Promise.all(Array.from({ length: 20 }, signInAgain));
    const racing = families.map((given) => refresh(given.refreshToken).catch(() => undefined));
    const out = signOutEverywhere(core, root, first.standing.user.id);
    const answers = await Promise.all(racing);
    await out;
    for (const answer of answers)
      if (answer) expect(await codeOf(refresh(answer.refreshToken))).toBe("unauthenticated");
  });
});

describe("SE-3 SESSION_BINDING", () => {
  test("an update of the browser signs nobody out", async () => {
    const first = await signIn();
    expect(await codeOf(refresh(first.refreshToken, updatedFirefox))).toBeUndefined();
  });

  test("another browser family is refused, and the session is revoked", async () => {
    const first = await signIn();
    expect(await codeOf(refresh(first.refreshToken, safari))).toBe("session_hijack_suspected");
    expect(await codeOf(refresh(first.refreshToken))).toBe("unauthenticated");
    expect((await core.store.sessions.byId(first.standing.session.id))?.revokeReason).toBe("another-client");
  });

  test("`observe` records it and goes on", async () => {
    const first = await signIn({ SESSION_BINDING: "observe" });
    expect(await codeOf(refresh(first.refreshToken, safari))).toBeUndefined();
    expect(await actionsOf()).toContain("session.client_changed");
  });

  test("`off` takes no notice", async () => {
    const first = await signIn({ SESSION_BINDING: "off" });
    expect(await codeOf(refresh(first.refreshToken, safari))).toBeUndefined();
    expect(await actionsOf()).not.toContain("session.client_changed");
  });

  test("`ua-strict` refuses an update too", async () => {
    const first = await signIn({ SESSION_BINDING: "ua-strict" });
    expect(await codeOf(refresh(first.refreshToken, updatedFirefox))).toBe("session_hijack_suspected");
  });

  test("a change of address is no reason to end a session", async () => {
    const first = await signIn();
    expect(await codeOf(refresh(first.refreshToken, { ...firefox, ip: "203.0.113.9" }))).toBeUndefined();
  });
});

test("TK-7 a token that an older secret made is taken, and its successor is made by the one that writes", async () => {
  const old = "a2V5IG9sZCBvbmUgd2l0aCBlbm91Z2ggYnl0ZXMgaW4gaXQ";
  const fresh = "bmV3ZXIgb25lIHdpdGggZW5vdWdoIGJ5dGVzIGluIGl0IHRvbw";
  const first = await signIn({ SECRET_KEY: old });
  const rotated = await core.again({ SECRET_KEY: `${fresh} ${old}` });
  await takeOver(rotated);
  const next = await refreshAct(rotated, visitor, first.refreshToken);
  expect(next.credential === "tokens" && next.refreshToken.split(".")[1]).not.toBe(first.refreshToken.split(".")[1]);
  await rotated.store.close();
});
