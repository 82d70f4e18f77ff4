/**
 * Every act is run with the store failing at its first call, its second, its third … until it gets through. What
 * failed before the commit must have left every row of every table as it was; what failed after it, everything done.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { anonymous, type UserActor } from "../../src/core/actors.ts";
import type { Core } from "../../src/core/core.ts";
import type { Credentials } from "../../src/core/credentials.ts";
import { login, signOut } from "../../src/core/login.ts";
import { settleAsked } from "../../src/core/mail/asked-mails.ts";
import { refresh } from "../../src/core/refresh-tokens.ts";
import { addPermissions, createRole, deleteRole, grantRole, revokeRole } from "../../src/core/roles.ts";
import { authenticate, revokeOwnSession, signOutEverywhere } from "../../src/core/sessions.ts";
import { replaceSigningKeys } from "../../src/core/signing-keys/retirement.ts";
import { proveAddress, requestEmailChange } from "../../src/core/users/addresses.ts";
import { changePassword, forgotPassword, orderReset, resetPassword } from "../../src/core/users/new-passwords.ts";
import { register } from "../../src/core/users/registration.ts";
import { createUser, deleteOwnAccount, deleteUser, disableUser, updateUser } from "../../src/core/users.ts";
import { newestMail } from "../support/challenge-mail.ts";
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
import { dump } from "../support/database.ts";
import { inTheOldForm } from "../support/old-tokens.ts";
import { watched } from "../support/watched.ts";

type Tokens = Extract<Credentials, { credential: "tokens" }>;
type Scene = {
  readonly given: Tokens;
  readonly by: UserActor;
  readonly userId: string;
  readonly verifyToken: string;
  readonly changeToken: string;
  readonly resetToken: string;
};

class StoreBroke extends Error {}

let core: TestCore;
afterEach(() => core.close());

const signIn = async (at: Core): Promise<Tokens> => {
  const given = await login(at, visitor, {
    identifier: "ada@example.com",
    password: goodPassword,
    credential: "tokens",
  });
  if (given.credential !== "tokens") throw new Error("asked for tokens");
  return given;
};

async function setTheScene(): Promise<Scene> {
  core = await openTestCore();
  const { user } = await registerAda(core);
  const given = await signIn(core);
  const { by } = await authenticate(core, given.accessToken, firefox);
  await createRole(core, root, "support", { permissions: ["users:read"] });
  await grantRole(core, root, user.id, "support");
  await requestEmailChange(core, by, "ada@example.org", goodPassword);
  await orderReset(core, root, user.id);
  const tokenOf = async (email: string, kind: string) => (await newestMail(core, email, kind)).token;
  return {
    given,
    by,
    userId: user.id,
    verifyToken: await tokenOf("ada@example.com", "verify-email"),
    changeToken: await tokenOf("ada@example.org", "confirm-email"),
    resetToken: await tokenOf("ada@example.com", "reset-password"),
  };
}

const better = "another good long phrase";

const acts: Readonly<Record<string, (at: Core, scene: Scene) => Promise<unknown>>> = {
  register: (at) => register(at, visitor, { email: "grace@example.com", username: "grace.h", password: goodPassword }),
  createUser: (at) => createUser(at, root, { email: "grace@example.com", roles: ["admin", "user"] }),
  login: (at) => signIn(at),
  "login that fails": (at) =>
    codeOf(login(at, visitor, { identifier: "ada@example.com", password: better, credential: "tokens" })),
  // The ordinary one is a single statement; one of the form before takes the long way.
  refresh: async (at, { given }) => await refresh(at, visitor, await inTheOldForm(core, given.refreshToken)),
  "refresh from another client": (at, { given }) => codeOf(refresh(at, anonymous(safari), given.refreshToken)),
  signOut: (at, { given }) => signOut(at, visitor, [given.accessToken, given.refreshToken]),
  signOutEverywhere: (at, { userId }) => signOutEverywhere(at, root, userId),
  revokeOwnSession: (at, { by }) => revokeOwnSession(at, by, by.session.id),
  updateUser: (at, { userId }) => updateUser(at, root, userId, { username: "ada.l", fullName: "Ada" }),
  proveAddress: (at, { verifyToken }) => proveAddress(at, visitor, verifyToken),
  "proveAddress of a new one": (at, { changeToken }) => proveAddress(at, visitor, changeToken),
  requestEmailChange: (at, { by }) => requestEmailChange(at, by, "ada@example.net", goodPassword),
  forgotPassword: (at) => forgotPassword(at, visitor, "ada@example.com"),
  resetPassword: (at, { resetToken }) => resetPassword(at, visitor, resetToken, better),
  "settling a mail": (at) => at.store.write((tx) => settleAsked(at, tx, "reset-password", "ada@example.com")),
  changePassword: (at, { by }) => changePassword(at, by, goodPassword, better),
  disableUser: (at, { userId }) => disableUser(at, root, userId),
  grantRole: (at, { userId }) => grantRole(at, root, userId, "admin"),
  revokeRole: (at, { userId }) => revokeRole(at, root, userId, "user"),
  createRole: (at) => createRole(at, root, "cashier", { permissions: ["billing:refund"] }),
  addPermissions: (at) => addPermissions(at, root, "support", ["users:write"]),
  deleteRole: (at) => deleteRole(at, root, "support"),
  "updateUser that disables": (at, { userId }) =>
    updateUser(at, root, userId, { email: "a@example.org", active: false }),
  deleteUser: (at, { userId }) => deleteUser(at, root, userId),
  deleteOwnAccount: (at, { by }) => deleteOwnAccount(at, by, goodPassword),
  replaceSigningKeys: (at) => replaceSigningKeys(at, root),
};

/** Runs the act with the store failing at its `failing`th call. */
async function attempt(act: (at: Core) => Promise<unknown>, failing: number) {
  let calls = 0;
  let committed = false;
  const at = watched(core, (call) => {
    if (++calls === failing) throw new StoreBroke(call);
    if (call === "commit") committed = true;
  });
  const broke = await act(at).then(
    () => false,
    (error: unknown) => {
      if (error instanceof StoreBroke) return true;
      throw error;
    },
  );
  return { broke, committed };
}

describe("nothing is half done", () => {
  test.each(Object.entries(acts))("%s", async (_, act) => {
    const scene = await setTheScene();
    const before = await dump(core);
    let failing = 1;
    for (; ; failing++) {
      const { broke, committed } = await attempt((at) => act(at, scene), failing);
      if (!broke) break;
      expect(committed).toBe(false);
      expect(await dump(core)).toEqual(before);
    }
    // A read at least, the beginning, the deed, its record and the commit.
    expect(failing).toBeGreaterThan(3);
    expect(await dump(core)).not.toEqual(before);
  });

  test("an answer that is lost after the commit is made good by the same refresh token", async () => {
    const { given } = await setTheScene();
    // Without the keys at hand, they are read after the commit: the one call of the store that comes so late.
    delete core.keyCache.keys;
    let rotations = 0;
    const at = watched(core, (call) => {
      if (call === "refreshFamilies.rotate") rotations++;
      if (call.startsWith("signingKeys")) throw new StoreBroke(call);
    });
    await expect(refresh(at, visitor, given.refreshToken)).rejects.toBeInstanceOf(StoreBroke);
    expect(rotations).toBe(1);
    expect((await core.store.refreshFamilies.byId(given.refreshToken.split(".")[2]!))?.generation).toBe(2);
    const retried = await refresh(core, visitor, given.refreshToken);
    expect(retried.credential === "tokens" && retried.refreshToken.split(".")[3]).toBe("2");
  });

  test("a store that fails once leaves nothing behind that keeps the next act from working", async () => {
    const scene = await setTheScene();
    for (let failing = 1; failing < 12; failing++) await attempt((at) => acts["login"]!(at, scene), failing);
    expect((await signIn(core)).standing.user.email).toBe("ada@example.com");
  });
});
