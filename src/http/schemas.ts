import { t } from "elysia";

/** The forms of requests and answers, as the OpenAPI document shows them. Requests are checked against theirs. */

const email = t.String({ maxLength: 320, description: "An e-mail address." });
const username = t.String({ maxLength: 128, description: "3 to 30 letters, digits, dots, dashes or underscores." });
const fullName = t.String({ maxLength: 400 });
/** Long enough that whoever sends too much is told what the policy says. */
const password = t.String({ maxLength: 4096 });
const token = t.String({ maxLength: 8192 });

export const credentialChoice = {
  credential: t.Optional(
    t.Union([t.Literal("tokens"), t.Literal("session")], {
      default: "tokens",
      description: "`tokens`: a short access token and a rotating refresh token; `session`: one opaque session token.",
    }),
  ),
  delivery: t.Optional(
    t.Union([t.Literal("body"), t.Literal("cookie")], {
      default: "body",
      description: "`body`: in the answer; `cookie`: in HttpOnly cookies, and then no secret stands in the body.",
    }),
  ),
};

export const registerBody = t.Object({
  email,
  password,
  username: t.Optional(t.Nullable(username)),
  full_name: t.Optional(t.Nullable(fullName)),
});

export const loginBody = t.Object({
  email: t.Optional(email),
  username: t.Optional(email),
  password,
  ...credentialChoice,
});

export const loginForm = t.Object({
  username: t.String({ maxLength: 320, description: "An e-mail address or a user name." }),
  password,
  grant_type: t.Optional(t.Union([t.Literal("password"), t.Literal("")])),
  scope: t.Optional(
    t.String({ maxLength: 1024, description: "Taken and not used: what a user may do follows from the roles." }),
  ),
  client_id: t.Optional(t.String({ maxLength: 256 })),
  client_secret: t.Optional(t.String({ maxLength: 256 })),
});

export const refreshBody = t.Optional(t.Object({ refresh_token: t.Optional(token) }));

export const profileBody = t.Object({
  full_name: t.Optional(t.Nullable(fullName)),
  username: t.Optional(t.Nullable(username)),
});

export const passwordChangeBody = t.Object({ current_password: password, new_password: password });
export const passwordProofBody = t.Object({ password });

/** An unknown form of id is as unknown as an unknown id, so it is not refused by its form. */
export const idParams = t.Object({ id: t.String({ maxLength: 128 }) });

const time = t.String({ format: "date-time" });

export const userView = t.Object({
  id: t.String({ format: "uuid" }),
  email: t.String(),
  email_verified: t.Boolean(),
  username: t.Nullable(t.String()),
  full_name: t.Nullable(t.String()),
  locale: t.Nullable(t.String({ description: "A language tag (BCP 47): what mails are written in." })),
  profile: t.Record(t.String(), t.Unknown(), { description: "An app's own members, as PROFILE_SCHEMA has them." }),
  is_active: t.Boolean(),
  is_admin: t.Boolean({ description: "Whether the roles hold `admin`." }),
  roles: t.Array(t.String()),
  created_at: time,
  updated_at: time,
  last_login_at: t.Nullable(time),
});

export const credentialsView = t.Object({
  access_token: t.Optional(t.String({ description: "With `tokens` in the body." })),
  refresh_token: t.Optional(t.String({ description: "With `tokens` in the body." })),
  session_token: t.Optional(t.String({ description: "With `session` in the body." })),
  token_type: t.Literal("Bearer"),
  expires_in: t.Integer({ description: "Seconds until the access token, or the resting session, ends." }),
  refresh_expires_in: t.Optional(t.Integer({ description: "Seconds until the resting session ends." })),
  session_id: t.String({ format: "uuid" }),
  user: userView,
});

export const sessionView = t.Object({
  id: t.String({ format: "uuid" }),
  current: t.Boolean(),
  created_at: time,
  last_seen_at: time,
  expires_at: t.String({ format: "date-time", description: "When it ends if it is not used again." }),
  ip: t.Nullable(t.String()),
  user_agent: t.Nullable(t.String()),
  device: t.Object({ browser: t.Nullable(t.String()), os: t.Nullable(t.String()), kind: t.String() }),
});

export const sessionsView = t.Array(sessionView);
export const revokedView = t.Object({ revoked: t.Integer({ description: "Sessions that were alive until now." }) });

export const jwksView = t.Object({ keys: t.Array(t.Record(t.String(), t.String())) });

export const healthView = t.Object({
  status: t.Union([t.Literal("ok"), t.Literal("unavailable"), t.Literal("draining")]),
  checks: t.Array(
    t.Object({
      name: t.String(),
      ok: t.Boolean(),
      latency_ms: t.Integer({ description: "How long it took to find out." }),
      age_ms: t.Integer({ description: "How long ago that was: asking often does not look more often." }),
    }),
  ),
});

export const rootView = t.Object({ name: t.String(), version: t.String(), links: t.Record(t.String(), t.String()) });

export const metricsText = t.String({ description: "The text format of Prometheus, version 0.0.4." });
