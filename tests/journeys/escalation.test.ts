/**
 * AZ-2: whoever may do something cannot come to do more with it. Callers of every permission, one at a time and some
 * together, send to every route that lets them in the worst that its schema takes; then the database is looked at.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Core } from "../../src/core/core.ts";
import { beyond, ownPermissions, permittedBy } from "../../src/core/permissions.ts";
import { createRole, grantRole, grantsOf, listRoles } from "../../src/core/roles.ts";
import { pagesOfUsers } from "../../src/core/users/user-lists.ts";
import { createUser } from "../../src/core/users.ts";
import { openCore } from "../../src/open.ts";
import type { User } from "../../src/store/tables.ts";
import { goodPassword, root } from "../support/core.ts";
import { type Route, readRoutes, type Schema } from "../support/openapi.ts";
import { newEmail, newTokens } from "../support/people.ts";
import { newRoleName } from "../support/roles.ts";
import { startServer } from "../support/server.ts";

const server = await startServer();
const routes = await readRoutes(server);
let core: Core;
beforeAll(async () => {
  core = await openCore({ env: server.env, cwd: server.directory, purpose: "command" });
});
afterAll(async () => {
  await core.close();
  await server.end();
});

/** Nobody below holds all of this, nor may they get it. */
const precious = ["billing:refund", "users:read", "users:write", "audit:read"];

const callers: ReadonlyArray<readonly string[]> = [
  ...ownPermissions.map((one) => [one]),
  ["roles:*"],
  ["users:*", "roles:*"],
  ["users:*", "roles:*", "sessions:*", "audit:read", "metrics:read"],
];

type Scene = {
  readonly bearer: string;
  readonly callerId: string;
  readonly ids: readonly string[];
  readonly names: readonly string[];
  /** Accounts that hold more than the caller. */
  readonly above: readonly string[];
};

async function setTheScene(held: readonly string[]): Promise<Scene> {
  const role = async (permissions: readonly string[]) =>
    (await createRole(core, root, newRoleName(), { permissions })).name;
  const somebody = async (roles: readonly string[]) =>
    (await createUser(core, root, { email: newEmail("target"), password: goodPassword, roles })).user.id;
  const [own, strong, mixed] = [await role(held), await role(precious), await role([held[0]!, "billing:refund"])];
  const { access_token: bearer, user: caller } = await newTokens(server);
  await grantRole(core, root, caller.id, own);
  const above = [await somebody(["admin"]), await somebody([strong]), await somebody([mixed, "user"])];
  const plain = await somebody(["user"]);
  return {
    bearer,
    callerId: caller.id,
    above,
    ids: [...above, plain, caller.id],
    names: ["admin", strong, mixed, own, "user", "guest"],
  };
}

/** What an attacker writes into a member of this name; what else there is, of every type the plainest. */
const wicked: Readonly<Record<string, (scene: Scene) => readonly unknown[]>> = {
  email: () => [newEmail("attacker")],
  new_email: () => [newEmail("attacker")],
  password: () => ["a password of the attacker"],
  username: () => [`attacker.${Math.abs(Bun.hash.crc32(newEmail()))}`],
  full_name: () => ["Mallory"],
  name: ({ names }) => [newRoleName(), ...names],
  description: () => ["mine"],
  permissions: () => [["*"], ["billing:refund"], precious],
  roles: ({ names }) => names.map((name) => [name]),
  ids: ({ ids }) => [ids],
  users: ({ ids }) => [ids],
  is_active: () => [true, false],
  email_verified: () => [true],
};

/** Every body that lets each member be as wicked as it can, with the first choice of the others. */
function bodies(schema: Schema, scene: Scene): unknown[] {
  const choices = Object.entries(schema.properties ?? {}).flatMap(([name]) => {
    const values = wicked[name]?.(scene);
    return values ? [[name, values] as const] : [];
  });
  const first = Object.fromEntries(choices.map(([name, [value]]) => [name, value]));
  const alone = choices.flatMap(([name, values]) => values.map((value) => ({ [name]: value })));
  return [
    first,
    ...choices.flatMap(([name, values]) => values.map((value) => ({ ...first, [name]: value }))),
    ...alone,
  ];
}

const paths = ({ path }: Route, { ids, names }: Scene): string[] => {
  const withIds = path.includes("{id}") ? ids.map((id) => path.replace("{id}", id)) : [path];
  return withIds
    .flatMap((one) => (one.includes("{name}") ? names.map((name) => one.replace("{name}", name)) : [one]))
    .map((one) => one.replace(/\{\w+\}/g, "01890a5d-ac96-774b-bcce-b302099a8057"));
};

/** Sends it all. Answers how much of it was let in. */
async function attack(scene: Scene, open: readonly Route[]): Promise<number> {
  let admitted = 0;
  for (const route of open) {
    for (const path of paths(route, scene)) {
      for (const body of route.body ? bodies(route.body.schema, scene) : [undefined]) {
        const { status } = await server.send(route.method, path, body, { bearer: scene.bearer });
        expect(status, `${route.name} ${JSON.stringify(body)}`).toBeLessThan(500);
        if (status < 300) admitted++;
      }
    }
  }
  return admitted;
}

type State = {
  readonly accounts: ReadonlyMap<string, { readonly user: User; readonly permissions: readonly string[] }>;
  readonly roles: ReadonlyMap<string, readonly string[]>;
};

async function look(): Promise<State> {
  const accounts = new Map<string, { user: User; permissions: readonly string[] }>();
  for await (const page of pagesOfUsers(core, {})) {
    for (const { user } of page) {
      accounts.set(user.id, { user, permissions: (await grantsOf(core.store, user.id)).permissions });
    }
  }
  const roles = (await listRoles(core)).map(({ name, permissions }) => [name, permissions] as const);
  return { accounts, roles: new Map(roles) };
}

/** What somebody could sign in with, or be kept from it by. */
const identity = ({ email, username, passwordHash, disabledAt, emailVerifiedAt }: User) => ({
  email,
  username,
  passwordHash,
  disabledAt,
  emailVerifiedAt,
});

describe("AZ-2 with nothing but", () => {
  test.each(callers.map((held) => [held.join(" "), held] as const))("%s nobody gets any further", async (_, held) => {
    const scene = await setTheScene(held);
    const before = await look();
    const open = routes
      .filter(({ permission }) => permission !== undefined && permittedBy(held, permission) !== undefined)
      // What may end the caller comes last.
      .toSorted((one, other) => Number(one.method === "DELETE") - Number(other.method === "DELETE"));
    const own = routes.filter(({ name }) => /^(PUT|PATCH) \/api\/v1\/users\/me$/.test(name));
    let admitted = 0;
    for (let round = 0; round < 2; round++) admitted += await attack(scene, [...own, ...open]);
    expect(admitted).toBeGreaterThan(0);
    const after = await look();

    for (const [name, permissions] of after.roles)
      expect(beyond([...(before.roles.get(name) ?? []), ...held], permissions), `the role ${name}`).toEqual([]);
    for (const [id, { permissions }] of after.accounts) {
      const had = before.accounts.get(id)?.permissions ?? [];
      expect(beyond([...had, ...held], permissions), `the user ${id}`).toEqual([]);
    }
    for (const id of scene.above) {
      const [was, is] = [before.accounts.get(id), after.accounts.get(id)];
      expect(is && { ...identity(is.user), permissions: is.permissions }).toEqual(
        was && { ...identity(was.user), permissions: was.permissions },
      );
    }
    expect(beyond(held, after.accounts.get(scene.callerId)?.permissions ?? [])).toEqual([]);
  });
});
