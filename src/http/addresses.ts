import { Elysia } from "elysia";
import { anonymous } from "../core/actors.ts";
import type { Core } from "../core/core.ts";
import { proveAddress, requestEmailChange, resendVerification } from "../core/users/addresses.ts";
import { clientOf, guards } from "./guards.ts";
import { describe } from "./openapi.ts";
import * as schemas from "./schemas.ts";

/** Proving an address, and changing it. */
export const addressRoutes = (core: Core) =>
  new Elysia({ name: "addresses", prefix: "/api/v1" })
    .use(guards(core))
    .post(
      "/auth/verify-email",
      async ({ body, request, set }) => {
        await proveAddress(core, anonymous(clientOf(request)), body.token);
        set.status = 204;
      },
      {
        body: schemas.tokenBody,
        detail: describe("Prove an address", {
          tag: "auth",
          security: [],
          details: "Takes the token of a mail that verifies an address, or that confirms a new one.",
          ok: { 204: null },
          errors: ["token_invalid", "email_taken", "unavailable"],
        }),
      },
    )
    .post(
      "/auth/verify-email/resend",
      async ({ body, request, set }) => {
        await resendVerification(core, anonymous(clientOf(request)), body.email);
        set.status = 202;
      },
      {
        body: schemas.emailBody,
        detail: describe("Ask for another mail that verifies an address", {
          tag: "auth",
          security: [],
          ok: { 202: null },
          errors: ["unavailable"],
        }),
      },
    )
    .post(
      "/users/me/email",
      async ({ principal, body, set }) => {
        await requestEmailChange(core, principal.by, body.new_email, body.password);
        set.status = 202;
      },
      {
        signedIn: true,
        body: schemas.emailChangeBody,
        detail: describe("Change the own address", {
          tag: "users",
          details: "The new address counts once its owner has confirmed it; the old one is told at once.",
          ok: { 202: null },
          errors: ["invalid_credentials", "overloaded", "csrf_rejected", "unavailable"],
        }),
      },
    );
