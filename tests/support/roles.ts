import type { UserActor } from "../../src/core/actors.ts";
import type { Core } from "../../src/core/core.ts";
import { login } from "../../src/core/login.ts";
import { createRole, grantRole } from "../../src/core/roles.ts";
import { authenticate } from "../../src/core/sessions.ts";
import { firefox, goodPassword, registerAda, root, visitor } from "./core.ts";
import { besides, newEmail, newTokens } from "./people.ts";
import type { TestServer } from "./server.ts";

let roles = 0;

/** A name that no role has had before. */
export const newRoleName = (): string => `role-${process.pid}-${++roles}`;

/** Makes a role that holds these permissions, as an operator. Answers its name. */
export async function newRole(server: TestServer, permissions: readonly string[]): Promise<string> {
  const name = newRoleName();
  await besides(server, (core) => createRole(core, root, name, { permissions }));
  return name;
}

export async function give(server: TestServer, userId: string, role: string): Promise<void> {
  await besides(server, (core) => grantRole(core, root, userId, role));
}

/** A new user whose role holds exactly these permissions, signed in. Answers the access token. */
export async function holderOf(server: TestServer, permissions: readonly string[]): Promise<string> {
  const { access_token, user } = await newTokens(server);
  const role = await newRole(server, permissions);
  await give(server, user.id, role);
  return access_token;
}

/** A new user of a core who holds `admin`, or a role with exactly these permissions; signed in. */
export async function actorWith(core: Core, may: "admin" | readonly string[]): Promise<UserActor> {
  const { id, email } = (await registerAda(core, newEmail())).user;
  const role = may === "admin" ? may : (await createRole(core, root, newRoleName(), { permissions: may })).name;
  await grantRole(core, root, id, role);
  const given = await login(core, visitor, { identifier: email, password: goodPassword, credential: "session" });
  if (given.credential !== "session") throw new Error("asked for a session");
  return (await authenticate(core, given.sessionToken, firefox)).by;
}
