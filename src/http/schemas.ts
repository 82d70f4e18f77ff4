import { type TSchema, t } from "elysia";
import { type Action, actionNames } from "../core/audit.ts";
import { userSorts } from "../core/users/user-lists.ts";

/** The forms of requests and answers, as the OpenAPI document shows them. Requests are checked against theirs. */

const email = t.String({ maxLength: 320, description: "An e-mail address." });
const username = t.String({ maxLength: 128, description: "3 to 30 letters, digits, dots, dashes or underscores." });
const fullName = t.String({ maxLength: 400 });
/** Long enough that whoever sends too much is told what the policy says. */
const password = t.String({ maxLength: 4096 });
const token = t.String({ maxLength: 8192 });
const profile = t.Record(t.String(), t.Unknown(), { description: "An app's own members, as PROFILE_SCHEMA has them." });
/** Anything as far as Elysia knows, which would make an object of a text where it wants one; the document says what it is. */
const givenProfile = t.Unknown({
  "x-type": "object",
  description: "An app's own members, as PROFILE_SCHEMA has them.",
});

export const credentialChoice = {
  credential: t.Optional(
    t.Union([t.Literal("tokens"), t.Literal("session")], {
      default: "tokens",
      description: "`tokens`: a short access token and a rotating refresh token; `session`: one opaque session token.",
    }),
  ),
  // Without a `default`, which Elysia would fill in: it depends on the path that the request came by.
  delivery: t.Optional(
    t.Union([t.Literal("body"), t.Literal("cookie")], {
      description:
        "`body` (default): in the answer; `cookie`: in HttpOnly cookies, and then no secret stands in the body.",
    }),
  ),
};

const said = {
  username: t.Optional(t.Nullable(username)),
  full_name: t.Optional(t.Nullable(fullName)),
  locale: t.Optional(t.Nullable(t.String({ maxLength: 64, description: "A language tag (BCP 47)." }))),
  profile: t.Optional(givenProfile),
};

export const registerBody = t.Object({ email, password, ...said });

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

export const changeDetails =
  "Members that are left out stay as they are; null takes a name away. `If-Match` is honoured: send the `ETag` that you have seen.";

export const ownChangeBody = t.Object(said);

const decided = {
  is_active: t.Optional(t.Boolean()),
  email_verified: t.Optional(t.Boolean()),
};

export const userChangeBody = t.Object({ email: t.Optional(email), ...said, ...decided });
export const newUserBody = t.Object({
  email,
  password: t.Optional(password),
  ...said,
  ...decided,
  roles: t.Optional(t.Array(t.String({ maxLength: 64 }), { maxItems: 64 })),
});

export const idsBody = t.Object({ ids: t.Array(t.String({ maxLength: 128 }), { minItems: 1, maxItems: 200 }) });

export const passwordChangeBody = t.Object({ current_password: password, new_password: password });
export const passwordProofBody = t.Object({ password });

export const tokenBody = t.Object({ token });
export const emailBody = t.Object({ email });
export const passwordResetBody = t.Object({ token, password });
export const emailChangeBody = t.Object({ new_email: email, password });

/** An unknown form of id is as unknown as an unknown id, so it is not refused by its form. */
export const idParams = t.Object({ id: t.String({ maxLength: 128 }) });

const roleDescription = t.String({ maxLength: 400, description: "One line of at most 200 characters." });
const permissions = t.Array(t.String({ maxLength: 200 }), {
  maxItems: 100,
  description: "At most 100, each `noun:verb`, `noun:*` or `*`.",
});

export const newRoleBody = t.Object({
  name: t.String({ maxLength: 128, description: "2 to 32 small letters, digits, hyphens or underscores." }),
  description: t.Optional(roleDescription),
  permissions: t.Optional(permissions),
});
export const roleBody = t.Object({ description: roleDescription, permissions });

/** An unknown form of name is as unknown as an unknown name. */
export const roleParams = t.Object({ name: t.String({ maxLength: 128 }) });
export const userRoleParams = t.Object({ id: t.String({ maxLength: 128 }), name: t.String({ maxLength: 128 }) });
export const sessionParams = t.Object({
  id: t.String({ maxLength: 128 }),
  session_id: t.String({ maxLength: 128 }),
});

const page = {
  limit: t.Optional(t.Integer({ minimum: 1, maximum: 200, default: 50 })),
  cursor: t.Optional(t.String({ maxLength: 2048, description: "The `next_cursor` of the page before." })),
};
export const pageQuery = t.Object(page);

export const usersQuery = t.Object({
  q: t.Optional(t.String({ minLength: 1, maxLength: 254 })),
  role: t.Optional(t.String({ maxLength: 64 })),
  is_active: t.Optional(t.Boolean()),
  email_verified: t.Optional(t.Boolean()),
  sort: t.Optional(t.Union(userSorts.map((sort) => t.Literal(sort)))),
  ...page,
});

const time = t.String({ format: "date-time" });

export const userView = t.Object({
  id: t.String({ format: "uuid" }),
  email: t.String(),
  email_verified: t.Boolean(),
  username: t.Nullable(t.String()),
  full_name: t.Nullable(t.String()),
  locale: t.Nullable(t.String({ description: "A language tag (BCP 47): what mails are written in." })),
  profile,
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

export const roleView = t.Object({
  name: t.String(),
  description: t.String(),
  permissions: t.Array(t.String(), { description: "In order, each once." }),
});
export const rolesView = t.Object({
  items: t.Array(roleView),
  next_cursor: t.Nullable(t.String({ description: "Always null: all of them stand on one page." })),
  has_more: t.Boolean(),
});
export const grantsView = t.Object({
  roles: t.Array(t.String()),
  permissions: t.Array(t.String(), { description: "Everything that the roles permit." }),
});

export const sessionsView = t.Array(sessionView);
export const pageOf = <T extends TSchema>(item: T) =>
  t.Object({ items: t.Array(item), next_cursor: t.Nullable(t.String()), has_more: t.Boolean() });

export const bulkDisabledView = t.Object({
  disabled: t.Array(t.String()),
  unchanged: t.Array(t.String(), { description: "Those who were disabled already." }),
  refused: t.Array(t.Object({ id: t.String(), code: t.String(), title: t.String() })),
});

export const revokedView = t.Object({ revoked: t.Integer({ description: "Sessions that were alive until now." }) });

export const csrfView = t.Object({ csrf_token: t.String() });
const moment = { format: "date-time", maxLength: 40 };

export const auditQuery = t.Object({
  actor: t.Optional(t.String({ maxLength: 256, description: "By whom: a user's id, `<os user>@<host>`, or a job." })),
  action: t.Optional(t.Enum(Object.fromEntries(actionNames.map((name) => [name, name])) as { [A in Action]: A })),
  subject: t.Optional(t.String({ maxLength: 128, description: "The id of the user that it was done to." })),
  since: t.Optional(t.String({ ...moment, description: "RFC 3339." })),
  until: t.Optional(t.String({ ...moment, description: "RFC 3339. From then on no more." })),
  ...page,
});

export const auditEventView = t.Object({
  id: t.String({ format: "uuid" }),
  at: time,
  action: t.String(),
  actor: t.Object({
    kind: t.Union([t.Literal("anonymous"), t.Literal("user"), t.Literal("operator"), t.Literal("job")]),
    id: t.Nullable(t.String()),
  }),
  subject: t.Nullable(t.String({ description: "The user that it was done to." })),
  session_id: t.Nullable(t.String()),
  ip: t.Nullable(t.String()),
  user_agent: t.Nullable(t.String()),
  request_id: t.Nullable(t.String()),
  reason: t.Nullable(t.String()),
  particulars: t.Record(t.String(), t.Unknown()),
  seq: t.Nullable(t.Integer({ description: "The place in the chain; none in the first moments." })),
});

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
