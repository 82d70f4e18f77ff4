/** A story for each group of commands, as cron and people give them, on the database of this run. */
import { afterAll, describe, expect, test } from "bun:test";
import { commands, completeName } from "../../cli/run.ts";
import { type } from "../cli/toy.ts";
import { goodPassword } from "../support/core.ts";
import { freshDatabase } from "../support/database.ts";

const database = await freshDatabase();
afterAll(database.drop);
const env: Readonly<Record<string, string>> = {
  ...database.env,
  ARGON2_MEMORY_KIB: "8",
  ARGON2_TIME_COST: "1",
  LOG_LEVEL: "silent",
};

/** In this process: the start of another one costs more than most commands do. */
const authctl = (words: readonly string[], input = "") =>
  type(words, { tree: commands, cwd: env["DATA_DIR"]!, env, input: [input], now: () => new Date() });

/** What a command prints as JSON; fails where it ends with anything but `code`. */
async function json<T = Record<string, unknown>>(line: string, input = "", code = 0): Promise<T> {
  const ran = await authctl([...line.split(" "), "--json"], input);
  expect({ line, code: ran.code, stderr: code === 0 ? ran.stderr : "" }).toEqual({ line, code, stderr: "" });
  // Some only say that it is done.
  return JSON.parse((code === 0 ? ran.stdout : ran.stderr.trim().split("\n").at(-1)) || "null");
}

const quietly = (line: string, input = "", code = 0) => json(`${line} --quiet`, input, code);

type Named = { readonly id: string; readonly email: string };

describe("the command line on this database", () => {
  test("migrate: everything is applied, and there is nothing to do", async () => {
    await quietly("migrate up");
    const all = await json<Array<{ state: string }>>("migrate status");
    expect(new Set(all.map(({ state }) => state))).toEqual(new Set(["applied"]));
    expect(await json("migrate history")).toHaveLength(all.length);
    expect(await json<unknown[]>("migrate down --steps 1 --dry-run --quiet")).toHaveLength(1);
  });

  test("admin and user: from the first admin to a user who is gone and comes back", async () => {
    await quietly("admin seed --email ada@example.com --password-stdin", goodPassword);
    expect(await json<Named[]>("admin list")).toMatchObject([{ email: "ada@example.com" }]);
    const bob = await json<Named>("user create --email bob@example.com --username bob --passwordless");
    expect(await json("user get BOB@example.com")).toMatchObject({ id: bob.id });
    expect(await json("user update bob --full-name Bobby")).toMatchObject({ full_name: "Bobby" });
    await quietly("user set-password bob --password-stdin", goodPassword);
    await quietly("user verify-email bob");
    await quietly("user role add bob guest");
    expect(await json("user role remove bob guest --quiet")).toBeDefined();
    await quietly("admin grant bob");
    await quietly("admin revoke bob");
    expect(await json<unknown[]>("user disable bob --yes --quiet")).toHaveLength(1);
    await quietly("user enable bob");
    expect(await quietly("user get nobody@example.com", "", 3)).toMatchObject({ code: "not_found" });
    await quietly("user delete bob --yes");
    expect(await json<Named[]>("user list --deleted")).toMatchObject([{ id: bob.id }]);
    await quietly(`user restore ${bob.id}`);
    expect((await json<Named[]>("user list --sort email")).map(({ email }) => email)).toEqual([
      "ada@example.com",
      "bob@example.com",
    ]);
    expect((await json<unknown[]>("user timeline bob")).length).toBeGreaterThan(5);
    const exported = (await authctl(["user", "export", "--output", "ndjson"])).stdout.trim().split("\n");
    expect(exported).toHaveLength(2);
    const more = '{"email":"cay@example.com","hashed_password":null,"is_active":true}';
    await quietly("user import - --from fastapi-users --format ndjson", more);
    expect(await json("user get cay@example.com")).toMatchObject({ is_active: true });
  });

  test("role and check: what a role permits, and why", async () => {
    await quietly("role create clerk --permission billing:read");
    await quietly("role permission add clerk billing:write");
    await quietly("role update clerk --description Clerks");
    await quietly("user role add bob clerk");
    expect(await json("check authz --user bob --permission billing:write")).toMatchObject({ allowed: true });
    await quietly("role permission remove clerk billing:write");
    expect((await authctl("check authz --user bob --permission billing:write".split(" "))).code).toBe(5);
    expect(await json("role get clerk")).toMatchObject({ permissions: ["billing:read"] });
    expect(await quietly("role create clerk", "", 4)).toMatchObject({ code: "role_exists" });
    await quietly("role delete clerk --yes");
    expect((await json<Array<{ name: string }>>("role list")).map(({ name }) => name)).toEqual([
      "admin",
      "guest",
      "user",
    ]);
  });

  test("session, token and key: nothing is alive, and everything can be asked", async () => {
    expect(await json<unknown[]>("session list --no-active")).toEqual([]);
    expect(await quietly("session get 01a1fee4-97e9-769d-bd5a-f32b990e04b5", "", 3)).toMatchObject({
      code: "not_found",
    });
    await quietly("session revoke --all --yes");
    expect(await json("token stats")).toBeDefined();
    expect(await json<unknown[]>("token purge --dry-run")).not.toBeEmpty();
    await quietly("token purge");
    expect(await json("token inspect --quiet", "st_nonsense")).toBeDefined();
    expect((await json<Array<{ state: string }>>("key list")).map(({ state }) => state)).toEqual(["active", "next"]);
    await quietly("key rotate --now --yes");
    expect((await json<unknown[]>("key list")).length).toBe(4);
  });

  test("audit: the chain holds, and the trail knows who did what", async () => {
    const deeds = await json<Array<{ action: string; actor: { type: string } }>>("audit list --user bob@example.com");
    expect(deeds.length).toBeGreaterThan(5);
    expect(await json("audit verify --quiet")).toBeDefined();
    expect((await authctl(["audit", "export", "--output", "ndjson"])).stdout.split("\n").length).toBeGreaterThan(10);
    expect(await json("audit purge --keep 400d --dry-run --quiet")).toBeDefined();
  });

  test("mail, ban, limit, hash and config", async () => {
    await quietly("user send-reset bob");
    expect((await json<unknown[]>("mail queue list")).length).toBeGreaterThan(0);
    await quietly("mail queue retry --all-dead");
    await quietly("ban add 192.0.2.0/24 --for 1h");
    expect(await json<unknown[]>("ban list")).toHaveLength(1);
    await quietly("ban remove 192.0.2.0/24");
    expect(await json("limit show bob@example.com")).toBeDefined();
    await quietly("limit reset bob@example.com");
    const kinds = await json<Array<{ scheme: string }>>("hash report");
    expect(kinds.map(({ scheme }) => scheme).toSorted()).toEqual(["argon2id", "none"]);
    expect((await authctl(["config", "check"])).code).toBe(0);
  });

  test("what a shell offers comes from here too", async () => {
    const offered = async (...words: string[]) => (await authctl([completeName, ...words])).stdout.split("\n");
    expect(await offered("user", "get", "ad")).toEqual(["ada@example.com\t", ""]);
    expect(await offered("session", "revoke", "01")).toEqual([""]);
    expect((await offered("role", "get", ""))[0]).toStartWith("admin\t");
  });
});
