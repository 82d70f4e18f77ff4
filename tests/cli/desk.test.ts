import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command, type Tree } from "../../cli/command.ts";
import type { Desk } from "../../cli/desk.ts";
import { noon, type Outside, start, type } from "./toy.ts";

/** What happens when a command does `work` at its desk. */
const at = (work: (desk: Desk) => Promise<void>, flags: readonly string[] = [], outside: Outside = {}) => {
  const tree: Tree = {
    do: {
      summary: "it",
      load: async () => ({
        default: command({ description: "Do it.", effect: "write", dryRun: true, run: async (_, desk) => work(desk) }),
      }),
    },
  };
  return type(["do", ...flags], { ...outside, tree });
};

const people = [
  { id: "u_1", name: "Ada", logins: 3, roles: ["admin", "user"], lastSeen: noon },
  { id: "u_2", name: "日本語", logins: 1204, roles: [], lastSeen: null },
];

const printed = async (value: unknown, flags: readonly string[] = [], outside: Outside = {}) =>
  (await at((desk) => desk.print(value), flags, outside)).stdout;

async function* pages() {
  yield people.slice(0, 1);
  yield [];
  yield people.slice(1);
}

describe("a list", () => {
  test("is a table on a terminal", async () => {
    expect(await printed(people, [], { terminal: true })).toBe(
      [
        "ID   NAME    LOGINS  ROLES        LAST SEEN",
        "u_1  Ada          3  admin, user  2026-01-31T12:00:00Z",
        "u_2  日本語    1204",
        "",
      ].join("\n"),
    );
  });

  test("is lines of tab-separated cells without a header in a pipe", async () => {
    expect(await printed(people)).toBe("u_1\tAda\t3\tadmin, user\t2026-01-31T12:00:00.000Z\nu_2\t日本語\t1204\t\t\n");
  });

  test("has the columns that the command chooses", async () => {
    const { stdout } = await at((desk) =>
      desk.print(people, ["name", { title: "often", of: (person) => (person.logins > 10 ? "yes" : "no") }]),
    );
    expect(stdout).toBe("Ada\tno\n日本語\tyes\n");
  });

  test("is JSON with all of its members, indented for eyes", async () => {
    const json = JSON.parse(JSON.stringify(people));
    const piped = await printed(people, ["--json"]);
    expect(piped).toBe(`${JSON.stringify(people)}\n`);
    const shown = await printed(people, ["--json"], { terminal: true });
    expect(shown).toBe(`${JSON.stringify(people, null, 2)}\n`);
    expect(JSON.parse(shown)).toEqual(json);
    expect(await printed([], ["--json"])).toBe("[]\n");
  });

  test("streams page by page in every format", async () => {
    for (const flags of [[], ["--json"], ["--output=ndjson"], ["--output=csv"], ["--output=id"], ["--output=table"]]) {
      const whole = await printed(people, flags);
      const { stdout } = await at((desk) => desk.print(pages()), flags);
      if (flags[0] !== "--output=table") expect(stdout).toBe(whole);
      else expect(stdout.split("\n")).toHaveLength(4);
    }
  });

  test("comes to its end, however long", async () => {
    const { stdout } = await type("toy list --rows 5000");
    expect(stdout.trimEnd().split("\n")).toHaveLength(5000);
    expect((await type("toy list --rows 350", { terminal: true })).stdout.trimEnd().split("\n")).toHaveLength(351);
  });

  test("stops when interrupted, and leaves its JSON open", async () => {
    const endless = command({
      description: "List without end.",
      effect: "read",
      run: async (_, desk) =>
        desk.print(
          (async function* () {
            for (let id = 1; ; id++) {
              await Bun.sleep(1);
              yield { id };
            }
          })(),
        ),
    });
    const tree = { list: { summary: "", load: async () => ({ default: endless }) } };
    const { ended, send } = start(["list", "--json"], { tree });
    await Bun.sleep(50);
    send("SIGINT");
    const { code, stdout } = await ended;
    expect(code).toBe(130);
    expect(stdout).toStartWith('[{"id":1},{"id":2}');
    expect(() => JSON.parse(stdout)).toThrow();
  });

  test("fits the terminal, but never shortens an id", async () => {
    const long = [{ id: "i".repeat(30), name: "n".repeat(60), note: "o".repeat(60) }];
    const [, row] = (await printed(long, [], { terminal: true, columns: 60 })).split("\n");
    expect(Bun.stringWidth(row!)).toBeLessThanOrEqual(60);
    expect(row).toContain("i".repeat(30));
    expect(row).toContain("n…");
    expect(await printed(long)).toContain("n".repeat(60));
  });

  test("leaves out what there is no room for, but in a pipe nothing", async () => {
    const shown = async (width: number, terminal = true) => {
      const { stdout } = await at(
        (desk) =>
          desk.print(people, [
            { title: "id", of: ({ id }) => id, spare: true },
            "name",
            { title: "last_seen", of: ({ lastSeen }) => lastSeen, spare: true },
          ]),
        [],
        { terminal, columns: width },
      );
      return stdout.split("\n")[0];
    };
    expect(await shown(40)).toBe("ID   NAME    LAST SEEN");
    expect(await shown(32)).toBe("ID   NAME");
    expect(await shown(10)).toBe("NAME");
    expect(await shown(10, false)).toBe("u_1\tAda\t2026-01-31T12:00:00.000Z");
  });

  test("breaks sentences at spaces, and shortens neither a time nor a number", async () => {
    const { stdout } = await at(
      (desk) =>
        desk.print(
          [{ at: noon, count: 12345678901, what: "somebody has signed in from afar" }],
          ["at", "count", { title: "what", of: ({ what }) => what, whole: true }],
        ),
      [],
      { terminal: true, columns: 48 },
    );
    expect(stdout.split("\n")).toEqual([
      "AT                          COUNT  WHAT",
      "2026-01-31T12:00:00Z  12345678901  somebody has",
      "                                   signed in",
      "                                   from afar",
      "",
    ]);
  });

  test("is shown as one object after the other where no table fits", async () => {
    const rows = ["a", "b"].map((letter) => ({ id: letter.repeat(36), name: `the name of ${letter.repeat(9)}` }));
    const stdout = await printed(rows, [], { terminal: true, columns: 40 });
    expect(stdout.split("\n\n")).toEqual([
      `id    ${"a".repeat(36)}\nname  the name of aaaaaaaaa`,
      `id    ${"b".repeat(36)}\nname  the name of bbbbbbbbb\n`,
    ]);
  });

  test("that is empty is told to whoever asked for it at a terminal", async () => {
    expect(await type("toy list --rows 0", { terminal: true })).toMatchObject({
      stdout: "",
      stderr: "There is none.\n",
    });
    expect(await type("toy list --rows 0")).toMatchObject({ stdout: "", stderr: "" });
    expect(await type("toy list --rows 0 --json", { terminal: true })).toMatchObject({ stdout: "[]\n", stderr: "" });
  });
});

describe("data from strangers", () => {
  const nasty = "a\u001b[31m\u009b2J\u202eb\n\tc";

  test.each(["table", "json", "ndjson", "csv", "id"])("reaches a terminal escaped: %s", async (format) => {
    for (const value of [[{ id: nasty, name: nasty }], { id: nasty, name: nasty }]) {
      const stdout = await printed(value, [`--output=${format}`], { terminal: true });
      // oxlint-disable-next-line no-control-regex -- the controls that must not be there
      expect(stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
    }
  });

  test("keeps a row on its line in a pipe", async () => {
    expect(await printed([{ id: 1, name: nasty }])).toBe("1\ta\\u001b[31m\\u009b2J\\u202eb\\n\\tc\n");
  });

  test("is exact in JSON and in piped CSV", async () => {
    expect(JSON.parse(await printed([{ nasty }], ["--json"]))).toEqual([{ nasty }]);
    expect(await printed([{ nasty }], ["--output=csv"])).toBe(`nasty\n"${nasty}"\n`);
  });

  test("is escaped in messages", async () => {
    expect((await at(async (desk) => desk.say(`hello ${nasty}`))).stderr).not.toContain("\u001b");
  });
});

describe("CSV", () => {
  test("is quoted after RFC 4180", async () => {
    expect(await printed([{ a: 'say "hi"', b: "x,y", c: "two\nlines" }], ["--output=csv"])).toBe(
      'a,b,c\n"say ""hi""","x,y","two\nlines"\n',
    );
  });

  test("holds no formula", async () => {
    const rows = ["=1+1", "+1", "-1", "@x", "\t=1"].map((cell) => ({ cell, number: -1 }));
    expect(await printed(rows, ["--output=csv"])).toBe("cell,number\n'=1+1,-1\n'+1,-1\n'-1,-1\n'@x,-1\n'\t=1,-1\n");
  });
});

describe("one object", () => {
  test("is a line for each member", async () => {
    expect(await printed(people[0], [], { terminal: true })).toContain("last seen  2026-01-31T12:00:00Z\n");
    expect(await printed({ id: 1, createdAt: noon })).toBe("id\t1\ncreatedAt\t2026-01-31T12:00:00.000Z\n");
    const told = { is_on: true, device: { browser: "curl", os: null }, note: "one two three four five" };
    expect(await printed(told, [], { terminal: true, columns: 20 })).toBe(
      "is on   yes\ndevice  browser curl\nnote    one two three four five\n",
    );
  });

  test("is one JSON object, one row of CSV, one id", async () => {
    expect(await printed({ id: 1, on: true }, ["--json"])).toBe('{"id":1,"on":true}\n');
    expect(await printed({ id: 1, on: true }, ["--output=csv"])).toBe("id,on\n1,true\n");
    expect(await printed({ id: 1, on: true }, ["--output=id"])).toBe("1\n");
  });
});

const chatter = async (desk: Desk) => {
  desk.say("said");
  desk.say("said");
  desk.detail("detailed");
  desk.warn("warned");
};

const coloured = async (flags: readonly string[], env: Record<string, string> = {}, terminal = true) =>
  (await at(chatter, flags, { terminal, env })).stderr.includes("\u001b[");

describe("messages", () => {
  test("go to standard error, as many as are wanted", async () => {
    expect(await at(chatter)).toMatchObject({ stdout: "", stderr: "said\nsaid\nwarning: warned\n" });
    expect((await at(chatter, ["-q"])).stderr).toBe("warning: warned\n");
    expect((await at(chatter, ["-v"])).stderr).toBe("said\nsaid\ndetailed\nwarning: warned\n");
  });

  test("have colour only on a terminal that may have it", async () => {
    expect(await coloured([])).toBeTrue();
    expect(await coloured([], {}, false)).toBeFalse();
    expect(await coloured(["--no-color"])).toBeFalse();
    expect(await coloured([], { NO_COLOR: "1" })).toBeFalse();
    expect(await coloured([], { AUTHCTL_NO_COLOR: "1" })).toBeFalse();
  });
});

describe("a confirmation", () => {
  test("is given by --yes", async () => {
    expect(await type("toy delete 1 2 --yes")).toMatchObject({ code: 0, stderr: "deleted\n" });
  });

  test("is asked for on a terminal, after saying what would be done", async () => {
    const { stderr, code } = await type("toy delete 1 2", { terminal: true, input: ["y\n"] });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "This deletes 2 toys. Go on? [y/N] deleted\n" });
    for (const answer of ["n\n", "\n", "yellow\n"]) {
      const refused = await type("toy delete 1 2", { terminal: true, input: [answer] });
      expect(refused.code).toBe(2);
      expect(refused.stderr).toContain("Nothing was done");
    }
    expect((await type("toy delete 1", { terminal: true })).code).toBe(2);
  });

  test("that nobody can give is exit 2, with the command to repeat", async () => {
    for (const outside of [
      {},
      { terminal: true, env: { CI: "true" } },
      { terminal: true, env: { AUTHCTL_NO_INPUT: "1" } },
    ]) {
      const { code, stderr, stdout } = await type(
        ["toy", "delete", "it's", "--reason", "two words", "--", "-x"],
        outside,
      );
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain(
        "This deletes 2 toys. To do it: authctl toy delete 'it'\\''s' --reason 'two words' --yes -- -x",
      );
    }
  });
});

describe("a secret", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "desk-"));
    await writeFile(join(folder, "own"), "from file\r\n", { mode: 0o600 });
    await writeFile(join(folder, "open"), "from file\n\n");
    await chmod(join(folder, "open"), 0o644);
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("comes from standard input, without its last line end", async () => {
    expect((await type("toy lock --password-stdin", { input: ["four", "\n"] })).stderr).toBe("4 characters\n");
    expect((await type("toy lock --password-stdin", { input: ["\n"] })).code).toBe(2);
  });

  test("comes from a file, with a warning where others can read it", async () => {
    expect((await type("toy lock --password-file own", { cwd: folder })).stderr).toBe("9 characters\n");
    const { stderr } = await type("toy lock --password-file open", { cwd: folder });
    expect(stderr).toContain("warning:");
    expect(stderr).toContain("10 characters");
    expect((await type("toy lock --password-file missing", { cwd: folder })).stderr).toContain("failed with ENOENT");
  });

  test("that is generated is printed once, after the deed", async () => {
    expect((await type("toy lock --generate")).stdout).toMatch(/^[\w-]{32}\n$/);
    expect(JSON.parse((await type("toy lock --generate --json")).stdout)).toEqual({ password: expect.any(String) });
    const { stdout } = await type("toy lock --generate --show --json");
    expect(JSON.parse(stdout)).toEqual({ id: 1, length: 32, password: expect.stringMatching(/^[\w-]{32}$/) });
    expect((await type("toy lock --generate --show")).stdout).toMatch(/^id\t1\nlength\t32\npassword\t[\w-]{32}\n$/);
  });

  test("that is generated is not printed when the deed fails", async () => {
    const { stdout, code } = await at(async (desk) => {
      await desk.secret("Password", { generate: true, passwordStdin: false, passwordFile: undefined });
      throw new Error("too late");
    });
    expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
  });

  test("is typed twice, unseen, on a terminal", async () => {
    const { stderr, raw } = await type("toy lock", { terminal: true, input: ["sech\x7fret\x1b[A\r", "secret\r"] });
    expect(stderr).toBe("Password: \nThe same again: \n6 characters\n");
    expect(raw).toEqual([true, false, true, false]);
    expect((await type("toy lock", { terminal: true, input: ["one\rtwo\r"] })).stderr).toContain("differ");
    expect((await type("toy lock", { terminal: true, input: ["on\x15\r"] })).stderr).toContain("empty");
  });

  test("can be refused with Ctrl-C", async () => {
    const { code, raw, stderr } = await type("toy lock", { terminal: true, input: ["ab\x03"] });
    expect({ code, raw, stderr }).toEqual({ code: 130, raw: [true, false], stderr: "Password: \n" });
  });

  test("needs exactly one source", async () => {
    expect((await type("toy lock")).stderr).toContain("--password-stdin, --password-file FILE or --generate");
    expect((await type("toy lock --generate --password-stdin")).stderr).toContain("only one");
  });
});

const work = (clock: { now: number }) => async (desk: Desk) => {
  const progress = desk.progress(1000, "purging");
  for (let batch = 0; batch < 4; batch++) {
    clock.now += 1000;
    progress.advance(100);
  }
  desk.say("nearly");
  progress.end();
};

const watched = (outside: Outside, flags: readonly string[] = []) => {
  const clock = { now: 0 };
  return at(work(clock), flags, { ...outside, now: () => new Date(clock.now) });
};

describe("progress", () => {
  test("shows after two seconds on a terminal, and gives way to messages", async () => {
    const { stderr } = await watched({ terminal: true, columns: 120 });
    const [before, first] = stderr.split("\r\u001b[K");
    expect(before).toBe("");
    expect(first).toBe(`purging  ${"█".repeat(5)}${"░".repeat(19)}  200 of 1,000  100/s  8s left`);
    expect(stderr).toEndWith("\r\u001b[Knearly\n");
  });

  test("shows nothing in a pipe, or with --quiet", async () => {
    expect((await watched({})).stderr).toBe("nearly\n");
    expect((await watched({ terminal: true }, ["-q"])).stderr).toBe("");
  });
});

test("the desk knows the circumstances", async () => {
  await at(
    async (desk) => {
      expect(desk).toMatchObject({
        dryRun: true,
        reason: "audit",
        json: true,
        timeout: 5000,
        quiet: false,
        verbose: true,
      });
      expect(desk.place).toEqual({ env: { A: "b" }, cwd: "/", envFile: "x.env" });
      expect(desk.interrupted.aborted).toBeFalse();
    },
    ["-n", "-v", "--json", "--reason=audit", "--timeout=5s", "--env-file", "x.env"],
    { env: { A: "b" } },
  ).then(({ code, stderr }) => expect({ code, stderr }).toEqual({ code: 0, stderr: "" }));
});
