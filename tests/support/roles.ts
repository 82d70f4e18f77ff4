import { createRole, grantRole } from "../../src/core/roles.ts";
import { root } from "./core.ts";
import { besides, newTokens } from "./people.ts";
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
