import { describe, expect, test } from "bun:test";
import { anonymous } from "../../src/core/actors.ts";
import { login } from "../../src/core/login.ts";
import { person, Shell, sessionsOf } from "../support/cli.ts";
import { createTestClock } from "../support/clock.ts";
import { firefox, goodPassword } from "../support/core.ts";

/** A shell with one live session, and so many that ended long ago. */
async function withExpired(number: number): Promise<Shell> {
  const shell = new Shell();
  await shell.core((core) => person(core, "ada@example.com"));
  await shell.core(
    (core) => sessionsOf(core, "ada@example.com", number, { credential: "tokens" }),
    createTestClock(new Date("2026-01-01T00:00:00Z")),
  );
  await shell.core((core) => sessionsOf(core, "ada@example.com", 1));
  return shell;
}

const stored = async (shell: Shell) => Number((await shell.json("token stats"))["sessions_stored"]);

describe.concurrent("token purge", () => {
  test("removes what has expired, without a word, without a terminal and without --yes", async () => {
    using shell = await withExpired(3);
    expect(await shell.run("token purge")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await stored(shell)).toBe(1);
    expect(await shell.run("token purge")).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("counts with --json and --verbose", async () => {
    using shell = await withExpired(3);
    expect(await shell.json<object[]>("token purge")).toEqual([
      { kind: "sessions", removed: 3 },
      { kind: "keys", removed: 0 },
      { kind: "servers", removed: 0 },
      { kind: "tries", removed: 0 },
      { kind: "challenges", removed: 0 },
      { kind: "mails", removed: 0 },
      { kind: "users", removed: 0 },
      { kind: "bans", removed: 0 },
      { kind: "audit", removed: 0 },
    ]);
    expect((await shell.run("token purge --verbose --kind sessions")).stdout).toBe("sessions\t0\n");
  });

  test("rehearses", async () => {
    using shell = await withExpired(3);
    const rows = await shell.json<object[]>("token purge --dry-run --kind sessions,keys");
    expect(rows).toEqual([
      { kind: "sessions", rows: 3, oldest: expect.stringMatching(/^2026-01-\d\dT.*Z$/) },
      { kind: "keys", rows: 0, oldest: null },
    ]);
    expect(await stored(shell)).toBe(4);
  });

  test("spares what ended lately, and other kinds", async () => {
    using shell = await withExpired(3);
    await shell.run("token purge --older-than 10000d");
    await shell.run("token purge --kind keys --kind servers");
    expect(await stored(shell)).toBe(4);
  });

  test("ends with its budget, and says that there is more with exit code 6", async () => {
    using shell = await withExpired(5);
    const ran = await shell.run("token purge --max-rows 2 --json");
    expect(ran.code).toBe(6);
    expect(JSON.parse(ran.stdout)).toContainEqual({ kind: "sessions", removed: 2 });
    expect(JSON.parse(ran.stderr)).toMatchObject({ code: "partly_done" });
    expect((await shell.run("token purge --max-time 0s")).code).toBe(6);
    expect(await stored(shell)).toBe(4);
    expect((await shell.run("token purge --max-rows 3")).code).toBe(0);
  });

  test("is asked to stop and stops after the batch", async () => {
    using shell = await withExpired(20);
    const child = shell.start(["token", "purge", "--batch-size", "1", "--pause", "1h"]);
    for (let left = 21; left > 20; left = await stored(shell)) await Bun.sleep(20);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(143);
    expect(await stored(shell)).toBe(20);
    expect((await shell.run("token purge")).code).toBe(0);
  });

  test("runs once at a time", async () => {
    using shell = await withExpired(1);
    await shell.core(async (core) => {
      const release = await core.store.lock("purge");
      const second = await shell.run("token purge --json");
      expect(second.code).toBe(75);
      expect(JSON.parse(second.stderr)).toMatchObject({ code: "lock_held" });
      expect(await shell.run("token purge --lock skip")).toEqual({ code: 0, stdout: "", stderr: "" });
      await release?.();
    });
    expect(await shell.run("token purge")).toMatchObject({ code: 0 });
  });

  test("is possible again after its holder was killed", async () => {
    using shell = await withExpired(3);
    const child = shell.start(["token", "purge", "--batch-size", "1", "--pause", "1h"]);
    for (let left = 4; left > 3; left = await stored(shell)) await Bun.sleep(20);
    expect((await shell.run("token purge")).code).toBe(75);
    child.kill("SIGKILL");
    await child.exited;
    expect((await shell.run("token purge")).code).toBe(0);
    expect(await stored(shell)).toBe(1);
  });

  test.each([
    "--dryrun",
    "--kind --dry-run",
    "--kind -n",
    "--kind all",
    "--batch-size 0",
    "--max-rows 0",
    "--older-than 3",
    "--no-dry-run",
    "now",
    "--lock maybe",
  ])("refuses %s, and deletes nothing", async (flags) => {
    using shell = await withExpired(1);
    const { code, stdout } = await shell.run(`token purge ${flags}`);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(await stored(shell)).toBe(2);
  });
});

describe.concurrent("token inspect", () => {
  test("tells what a token is and whether it counts, and spends nothing", async () => {
    using shell = new Shell();
    const { tokens, opaque } = await shell.core(async (core) => {
      await person(core, "ada@example.com");
      const input = { identifier: "ada@example.com", password: goodPassword };
      return {
        tokens: await login(core, anonymous(firefox), { ...input, credential: "tokens" }),
        opaque: await login(core, anonymous(firefox), { ...input, credential: "session" }),
      };
    });
    if (tokens.credential !== "tokens" || opaque.credential !== "session") throw new Error("other credentials");
    const inspect = (token: string) => shell.json("token inspect", { input: `${token}\n` });

    const access = await inspect(tokens.accessToken);
    expect(access).toMatchObject({
      kind: "access token",
      genuine: true,
      alive: true,
      session_id: tokens.standing.session.id,
    });
    expect(access["decoded"]).toMatchObject({ header: { alg: "ES256" }, claims: { sub: tokens.standing.user.id } });
    for (let again = 0; again < 2; again++) {
      expect(await inspect(tokens.refreshToken)).toMatchObject({ kind: "refresh token", genuine: true, alive: true });
    }
    expect(await inspect(opaque.sessionToken)).toMatchObject({ kind: "session token", genuine: true, alive: true });

    await shell.run("session revoke --all --yes");
    for (const token of [tokens.accessToken, tokens.refreshToken, opaque.sessionToken]) {
      expect(await inspect(token)).toMatchObject({
        genuine: true,
        alive: false,
        why: expect.stringContaining("revoked"),
      });
    }
    const forged = `${opaque.sessionToken.slice(0, -2)}AA`;
    const { stdout, stderr } = await shell.run("token inspect", { input: forged });
    expect(stdout).toContain("genuine\tfalse");
    expect(stdout + stderr).not.toContain(forged.split(".")[1]!);
  });

  test("names both addresses where the token was issued under another one", async () => {
    using shell = new Shell();
    const tokens = await shell.core(async (core) => {
      await person(core, "ada@example.com");
      const input = { identifier: "ada@example.com", password: goodPassword, credential: "tokens" } as const;
      return await login(core, anonymous(firefox), input);
    });
    if (tokens.credential !== "tokens") throw new Error("other credentials");
    const env = { PUBLIC_URL: "https://auth.example.com" };
    const inspected = await shell.json("token inspect", { input: tokens.accessToken, env });
    expect(inspected).toMatchObject({ genuine: false, alive: false });
    expect(inspected["why"]).toBe(
      "its issuer is http://localhost:8000, and these settings say PUBLIC_URL=https://auth.example.com",
    );
  });

  test("makes nothing of nonsense", async () => {
    using shell = new Shell();
    for (const input of ["x", "a.b.c", "st_", "rt1.", "st_x.y.z", "\u001b[2J", "e30.e30.e30", "x".repeat(100_000)]) {
      const { code, stdout } = await shell.run("token inspect", { input });
      expect(code).toBe(0);
      expect(stdout).toContain("alive\tfalse");
      expect(stdout).not.toContain("\u001b");
    }
  });

  test("takes no token from the command line, and does not repeat it", async () => {
    using shell = new Shell();
    for (const words of [["eyJhbGciOi"], ["--token", "eyJhbGciOi"], ["--token=eyJhbGciOi"]]) {
      const { code, stderr } = await shell.run(["token", "inspect", ...words]);
      expect(code).toBe(2);
      expect(stderr).not.toContain("eyJhbGciOi");
    }
    expect((await shell.run("token inspect")).code).toBe(2);
  });
});

test("token stats counts what was issued", async () => {
  using shell = await withExpired(3);
  const [id] = await shell.core((core) => sessionsOf(core, "ada@example.com", 1));
  await shell.run(`session revoke ${id} --yes`);
  expect(await shell.json("token stats")).toEqual({
    sessions_stored: 5,
    sessions_alive: 1,
    sessions_expired: 3,
    sessions_revoked: 1,
    sessions_signed_out: 0,
    sessions_of_disabled: 0,
    users_signed_in: 1,
    refresh_families: 0,
    signing_keys: { next: 1, active: 1, retiring: 0, retired: 0 },
    database_bytes: expect.any(Number),
  });
});
