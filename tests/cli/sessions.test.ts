import { describe, expect, test } from "bun:test";
import { signOutEverywhere } from "../../src/core/sessions.ts";
import { findUser } from "../../src/core/users.ts";
import { person, Shell, sessionsOf } from "../support/cli.ts";
import { createTestClock } from "../support/clock.ts";
import { root } from "../support/core.ts";

type View = {
  readonly id: string;
  readonly user: { readonly email: string };
  readonly state: string;
  readonly why: string | null;
};

/** A shell with two sessions of ada and one of bob, from two addresses. */
async function signedIn() {
  const shell = new Shell();
  const ids = await shell.core(async (core) => {
    await person(core, "ada@example.com");
    await person(core, "bob@example.com");
    const ada = await sessionsOf(core, "ada@example.com", 2);
    return [...ada, ...(await sessionsOf(core, "bob@example.com", 1, { ip: "198.51.100.9" }))];
  });
  return Object.assign(shell, { ids });
}

/** A session that began and ended long ago. */
const longAgo = (shell: Shell) =>
  shell.core((core) => sessionsOf(core, "bob@example.com", 1), createTestClock(new Date("2026-01-01T00:00:00Z")));

const list = (shell: Shell, flags = "") => shell.json<View[]>(`session list${flags}`);

describe.concurrent("session list", () => {
  test("shows who is signed in, with what and from where", async () => {
    using shell = await signedIn();
    const [first] = await list(shell);
    expect(first).toMatchObject({
      id: shell.ids[0],
      current: false,
      user: { email: "ada@example.com" },
      credential: "session",
      device: { browser: "Firefox", os: "Linux", kind: "desktop" },
      state: "alive",
      why: null,
    });
    const { stdout } = await shell.run("session list");
    expect(stdout.split("\n")[0]).toMatch(
      /^\S+\tada@example.com\tFirefox \/ Linux\t192.0.2.7\t\S+Z\t\S+Z\t\S+Z\talive$/,
    );
  });

  test("filters", async () => {
    using shell = await signedIn();
    await longAgo(shell);
    expect(await list(shell, " --user ada@example.com")).toHaveLength(2);
    expect(await list(shell, " --ip 198.51.100.9")).toHaveLength(1);
    expect(await list(shell, " --user ada@example.com --ip 198.51.100.9")).toEqual([]);
    expect(await list(shell, " --older-than 1h")).toEqual([]);
    expect((await list(shell, " --older-than 1h --no-active")).map(({ state }) => state)).toEqual(["expired"]);
    expect(await list(shell, " --no-active")).toHaveLength(4);
  });

  test.each(["--user nobody", "--older-than 3", "--older-than", "--ip", "x"])("refuses %s", async (flags) => {
    using shell = await signedIn();
    expect((await shell.run(`session list ${flags}`)).code).toBe(flags.startsWith("--user") ? 3 : 2);
  });
});

describe.concurrent("session get", () => {
  test("says why a session is dead", async () => {
    using shell = await signedIn();
    const [revoked, away, alive] = shell.ids;
    await shell.run(`session revoke ${revoked} --yes`);
    await shell.core(async (core) => signOutEverywhere(core, root, (await findUser(core, "ada@example.com")).user.id));
    const [old] = await longAgo(shell);
    expect(await shell.json(`session get ${alive}`)).toMatchObject({ state: "alive", why: null });
    expect(await shell.json(`session get ${revoked}`)).toMatchObject({
      state: "revoked",
      why: expect.stringContaining("revoked-by-operator"),
    });
    expect(await shell.json(`session get ${away}`)).toMatchObject({ state: "signed out everywhere" });
    expect(await shell.json(`session get ${old}`)).toMatchObject({ state: "expired" });
    await shell.run("user disable bob@example.com");
    expect(await shell.json(`session get ${alive}`)).toMatchObject({ state: "user disabled" });
  });

  test("knows no session that is not there", async () => {
    using shell = await signedIn();
    for (const id of ["nope", "' OR 1=1", "../..", "\u001b[2J"]) {
      const { code, stderr } = await shell.run(["session", "get", id]);
      expect(code).toBe(3);
      expect(stderr).not.toContain("\u001b");
    }
    expect((await shell.run("session get")).code).toBe(2);
  });

  test("SE-5 never shows what a session token is made of", async () => {
    using shell = await signedIn();
    const hash = await shell.core(async (core) => (await core.store.sessions.byId(shell.ids[0]!))!.secretHash!);
    const { stdout } = await shell.run(`session get ${shell.ids[0]} --json`);
    expect(stdout).not.toContain(hash);
  });
});

describe.concurrent("session revoke", () => {
  test("says what it would end, and waits for a yes", async () => {
    using shell = await signedIn();
    const { code, stderr } = await shell.run("session revoke --all");
    expect(code).toBe(2);
    expect(stderr).toContain("This ends 3 sessions of 2 users. To do it: authctl session revoke --all --yes");
    expect(await list(shell)).toHaveLength(3);
    expect((await shell.run("session revoke --all --yes")).stderr).toBe("ended 3 sessions\n");
    expect(await list(shell)).toEqual([]);
  });

  test("rehearses", async () => {
    using shell = await signedIn();
    const { code, stderr, stdout } = await shell.run("session revoke --all --dry-run --json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "would end 3 sessions of 2 users\n" });
    expect(JSON.parse(stdout)).toEqual({ sessions: 3, users: 2, ended: 0 });
    expect(await list(shell)).toHaveLength(3);
  });

  test("ends what is named, once, and leaves a trace with the reason", async () => {
    using shell = await signedIn();
    const [one, two] = shell.ids;
    const first = await shell.json(`session revoke ${one} ${two} ${one} --yes --reason stolen`);
    expect(first).toEqual({ sessions: 2, users: 1, ended: 2 });
    const again = await shell.run(`session revoke ${one} --yes`);
    expect(again).toMatchObject({ code: 0, stderr: "No session that is alive fits. Nothing to do.\n" });
    const events = await shell.core((core) => core.store.auditEvents.page({}, 10));
    const revoked = events.filter(({ action }) => action === "session.revoked");
    expect(revoked.map(({ actorKind, reason }) => [actorKind, reason])).toEqual([
      ["operator", "stolen"],
      ["operator", "stolen"],
    ]);
  });

  test("does nothing at all where one id is unknown", async () => {
    using shell = await signedIn();
    const { code, stderr } = await shell.run(`session revoke ${shell.ids[0]} nope --yes`);
    expect(code).toBe(3);
    expect(stderr).toContain("nope is no session's id");
    expect(await list(shell)).toHaveLength(3);
  });

  test("signs a user out everywhere in one row", async () => {
    using shell = await signedIn();
    expect(await shell.json("session revoke --user ada@example.com --yes")).toEqual({
      sessions: 2,
      users: 1,
      ended: 2,
    });
    const events = await shell.core((core) => core.store.auditEvents.page({}, 1));
    expect(events[0]).toMatchObject({ action: "session.all_revoked" });
    expect((await list(shell)).map(({ user }) => user.email)).toEqual(["bob@example.com"]);
  });

  test("ends those from an address, and those that are old", async () => {
    using shell = await signedIn();
    expect(await shell.json("session revoke --ip 198.51.100.9 --yes")).toMatchObject({ ended: 1 });
    expect(await shell.json("session revoke --older-than 1h --yes")).toMatchObject({ ended: 0 });
    expect(await shell.json("session revoke --user ada@example.com --older-than 0s --yes")).toMatchObject({ ended: 2 });
  });

  test("takes ids from standard input", async () => {
    using shell = await signedIn();
    const { stdout } = await shell.run("session list --user ada@example.com --output id");
    expect((await shell.run("session revoke - --yes", { input: stdout })).stderr).toBe("ended 2 sessions\n");
    expect(await list(shell)).toHaveLength(1);
  });

  test("works in batches to the end", async () => {
    using shell = await signedIn();
    await shell.core((core) => sessionsOf(core, "bob@example.com", 450));
    const { stdout } = await shell.run("session list --output id");
    expect((await shell.run("session revoke - --dry-run", { input: stdout })).stderr).toBe(
      "would end 453 sessions of 2 users\n",
    );
    expect((await shell.run("session revoke --all --yes")).stderr).toBe("ended 453 sessions\n");
    expect(await list(shell)).toEqual([]);
  });

  test("never takes nothing for everything", async () => {
    using shell = await signedIn();
    const cases = [
      "",
      "-",
      "--all --user ada@example.com",
      `${shell.ids[0]} --all`,
      `${shell.ids[0]} --older-than 1d`,
      "--al",
    ];
    for (const words of cases) {
      const line = `session revoke --yes ${words}`.trim().split(" ");
      // An empty list of ids is nothing to do: whoever asks for none in a pipe has made no mistake.
      expect((await shell.run(line, { input: "\n" })).code).toBe(words === "-" ? 0 : 2);
    }
    expect((await shell.run(["session", "revoke", "--yes", ""])).code).toBe(2);
    expect(await list(shell)).toHaveLength(3);
  });
});
