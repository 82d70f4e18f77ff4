import { describe, expect, test } from "bun:test";
import { Shell } from "../support/cli.ts";
import { createTestClock } from "../support/clock.ts";

type Key = { readonly kid: string; readonly state: string; readonly algorithm: string };

/** A shell whose keys were made long ago. */
async function withKeys(): Promise<Shell> {
  const shell = new Shell();
  await shell.core(async () => {}, createTestClock(new Date("2026-01-01T00:00:00Z")));
  return shell;
}

const states = async (shell: Shell) => (await shell.json<Key[]>("key list")).map(({ state }) => state);

describe.concurrent("key list", () => {
  test("shows the keys and never their private part", async () => {
    using shell = await withKeys();
    const { stdout } = await shell.run("key list --json");
    expect(JSON.parse(stdout).map(({ state }: Key) => state)).toEqual(["active", "next"]);
    expect(stdout).not.toMatch(/private|jwk|"d"/i);
    expect((await shell.run("key list")).stdout).toMatch(/\tES256\tactive\t\d+d\t2026-01-01T/);
  });
});

describe.concurrent("key rotate", () => {
  test("lets the next key sign, and publishes another one", async () => {
    using shell = await withKeys();
    const [active, next] = await shell.json<Key[]>("key list");
    expect(await shell.json("key rotate")).toEqual({ algorithm: "ES256", activated: next!.kid, replaced: active!.kid });
    expect(await states(shell)).toEqual(["retiring", "active", "next"]);
  });

  test("waits until the next key is known, except where the old one has leaked", async () => {
    using shell = await withKeys();
    await shell.run("key rotate");
    const early = await shell.run("key rotate --json");
    expect(early.code).toBe(4);
    expect(JSON.parse(early.stderr)).toMatchObject({ code: "key_not_due" });

    const asked = await shell.run("key rotate --now");
    expect(asked.code).toBe(2);
    expect(asked.stderr).toContain("lets every access token signed by the old key die at once");
    expect((await shell.run("key rotate --now --yes")).code).toBe(0);
    expect(await states(shell)).toEqual(["retiring", "retired", "active", "next"]);
  });

  test("begins with another algorithm", async () => {
    using shell = await withKeys();
    expect(await shell.json("key rotate --alg EdDSA")).toMatchObject({ algorithm: "EdDSA", replaced: null });
  });

  test.each(["--alg none", "--alg HS256", "--alg", "now", "--dry-run", "--now=yes"])("refuses %s", async (flags) => {
    using shell = await withKeys();
    expect((await shell.run(`key rotate ${flags}`)).code).toBe(2);
    expect(await states(shell)).toEqual(["active", "next"]);
  });
});
