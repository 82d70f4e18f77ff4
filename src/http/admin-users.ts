import { Elysia } from "elysia";
import type { Core } from "../core/core.ts";
import { listSessionsOf, revokeSessionOf, signOutEverywhere } from "../core/sessions.ts";
import { disableUsers } from "../core/users/disabling.ts";
import { listUsers } from "../core/users/user-lists.ts";
import { createUser, deleteUser, getUser, updateUser } from "../core/users.ts";
import { bulkDisabledView, pageView, sessionView, userView } from "../core/views.ts";
import { guards } from "./guards.ts";
import { describe } from "./openapi.ts";
import { expectedRevisions } from "./preconditions.ts";
import * as schemas from "./schemas.ts";
import { answerUser, memberChange, namedMembers, profileOf } from "./users.ts";

const writing = ["forbidden", "not_found", "csrf_rejected", "unavailable"] as const;
const updating = [
  "email_taken",
  "username_taken",
  "last_admin",
  "precondition_failed",
  "step_up_required",
  ...writing,
] as const;

/** Everybody's accounts, for who may see and change them. */
export const adminUserRoutes = (core: Core) =>
  new Elysia({ name: "admin-users", prefix: "/api/v1/users" })
    .use(guards(core))
    .get(
      "",
      async ({ query }) => {
        const { q, role, is_active: active, email_verified: emailVerified, sort, limit = 50, cursor } = query;
        const wanted = {
          ...(q !== undefined && { query: q }),
          ...(role !== undefined && { role }),
          ...(active !== undefined && { active }),
          ...(emailVerified !== undefined && { emailVerified }),
          ...(sort !== undefined && { sort }),
        };
        const page = await listUsers(core, wanted, { limit, cursor });
        return pageView(page, ({ user, roles }) => userView(user, roles));
      },
      {
        permission: "users:read",
        query: schemas.usersQuery,
        detail: describe("The users, by the page", {
          tag: "users",
          details:
            "`q` is the beginning of an address, a user name or a full name; without `sort`, matches come in that order. A page of a search may be shorter than `limit` before the last one: `has_more` tells.",
          ok: { 200: schemas.pageOf(schemas.userView) },
          errors: ["forbidden", "unavailable"],
        }),
      },
    )
    .post(
      "",
      async ({ principal, body, set }) => {
        const { email, password, roles, is_active: active, email_verified: emailVerified } = body;
        const profile = profileOf(body);
        const made = await createUser(core, principal.by, {
          ...namedMembers(body),
          email,
          ...(password !== undefined && { password }),
          ...(roles && { roles }),
          ...(active !== undefined && { active }),
          ...(emailVerified !== undefined && { emailVerified }),
          ...(profile && { profile }),
        });
        set.status = 201;
        return answerUser(set, made);
      },
      {
        permission: "users:write",
        body: schemas.newUserBody,
        detail: describe("Make a user", {
          tag: "users",
          details:
            "Without a password nobody can sign in as this user until one is set. `roles` may permit no more than you may do.",
          ok: { 201: schemas.userView },
          errors: ["email_taken", "username_taken", "weak_password", "overloaded", "step_up_required", ...writing],
        }),
      },
    )
    .post(
      "/disable",
      async ({ principal, body }) => bulkDisabledView(await disableUsers(core, principal.by, body.ids)),
      {
        permission: "users:write",
        body: schemas.idsBody,
        detail: describe("Keep many users from signing in", {
          tag: "users",
          details: "Each by itself: `refused` says of whom that was not possible, and why.",
          ok: { 200: schemas.bulkDisabledView },
          errors: ["forbidden", "csrf_rejected", "unavailable"],
        }),
      },
    )
    .get("/:id", async ({ params, request, set }) => answerUser(set, await getUser(core, params.id), request), {
      permission: "users:read",
      params: schemas.idParams,
      detail: describe("A user", {
        tag: "users",
        details: "With an `ETag`; `If-None-Match` is honoured.",
        ok: { 200: schemas.userView, 304: null },
        errors: ["not_found", "forbidden", "unavailable"],
      }),
    })
    .put(
      "/:id",
      async ({ principal, params, body, request, set }) => {
        const condition = { expected: expectedRevisions(request) };
        const change = memberChange(body, "replace");
        return answerUser(set, await updateUser(core, principal.by, params.id, change, condition));
      },
      {
        permission: "users:write",
        params: schemas.idParams,
        body: schemas.userChangeBody,
        detail: describe("Change a user, with a whole profile", {
          tag: "users",
          details: `${schemas.changeDetails} \`profile\` takes the place of the one before.`,
          ok: { 200: schemas.userView },
          errors: updating,
        }),
      },
    )
    .patch(
      "/:id",
      async ({ principal, params, body, request, set }) => {
        const condition = { expected: expectedRevisions(request) };
        const change = memberChange(body, "merge");
        return answerUser(set, await updateUser(core, principal.by, params.id, change, condition));
      },
      {
        permission: "users:write",
        params: schemas.idParams,
        body: schemas.userChangeBody,
        detail: describe("Change a user", {
          tag: "users",
          details: `${schemas.changeDetails} Members of \`profile\` that are left out stay too (RFC 7396).`,
          ok: { 200: schemas.userView },
          errors: updating,
        }),
      },
    )
    .delete(
      "/:id",
      async ({ principal, params, request, set }) => {
        await deleteUser(core, principal.by, params.id, { expected: expectedRevisions(request) });
        set.status = 204;
      },
      {
        permission: "users:write",
        params: schemas.idParams,
        detail: describe("Delete a user", {
          tag: "users",
          details:
            "`If-Match` is honoured. For as long as TOMBSTONE_TTL says, `authctl user restore` brings the user back.",
          ok: { 204: null },
          errors: ["last_admin", "precondition_failed", "step_up_required", ...writing],
        }),
      },
    )
    .get(
      "/:id/sessions",
      async ({ principal, params, query: { limit = 50, cursor } }) => {
        const page = await listSessionsOf(core, params.id, { limit, cursor });
        return pageView(page, (session) => sessionView(session, principal.session.id));
      },
      {
        permission: "sessions:read",
        params: schemas.idParams,
        query: schemas.pageQuery,
        detail: describe("Where a user is signed in", {
          tag: "sessions",
          details: "Live sessions, newest first.",
          ok: { 200: schemas.pageOf(schemas.sessionView) },
          errors: ["not_found", "forbidden", "unavailable"],
        }),
      },
    )
    .delete(
      "/:id/sessions",
      async ({ principal, params }) => ({ revoked: await signOutEverywhere(core, principal.by, params.id) }),
      {
        permission: "sessions:write",
        params: schemas.idParams,
        detail: describe("Sign a user out everywhere", {
          tag: "sessions",
          ok: { 200: schemas.revokedView },
          errors: writing,
        }),
      },
    )
    .delete(
      "/:id/sessions/:session_id",
      async ({ principal, params, set }) => {
        await revokeSessionOf(core, principal.by, params.id, params.session_id);
        set.status = 204;
      },
      {
        permission: "sessions:write",
        params: schemas.sessionParams,
        detail: describe("End one session of a user", { tag: "sessions", ok: { 204: null }, errors: writing }),
      },
    );
