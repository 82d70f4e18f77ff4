import { Elysia } from "elysia";
import type { Core } from "../core/core.ts";
import {
  createRole,
  deleteRole,
  getRole,
  grantRole,
  grantsOf,
  listRoles,
  revokeRole,
  updateRole,
} from "../core/roles.ts";
import { getUser } from "../core/users.ts";
import { roleView } from "../core/views.ts";
import { guards } from "./guards.ts";
import { describe } from "./openapi.ts";
import * as schemas from "./schemas.ts";
import { answerUser } from "./users.ts";

/** What roles permit, and who holds them. */
export const roleRoutes = (core: Core) =>
  new Elysia({ name: "roles", prefix: "/api/v1" })
    .use(guards(core))
    .get(
      "/roles",
      // A page of the form that long lists have, so that a client reads all lists alike.
      async () => ({ items: (await listRoles(core)).map(roleView), next_cursor: null, has_more: false }),
      {
        permission: "roles:read",
        detail: describe("All roles", { tag: "roles", ok: { 200: schemas.rolesView }, errors: ["unavailable"] }),
      },
    )
    .post(
      "/roles",
      async ({ principal, body, set }) => {
        const { name, ...content } = body;
        const role = await createRole(core, principal.by, name, content);
        set.status = 201;
        return roleView(role);
      },
      {
        permission: "roles:write",
        body: schemas.newRoleBody,
        detail: describe("Make a role", {
          tag: "roles",
          details: "It can hold only what you hold yourself.",
          ok: { 201: schemas.roleView },
          errors: ["forbidden", "step_up_required", "role_exists", "csrf_rejected", "unavailable"],
        }),
      },
    )
    .get("/roles/:name", async ({ params }) => roleView(await getRole(core, params.name)), {
      permission: "roles:read",
      params: schemas.roleParams,
      detail: describe("One role", {
        tag: "roles",
        ok: { 200: schemas.roleView },
        errors: ["not_found", "unavailable"],
      }),
    })
    .put(
      "/roles/:name",
      async ({ principal, params, body }) => roleView(await updateRole(core, principal.by, params.name, body)),
      {
        permission: "roles:write",
        params: schemas.roleParams,
        body: schemas.roleBody,
        detail: describe("Change what a role is for and permits", {
          tag: "roles",
          details:
            "You must hold all that it permitted and all that it will permit. It counts with the next request of its holders.",
          ok: { 200: schemas.roleView },
          errors: ["forbidden", "step_up_required", "not_found", "role_built_in", "csrf_rejected", "unavailable"],
        }),
      },
    )
    .delete(
      "/roles/:name",
      async ({ principal, params, set }) => {
        await deleteRole(core, principal.by, params.name);
        set.status = 204;
      },
      {
        permission: "roles:write",
        params: schemas.roleParams,
        detail: describe("Delete a role, and take it from everybody who holds it", {
          tag: "roles",
          ok: { 204: null },
          errors: ["forbidden", "step_up_required", "not_found", "role_built_in", "csrf_rejected", "unavailable"],
        }),
      },
    )
    .put(
      "/users/:id/roles/:name",
      async ({ principal, params, set }) => {
        await grantRole(core, principal.by, params.id, params.name);
        return answerUser(set, await getUser(core, params.id));
      },
      {
        permission: "roles:write",
        params: schemas.userRoleParams,
        detail: describe("Give a user a role", {
          tag: "roles",
          details: "You must hold all that the role permits, and all that the user may do.",
          ok: { 200: schemas.userView },
          errors: ["forbidden", "step_up_required", "not_found", "csrf_rejected", "unavailable"],
        }),
      },
    )
    .delete(
      "/users/:id/roles/:name",
      async ({ principal, params, set }) => {
        await revokeRole(core, principal.by, params.id, params.name);
        return answerUser(set, await getUser(core, params.id));
      },
      {
        permission: "roles:write",
        params: schemas.userRoleParams,
        detail: describe("Take a role from a user", {
          tag: "roles",
          ok: { 200: schemas.userView },
          errors: ["forbidden", "step_up_required", "not_found", "last_admin", "csrf_rejected", "unavailable"],
        }),
      },
    )
    .get("/users/me/permissions", async ({ principal }) => await grantsOf(core.store, principal.user.id), {
      signedIn: true,
      detail: describe("The own roles and permissions", {
        tag: "roles",
        ok: { 200: schemas.grantsView },
        errors: ["unavailable"],
      }),
    });
