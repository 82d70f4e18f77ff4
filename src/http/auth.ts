import { Elysia } from "elysia";
import { anonymous } from "../core/actors.ts";
import type { Core } from "../core/core.ts";
import type { Credentials } from "../core/credentials.ts";
import { mintCsrfToken } from "../core/csrf.ts";
import { fail } from "../core/errors.ts";
import { type Presented, rememberDevice } from "../core/known-devices.ts";
import { login, signOut } from "../core/login.ts";
import { refresh } from "../core/refresh-tokens.ts";
import { signOutEverywhere } from "../core/sessions.ts";
import { register } from "../core/users/registration.ts";
import { credentialsView } from "../core/views.ts";
import { createBrake } from "./brake.ts";
import { credentialCookies } from "./cookies.ts";
import { identify, visitOf } from "./edge.ts";
import { clientOf, cookiesAmong, guards, handlesOf, isRefused } from "./guards.ts";
import { describe } from "./openapi.ts";
import { refuseForgery } from "./origins.ts";
import * as schemas from "./schemas.ts";
import { answerUser, namedMembers, profileOf } from "./users.ts";

type Settable = { headers: Record<string, unknown> };

/** Signing up, in and out. */
export const authRoutes = (core: Core) => {
  const cookies = credentialCookies(core.settings);
  const braked = createBrake(core);

  /** The credentials the way they were asked for: in the body, or in cookies and then without a secret in the body. */
  const deliver = (
    request: Request,
    set: Settable,
    credentials: Credentials,
    delivery: "body" | "cookie",
    device?: string,
  ) => {
    identify(request, credentials.standing);
    if (delivery === "cookie") set.headers["set-cookie"] = cookies.set(credentials, device);
    return credentialsView(credentials, delivery !== "cookie");
  };

  /** What a client that signs in may be known by. */
  const presentedBy = (request: Request): Presented => ({
    device: cookies.deviceOf(request),
    handles: cookiesAmong(handlesOf(core, request)),
  });

  return new Elysia({ name: "auth", prefix: "/api/v1/auth" })
    .use(guards(core))
    .post(
      "/register",
      async ({ body, request, set }) => {
        const { email, password } = body;
        const profile = profileOf(body);
        const wanted = { ...namedMembers(body), email, password, ...(profile && { profile }) };
        const made = await braked(() => register(core, anonymous(clientOf(request)), wanted));
        set.status = 201;
        return answerUser(set, made);
      },
      {
        rate: "register",
        body: schemas.registerBody,
        detail: describe("Sign up", {
          tag: "auth",
          security: [],
          details:
            "Where addresses must be verified, the answer is the same whether the address is taken or not; its owner is told.",
          ok: { 201: schemas.userView },
          errors: ["email_taken", "username_taken", "weak_password", "overloaded", "unavailable"],
        }),
      },
    )
    .post(
      "/login",
      async ({ body, request, set }) => {
        const { email, username, password, credential = "tokens", delivery = visitOf(request).delivery } = body;
        const identifier = email ?? username;
        if (identifier === undefined || (email !== undefined && username !== undefined)) {
          return fail("validation_failed", {
            errors: [{ path: "email", message: "one of `email` and `username` is required" }],
          });
        }
        // No cookie counts here, but one is given: to nobody who was brought here by a page of another origin.
        if (delivery === "cookie") await refuseForgery(core, request, []);
        const presented = presentedBy(request);
        const by = anonymous(clientOf(request));
        const credentials = await braked(() => login(core, by, { identifier, password, credential, presented }));
        const device = rememberDevice(core, credentials.standing.user.id, presented.device);
        return deliver(request, set, credentials, delivery, device);
      },
      {
        body: schemas.loginBody,
        detail: describe("Sign in", {
          tag: "auth",
          security: [],
          details:
            "With cookies the browser is given one more, which tells it again for a year: passwords that it tries are counted apart, so that no stranger locks it out.",
          ok: { 200: schemas.credentialsView },
          errors: ["invalid_credentials", "email_not_verified", "csrf_rejected", "overloaded", "unavailable"],
        }),
      },
    )
    .post(
      "/login-form",
      async ({ body, request, set }) => {
        const by = anonymous(clientOf(request));
        const { username: identifier, password } = body;
        const presented = presentedBy(request);
        const credentials = await braked(() =>
          login(core, by, { identifier, password, credential: "tokens", presented }),
        );
        return deliver(request, set, credentials, "body");
      },
      {
        parse: "urlencoded",
        body: schemas.loginForm,
        detail: describe("Sign in with a form", {
          tag: "auth",
          security: [],
          details: "The password form of OAuth 2.0 (RFC 6749, section 4.3), for tools that know it.",
          ok: { 200: schemas.credentialsView },
          errors: ["invalid_credentials", "email_not_verified", "overloaded", "unavailable"],
        }),
      },
    )
    .post(
      "/refresh",
      async ({ body, request, set }) => {
        const handles = handlesOf(core, request);
        const { refreshCookie } = handles;
        const fromBody = body?.refresh_token;
        if (fromBody === undefined && refreshCookie !== undefined) {
          await refuseForgery(core, request, cookiesAmong(handles));
        }
        const token =
          fromBody ??
          refreshCookie ??
          fail("unauthenticated", { detail: "Send the refresh token as `refresh_token` or as its cookie." });
        const byCookie = fromBody === undefined;
        try {
          const credentials = await refresh(core, anonymous(clientOf(request)), token);
          return deliver(request, set, credentials, byCookie ? "cookie" : "body");
        } catch (error) {
          if (byCookie && isRefused(error)) set.headers["set-cookie"] = cookies.clear();
          throw error;
        }
      },
      {
        rate: "refresh",
        body: schemas.refreshBody,
        detail: describe("Trade a refresh token for its successor", {
          tag: "auth",
          security: [],
          details: "The answer comes the way the token came: in the body, or in cookies.",
          ok: { 200: schemas.credentialsView },
          errors: [
            "unauthenticated",
            "refresh_token_reused",
            "session_hijack_suspected",
            "csrf_rejected",
            "unavailable",
          ],
        }),
      },
    )
    .post(
      "/logout",
      async ({ body, request, set }) => {
        const carried = handlesOf(core, request);
        const { bearer } = carried;
        const byCookie = cookiesAmong(carried);
        if (bearer === undefined && byCookie.length > 0) await refuseForgery(core, request, byCookie);
        // All that came, so that a broken handle does not keep a good one alive.
        const handles = [bearer, body?.refresh_token, ...byCookie];
        await signOut(
          core,
          anonymous(clientOf(request)),
          handles.filter((one) => one !== undefined),
        );
        set.headers["set-cookie"] = cookies.clear();
        set.status = 204;
      },
      {
        body: schemas.refreshBody,
        detail: describe("Sign out", {
          tag: "auth",
          security: [],
          details: "Takes any handle on the session, and answers 204 as well where the session is already gone.",
          ok: { 204: null },
          errors: ["csrf_rejected", "unavailable"],
        }),
      },
    )
    .get(
      "/csrf",
      async ({ request }) => ({
        csrf_token: await mintCsrfToken(core, cookiesAmong(handlesOf(core, request))),
      }),
      {
        detail: describe("A token for browsers that do not say where a request comes from", {
          tag: "auth",
          security: [],
          details:
            "To be sent as `X-CSRF-Token` with requests that carry cookies. It is good for the session of the cookies that came; after signing in, ask for another one.",
          ok: { 200: schemas.csrfView },
          errors: ["unavailable"],
        }),
      },
    )
    .post(
      "/logout-all",
      async ({ principal, set }) => {
        const revoked = await signOutEverywhere(core, principal.by, principal.user.id);
        set.headers["set-cookie"] = cookies.clear();
        return { revoked };
      },
      {
        signedIn: true,
        detail: describe("Sign out everywhere", {
          tag: "auth",
          ok: { 200: schemas.revokedView },
          errors: ["csrf_rejected", "unavailable"],
        }),
      },
    );
};
