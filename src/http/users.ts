import { Elysia } from "elysia";
import type { Core } from "../core/core.ts";
import { fail } from "../core/errors.ts";
import { proveAgain } from "../core/step-up.ts";
import { changePassword } from "../core/users/new-passwords.ts";
import { deleteOwnAccount, type Member, type MemberChange, type OwnChange, updateOwnAccount } from "../core/users.ts";
import { userView } from "../core/views.ts";
import type { Account, Profile } from "../store/tables.ts";
import { credentialCookies } from "./cookies.ts";
import { guards } from "./guards.ts";
import { describe } from "./openapi.ts";
import { etagOf, expectedRevisions, isKnown } from "./preconditions.ts";
import * as schemas from "./schemas.ts";

type Settable = { status?: number | string; headers: Record<string, unknown> };
type OwnBody = typeof schemas.ownChangeBody.static;
type UserBody = typeof schemas.userChangeBody.static;

/** A user with the tag that a change of it may be made to. With `request`, nothing where it is known there already. */
export function answerUser(
  set: Settable,
  { user, roles }: Pick<Member, "roles"> & { user: Account },
  request?: Request,
) {
  const etag = etagOf(user);
  set.headers["etag"] = etag;
  if (!request || !isKnown(request, etag)) return userView(user, roles);
  set.status = 304;
  return undefined;
}

/** The members of a profile that came with a body; undefined where none came. */
export function profileOf({ profile }: { readonly profile?: unknown }): Profile | undefined {
  if (profile === undefined) return undefined;
  if (typeof profile === "object" && profile !== null && !Array.isArray(profile)) return { ...profile };
  return fail("validation_failed", { errors: [{ path: "/profile", message: "must be an object" }] });
}

/** Only named members of a body are read, and what is missing stays as it is. */
export const namedMembers = ({ username, full_name: fullName, locale }: Omit<OwnBody, "profile">) => ({
  ...(username !== undefined && { username }),
  ...(fullName !== undefined && { fullName }),
  ...(locale !== undefined && { locale }),
});

const ownChange = (body: OwnBody, how: "replace" | "merge"): OwnChange => {
  const members = profileOf(body);
  return { ...namedMembers(body), ...(members && { profile: { how, members } }) };
};

export const memberChange = (body: UserBody, how: "replace" | "merge"): MemberChange => ({
  ...ownChange(body, how),
  ...(body.email !== undefined && { email: body.email }),
  ...(body.is_active !== undefined && { active: body.is_active }),
  ...(body.email_verified !== undefined && { emailVerified: body.email_verified }),
});

/** One's own account. */
export const userRoutes = (core: Core) => {
  const cookies = credentialCookies(core.settings);
  const updating = ["username_taken", "precondition_failed", "csrf_rejected", "unavailable"] as const;

  return new Elysia({ name: "users", prefix: "/api/v1/users" })
    .use(guards(core))
    .get("/me", ({ principal, request, set }) => answerUser(set, principal, request), {
      signedIn: true,
      detail: describe("Who is signed in", {
        tag: "users",
        details: "With an `ETag`; `If-None-Match` is honoured.",
        ok: { 200: schemas.userView, 304: null },
        errors: ["unavailable"],
      }),
    })
    .put(
      "/me",
      async ({ principal: { by }, body, request, set }) => {
        const condition = { expected: expectedRevisions(request) };
        return answerUser(set, await updateOwnAccount(core, by, ownChange(body, "replace"), condition));
      },
      {
        signedIn: true,
        body: schemas.ownChangeBody,
        detail: describe("Change the own account, with a whole profile", {
          tag: "users",
          details: `${schemas.changeDetails} \`profile\` takes the place of the one before.`,
          ok: { 200: schemas.userView },
          errors: updating,
        }),
      },
    )
    .patch(
      "/me",
      async ({ principal: { by }, body, request, set }) => {
        const condition = { expected: expectedRevisions(request) };
        return answerUser(set, await updateOwnAccount(core, by, ownChange(body, "merge"), condition));
      },
      {
        signedIn: true,
        body: schemas.ownChangeBody,
        detail: describe("Change the own account", {
          tag: "users",
          details: `${schemas.changeDetails} Members of \`profile\` that are left out stay too (RFC 7396).`,
          ok: { 200: schemas.userView },
          errors: updating,
        }),
      },
    )
    .post(
      "/me/password",
      async ({ principal, body, set }) => {
        await changePassword(core, principal.by, body.current_password, body.new_password);
        set.status = 204;
      },
      {
        signedIn: true,
        body: schemas.passwordChangeBody,
        detail: describe("Change the own password", {
          tag: "users",
          details: "Every other session ends.",
          ok: { 204: null },
          errors: ["invalid_credentials", "weak_password", "overloaded", "csrf_rejected", "unavailable"],
        }),
      },
    )
    .post(
      "/me/proof",
      async ({ principal, body, set }) => {
        await proveAgain(core, principal.by, body.password);
        set.status = 204;
      },
      {
        signedIn: true,
        body: schemas.passwordProofBody,
        detail: describe("Prove the password again", {
          tag: "users",
          details:
            "For STEP_UP_TTL this session may then change roles, and addresses of other users, and delete them; before, these are answered 403 `step_up_required`.",
          ok: { 204: null },
          errors: ["invalid_credentials", "overloaded", "csrf_rejected", "unavailable"],
        }),
      },
    )
    .delete(
      "/me",
      async ({ principal, body, request, set }) => {
        await deleteOwnAccount(core, principal.by, body.password, { expected: expectedRevisions(request) });
        set.headers["set-cookie"] = cookies.clear();
        set.status = 204;
      },
      {
        signedIn: true,
        body: schemas.passwordProofBody,
        detail: describe("Delete the own account", {
          tag: "users",
          ok: { 204: null },
          errors: [
            "invalid_credentials",
            "last_admin",
            "precondition_failed",
            "overloaded",
            "csrf_rejected",
            "unavailable",
          ],
        }),
      },
    );
};
