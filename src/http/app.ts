import { Elysia } from "elysia";
import type { Core } from "../core/core.ts";
import { addressRoutes } from "./addresses.ts";
import { adminUserRoutes } from "./admin-users.ts";
import { auditRoutes } from "./audit.ts";
import { authRoutes } from "./auth.ts";
import { strictBody } from "./body.ts";
import { docs } from "./docs.ts";
import { edge } from "./edge.ts";
import { healthRoutes, type Surroundings } from "./health.ts";
import { metricsRoutes } from "./metrics.ts";
import { newPasswordRoutes } from "./new-passwords.ts";
import { pages } from "./pages.ts";
import { roleRoutes } from "./roles.ts";
import { sessionRoutes } from "./sessions.ts";
import { shortcuts } from "./shortcuts.ts";
import { userRoutes } from "./users.ts";
import { wellKnownRoutes } from "./well-known.ts";

/** The front door, in the order in which a request meets it. */
export const createApp = (core: Core, about: Surroundings & { readonly reusePort: boolean }) =>
  new Elysia({
    strictPath: true,
    systemRouter: false,
    // Elysia would look for the path behind the eleventh character, and so not find it behind a short host name.
    handler: { standardHostname: false },
    serve: {
      reusePort: about.reusePort,
      development: false,
      // Above this Bun answers by itself, without a problem document; BODY_LIMIT is held while reading.
      maxRequestBodySize: 16 * 1024 * 1024,
    },
  })
    .use(edge(core, (common) => shortcuts(core, common)))
    .use(strictBody(core.settings))
    .use(healthRoutes(about))
    .use(metricsRoutes(core))
    .use(wellKnownRoutes(core))
    .use(authRoutes(core))
    .use(addressRoutes(core))
    .use(newPasswordRoutes(core))
    .use(userRoutes(core))
    .use(adminUserRoutes(core))
    .use(sessionRoutes(core))
    .use(roleRoutes(core))
    .use(pages(core.settings))
    .use(auditRoutes(core))
    .use(docs({ version: about.version, settings: core.settings }));
