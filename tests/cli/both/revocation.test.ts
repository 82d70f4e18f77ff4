import { describe, expect, test } from "bun:test";
import { databaseShell, person, type Shell, sessionsOf } from "../../support/cli.ts";
import { spawnServer } from "../../support/server.ts";

/** Two sessions of ada from one network, one of bob from another. */
async function signIn(shell: Shell): Promise<void> {
  await shell.core(async (core) => {
    await person(core, "ada@example.com");
    await person(core, "bob@example.com");
    await sessionsOf(core, "ada@example.com", 1, { ip: "198.51.100.7" });
    await sessionsOf(core, "ada@example.com", 1, { ip: "2001:db8::7" });
    await sessionsOf(core, "bob@example.com", 1, { ip: "198.51.100.200" });
  });
}

const alive = async (shell: Shell) =>
  (await shell.json<Array<{ user: { email: string }; ip: string }>>("session list")).map(({ ip }) => ip);

describe("session revoke", () => {
  test("ends the sessions of a network, and says how many of whom", async () => {
    await using shell = await databaseShell();
    await signIn(shell);
    const listed = await shell.json<unknown[]>("session list --ip 198.51.100.0/24");
    expect(listed).toHaveLength(2);
    const asked = await shell.run("session revoke --ip 198.51.100.0/24");
    expect(asked.code).toBe(2);
    expect(asked.stderr).toContain("This ends 2 sessions of 2 users.");
    expect(await shell.json("session revoke --ip 198.51.100.0/24 --user bob@example.com --yes")).toEqual({
      sessions: 1,
      users: 1,
      ended: 1,
    });
    expect(await alive(shell)).toEqual(["198.51.100.7", "2001:db8::7"]);
    expect(await shell.json("session revoke --ip 2001:db8::/32 --yes")).toMatchObject({ ended: 1 });
    expect((await shell.run("session revoke --ip 198.51.100.0/99 --yes")).code).toBe(2);
    expect(await alive(shell)).toEqual(["198.51.100.7"]);
  });

  test("does nothing where it would end more than --max-affected", async () => {
    await using shell = await databaseShell();
    await signIn(shell);
    for (const which of ["--all", "--ip 198.51.100.0/24", "--user ada@example.com", "--older-than 0s"]) {
      const { code, stderr } = await shell.run(`session revoke ${which} --max-affected 1 --yes --json`);
      expect(code).toBe(4);
      expect(JSON.parse(stderr)).toMatchObject({ code: "too_many_affected" });
    }
    expect(await alive(shell)).toHaveLength(3);
    expect(await shell.json("session revoke --all --max-affected 3 --yes")).toMatchObject({ ended: 3 });
  });

  test("--wait returns when every server that runs knows, and names the one that stays silent", async () => {
    await using shell = await databaseShell();
    await signIn(shell);
    const idle = await shell.run("session revoke --user bob@example.com --yes --wait 1s");
    expect(idle).toMatchObject({ code: 0, stderr: expect.stringContaining("no server runs") });

    const server = spawnServer(shell.directory, { ...shell.env, PORT: "0", JOBS: "off", LOG_LEVEL: "info" });
    try {
      for await (const line of server.stdout.pipeThrough(new TextDecoderStream()))
        if (line.includes("listening")) break;
      const told = await shell.json("session revoke --ip 198.51.100.7 --yes --wait 20s");
      expect(told).toMatchObject({ ended: 1, servers_heard: 1, servers_silent: [], waited_ms: expect.any(Number) });
      const again = await shell.run("session revoke --ip 198.51.100.7 --yes --wait 20s");
      expect(again).toMatchObject({ code: 0, stderr: expect.stringMatching(/1 server knows of it, after \d+m?s/) });
      // Stopped, it is there and does not answer.
      server.kill("SIGSTOP");
      const silent = await shell.run("session revoke --all --yes --wait 300ms --json");
      expect(silent.code).toBe(6);
      expect(JSON.parse(silent.stdout)).toMatchObject({ ended: 1, servers_heard: 0, servers_silent: [{}] });
      const [{ id, host }] = (JSON.parse(silent.stdout) as { servers_silent: [{ id: string; host: string }] })
        .servers_silent;
      expect((JSON.parse(silent.stderr.split("\n").at(-2)!) as { detail: string }).detail).toContain(`${host} (${id})`);
      expect(await alive(shell)).toEqual([]);
    } finally {
      server.kill("SIGKILL");
      await server.exited;
    }
  });
});
