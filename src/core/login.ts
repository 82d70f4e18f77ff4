import type { Standing } from "../store/sessions.ts";
import type { Tx } from "../store/store.ts";
import type { CredentialKind, User } from "../store/tables.ts";
import { type Actor, clientOf } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { type Credentials, secondsUntil, tokenCredentials } from "./credentials.ts";
import { describeDevice } from "./devices.ts";
import { DomainError, fail } from "./errors.ts";
import { sessionOfHandle } from "./handles.ts";
import { identifierKey } from "./identifiers.ts";
import { knownDevice, type Presented } from "./known-devices.ts";
import { notify } from "./mail/notices.ts";
import { sendsMail } from "./mail.ts";
import { fitsStill, passwordTextNow, refreshedHash, tryPassword } from "./passwords.ts";
import { refreshToken, startFamily } from "./refresh-tokens.ts";
import { grantsOf } from "./roles.ts";
import { revoke, startSession } from "./sessions.ts";
import { giveBack, type Reserved } from "./tries.ts";

type SignIn = { readonly identifier: string; readonly password: string; readonly presented?: Presented };

/**
 * Signs in by address or user name. Fails with `invalid_credentials` whatever the cause, after the same work:
 * an unknown user, a disabled one, one without a password and a wrong password cost one verification each
 * (ASVS 5.0, 6.3.8). Fails with `rate_limited` where too many passwords were tried before, and with
 * `email_not_verified` where the password is right and the address is yet to be proved. What is `presented` besides
 * proves nothing but that the client is no stranger to the user.
 */
export async function login(core: Core, by: Actor, input: Wanted): Promise<Credentials> {
  const { user, right, reserved } = await attempt(core, by, input).catch((error: unknown) => {
    core.meter.signIn(resultOf(error));
    throw error;
  });
  const refusal = !user ? "unknown-user" : !right ? "wrong-password" : user.disabledAt ? "disabled" : undefined;
  if (!user || refusal) {
    await core.store.write((tx) =>
      record(core, tx, by, {
        action: "login.failed",
        ...(user && { userId: user.id }),
        reason: refusal ?? "unknown-user",
      }),
    );
    core.meter.signIn(refusal ?? "unknown-user");
    return fail("invalid_credentials");
  }
  if (core.settings.REQUIRE_EMAIL_VERIFICATION && user.emailVerifiedAt === null) {
    await core.store.write(async (tx) => {
      await giveBack(tx, reserved);
      await record(core, tx, by, { action: "login.failed", userId: user.id, reason: "unverified" });
    });
    core.meter.signIn("unverified");
    return fail("email_not_verified");
  }
  const started =
    (await begin(core, by, input, user, reserved)) ?? (await beginAnyway(core, by, input, user, reserved));
  core.meter.signIn(started ? "succeeded" : "wrong-password");
  if (!started) return fail("invalid_credentials");

  const { standing, token, family, permissions } = started;
  const { idleExpiresAt } = standing.session;
  if (family) {
    return await tokenCredentials(core, standing, {
      permissions,
      idleExpiresAt,
      refreshToken: refreshToken(core, family, family.generation),
    });
  }
  if (!token) throw new Error("a session without a token");
  return {
    credential: "session",
    standing,
    sessionToken: token,
    expiresIn: secondsUntil(idleExpiresAt, core.clock.now()),
  };
}

type Wanted = SignIn & { readonly credential: CredentialKind };

/** Begins the session. `undefined` where the password that was right a moment ago is no longer the one that the user has. */
async function begin(core: Core, by: Actor, { password, credential }: Wanted, user: User, reserved: Reserved) {
  const rehashed = await refreshedHash(core, user, password);
  return await core.store.write(async (tx) => {
    const now = core.clock.now();
    const change = { lastLoginAt: now, ...(rehashed && { passwordHash: rehashed }) };
    const note = async (text: string | null | undefined): Promise<number | undefined> =>
      text ? await tx.users.noteLogin(user.id, text, change) : undefined;
    // A rotation of the server secret may have sealed it anew.
    const epoch = (await note(user.passwordHash)) ?? (await note(await passwordTextNow(core, tx, user)));
    if (epoch === undefined) return undefined;
    const fresh = { ...user, ...change, epoch };
    if (await isNewDevice(core, tx, by, user)) await notify(core, tx, by, user, "new-device");
    const { session, token } = await startSession(core, tx, clientOf(by), fresh, credential);
    const family = credential === "tokens" ? await startFamily(core, tx, session) : undefined;
    const { roles, permissions } = await grantsOf(tx, user.id);
    await giveBack(tx, reserved);
    await record(core, tx, by, { action: "login.succeeded", userId: user.id, sessionId: session.id });
    const standing: Standing = { session, user: fresh, roles };
    return { standing, token, family, permissions };
  });
}

/** The same where another sign-in with this password has replaced its hash meanwhile: by one of today's parameters, say. */
async function beginAnyway(core: Core, by: Actor, wanted: Wanted, { id }: User, reserved: Reserved) {
  const user = await core.store.users.byId(id);
  const started =
    user && (await fitsStill(core, user, wanted.password)) ? await begin(core, by, wanted, user, reserved) : undefined;
  if (!started)
    await core.store.write((tx) =>
      record(core, tx, by, { action: "login.failed", userId: id, reason: "changed-meanwhile" }),
    );
  return started;
}

/** Tries the password of whoever is meant. */
const attempt = async (core: Core, by: Actor, { identifier, password, presented }: SignIn) =>
  await core.hashing.admit(async (waited) => {
    const user = await findByIdentifier(core, identifier);
    const device = presented && (await knownDevice(core, user, presented));
    return { user, ...(await tryPassword(core, by, { user, identifier, device }, password, waited)) };
  });

/** Whether a user who has signed in before is not known to have done so from such a device; asked before the session begins. */
async function isNewDevice(core: Core, tx: Tx, by: Actor, user: User): Promise<boolean> {
  if (!core.settings.MAIL_NEW_DEVICE || !sendsMail(core) || user.lastLoginAt === null) return false;
  const { browser, os, kind } = describeDevice(clientOf(by).userAgent);
  return !(await tx.sessions.hasDevice(user.id, { browser, os, clientKind: kind }));
}
/** What came of a sign-in that ended before it was known whether the password is right. */
const resultOf = (error: unknown): "rate-limited" | "overloaded" | "failed" => {
  if (!(error instanceof DomainError)) return "failed";
  return error.code === "rate_limited" ? "rate-limited" : error.code === "overloaded" ? "overloaded" : "failed";
};

async function findByIdentifier(core: Core, identifier: string): Promise<User | undefined> {
  const key = identifierKey(identifier);
  if (!key) return undefined;
  return "emailKey" in key
    ? await core.store.users.byEmailKey(key.emailKey)
    : await core.store.users.byUsernameKey(key.usernameKey);
}

/**
 * Ends the sessions behind any handles: session tokens, access tokens (expired ones too) and refresh tokens.
 * What is no handle of ours, or of a session that is gone, changes nothing: signing out never fails for that.
 */
export async function signOut(core: Core, by: Actor, handles: readonly string[]): Promise<void> {
  const ids = await Promise.all(handles.map((handle) => sessionOfHandle(core, handle)));
  const known = [...new Set(ids.filter((id) => id !== undefined))];
  if (known.length === 0) return;
  await core.store.write((tx) =>
    revoke(
      core,
      tx,
      by,
      known.map((id) => ({ id })),
      "logout",
    ),
  );
}
