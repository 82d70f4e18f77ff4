import { Elysia } from "elysia";
import type { Core } from "../core/core.ts";
import { currentKeys, jwksMaxAge } from "../core/signing-keys.ts";
import { describe } from "./openapi.ts";
import { jwksView } from "./schemas.ts";

/** The public keys, for whoever verifies access tokens without asking this server. */
export const wellKnownRoutes = (core: Core) =>
  new Elysia({ name: "well-known", prefix: "/.well-known" }).get(
    "/jwks.json",
    async ({ request, set }) => {
      const { document, etag } = await currentKeys(core);
      set.headers["cache-control"] = `public, max-age=${jwksMaxAge}`;
      set.headers["etag"] = etag;
      // Not secret, and asked for by apps of every origin.
      set.headers["cross-origin-resource-policy"] = "cross-origin";
      set.headers["access-control-allow-origin"] = "*";
      if (request.headers.get("if-none-match") === etag) {
        set.status = 304;
        return undefined;
      }
      set.headers["content-type"] = "application/json";
      return document;
    },
    {
      detail: describe("The public signing keys", {
        tag: "server",
        security: [],
        details: "A JWKS (RFC 7517). The next key stands in it before it signs.",
        ok: { 200: jwksView, 304: null },
        errors: ["unavailable"],
      }),
    },
  );
