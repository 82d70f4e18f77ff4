import { describe, expect, test } from "bun:test";
import { createPublicKey } from "node:crypto";
import { Shell } from "../support/cli.ts";
import { createTestClock } from "../support/clock.ts";
import { until } from "../support/until.ts";

type Key = {
  readonly kid: string;
  readonly state: string;
  readonly algorithm: string;
  readonly known_at: string | null;
  readonly retires_at: string | null;
};

/** A shell whose keys were made long ago. */
async function withKeys(env: Readonly<Record<string, string>> = {}): Promise<Shell> {
  const shell = new Shell(env);
  await shell.core(async () => {}, createTestClock(new Date("2026-01-01T00:00:00Z")));
  return shell;
}

const list = (shell: Shell) => shell.json<Key[]>("key list");
const states = async (shell: Shell) => (await list(shell)).map(({ state }) => state).toSorted();
const keyIn = async (shell: Shell, state: string) => (await list(shell)).find((key) => key.state === state)!;

describe.concurrent("key list", () => {
  test("shows the keys and never their private part", async () => {
    using shell = await withKeys();
    const { stdout } = await shell.run("key list --json");
    expect(await states(shell)).toEqual(["active", "next"]);
    expect(stdout).not.toMatch(/private|jwk|"d"/i);
    expect((await shell.run("key list")).stdout).toMatch(/\tES256\tactive\t\d+d\t2026-01-01T[^\t]*\t0\tafter the next/);
  });
});

describe.concurrent("key rotate", () => {
  test("lets a key sign at once that has been known for long, and publishes another one", async () => {
    using shell = await withKeys();
    const [active, next] = [await keyIn(shell, "active"), await keyIn(shell, "next")];
    const rotated = await shell.run("key rotate --json");
    expect(rotated).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(rotated.stdout)).toEqual({
      algorithm: "ES256",
      activated: next.kid,
      replaced: active.kid,
      rotated_at: expect.any(String),
    });
    expect(await states(shell)).toEqual(["active", "next", "retiring"]);
  });

  test("run again at once takes the first one for its own, and says so", async () => {
    using shell = await withKeys();
    const first = await shell.run("key rotate");
    const again = await shell.run("key rotate");
    expect(again).toEqual({ ...first, stderr: expect.stringContaining("that rotation stands") });
    expect(await states(shell)).toEqual(["active", "next", "retiring"]);
  });

  test("waits for a key that clients may not know, without a word in a pipe; stopped, it says when to go on", async () => {
    using shell = await withKeys();
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const child = shell.start(["key", "rotate", "--alg", "EdDSA", "--json"]);
      await until("the next key is published", async () => (await states(shell)).length === 3, 30_000);
      const published = (await list(shell)).find(({ algorithm }) => algorithm === "EdDSA")!;
      child.kill(signal);
      expect(await child.exited).toBe({ SIGINT: 130, SIGTERM: 143 }[signal]);
      expect(await child.stdout.text()).toBe("");
      const { code, detail } = JSON.parse(await child.stderr.text());
      expect(code).toBe("partly_done");
      expect(detail).toContain(`before ${published.known_at}: then run the same command again`);
      expect(await states(shell)).toEqual(["active", "next", "next"]);
    }
  });

  test("--now asks first, makes new keys for all that there were, and says that no server runs", async () => {
    using shell = await withKeys();
    const asked = await shell.run("key rotate --now");
    expect(asked.code).toBe(2);
    expect(asked.stderr).toContain("lets every access token signed by the old keys die at once");
    const before = await list(shell);
    const done = await shell.run("key rotate --now --yes --json");
    expect(done).toMatchObject({ code: 0, stderr: "No server runs.\n" });
    const answer = JSON.parse(done.stdout);
    expect(answer).toMatchObject({
      algorithm: "ES256",
      servers_heard: 0,
      servers_silent: [],
      waited_ms: expect.any(Number),
    });
    expect(answer.retired.toSorted()).toEqual(before.map(({ kid }) => kid).toSorted());
    expect(before.map(({ kid }) => kid)).not.toContain(answer.activated);
    expect(await states(shell)).toEqual(["active", "next", "retired", "retired"]);
  });

  test("--now ends with exit code 6 and the name of a server that has not answered", async () => {
    using shell = await withKeys();
    await shell.core((core) =>
      core.store.write((tx) => {
        const now = core.clock.now();
        // However long the command takes to begin.
        const seenAt = new Date(now.getTime() + 3_600_000);
        return tx.servers.beat({ id: "s1", host: "silent.test", version: "1", startedAt: now, seenAt, keys: "" });
      }),
    );
    const stopped = await shell.run("key rotate --now --yes --json");
    expect(stopped.code).toBe(6);
    expect(JSON.parse(stopped.stdout)).toMatchObject({
      servers_heard: 0,
      servers_silent: [{ id: "s1", host: "silent.test" }],
    });
    expect(stopped.stderr).toContain("Not heard of: silent.test (s1)");
    expect(await states(shell)).toEqual(["active", "next", "retired", "retired"]);
    // Ten seconds are waited for an answer.
  }, 60_000);

  test("--if-due is silent, never waits, and leaves its time for others to see", async () => {
    using shell = await withKeys({ KEY_ROTATION: "30d" });
    const next = await keyIn(shell, "next");
    expect(await shell.run("key rotate --if-due")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect((await keyIn(shell, "active")).kid).toBe(next.kid);
    expect(await shell.json("key rotate --if-due")).toEqual({ published: null, activated: null, retired: [] });
    expect(await states(shell)).toEqual(["active", "next", "retiring"]);
    const jobs = await shell.core((core) => core.store.jobs.all());
    expect(jobs.map(({ name }) => name)).toContain("key-rotation");
  });

  test("--if-due is one at a time: another one is exit 75, or skipped", async () => {
    using shell = await withKeys();
    await shell.core(async (core) => {
      const release = await core.store.lock("key-rotation");
      const second = await shell.run("key rotate --if-due --json");
      expect([second.code, JSON.parse(second.stderr).code]).toEqual([75, "lock_held"]);
      expect(await shell.run("key rotate --if-due --lock skip")).toEqual({ code: 0, stdout: "", stderr: "" });
      await release?.();
    });
    expect((await shell.run("key rotate --if-due")).code).toBe(0);
  });

  test.each([
    "--alg none",
    "--alg HS256",
    "--alg",
    "now",
    "--dry-run",
    "--now=yes",
    "--if-due --now",
    "--if-due --alg ES256",
  ])("refuses %s", async (flags) => {
    using shell = await withKeys();
    expect((await shell.run(`key rotate ${flags}`)).code).toBe(2);
    expect(await states(shell)).toEqual(["active", "next"]);
  });
});

describe.concurrent("key retire", () => {
  test("refuses a key in use, and by force wants its name twice", async () => {
    using shell = await withKeys();
    const { kid: active } = await keyIn(shell, "active");
    const refused = await shell.run(`key retire ${active} --json`);
    expect([refused.code, JSON.parse(refused.stderr).code]).toEqual([4, "key_in_use"]);
    await shell.run("key rotate");
    const retiring = await keyIn(shell, "retiring");
    expect(retiring.kid).toBe(active);
    const early = await shell.run(`key retire ${active}`);
    expect(early).toMatchObject({ code: 4, stdout: "" });
    expect(early.stderr).toContain(retiring.retires_at!);
    for (const confirm of ["", " --confirm", ` --confirm ${(await keyIn(shell, "next")).kid}`]) {
      expect((await shell.run(`key retire ${active} --force${confirm}`)).code).toBe(2);
    }
    const before = await list(shell);
    expect((await shell.run(`key retire ${active} --dry-run`)).code).toBe(4);
    expect(await shell.json(`key retire ${active} --force --dry-run`)).toEqual({
      retired: active,
      activated: null,
      held_by_at_most: 0,
    });
    expect(await list(shell)).toEqual(before);
    expect(await shell.json(`key retire ${active} --force --confirm ${active}`)).toMatchObject({
      retired: active,
      activated: null,
      servers_heard: 0,
      servers_silent: [],
    });
    expect(await shell.json(`key retire ${active}`)).toMatchObject({ retired: null });
  });

  test("publishes another key in the place of one that was still to come", async () => {
    using shell = await withKeys();
    const { kid } = await keyIn(shell, "next");
    expect(await shell.json(`key retire ${kid}`)).toMatchObject({ retired: kid, activated: null });
    expect(await states(shell)).toEqual(["active", "next", "retired"]);
  });

  test("knows no key of another name", async () => {
    using shell = await withKeys();
    expect((await shell.run("key retire nobody")).code).toBe(3);
    expect((await shell.run("key retire")).code).toBe(2);
  });
});

describe.concurrent("key export-public", () => {
  test("prints what the server publishes, as a JWKS or PEM, and never a private part", async () => {
    using shell = await withKeys();
    const keys = await list(shell);
    const { stdout } = await shell.run("key export-public");
    expect(JSON.parse(stdout).keys.map(({ kid }: Key) => kid)).toEqual(keys.map(({ kid }) => kid));
    expect(stdout).not.toContain('"d"');
    const [first, second] = JSON.parse(stdout).keys;
    const pems = (await shell.run("key export-public --pem")).stdout.match(/-----BEGIN[^]*?END PUBLIC KEY-----/g)!;
    for (const [at, jwk] of [first, second].entries()) {
      expect(createPublicKey(pems[at]!).export({ format: "jwk" })).toMatchObject({ x: jwk.x, y: jwk.y });
    }
    const one = await shell.json<{ keys: Key[] }>(`key export-public --kid ${first.kid}`);
    expect(one.keys.map(({ kid }) => kid)).toEqual([first.kid]);
    expect((await shell.run("key export-public --kid nobody")).code).toBe(3);
  });

  test.each(["EdDSA", "RS256"])("writes keys of %s as PEM, too", async (algorithm) => {
    using shell = await withKeys({ TOKEN_ALGORITHM: algorithm });
    const { stdout } = await shell.run("key export-public --pem");
    expect(createPublicKey(stdout).asymmetricKeyType).toBe(algorithm === "EdDSA" ? "ed25519" : "rsa");
  });
});
