import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { grantRole } from "../../src/core/roles.ts";
import { signOutEverywhere } from "../../src/core/sessions.ts";
import { createUser } from "../../src/core/users.ts";
import type { Answer, Tokens, WireSession, WireUser } from "../support/client.ts";
import { goodPassword, root } from "../support/core.ts";
import { rawSql } from "../support/database.ts";
import {
  besides,
  expectProblem,
  newEmail,
  newTokens,
  signIn,
  signInForSession,
  signUp,
  statusOfMe,
} from "../support/people.ts";
import { startServer } from "../support/server.ts";

setDefaultTimeout(30_000);

const server = await startServer();
afterAll(server.end);

type PageOf<T> = { readonly items: readonly T[]; readonly next_cursor: string | null; readonly has_more: boolean };
type Bulk = { disabled: string[]; unchanged: string[]; refused: { id: string; code: string; title: string }[] };

const users = "/api/v1/users";
const nobody = "01890a5d-ac96-774b-bcce-b302099a8057";

/** Somebody who is signed in and holds these roles, `user` beside them. */
async function holding(...roles: string[]): Promise<Tokens> {
  const tokens = await newTokens(server);
  await besides(server, async (core) => {
    for (const role of roles) await grantRole(core, root, tokens.user.id, role);
  });
  return tokens;
}

let admin: Tokens;
/** May read and change users and sessions, and nothing else. */
let clerk: Tokens;
beforeAll(async () => {
  await besides(server, async () => {
    const permissions = JSON.stringify(["users:read", "users:write", "sessions:read", "sessions:write"]);
    await rawSql(
      server,
      `INSERT INTO roles (name, description, permissions, created_at, updated_at)
       SELECT 'clerk', 'Keeps the people', '${permissions}', created_at, updated_at FROM roles WHERE name = 'user'`,
    );
  });
  admin = await holding("admin");
  clerk = await holding("clerk");
});

const as = ({ access_token: bearer }: Tokens) => ({
  get: <T = WireUser>(path: string, headers = {}) => server.get<T>(users + path, { bearer, headers }),
  post: <T = WireUser>(path: string, body: object) => server.post<T>(users + path, body, { bearer }),
  put: <T = WireUser>(path: string, body: object, headers = {}) =>
    server.put<T>(users + path, body, { bearer, headers }),
  patch: <T = WireUser>(path: string, body: object, headers = {}) =>
    server.patch<T>(users + path, body, { bearer, headers }),
  delete: <T = WireUser>(path: string, headers = {}) => server.delete<T>(users + path, undefined, { bearer, headers }),
});

const etagOf = (answer: Answer<unknown>): string => answer.headers.get("etag") ?? "";

describe("GET /users", () => {
  test("wants the permission", async () => {
    const other = await newTokens(server);
    for (const path of ["", `/${other.user.id}`, `/${other.user.id}/sessions`])
      expectProblem(await as(other).get(path), 403, "forbidden");
    expectProblem(await as(other).post("", { email: newEmail() }), 403, "forbidden");
    expectProblem(await as(other).patch(`/${admin.user.id}`, {}), 403, "forbidden");
    expectProblem(await as(other).delete(`/${admin.user.id}`), 403, "forbidden");
    expectProblem(await as(other).delete(`/${admin.user.id}/sessions`), 403, "forbidden");
    expectProblem(await as(other).post("/disable", { ids: [admin.user.id] }), 403, "forbidden");
    expect(await statusOfMe(server, admin.access_token)).toBe(200);
  });

  test("pages to the end, each user once, with filters and in an order", async () => {
    const name = `paged-${process.pid}`;
    await besides(server, async (core) => {
      for (let at = 10; at < 22; at++) {
        const active = at % 3 !== 0;
        await createUser(core, root, { email: `${name}-${at}@example.com`, active, emailVerified: at % 2 === 0 });
      }
    });
    const read = async (query: string) => {
      const emails: string[] = [];
      for (let cursor = ""; ; ) {
        const page = await as(clerk).get<PageOf<WireUser>>(`?q=${name}&limit=5${query}${cursor}`);
        expect(page.status, page.text).toBe(200);
        emails.push(...page.body.items.map((user) => user.email.replace(/^.*-(\d+)@.*$/, "$1")));
        expect(page.body.has_more).toBe(page.body.next_cursor !== null);
        if (!page.body.next_cursor) return emails;
        expect(page.body.items).toHaveLength(5);
        cursor = `&cursor=${encodeURIComponent(page.body.next_cursor)}`;
      }
    };
    const all = Array.from({ length: 12 }, (_, at) => String(at + 10));
    expect(await read("")).toEqual(all);
    expect(await read("&sort=-created_at")).toEqual(all.toReversed());
    expect(await read("&sort=created_at&is_active=false")).toEqual(["12", "15", "18", "21"]);
    expect(await read("&email_verified=true&is_active=true&sort=created_at")).toEqual(["10", "14", "16", "20"]);
    expect(await read("&role=user&sort=email")).toEqual(all);
    expect(await read("&role=nobody")).toEqual([]);
  });

  test("finds an address with a domain in letters of its own, and a name in any case", async () => {
    const email = `gräfin-${process.pid}@bücher.example`;
    const made = await as(clerk).post("", { email, full_name: "Øyvind Ångström" });
    expect(made.body.email).toBe(email);
    const find = async (q: string) =>
      (await as(clerk).get<PageOf<WireUser>>(`?q=${encodeURIComponent(q)}`)).body.items.map((user) => user.id);
    for (const q of [email, email.toUpperCase(), `gräfin-${process.pid}@xn--bcher-kva.example`, "øyvind å", "ØYVIND"])
      expect(await find(q)).toEqual([made.body.id]);
    const again = await as(clerk).post("", { email: `GRÄFIN-${process.pid}@BÜCHER.example` });
    expectProblem(again, 409, "email_taken");
    expectProblem(await as(clerk).post("", { email: email.replace("bücher", "xn--bcher-kva") }), 409, "email_taken");
  });

  test("takes no cursor that is broken, or of another list", async () => {
    const { body } = await as(clerk).get<PageOf<WireUser>>("?limit=1");
    const cursor = encodeURIComponent(body.next_cursor ?? "");
    expect((await as(clerk).get(`?limit=3&cursor=${cursor}`)).status).toBe(200);
    for (const query of [
      `?cursor=${cursor}&sort=email`,
      `?cursor=${cursor}&is_active=true`,
      `?cursor=${cursor}&q=a`,
      `?cursor=${cursor.slice(0, -2)}`,
      "?cursor=x",
      `?cursor=${Buffer.from('{"stage":0,"key":"","id":"0"}').toString("base64url")}`,
    ]) {
      const { errors } = expectProblem(await as(clerk).get(query), 422, "validation_failed");
      expect(errors?.map(({ path }) => path)).toEqual(["cursor"]);
    }
    const sessions = await as(clerk).get<PageOf<WireSession>>(`/${clerk.user.id}/sessions?cursor=${cursor}`);
    expectProblem(sessions, 422, "validation_failed");
  });

  test.each(["limit=0", "limit=201", "limit=x", "sort=name", "is_active=maybe", "q=", "email_verified=2"])(
    "refuses %s",
    async (query) => {
      expectProblem(await as(clerk).get(`?${query}`), 422, "validation_failed");
    },
  );
});

describe("POST /users", () => {
  test("makes a user, with and without a password", async () => {
    const email = newEmail();
    const body = { email, password: goodPassword, username: `made.${process.pid}`, full_name: "Ada", locale: "DE-at" };
    const made = await as(clerk).post("", { ...body, email_verified: true, roles: ["user", "guest"] });
    expect(made.status, made.text).toBe(201);
    expect(made.body).toMatchObject({
      email,
      email_verified: true,
      username: body.username,
      full_name: "Ada",
      locale: "de-AT",
      profile: {},
      is_active: true,
      roles: ["guest", "user"],
    });
    expect(etagOf(made)).toBe('"0"');
    await signIn(server, { email });
    const plain = await as(clerk).post("", { email: newEmail(), is_active: false });
    expect(plain.body).toMatchObject({ is_active: false, roles: ["user"], email_verified: false });
  });

  test("obeys the policy, the reserved names and what is taken", async () => {
    const post = (body: object) => as(clerk).post("", { email: newEmail(), ...body });
    expectProblem(await post({ password: "short" }), 422, "weak_password");
    expectProblem(await post({ email: clerk.user.email.toUpperCase() }), 409, "email_taken");
    expectProblem(await post({ roles: ["king"] }), 404, "not_found");
    expectProblem(await post({ profile: { theme: "dark" } }), 422, "validation_failed");
    for (const username of ["admin", "Root", "ab", "x".repeat(31), "a b"]) {
      const { errors } = expectProblem(await post({ username }), 422, "validation_failed");
      expect(errors?.[0]?.path).toBe("username");
    }
    for (const locale of ["de_AT", "x".repeat(60), "1"]) {
      const { errors } = expectProblem(await post({ locale }), 422, "validation_failed");
      expect(errors?.[0]?.path).toBe("locale");
    }
  });

  test("AZ-2 gives nobody more than the actor holds", async () => {
    const email = newEmail();
    expectProblem(await as(clerk).post("", { email, roles: ["admin"] }), 403, "forbidden");
    expect((await as(admin).post("", { email, roles: ["admin"] })).body.is_admin).toBe(true);
  });
});

describe.each(["put", "patch"] as const)("%s /users/{id}", (method) => {
  test("changes what is named, and leaves the rest", async () => {
    const { body: made } = await as(clerk).post("", { email: newEmail(), username: `${method}x.${process.pid}` });
    const path = `/${made.id}`;
    const email = newEmail("moved");
    const changed = await as(clerk)[method](path, { email, email_verified: true, full_name: "B", locale: "en" });
    expect(changed.body).toMatchObject({ email, email_verified: true, full_name: "B", username: made.username });
    const cleared = await as(clerk)[method](path, { full_name: null, username: null, locale: null });
    expect(cleared.body).toMatchObject({ email, full_name: null, username: null, locale: null, email_verified: true });
    const moved = await as(clerk)[method](path, { email: newEmail("again") });
    expect(moved.body.email_verified).toBe(false);
    expectProblem(await as(clerk)[method](path, { email: clerk.user.email }), 409, "email_taken");
    expectProblem(await as(clerk)[method](`/${nobody}`, { full_name: "x" }), 404, "not_found");
    const ignored = await as(clerk)[method](path, { roles: ["admin"], is_admin: true, id: nobody, created_at: "x" });
    expect(ignored.body).toMatchObject({ id: made.id, roles: ["user"], is_admin: false });
  });

  test("SE-3 disabling ends every session with the next request, and enabling lets in again", async () => {
    const { access_token, user } = await newTokens(server);
    const off = await as(clerk)[method](`/${user.id}`, { is_active: false });
    expect(off.body.is_active).toBe(false);
    expect(await statusOfMe(server, access_token)).toBe(401);
    expect((await as(clerk)[method](`/${user.id}`, { is_active: true })).body.is_active).toBe(true);
    expect(await statusOfMe(server, access_token)).toBe(401);
    await signIn(server, { email: user.email });
  });
});

describe("ETag and If-Match", () => {
  test("move on with every change that a user shows, and with nothing else", async () => {
    const { body: made } = await as(clerk).post("", { email: newEmail(), password: goodPassword });
    const tag = async () => etagOf(await as(clerk).get(`/${made.id}`));
    const seen = [await tag()];
    const changes: Array<() => Promise<unknown>> = [
      () => as(clerk).patch(`/${made.id}`, { full_name: "Ada" }),
      () => as(clerk).patch(`/${made.id}`, { email_verified: true }),
      () => as(clerk).post("/disable", { ids: [made.id] }),
      () => as(clerk).patch(`/${made.id}`, { is_active: true }),
    ];
    for (const change of changes) {
      await change();
      seen.push(await tag());
    }
    expect(new Set(seen).size).toBe(changes.length + 1);
    await signIn(server, { email: made.email });
    await besides(server, (core) => signOutEverywhere(core, root, made.id));
    expect(await tag()).toBe(seen.at(-1)!);
  });

  test("If-None-Match: what is known already is not sent again", async () => {
    const { body: made } = await as(clerk).post("", { email: newEmail() });
    const path = `/${made.id}`;
    const first = await as(clerk).get(path);
    for (const known of [etagOf(first), `W/${etagOf(first)}`, `"x", ${etagOf(first)}`, "*"]) {
      const again = await as(clerk).get(path, { "if-none-match": known });
      expect([again.status, again.text, etagOf(again)]).toEqual([304, "", etagOf(first)]);
    }
    await as(clerk).patch(path, { full_name: "Ada" });
    const changed = await as(clerk).get(path, { "if-none-match": etagOf(first) });
    expect([changed.status, changed.body.full_name]).toEqual([200, "Ada"]);
    const own = await server.get(`${users}/me`, { bearer: clerk.access_token });
    const same = await server.get(`${users}/me`, {
      bearer: clerk.access_token,
      headers: { "if-none-match": etagOf(own) },
    });
    expect(same.status).toBe(304);
  });

  test("a change is made to what was seen, and to nothing else", async () => {
    const { body: made } = await as(clerk).post("", { email: newEmail() });
    const path = `/${made.id}`;
    const seen = etagOf(await as(clerk).get(path));
    const changed = await as(clerk).patch(path, { full_name: "One" }, { "if-match": seen });
    expect(changed.status).toBe(200);
    for (const tag of [seen, `W/${etagOf(changed)}`, '"x"', '"99999999999"', `${seen}, "7"`]) {
      for (const answer of [
        await as(clerk).patch(path, { full_name: "Two" }, { "if-match": tag }),
        await as(clerk).put(path, { full_name: "Two" }, { "if-match": tag }),
        await as(clerk).delete(path, { "if-match": tag }),
      ])
        expectProblem(answer, 412, "precondition_failed");
    }
    for (const tag of ["x", '"', '"a" "b"', ",", 'w/"1"'])
      expectProblem(await as(clerk).patch(path, {}, { "if-match": tag }), 400, "malformed_request");
    expect((await as(clerk).get(path)).body.full_name).toBe("One");
    const either = await as(clerk).patch(path, { full_name: "Two" }, { "if-match": `"7", ${etagOf(changed)}` });
    expect(either.body.full_name).toBe("Two");
    expect((await as(clerk).patch(path, { full_name: "Three" }, { "if-match": "*" })).status).toBe(200);
    expectProblem(await as(clerk).patch(`/${nobody}`, {}, { "if-match": "*" }), 404, "not_found");
    const last = etagOf(await as(clerk).get(path));
    expect((await as(clerk).delete(path, { "if-match": last })).status).toBe(204);
  });

  test("of 20 parallel updates with one ETag one is made", async () => {
    const { access_token: bearer, user } = await newTokens(server);
    for (const path of [`/${user.id}`, "/me"]) {
      const sender = path === "/me" ? bearer : clerk.access_token;
      const seen = etagOf(await server.get(users + path, { bearer: sender }));
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, at) =>
          server.patch<WireUser>(
            users + path,
            { full_name: `Name ${at}` },
            { bearer: sender, headers: { "if-match": seen } },
          ),
        ),
      );
      const statuses = answers.map(({ status }) => status).toSorted((one, another) => one - another);
      expect(statuses).toEqual([200, ...Array(19).fill(412)]);
      const winner = answers.find(({ status }) => status === 200);
      const now = await as(clerk).get(`/${user.id}`);
      expect([now.body.full_name, etagOf(now)]).toEqual([winner?.body.full_name ?? null, etagOf(winner!)]);
    }
  });

  test("the own account is deleted only as it was seen", async () => {
    const { access_token: bearer } = await newTokens(server);
    const remove = (tag: string) =>
      server.delete(`${users}/me`, { password: goodPassword }, { bearer, headers: { "if-match": tag } });
    expectProblem(await remove('"99"'), 412, "precondition_failed");
    expect((await remove(etagOf(await server.get(`${users}/me`, { bearer })))).status).toBe(204);
  });
});

describe("AZ-2 who may do more than the actor", () => {
  test("is out of reach of every act", async () => {
    const { id } = admin.user;
    const acts = {
      update: () => as(clerk).patch(`/${id}`, { full_name: "x" }),
      replace: () => as(clerk).put(`/${id}`, { email: newEmail() }),
      disable: () => as(clerk).patch(`/${id}`, { is_active: false }),
      delete: () => as(clerk).delete(`/${id}`),
      "sign out": () => as(clerk).delete(`/${id}/sessions`),
      "end a session": () => as(clerk).delete(`/${id}/sessions/${admin.session_id}`),
    };
    const other = await holding("admin");
    for (const [name, act] of Object.entries(acts)) expect([name, (await act()).status]).toEqual([name, 403]);
    const bulk = await as(clerk).post<Bulk>("/disable", { ids: [id] });
    expect(bulk.body.refused).toEqual([{ id, code: "forbidden", title: "Not permitted" }]);
    const { body } = await as(clerk).get(`/${id}`);
    expect(body).toMatchObject({ is_active: true, full_name: null });
    expect(await statusOfMe(server, admin.access_token)).toBe(200);
    expect((await as(admin).delete(`/${other.user.id}`)).status).toBe(204);
  });

  test("does not include oneself", async () => {
    const own = await as(clerk).patch(`/${clerk.user.id}`, { full_name: "Clerk" });
    expect(own.body.full_name).toBe("Clerk");
  });
});

describe("sessions of a user", () => {
  test("SE-5 are listed by the page, newest first, and ended one by one or all at once", async () => {
    const { email, id } = await signUp(server);
    const made = [];
    for (let at = 0; at < 5; at++) made.push(await signInForSession(server, { email }));
    const ids = made.map(({ session_id }) => session_id).toReversed();
    const read = async () => {
      const found: string[] = [];
      for (let cursor = ""; ; ) {
        const { body } = await as(clerk).get<PageOf<WireSession>>(`/${id}/sessions?limit=2${cursor}`);
        found.push(...body.items.map((session) => session.id));
        if (!body.next_cursor) return found;
        cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`;
      }
    };
    expect(await read()).toEqual(ids);
    expect((await as(clerk).delete(`/${id}/sessions/${ids[0]}`)).status).toBe(204);
    expect(await statusOfMe(server, made.at(-1)!.session_token)).toBe(401);
    expect(await read()).toEqual(ids.slice(1));
    expectProblem(await as(clerk).delete(`/${id}/sessions/${clerk.session_id}`), 404, "not_found");
    expectProblem(await as(clerk).delete(`/${id}/sessions/${nobody}`), 404, "not_found");
    expect((await as(clerk).delete<{ revoked: number }>(`/${id}/sessions`)).body).toEqual({ revoked: 4 });
    expect(await read()).toEqual([]);
    expect(await statusOfMe(server, made[0]!.session_token)).toBe(401);
    for (const answer of [await as(clerk).get(`/${nobody}/sessions`), await as(clerk).delete(`/${nobody}/sessions`)])
      expectProblem(answer, 404, "not_found");
    const own = await as(clerk).get<PageOf<WireSession>>(`/${clerk.user.id}/sessions`);
    expect(own.body.items.find((session) => session.id === clerk.session_id)?.current).toBe(true);
    expect(own.text).not.toMatch(/secret|hash|epoch/i);
  });
});

describe("DELETE /users/{id}", () => {
  test("takes the user with every session, and frees the names", async () => {
    const { access_token, user } = await newTokens(server);
    expect((await as(clerk).delete(`/${user.id}`)).status).toBe(204);
    expect(await statusOfMe(server, access_token)).toBe(401);
    expectProblem(await as(clerk).get(`/${user.id}`), 404, "not_found");
    expectProblem(await as(clerk).delete(`/${user.id}`), 404, "not_found");
    expect((await signUp(server, user.email)).id).not.toBe(user.id);
  });
});

describe("POST /users/disable", () => {
  test("does each by itself, and says of whom it was not possible", async () => {
    const [one, two, three] = [await newTokens(server), await newTokens(server), await newTokens(server)];
    const ids = [one, two, three].map(({ user }) => user.id);
    await as(clerk).patch(`/${ids[1]}`, { is_active: false });
    const { status, body } = await as(clerk).post<Bulk>("/disable", { ids: [...ids, ids[0], nobody, admin.user.id] });
    expect(status).toBe(200);
    expect(body).toEqual({
      disabled: [ids[0], ids[2]] as string[],
      unchanged: [ids[1]] as string[],
      refused: [
        { id: nobody, code: "not_found", title: "There is no such thing" },
        { id: admin.user.id, code: "forbidden", title: "Not permitted" },
      ],
    });
    for (const { access_token } of [one, three]) expect(await statusOfMe(server, access_token)).toBe(401);
  });

  test("leaves the last active admin, whichever it is", async () => {
    const others = await Promise.all(Array.from({ length: 3 }, () => holding("admin")));
    const { body: page } = await as(admin).get<PageOf<WireUser>>("?role=admin&is_active=true&limit=200");
    const ids = page.items.map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining(others.map(({ user }) => user.id)));
    // The one who asks comes last: with anybody else gone, it is the last one.
    const order = [...ids.filter((id) => id !== admin.user.id), admin.user.id];
    const { body } = await as(admin).post<Bulk>("/disable", { ids: order });
    expect(body.refused).toEqual([{ id: admin.user.id, code: "last_admin", title: "The last active admin stays" }]);
    expect(body.disabled).toEqual(order.slice(0, -1));
    expectProblem(await as(admin).patch(`/${admin.user.id}`, { is_active: false }), 409, "last_admin");
    expectProblem(await as(admin).delete(`/${admin.user.id}`), 409, "last_admin");
  });

  test.each([
    ["nobody", { ids: [] }],
    ["more than 200", { ids: Array(201).fill(nobody) }],
    ["nothing", {}],
    ["what is no id", { ids: [1] }],
  ])("refuses %s", async (_, body) => {
    expectProblem(await as(clerk).post("/disable", body), 422, "validation_failed");
  });
});
