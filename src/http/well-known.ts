import { Elysia } from "elysia";
import type { Core } from "../core/core.ts";
import { fail } from "../core/errors.ts";
import { currentKeys, jwksMaxAge } from "../core/signing-keys.ts";
import { describe } from "./openapi.ts";
import { jwksView } from "./schemas.ts";

/** How long what security.txt says may be believed, in milliseconds: RFC 9116, section 2.5.5, wants less than a year. */
const contactLife = 180 * 86_400_000;

/** What stands where others expect it: the public keys, and the ways for password managers and finders of weaknesses. */
export const wellKnownRoutes = (core: Core) =>
  new Elysia({ name: "well-known", prefix: "/.well-known" })
    .get(
      "/change-password",
      ({ set }) => {
        // A place that only the settings can name (rule BR-4).
        set.status = 302;
        set.headers["location"] = core.settings.CHANGE_PASSWORD_PAGE;
      },
      {
        detail: describe("Where a password is changed", {
          tag: "server",
          security: [],
          details: "For password managers (W3C, A Well-Known URL for Changing Passwords).",
          ok: { 302: null },
        }),
      },
    )
    .get(
      "/security.txt",
      ({ set }) => {
        const { SECURITY_CONTACT, PUBLIC_URL } = core.settings;
        if (SECURITY_CONTACT === undefined) return fail("not_found", { detail: "Set SECURITY_CONTACT to have one." });
        const expires = new Date(core.clock.now().getTime() + contactLife).toISOString();
        set.headers["content-type"] = "text/plain; charset=utf-8";
        return `Contact: ${SECURITY_CONTACT}\nExpires: ${expires}\nCanonical: ${PUBLIC_URL}/.well-known/security.txt\n`;
      },
      {
        detail: describe("Whom to tell of a weakness", {
          tag: "server",
          security: [],
          details: "RFC 9116, where SECURITY_CONTACT is set.",
          ok: { 200: null },
          errors: ["not_found"],
        }),
      },
    )
    .get(
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
