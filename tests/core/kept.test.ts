import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { login } from "../../src/core/login.ts";
import { authenticate, listSessions, recognise } from "../../src/core/sessions.ts";
import { replaceSigningKeys } from "../../src/core/signing-keys/retirement.ts";
import { firefox, goodPassword, openTestCore, registerAda, root, type TestCore, visitor } from "../support/core.ts";
import { dialect } from "../support/database.ts";

const email = "ada@example.com";

let core: TestCore;
beforeEach(async () => {
  core = await openTestCore();
  await registerAda(core, email);
});
afterEach(() => core.close());

async function signIn(): Promise<string> {
  const given = await login(core, visitor, { identifier: email, password: goodPassword, credential: "session" });
  if (given.credential !== "session") throw new Error("asked for a session token");
  return given.sessionToken;
}

// Postgres has no number that tells whether anybody has written.
describe.skipIf(dialect === "postgres")("what is kept until somebody writes", () => {
  test("is of each session once, for its checks and for lists", async () => {
    const tokens = [await signIn(), await signIn()];
    const [one, other] = await Promise.all(tokens.map((token) => authenticate(core, token, firefox)));
    const listed = await listSessions(core, one!.user.id);
    expect(listed.map(({ id }) => id).toSorted()).toEqual([one!.session.id, other!.session.id].toSorted());
    for (const session of listed) expect(core.kept.standings.get(session.id)?.session).toBe(session);
  });

  test("is what the database says", async () => {
    const { session } = await authenticate(core, await signIn(), firefox);
    const standing = await core.store.sessions.standing(session.id);
    expect(core.kept.standings.get(session.id)).toEqual({ ...standing!, restsUntil: expect.any(Number) });
    expect(await listSessions(core, session.userId)).toEqual(
      await core.store.sessions.ofUser(session.userId, core.clock.now()),
    );
  });

  test("is no session whose use is about to be written, which would end all that is kept", async () => {
    const token = await signIn();
    core.clock.advance(120_000);
    const { session } = await authenticate(core, token, firefox);
    expect(core.kept.standings.has(session.id)).toBe(false);
    await authenticate(core, token, firefox);
    expect(core.kept.standings.has(session.id)).toBe(true);
  });

  describe("of an access token", () => {
    const known = (token: string) => recognise(core, token, { ...firefox, now: core.clock.now() });
    const signInByTokens = async (): Promise<string> => {
      const given = await login(core, visitor, { identifier: email, password: goodPassword, credential: "tokens" });
      if (given.credential !== "tokens") throw new Error("asked for tokens");
      await authenticate(core, given.accessToken, firefox);
      return given.accessToken;
    };

    test("is known without a look at its claims, until it ends", async () => {
      const token = await signInByTokens();
      const standing = known(token);
      expect(standing).toMatchObject({ user: { email } });
      expect(core.kept.ofTokens.size).toBe(1);
      expect(known(token)).toEqual(standing);
      core.clock.advance(core.settings.ACCESS_TOKEN_TTL);
      expect(known(token)).toBeUndefined();
    });

    test("is verified anew once its key is gone, though nothing was written since it was kept", async () => {
      const token = await signInByTokens();
      expect(known(token)).toMatchObject({ user: { email } });
      const elsewhere = await core.again();
      await replaceSigningKeys(elsewhere, root);
      await elsewhere.close();
      // The keys that this process has read are a few seconds old at most, and it may go on with them so long.
      await authenticate(core, token, firefox);
      expect(known(token)).toMatchObject({ user: { email } });
      expect(core.kept.ofTokens.size).toBe(1);
      core.clock.advance(5_000);
      expect(known(token)).toBeUndefined();
      await expect(authenticate(core, token, firefox)).rejects.toMatchObject({ code: "unauthenticated" });
      expect(known(token)).toBeUndefined();
    });
  });
});
