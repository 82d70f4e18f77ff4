import { describe, expect, test } from "bun:test";
import { Shell } from "../support/cli.ts";
import { goodPassword } from "../support/core.ts";
import { startServer } from "../support/server.ts";
import { until } from "../support/until.ts";

type Banned = { network: string; reason: string | null; created_by: string; expires_at: string | null };

async function peopled(): Promise<Shell> {
  const shell = new Shell();
  await shell.run("init");
  await shell.run("user create --email eve@example.com --password-stdin", { input: goodPassword });
  return shell;
}

describe.concurrent("ban", () => {
  test("names the network, until when, by whom and why", async () => {
    using shell = await peopled();
    const added = await shell.json<Banned>("ban add 192.0.2.7/24 --for 1d --reason stuffing");
    expect(added).toMatchObject({ network: "192.0.2.0/24", reason: "stuffing" });
    expect(added.created_by).toContain("@");
    const days = (Date.parse(added.expires_at ?? "") - Date.parse(new Date().toISOString())) / 86_400_000;
    expect(days).toBeCloseTo(1, 2);
    expect(await shell.json<Banned[]>("ban list")).toEqual([added]);
    expect((await shell.run("ban remove 192.0.2.0/24")).code).toBe(0);
    expect(await shell.json<Banned[]>("ban list")).toEqual([]);
    expect((await shell.run("ban remove 192.0.2.0/24")).code).toBe(3);
  });

  test("disables a user who is named, and takes the user back", async () => {
    using shell = await peopled();
    expect(await shell.json("ban add eve@example.com")).toMatchObject({ is_active: false });
    expect(await shell.json("ban remove eve@example.com")).toMatchObject({ is_active: true });
    expect((await shell.run("ban add eve@example.com --for 1d")).code).toBe(2);
    expect((await shell.run("ban add nobody@example.com")).code).toBe(3);
  });

  test.each([
    ["all addresses at once", "0.0.0.0/0", 3, "neither an address, nor a network"],
    ["more bits than there are", "192.0.2.0/33", 3, "neither an address, nor a network"],
    ["a ban that is over before any server hears of it", "192.0.2.7 --for 0s", 2, "must be at least 5s"],
  ])("refuses %s", async (_, words, expected, told) => {
    using shell = await peopled();
    const { code, stderr } = await shell.run(`ban add ${words}`);
    expect({ code, stderr }).toEqual({ code: expected, stderr: expect.stringContaining(told) });
    expect(await shell.json<Banned[]>("ban list")).toEqual([]);
  });
});

test("LI-3 a banned address is refused everywhere, as its proxy names it and not as it calls itself", async () => {
  const server = await startServer({ TRUSTED_PROXIES: "127.0.0.1" });
  const shell = new Shell(server.env);
  const statusFor = async (forwarded: string, path = "/api/v1/users/me") =>
    (await server.get(path, { headers: { "x-forwarded-for": forwarded } })).status;
  try {
    expect(await statusFor("192.0.2.7")).toBe(401);
    expect((await shell.run("ban add 192.0.2.0/24")).code).toBe(0);
    await until("the ban counts", async () => (await statusFor("192.0.2.7")) === 403);
    for (const path of ["/", "/nowhere", "/docs"])
      expect([path, await statusFor("192.0.2.9", path)]).toEqual([path, 403]);
    expect(await statusFor("192.0.2.7, 198.51.100.1")).toBe(401);
    expect(await statusFor("198.51.100.1, 192.0.2.7")).toBe(403);
  } finally {
    shell[Symbol.dispose]();
    await server.end();
  }
}, 30_000);
