/** One database, one server under load, and eight commands that never rest. `CROWD_SECONDS=60` makes it a longer one. */
import { afterAll, expect, test } from "bun:test";
import { wholeFrom } from "../support/chance.ts";
import type { Tokens } from "../support/client.ts";
import { authctl } from "../support/command.ts";
import { goodPassword } from "../support/core.ts";
import { dialect, rawSql } from "../support/database.ts";
import { newEmail, signIn, signUp } from "../support/people.ts";
import { startServer } from "../support/server.ts";

const seconds = wholeFrom("CROWD_SECONDS", 6);

const server = await startServer();
afterAll(server.end);

type Seen = { readonly who: string; readonly trouble: string };

test(
  `a server and eight commands write one database for ${seconds} s, and nobody is told that it is busy`,
  async () => {
    const { email } = await signUp(server);
    await Promise.all(Array.from({ length: 60 }, () => signIn(server, { email })));
    // Something for the purges to find.
    const longAgo = dialect === "sqlite" ? "0" : "to_timestamp(0)";
    const half = "id IN (SELECT id FROM sessions ORDER BY id LIMIT 30)";
    await rawSql(server, `UPDATE sessions SET idle_expires_at = ${longAgo} WHERE ${half}`);

    const end = Date.now() + seconds * 1000;
    const counts: Record<string, number> = {};
    const troubles: Seen[] = [];
    /** Repeats the deed until the time is over; what it answers is what went wrong. */
    const repeat = async (who: string, deed: () => Promise<string | undefined>): Promise<void> => {
      while (Date.now() < end) {
        const trouble = await deed();
        if (trouble !== undefined) troubles.push({ who, trouble });
        counts[who] = (counts[who] ?? 0) + 1;
      }
    };
    const command = (args: () => readonly string[], stdin?: string) => async () => {
      const { code, stderr } = await authctl(server.env, args(), stdin);
      return code === 0 && !/busy|locked/i.test(stderr) ? undefined : `exit ${code}: ${stderr}`;
    };

    const createUser = command(
      () => ["user", "create", "--email", newEmail("crowd"), "--password-stdin"],
      goodPassword,
    );
    const listSessions = command(() => ["session", "list", "--json"]);
    const purge = command(() => ["token", "purge", "--lock", "skip", "--batch-size", "5"]);
    const revoke = async () => {
      const { session_id } = await signIn(server, { email });
      return await command(() => ["session", "revoke", session_id, "--yes"])();
    };
    /** What a user of the server does meanwhile. */
    const visit = async (): Promise<string | undefined> => {
      const visitor = await signUp(server);
      const given = await signIn(server, { email: visitor.email });
      const answers = [
        await server.post<Tokens>("/api/v1/auth/refresh", { refresh_token: given.refresh_token }),
        await server.get("/api/v1/users/me", { bearer: given.access_token }),
        await server.patch("/api/v1/users/me", { full_name: "Ada" }, { bearer: given.access_token }),
        await server.post("/api/v1/auth/logout", undefined, { bearer: given.access_token }),
      ];
      return answers.find((answer) => answer.status >= 300)?.text;
    };

    await Promise.all([
      ...Array.from({ length: 2 }, () => [
        repeat("user create", createUser),
        repeat("session list", listSessions),
        repeat("token purge", purge),
        repeat("session revoke", revoke),
      ]).flat(),
      ...Array.from({ length: 2 }, () => repeat("visits", visit)),
    ]);

    console.log(`crowd: ${seconds} s, ${JSON.stringify(counts)}, ${troubles.length} troubles`);
    expect(troubles).toEqual([]);
    expect(Object.keys(counts)).toHaveLength(5);
    expect(server.log.filter((line) => line["level"] === "error")).toEqual([]);
    expect(server.log.filter((line) => Number(line["status"]) >= 500)).toEqual([]);
    if (dialect === "sqlite")
      expect(await rawSql(server, "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  },
  (seconds + 30) * 1000,
);
