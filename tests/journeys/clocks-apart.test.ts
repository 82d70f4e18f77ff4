/** Promise 12: the clock of one of two servers is off by 90 s, which grants nothing and signs nobody out. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Core } from "../../src/core/core.ts";
import type { Credentials } from "../../src/core/credentials.ts";
import { login } from "../../src/core/login.ts";
import { refresh } from "../../src/core/refresh-tokens.ts";
import { authenticate } from "../../src/core/sessions.ts";
import { openCore } from "../../src/open.ts";
import { createTestClock } from "../support/clock.ts";
import { codeOf, firefox, goodPassword, registerAda, visitor } from "../support/core.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";

type Tokens = Extract<Credentials, { credential: "tokens" }>;

const cheap = { ARGON2_MEMORY_KIB: "8", ARGON2_TIME_COST: "1", LOG_LEVEL: "silent" };

const tokensOf = (given: Credentials): Tokens => {
  if (given.credential !== "tokens") throw new Error("asked for tokens");
  return given;
};

let postgres: PostgresServer;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres?.end());

describe.each([90_000, -90_000])("a server whose clock is %d ms ahead of the other's", (off) => {
  let database: string;
  let right: Core;
  let wrong: Core;

  const open = (ahead: number): Promise<Core> =>
    openCore({
      env: { ...cheap, DATABASE_URL: postgres.urlOf(database), DATA_DIR: postgres.directory },
      cwd: postgres.directory,
      purpose: "serve",
      migrate: "auto",
      machineClock: createTestClock(new Date(Date.now() + ahead)),
    });
  const signIn = async (at: Core): Promise<Tokens> =>
    tokensOf(await login(at, visitor, { identifier: "ada@example.com", password: goodPassword, credential: "tokens" }));
  const refreshAt = async (at: Core, token: string): Promise<Tokens> => tokensOf(await refresh(at, visitor, token));
  const use = (at: Core, token: string) => codeOf(authenticate(at, token, firefox));

  beforeAll(async () => {
    database = await postgres.createDatabase();
    right = await open(0);
    wrong = await open(off);
    await registerAda(right);
  });
  afterAll(async () => {
    await Promise.all([right?.close(), wrong?.close()]);
  });

  test("takes the other's tokens, and the other takes its", async () => {
    for (const [here, there] of [
      [right, wrong],
      [wrong, right],
    ] as const) {
      const { accessToken } = await signIn(here);
      expect(await use(there, accessToken)).toBeUndefined();
    }
  });

  test("signs nobody out whose two tabs meet both servers, as often as they like", async () => {
    let tokens = await signIn(right);
    for (let turn = 0; turn < 10; turn++) {
      const [first, second] = turn % 2 ? [right, wrong] : [wrong, right];
      const spent = tokens.refreshToken;
      tokens = await refreshAt(first, spent);
      expect((await refreshAt(second, spent)).refreshToken).toBe(tokens.refreshToken);
    }
    expect(await use(wrong, tokens.accessToken)).toBeUndefined();
  });

  test("takes no session that ended half a minute ago, and every one that has half a minute left", async () => {
    for (const [left, code] of [
      ["-30 seconds", "unauthenticated"],
      ["30 seconds", undefined],
    ] as const) {
      const { accessToken, standing } = await signIn(right);
      await postgres.sql(
        database,
        "UPDATE sessions SET idle_expires_at = now() + $2::interval, expires_at = now() + $2::interval WHERE id = $1",
        [standing.session.id, left],
      );
      for (const at of [right, wrong]) expect(await use(at, accessToken)).toBe(code);
    }
  });
});
