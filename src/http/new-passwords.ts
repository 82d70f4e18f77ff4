import { Elysia } from "elysia";
import { anonymous } from "../core/actors.ts";
import type { Core } from "../core/core.ts";
import { forgotPassword, recoverAccount, resetPassword } from "../core/users/new-passwords.ts";
import { clientOf } from "./guards.ts";
import { describe } from "./openapi.ts";
import * as schemas from "./schemas.ts";

/** A new password for who has forgotten the old one. */
export const newPasswordRoutes = (core: Core) =>
  new Elysia({ name: "new-passwords", prefix: "/api/v1/auth" })
    .post(
      "/forgot-password",
      async ({ body, request, set }) => {
        await forgotPassword(core, anonymous(clientOf(request)), body.email);
        set.status = 202;
      },
      {
        body: schemas.emailBody,
        detail: describe("Ask for a mail that sets a new password", {
          tag: "auth",
          security: [],
          ok: { 202: null },
          errors: ["unavailable"],
        }),
      },
    )
    .post(
      "/reset-password",
      async ({ body, request, set }) => {
        await resetPassword(core, anonymous(clientOf(request)), body.token, body.password);
        set.status = 204;
      },
      {
        body: schemas.passwordResetBody,
        detail: describe("Set a new password with the token of a mail", {
          tag: "auth",
          security: [],
          details:
            "Every session of the user ends, and nobody is signed in. A password that is refused leaves the token.",
          ok: { 204: null },
          errors: ["token_invalid", "weak_password", "overloaded", "unavailable"],
        }),
      },
    )
    .post(
      "/recover",
      async ({ body, request, set }) => {
        await recoverAccount(core, anonymous(clientOf(request)), body.token, body.password);
        set.status = 204;
      },
      {
        body: schemas.passwordResetBody,
        detail: describe("Set a new password with the token of `authctl admin recover`", {
          tag: "auth",
          security: [],
          details:
            "Every session of the user ends, and nobody is signed in. A password that is refused leaves the token.",
          ok: { 204: null },
          errors: ["token_invalid", "weak_password", "overloaded", "unavailable"],
        }),
      },
    );
