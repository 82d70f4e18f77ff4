import { afterAll, describe, expect, test } from "bun:test";
import { record } from "../../src/core/audit.ts";
import { grantRole } from "../../src/core/roles.ts";
import type { auditEventView } from "../../src/core/views.ts";
import { firefoxAgent, type Tokens } from "../support/client.ts";
import { root } from "../support/core.ts";
import { besides, expectProblem, newEmail, newTokens, signUp } from "../support/people.ts";
import { startServer } from "../support/server.ts";
import { until } from "../support/until.ts";

const server = await startServer();
afterAll(server.end);

const path = "/api/v1/audit-events";
type Page = {
  readonly items: ReadonlyArray<ReturnType<typeof auditEventView>>;
  readonly next_cursor: string | null;
  readonly has_more: boolean;
};

const admin = await newAdmin();
async function newAdmin(): Promise<Tokens> {
  const tokens = await newTokens(server);
  await besides(server, (core) => grantRole(core, root, tokens.user.id, "admin"));
  return tokens;
}
const ask = async (query: Readonly<Record<string, string>> = {}) => {
  const answer = await server.get<Page>(`${path}?${new URLSearchParams(query).toString()}`, {
    bearer: admin.access_token,
  });
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
};
const refused = async (query: string) => await server.get(`${path}?${query}`, { bearer: admin.access_token });

describe("the audit trail", () => {
  test("is for those who hold audit:read, and for nobody else", async () => {
    expectProblem(await server.get(path), 401, "unauthenticated");
    const { access_token: bearer, user } = await newTokens(server);
    expectProblem(await server.get(path, { bearer }), 403, "forbidden");
    await besides(server, (core) => grantRole(core, root, user.id, "admin"));
    expect((await server.get(path, { bearer })).status).toBe(200);
  });

  test("tells who, what, on whom, from where, with which request id and why", async () => {
    const user = await signUp(server);
    const headers = { "x-request-id": "mine.1" };
    await server.post("/api/v1/auth/login", { email: user.email, password: "wrong" }, { headers });
    const { items } = await ask({ subject: user.id, action: "login.failed" });
    expect(items).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        action: "login.failed",
        actor: { kind: "anonymous", id: null },
        subject: user.id,
        session_id: null,
        ip: "127.0.0.1",
        user_agent: firefoxAgent,
        request_id: "mine.1",
        reason: "wrong-password",
        particulars: {},
        seq: items[0]!.seq,
      },
    ]);
    await until("it has a place", async () => (await ask({ subject: user.id })).items.every(({ seq }) => seq !== null));
  });

  test("is filtered by actor, action, subject and time", async () => {
    const user = await signUp(server);
    await besides(server, (core) => grantRole(core, root, user.id, "admin"));
    const all = await ask({ subject: user.id });
    expect(all.items.map(({ action }) => action)).toEqual(["user.role_granted", "user.registered"]);
    expect(all).toMatchObject({ next_cursor: null, has_more: false });
    expect((await ask({ subject: user.id, actor: "root@test" })).items).toEqual([all.items[0]!]);
    expect((await ask({ subject: user.id, action: "user.registered" })).items).toEqual([all.items[1]!]);
    const [granted, registered] = all.items;
    expect((await ask({ subject: user.id, since: granted!.at })).items).toEqual([granted!]);
    expect((await ask({ subject: user.id, until: granted!.at })).items).toEqual([registered!]);
    expect((await ask({ subject: user.id, since: "2999-01-01T00:00:00+02:00" })).items).toEqual([]);
    expect((await ask({ since: "0000-01-01T00:00:00Z", limit: "1" })).items).toHaveLength(1);
  });

  test("comes in pages, each entry once, whatever is added meanwhile", async () => {
    const { user } = await newTokens(server);
    await besides(server, (core) =>
      core.store.write(async (tx) => {
        for (let made = 0; made < 25; made++) {
          await record(core, tx, root, { action: "user.updated", userId: user.id, particulars: { made } });
        }
      }),
    );
    const seen: unknown[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const query = { subject: user.id, action: "user.updated", limit: "10", ...(cursor && { cursor }) };
      const page: Page = await ask(query);
      expect(page.has_more).toBe(page.next_cursor !== null);
      seen.push(...page.items.map(({ particulars }) => particulars["made"]));
      cursor = page.next_cursor;
      await besides(server, (core) =>
        core.store.write((tx) => record(core, tx, root, { action: "user.updated", userId: user.id })),
      );
    }
    expect(seen).toEqual(Array.from({ length: 25 }, (_, at) => 24 - at));
  });

  test.each([
    "limit=0",
    "limit=201",
    "limit=x",
    "cursor=x",
    "cursor=",
    "action=login",
    "since=yesterday",
    "since=2026-04-31T00:00:00Z",
    "until=2026-04-30",
    `actor=${"x".repeat(300)}`,
  ])("refuses %s", async (query) => {
    expectProblem(await refused(query), 422, "validation_failed");
  });

  test("never repeats what was typed at a sign-in", async () => {
    const secret = newEmail("typed-by-mistake");
    await server.post("/api/v1/auth/login", { email: secret, password: secret });
    expect(JSON.stringify(await ask({ limit: "200" }))).not.toContain("typed-by-mistake");
  });
});
