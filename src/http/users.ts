import { Elysia } from "elysia";
import type { Core } from "../core/core.ts";
import { changePassword } from "../core/new-passwords.ts";
import { deleteOwnAccount, type ProfileChange, updateUser } from "../core/users.ts";
import { userView } from "../core/views.ts";
import { credentialCookies } from "./cookies.ts";
import { guards } from "./guards.ts";
import { describe } from "./openapi.ts";
import * as schemas from "./schemas.ts";

type ProfileBody = typeof schemas.profileBody.static;

/** Only named members of a body are read, and what is missing stays as it is. */
const profileChange = ({ username, full_name: fullName }: ProfileBody): ProfileChange => ({
  ...(username !== undefined && { username }),
  ...(fullName !== undefined && { fullName }),
});

/** One's own account. */
export const userRoutes = (core: Core) => {
  const cookies = credentialCookies(core.settings);
  const update = describe("Change the own profile", {
    tag: "users",
    details: "Members that are left out stay as they are; null takes a name away.",
    ok: { 200: schemas.userView },
    errors: ["username_taken", "csrf_rejected", "unavailable"],
  });

  return new Elysia({ name: "users", prefix: "/api/v1/users" })
    .use(guards(core))
    .get("/me", ({ principal }) => userView(principal.user, principal.roles), {
      signedIn: true,
      detail: describe("Who is signed in", { tag: "users", ok: { 200: schemas.userView }, errors: ["unavailable"] }),
    })
    .put("/me", async ({ principal, body }) => await updateOwn(core, principal, body), {
      signedIn: true,
      body: schemas.profileBody,
      detail: update,
    })
    .patch("/me", async ({ principal, body }) => await updateOwn(core, principal, body), {
      signedIn: true,
      body: schemas.profileBody,
      detail: update,
    })
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
    .delete(
      "/me",
      async ({ principal, body, set }) => {
        await deleteOwnAccount(core, principal.by, body.password);
        set.headers["set-cookie"] = cookies.clear();
        set.status = 204;
      },
      {
        signedIn: true,
        body: schemas.passwordProofBody,
        detail: describe("Delete the own account", {
          tag: "users",
          ok: { 204: null },
          errors: ["invalid_credentials", "last_admin", "overloaded", "csrf_rejected", "unavailable"],
        }),
      },
    );
};

async function updateOwn(
  core: Core,
  principal: { by: Parameters<typeof updateUser>[1]; user: { id: string } },
  body: ProfileBody,
) {
  const { user, roles } = await updateUser(core, principal.by, principal.user.id, profileChange(body));
  return userView(user, roles);
}
