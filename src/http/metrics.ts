import { Elysia } from "elysia";
import type { Core } from "../core/core.ts";
import { fail } from "../core/errors.ts";
import { figuresOf } from "../core/figures.ts";
import { edge } from "./edge.ts";
import { guards, isScraper } from "./guards.ts";
import { describe } from "./openapi.ts";
import { metricsText } from "./schemas.ts";

/** The text format of Prometheus, version 0.0.4. */
const contentType = "text/plain; version=0.0.4; charset=utf-8";

type Settable = { headers: Record<string, unknown> };

function reporter(core: Core) {
  const figures = figuresOf(core);
  return async ({ set }: { set: Settable }): Promise<string> => {
    set.headers["content-type"] = contentType;
    return await core.meter.report(await figures());
  };
}

/** What this server has counted, for those who may know. */
export const metricsRoutes = (core: Core) =>
  new Elysia({ name: "metrics" }).use(guards(core)).get("/metrics", reporter(core), {
    scraper: true,
    detail: describe("What was counted and measured", {
      tag: "server",
      details: "For the permission `metrics:read`, or with METRICS_TOKEN as bearer. Of all workers of this server.",
      ok: { 200: metricsText },
      type: "text/plain",
      errors: ["forbidden"],
    }),
  });

/** A door of its own for whoever scrapes: closed where there is a token, else open to all who reach its address. */
export const metricsApp = (core: Core, { reusePort }: { readonly reusePort: boolean }) =>
  new Elysia({
    strictPath: true,
    systemRouter: false,
    handler: { standardHostname: false },
    serve: { reusePort, development: false, maxRequestBodySize: 1024 },
  })
    .use(edge(core))
    .get("/metrics", reporter(core), {
      beforeHandle: ({ request }) => {
        if (core.settings.METRICS_TOKEN !== undefined && !isScraper(core, request)) fail("unauthenticated");
      },
    });
