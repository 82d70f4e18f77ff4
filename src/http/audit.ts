import { Elysia } from "elysia";
import { pageOfAudit } from "../core/audit/trail.ts";
import type { Core } from "../core/core.ts";
import { fail } from "../core/errors.ts";
import { parseInstant } from "../core/instants.ts";
import { auditEventView, pageView } from "../core/views.ts";
import { guards } from "./guards.ts";
import { describe } from "./openapi.ts";
import * as schemas from "./schemas.ts";

/** What was done, for whoever may know. */
export const auditRoutes = (core: Core) =>
  new Elysia({ name: "audit", prefix: "/api/v1/audit-events" }).use(guards(core)).get(
    "",
    async ({ query }) => {
      const { actor, action, subject, since, until, limit = 50, cursor } = query;
      const filter = {
        ...(actor !== undefined && { actor }),
        ...(action !== undefined && { action }),
        ...(subject !== undefined && { userId: subject }),
        ...(since !== undefined && { since: instant("since", since) }),
        ...(until !== undefined && { until: instant("until", until) }),
      };
      return pageView(await pageOfAudit(core, filter, { limit, cursor }), auditEventView);
    },
    {
      permission: "audit:read",
      query: schemas.auditQuery,
      detail: describe("The audit trail, newest first", {
        tag: "audit",
        details: "Needs the permission `audit:read`. Times are inclusive at the beginning and exclusive at the end.",
        ok: { 200: schemas.pageOf(schemas.auditEventView) },
        errors: ["forbidden", "validation_failed", "unavailable"],
      }),
    },
  );

/** The form alone allows a 31st of April, and a day without a time. */
const instant = (path: string, text: string): Date =>
  parseInstant(text) ?? fail("validation_failed", { errors: [{ path, message: "must be a time as in RFC 3339." }] });
