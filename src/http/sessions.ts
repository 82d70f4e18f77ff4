import { Elysia } from "elysia";
import type { Core } from "../core/core.ts";
import { listSessions, revokeOwnSession } from "../core/sessions.ts";
import { sessionView } from "../core/views.ts";
import { guards } from "./guards.ts";
import { describe } from "./openapi.ts";
import * as schemas from "./schemas.ts";

/** Where one is signed in. */
export const sessionRoutes = (core: Core) =>
  new Elysia({ name: "sessions", prefix: "/api/v1/sessions" })
    .use(guards(core))
    .get(
      "",
      async ({ principal }) => {
        const sessions = await listSessions(core, principal.user.id);
        return sessions.map((session) => sessionView(session, principal.session.id));
      },
      {
        signedIn: true,
        detail: describe("The own live sessions", {
          tag: "sessions",
          ok: { 200: schemas.sessionsView },
          errors: ["unavailable"],
        }),
      },
    )
    .delete(
      "/:id",
      async ({ principal, params, set }) => {
        await revokeOwnSession(core, principal.by, params.id);
        set.status = 204;
      },
      {
        signedIn: true,
        params: schemas.idParams,
        detail: describe("End one of the own sessions", {
          tag: "sessions",
          ok: { 204: null },
          errors: ["not_found", "csrf_rejected", "unavailable"],
        }),
      },
    );
