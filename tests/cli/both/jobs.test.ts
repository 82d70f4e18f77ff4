import { describe, expect, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { databaseShell, person, type Shell, sessionsOf } from "../../support/cli.ts";
import { createTestClock } from "../../support/clock.ts";
import { Terminal } from "../../support/terminal.ts";

const program = join(import.meta.dir, "../../../cli/authctl.ts");

type Status = { readonly name: string; readonly last_success: string | null; readonly overdue: boolean };

/** Sessions of a person, so many of which ended long ago. */
async function withExpired(shell: Shell, number: number): Promise<void> {
  await shell.core((core) => person(core, "ada@example.com"));
  await shell.core(
    (core) => sessionsOf(core, "ada@example.com", number, { credential: "tokens" }),
    createTestClock(new Date("2026-01-01T00:00:00Z")),
  );
  await shell.core((core) => sessionsOf(core, "ada@example.com", 1));
}

const stored = (shell: Shell) => shell.core(async (core) => (await core.store.sessions.count({})).sessions);

/** A program of the name `authctl`, as an operator has it on the path. */
function installed(shell: Shell): string {
  const file = shell.file("authctl");
  writeFileSync(file, `#!/bin/sh\nexec '${process.execPath}' --no-env-file '${program}' "$@"\n`);
  chmodSync(file, 0o755);
  return `${shell.directory}:/usr/bin:/bin`;
}

describe("job", () => {
  test("run does a job once, silently, and list tells when it last did", async () => {
    await using shell = await databaseShell();
    await withExpired(shell, 3);
    const before = await shell.json<Status[]>("job list");
    expect(before.map(({ name, last_success, overdue }) => ({ name, last_success, overdue }))).toEqual(
      ["purge", "audit-purge", "key-rotation", "mail"].map((name) => ({ name, last_success: null, overdue: true })),
    );
    expect(await shell.run("job run purge")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await stored(shell)).toBe(1);
    expect(await shell.json("job run key-rotation")).toEqual({
      job: "key-rotation",
      published: 0,
      activated: 0,
      retired: 0,
      finished: true,
    });
    const after = await shell.json<Status[]>("job list");
    expect(after.filter(({ overdue }) => !overdue).map(({ name }) => name)).toEqual([
      "purge",
      "audit-purge",
      "key-rotation",
    ]);
    expect((await shell.run("job list")).stdout).toMatch(/^purge\t15m\t\S+Z\t\S+Z\t\t/);
  });

  test("run ends with the exit codes of the commands: out of time, locked, unknown", async () => {
    await using shell = await databaseShell();
    await withExpired(shell, 3);
    expect((await shell.run("job run purge --max-time 0s")).code).toBe(6);
    expect(await stored(shell)).toBe(4);
    await shell.core(async (core) => {
      const release = await core.store.lock("purge");
      const second = await shell.run("job run purge --json");
      expect(second.code).toBe(75);
      expect(JSON.parse(second.stderr)).toMatchObject({ code: "lock_held" });
      expect(await shell.run("job run purge --lock skip")).toEqual({ code: 0, stdout: "", stderr: "" });
      await release?.();
    });
    expect((await shell.run("job run purg")).stderr).toContain("Did you mean purge?");
    expect((await shell.run("job run")).code).toBe(2);
  });

  test("print-cron prints lines that do what they say, whatever the directory is called", async () => {
    await using shell = await databaseShell();
    await withExpired(shell, 2);
    const PATH = installed(shell);
    const { stdout, stderr, code } = await shell.run("job print-cron", { env: { PATH } });
    expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
    const lines = stdout.split("\n").filter((line) => /^[\d*]/.test(line));
    expect(lines.map((line) => /job run (\S+)/.exec(line)?.[1])).toEqual(["purge", "audit-purge", "key-rotation"]);
    expect(stdout).toContain(`\nPATH=${PATH}\n`);
    for (const line of lines) {
      const [schedule, command] = [line.split(" ").slice(0, 5).join(" "), line.split(" ").slice(5).join(" ")];
      expect(schedule).toMatch(/^[\d*/]+( [\d*/]+){4}$/);
      // As cron does it: with next to no environment, and % given back.
      const ran = Bun.spawnSync(["/bin/sh", "-c", command.replaceAll("\\%", "%")], {
        cwd: "/",
        env: { ...shell.env, PATH },
      });
      expect({ said: ran.stdout.toString() + ran.stderr.toString(), code: ran.exitCode }).toEqual({
        said: "",
        code: 0,
      });
    }
    expect(await stored(shell)).toBe(1);
    const odd = await shell.run(["job", "print-cron", "mail", "--directory", "/srv/a 100% o'clock"], { env: { PATH } });
    expect(odd.stdout).toContain(`* * * * * cd '/srv/a 100\\% o'\\''clock' && authctl job run mail --lock skip`);
  });

  test("print-systemd prints units that systemd takes", async () => {
    await using shell = await databaseShell();
    const PATH = `${installed(shell)}:${process.env["PATH"]}`;
    const { stderr } = await shell.run("job print-systemd --out units --user authctl", { env: { PATH } });
    expect(stderr).toContain("systemctl enable --now authctl-job-purge.timer");
    const units = readdirSync(shell.file("units")).toSorted();
    expect(units).toEqual([
      "authctl-job-audit-purge.timer",
      "authctl-job-key-rotation.timer",
      "authctl-job-purge.timer",
      "authctl-job@.service",
    ]);
    const service = readFileSync(shell.file("units/authctl-job@.service"), "utf8");
    for (const line of ["NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "User=authctl"])
      expect(service.split("\n")).toContain(line);
    const wants = service.split("\n").filter((line) => line.startsWith("ExecStart="));
    expect(wants).toEqual(["ExecStart=/usr/bin/env authctl job run %i --lock skip"]);
    // Where there is no systemd, nobody but the lines above has looked at them.
    const analyze = Bun.which("systemd-analyze");
    if (analyze === null) return;
    const files = units.map((unit) => shell.file(`units/${unit}`));
    const verified = Bun.spawnSync([analyze, "verify", "--man=no", ...files]);
    const complaints = verified.stderr
      .toString()
      .split("\n")
      .filter((line) => line.includes("authctl-job"));
    expect(complaints).toEqual([]);
  });

  test("print-k8s prints manifests without any secret", async () => {
    await using shell = await databaseShell({ METRICS_TOKEN: "not-to-be-printed-anywhere" });
    const words = "job print-k8s --image registry.example.com/authctl:1 --secret auth-settings --namespace auth";
    const { stdout, code } = await shell.run(words);
    expect(code).toBe(0);
    expect(stdout).not.toContain("not-to-be-printed");
    expect(stdout).not.toContain("&");
    const manifests = stdout.split("\n---\n").map((text) => Bun.YAML.parse(text));
    expect(manifests).toHaveLength(3);
    expect(manifests[0]).toMatchObject({
      apiVersion: "batch/v1",
      kind: "CronJob",
      metadata: { name: "authctl-purge", namespace: "auth" },
      spec: {
        schedule: "*/15 * * * *",
        concurrencyPolicy: "Forbid",
        jobTemplate: {
          spec: {
            template: {
              spec: {
                restartPolicy: "Never",
                containers: [
                  {
                    image: "registry.example.com/authctl:1",
                    args: ["job", "run", "purge", "--lock", "skip"],
                    envFrom: [{ secretRef: { name: "auth-settings" } }],
                    securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false },
                  },
                ],
              },
            },
          },
        },
      },
    });
    expect((await shell.run(["job", "print-k8s", "--secret", "x\ny: z"])).code).toBe(2);
  });
});

describe("token purge", () => {
  test("rehearses every kind, and SIGTERM ends it after the batch", async () => {
    await using shell = await databaseShell();
    await withExpired(shell, 20);
    const preview =
      await shell.json<Array<{ kind: string; rows: number; oldest: string | null }>>("token purge --dry-run");
    expect(preview.map(({ kind, rows }) => [kind, rows])).toEqual([
      ["sessions", 20],
      ["keys", 0],
      ["servers", 0],
      ["tries", 0],
      ["challenges", 0],
      ["mails", 0],
      ["users", 0],
      ["bans", 0],
      ["audit", 0],
    ]);
    expect(await stored(shell)).toBe(21);
    const child = shell.start(["token", "purge", "--batch-size", "1", "--pause", "1h"]);
    while ((await stored(shell)) === 21) await Bun.sleep(20);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(143);
    expect(await stored(shell)).toBe(20);
  });
});

test("stats tells how things stand", async () => {
  await using shell = await databaseShell();
  await withExpired(shell, 3);
  expect(await shell.json("stats")).toMatchObject({
    users: 1,
    users_signed_in: 1,
    sessions_stored: 4,
    sessions_alive: 1,
    sessions_expired: 3,
    sign_ins_of_last_day: 0,
    purgeable: { sessions: 3, tries: 0 },
  });
  expect((await shell.run("stats")).stdout).toContain("\npurgeable_sessions\t3\n");
});

test("sizes are told in units to people, and in bytes to programs", async () => {
  await using shell = await databaseShell();
  const lines = ["stats", "token stats", "backup create --plain --verbose"];
  for (const line of lines) {
    const { code, stdout } = await shell.run(line);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^(database_)?size\t\d+(\.\d)? (B|[KM]iB)$/m);
    expect(stdout).not.toContain("bytes");
    const told = await shell.json(line.replace(" --verbose", ""));
    expect(told["database_bytes"] ?? told["bytes"]).toBeGreaterThan(100);
  }
  await using terminal = new Terminal(shell, ["stats"]);
  expect(await terminal.ended()).toBe(0);
  expect(terminal.screen.join("\n")).toMatch(/^database size +\d+\.\d [KM]iB$/m);
});
