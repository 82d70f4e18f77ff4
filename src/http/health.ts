import { Elysia } from "elysia";
import type { Health } from "../core/health.ts";
import { checkView } from "../core/views.ts";
import { describe } from "./openapi.ts";
import { healthView, rootView } from "./schemas.ts";

export type Surroundings = {
  readonly version: string;
  readonly health: () => Promise<Health>;
  /** Whether the server has been asked to stop: then it is alive, but no longer ready. */
  readonly isDraining: () => boolean;
};

/** What stands at the root: who this is, and how it is. */
export const healthRoutes = ({ version, health, isDraining }: Surroundings) => {
  const report = async (set: { status?: number | string }) => {
    const { ok, checks } = await health();
    const status = isDraining() ? "draining" : ok ? "ok" : "unavailable";
    if (status !== "ok") set.status = 503;
    return { status, checks: checks.map(checkView) };
  };
  const about = { tag: "server", security: [] } satisfies Partial<Parameters<typeof describe>[1]>;

  return new Elysia({ name: "health" })
    .get(
      "/",
      () => ({
        name: "authctl",
        version,
        links: { docs: "/docs", openapi: "/openapi.json", health: "/health", jwks: "/.well-known/jwks.json" },
      }),
      { detail: describe("Who this is", { ...about, ok: { 200: rootView } }) },
    )
    .get("/health", ({ set }) => report(set), {
      detail: describe("How each part is, and when it was last looked at", {
        ...about,
        ok: { 200: healthView, 503: healthView },
      }),
    })
    .get("/readyz", ({ set }) => report(set), {
      detail: describe("Whether requests may be sent here", { ...about, ok: { 200: healthView, 503: healthView } }),
    })
    .get("/livez", () => ({ status: "ok", checks: [] }), {
      detail: describe("Whether the process is alive", { ...about, ok: { 200: healthView } }),
    });
};
