import { describe, expect, test } from "bun:test";
import { noon, start, toys, type } from "./toy.ts";

const echoed = async (line: string | readonly string[], env: Record<string, string> = {}) => {
  const words = typeof line === "string" ? line.split(" ") : line;
  const { stdout, stderr, code } = await type(
    ["--output=ndjson", "toy", "echo", ...words.filter((word) => word !== "")],
    { env },
  );
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return JSON.parse(stdout);
};

const refused = async (line: string | readonly string[], sentence: string, env: Record<string, string> = {}) => {
  const { stdout, stderr, code } = await type(line, { env });
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(sentence);
  return stderr;
};

describe("values", () => {
  test("arrive parsed, with defaults", async () => {
    expect(await echoed("--size 7 --older-than 2h --since -7d --mode fast --name=x ada bob")).toEqual({
      size: 7,
      olderThan: 7_200_000,
      since: "2026-01-24T12:00:00.000Z",
      kind: [],
      mode: "fast",
      name: "x",
      colours: true,
      force: false,
      who: ["ada", "bob"],
      dryRun: false,
    });
    expect(await echoed("")).toMatchObject({ size: 10, olderThan: 60_000, who: [] });
  });

  test("of a flag that takes many come from commas and from repetition", async () => {
    expect((await echoed("--kind access,refresh")).kind).toEqual(["access", "refresh"]);
    expect((await echoed("--kind access --kind refresh")).kind).toEqual(["access", "refresh"]);
  });

  test("of times are RFC 3339 or relative", async () => {
    expect((await echoed("--since 2026-01-31T10:00:00+02:00")).since).toBe("2026-01-31T08:00:00.000Z");
    expect((await echoed("--since +1h")).since).toBe(new Date(noon.getTime() + 3_600_000).toISOString());
  });

  test.each([
    ["--size 0", "--size takes a whole number from 1 to 100"],
    ["--size 1e1", "--size takes a whole number"],
    ["--size=", "--size takes a whole number"],
    ["--older-than 5", "--older-than takes a length of time"],
    ["--older-than=", "--older-than takes a length of time"],
    ["--older-than 5m5", "--older-than takes a length of time"],
    ["--since 2026-02-30T00:00:00Z", "--since takes a time"],
    ["--since yesterday", "--since takes a time"],
    ["--mode fats", "--mode takes fast or slow. Did you mean fast?"],
    ["--kind access,nonsense", "--kind takes access or refresh"],
  ])("that do not fit are refused: %s", async (line, sentence) => {
    await refused(`toy echo ${line}`, sentence);
  });

  test("that do not fit are told all at once, and never repeated", async () => {
    const told = await refused("toy echo --size hunter2 --mode hunter2", "--size");
    expect(told).toContain("--mode");
    expect(told).not.toContain("hunter2");
  });

  test("that are required are asked for", async () => {
    const told = await refused("toy get", "ONE is required");
    expect(told).toContain("--email is required");
    expect(await refused(["toy", "get", "", "--email=x"], "ONE is empty")).toBeString();
  });
});

describe("flags", () => {
  test("that nobody declared are refused with a suggestion", async () => {
    await refused("toy echo --dryrun", "There is no flag --dryrun for `authctl toy echo`. Did you mean --dry-run?");
    await refused("toy echo --older_than 5d", "Did you mean --older-than?");
    await refused("toy echo --__proto__", "There is no flag --__proto__");
    await refused("toy echo -x", "There is no flag -x");
  });

  test("of a command stand after its name", () =>
    refused("--size 3 toy echo", "There is no flag --size before the command"));

  test("do not swallow the flag behind them", async () => {
    await refused(
      "toy echo --name --dry-run",
      "--name needs a value; one that begins with a dash is written --name=….",
    );
    await refused("toy echo --name -n", "--name needs a value");
    await refused("toy echo --name --", "--name needs a value");
    await refused("toy echo --name", "--name needs a value: --name=TEXT");
    expect((await echoed("--name=--dry-run")).name).toBe("--dry-run");
    expect((await echoed("--name=--no-colours")).name).toBe("--no-colours");
  });

  test("with a single value stand once", async () => {
    await refused("toy echo --size 1 --size 2", "--size stands there twice");
    await refused("toy echo --colours --no-colours", "--colours stands there twice");
    await refused("--json toy --json list", "--json stands there twice");
  });

  test("take --no- only where they say so", async () => {
    expect((await echoed("--no-colours")).colours).toBe(false);
    await refused("toy echo --no-force", "--force cannot be turned off");
    await refused("toy echo --no-size", "--size cannot be turned off");
    await refused("toy echo --force=false", "--force takes no value");
  });

  test("in one letter are never bundled", async () => {
    expect((await echoed("-f")).force).toBe(true);
    await refused("toy echo -fn", "Short flags stand apart: -f -n.");
    expect(await refused("toy echo -phunter2", "There is no flag -p ")).not.toContain("hunter2");
  });

  test("end at --", async () => {
    expect((await echoed("-- --size -n --")).who).toEqual(["--size", "-n", "--"]);
  });
});

describe("global flags", () => {
  test("stand anywhere", async () => {
    const expected = (await type("toy list --json")).stdout;
    expect(JSON.parse(expected)).toHaveLength(2);
    expect((await type("--json toy list")).stdout).toBe(expected);
    expect((await type("toy --json list")).stdout).toBe(expected);
  });

  test("have a twin in the environment, which a typed flag overrules", async () => {
    expect(await echoed("", { AUTHCTL_REASON: "audit", AUTHCTL_DRY_RUN: "1" })).toMatchObject({
      reason: "audit",
      dryRun: true,
    });
    expect(await echoed("--reason typed", { AUTHCTL_REASON: "audit" })).toMatchObject({ reason: "typed" });
    expect((await type("toy list", { env: { AUTHCTL_OUTPUT: "id" } })).stdout).toBe("1\n2\n");
    expect((await type("toy list --output id", { env: { AUTHCTL_JSON: "1" } })).stdout).toBe("1\n2\n");
    await refused("toy list", "AUTHCTL_TIMEOUT takes a length of time", { AUTHCTL_TIMEOUT: "soon" });
    await refused("toy list", "AUTHCTL_QUIET takes on or off", { AUTHCTL_QUIET: "perhaps" });
  });

  test("that contradict each other are refused", async () => {
    await refused("toy list --json --output csv", "--json and --output exclude each other");
    await refused("toy list -q -v", "--quiet and --verbose exclude each other");
  });

  test("--dry-run is refused where there is no rehearsal", async () => {
    expect((await echoed("--dry-run")).dryRun).toBe(true);
    await refused("toy delete 1 --dry-run --yes", "`authctl toy delete` has no --dry-run. Nothing was done.");
    await refused("toy list --dry-run", "has no --dry-run");
    await refused("toy delete 1 --yes", "has no --dry-run", { AUTHCTL_DRY_RUN: "true" });
    expect((await type("toy list", { env: { AUTHCTL_DRY_RUN: "true" } })).code).toBe(0);
  });
});

describe("words", () => {
  test("too many are refused and not repeated", async () => {
    const told = await refused("toy get a hunter2 --email x", "takes only ONE, and 2 were given.");
    expect(told).not.toContain("hunter2");
    await refused("toy list dry-run", "takes no arguments, and 1 was given. Did you mean --dry-run?");
  });

  test("that name no command are refused with a suggestion", async () => {
    await refused("tyo list", "There is no command `authctl tyo`. Did you mean authctl toy?");
    await refused("toy lsit", "Did you mean authctl toy list?");
    await refused("constructor", "There is no command `authctl constructor`.");
    await refused("toy __proto__", "There is no command `authctl toy __proto__`.");
  });

  test("ls, rm and show stand for the verbs that exist", async () => {
    expect((await type("toy ls")).code).toBe(0);
    expect((await type("toy rm 1 --yes")).stderr).toBe("deleted\n");
    expect((await type("toy show a --email b")).stdout).toBe("one\ta\nemail\tb\n");
    await refused("ls", "There is no command `authctl ls`");
  });

  test("come from standard input for -", async () => {
    const { stdout } = await type("toy echo ada - --output ndjson", { input: ["bob\nca", "rol\r\n\n", "dan"] });
    expect(JSON.parse(stdout).who).toEqual(["ada", "bob", "carol", "dan"]);
  });

  test("a group runs nothing itself", async () => {
    for (const line of ["", "toy", "toy part"]) {
      const { code, stdout, stderr } = await type(line);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain("Usage:");
    }
    expect((await type("toy part add")).code).toBe(0);
  });
});

describe("secrets", () => {
  test.each([
    "toy lock --password hunter2",
    "toy lock --password=hunter2",
    "toy lock --PASSWORD=hunter2",
    "toy lock --new_password hunter2",
    "toy lock --secret-key=hunter2",
    "--token hunter2 toy lock",
    "toy lock --json --client-secret=hunter2",
  ])("on the command line are refused and not repeated: %s", async (line) => {
    expect(await refused(line, "Secrets are never taken from the command line")).not.toContain("hunter2");
  });

  test("behind an unknown flag, or a flag that takes no value, are not repeated", async () => {
    expect(await refused("toy lock --pasword=hunter2", "There is no flag --pasword")).not.toContain("hunter2");
    expect(await refused("toy lock --password-stdin=hunter2", "takes no value")).not.toContain("hunter2");
  });
});

describe("help", () => {
  test("of everything loads nothing", async () => {
    const { code, stdout, stderr } = await type("--help");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("must not be loaded for help");
    expect((await type("help")).stdout).toBe(stdout);
  });

  test("of a noun and of a command goes to standard output", async () => {
    expect((await type("toy --help")).stdout).toContain("authctl toy <verb>");
    const { stdout, code } = await type("toy echo -h");
    expect(code).toBe(0);
    expect(stdout).toContain("authctl toy echo [WHO…] [flags]");
    expect(stdout).toContain("--older-than DURATION");
    expect(stdout).toContain("age (default 1m)");
    expect(stdout).toContain("--[no-]colours");
    expect((await type("help toy echo")).stdout).toBe(stdout);
    expect((await type("toy get --help")).code).toBe(0);
  });

  test("of what is not there is refused", () => refused("help toy ecko", "Did you mean authctl toy echo?"));

  test("as JSON describes every argument, effect and exit code", async () => {
    const { heavy: _, ...tree } = toys;
    const { stdout } = await type("help --json", { tree });
    const { commands, globalFlags } = JSON.parse(stdout);
    const echo = commands.find((each: { command: string }) => each.command === "authctl toy echo");
    expect(echo).toMatchObject({
      effect: "write",
      dryRun: true,
      exits: { 4: "it echoes already", 130: expect.any(String) },
    });
    expect(echo.flags).toContainEqual(
      expect.objectContaining({ name: "--older-than", type: "duration", default: "1m" }),
    );
    expect(echo.arguments).toEqual([expect.objectContaining({ name: "WHO", many: true })]);
    expect(globalFlags).toContainEqual(
      expect.objectContaining({ name: "--env-file", environment: "AUTHCTL_ENV_FILE" }),
    );
    expect(JSON.parse((await type("help toy echo --json")).stdout).commands).toEqual([echo]);
  });

  test("--version prints it", async () => {
    expect((await type("--version")).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("failures", () => {
  test("say what went wrong, and exit by its kind", async () => {
    const { code, stderr } = await type("toy fall --how missing");
    expect({ code, stderr }).toEqual({ code: 3, stderr: "error: There is no such thing. No \\u001b[31mtoy.\n" });
  });

  test("are one line of problem JSON with --json, also while parsing", async () => {
    const { code, stderr } = await type("toy echo --size x --json");
    expect(code).toBe(2);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(JSON.parse(stderr)).toMatchObject({
      code: "usage",
      errors: [{ path: "--size", message: expect.any(String) }],
    });
    expect(JSON.parse((await type("toy nonsense --json")).stderr).code).toBe("usage");
    expect(JSON.parse((await type("toy --nonsense", { env: { AUTHCTL_JSON: "1" } })).stderr).code).toBe("usage");
    expect(JSON.parse((await type("toy --json")).stderr).code).toBe("usage");
  });

  test("that nobody meant keep their words to themselves unless --verbose asks", async () => {
    const quiet = await type("toy fall --how defect");
    expect(quiet.code).toBe(1);
    expect(quiet.stderr).toContain("Something broke");
    expect(quiet.stderr).not.toContain("wheel");
    expect((await type("toy fall --how defect -v")).stderr).toMatch(/TypeError: a wheel came off\n.*at /);
    expect((await type("heavy")).code).toBe(1);
  });

  test("never show the parameters of a query", async () => {
    const { stderr } = await type("toy fall --how sql --verbose");
    expect(stderr).toContain("caused by Error");
    expect(stderr).not.toContain("hunter2");
    expect((await type("toy fall --how sql --verbose --json")).stderr).not.toContain("hunter2");
  });

  test("a command may have an exit code as its answer", async () => {
    expect((await type("solo")).code).toBe(5);
  });

  test("--timeout ends a command that goes on", async () => {
    const { code, stderr } = await type("toy wait --timeout 20ms");
    expect(code).toBe(69);
    expect(stderr).toContain("batch finished\nerror: ");
    expect(stderr).toContain("`authctl toy wait` did not end within 20ms (--timeout)");
  });

  test("--timeout lets a command say what is left, and exits with 6", async () => {
    const { code, stderr } = await type("toy wait --left --timeout 20ms");
    expect(code).toBe(6);
    expect(stderr).toEndWith("error: Only a part was done. Two toys are left.\n");
  });

  test("a reader that leaves is none", async () => {
    const { code, stdout, stderr } = await type("toy list --rows 1000", { leavesAfter: 1 });
    expect({ code, stderr }).toEqual({ code: 141, stderr: "" });
    expect(stdout).toBe("1\tname 1\t2026-01-31T12:00:00.000Z\n");
  });
});

describe("signals", () => {
  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s lets the batch finish and exits with %i", async (signal, code) => {
    const { ended, send } = start(["toy", "wait"]);
    await Bun.sleep(20);
    send(signal);
    expect(await ended).toMatchObject({ code, stderr: "batch finished\n", quit: undefined });
  });

  test("a second one does not wait", async () => {
    const { ended, send, out } = start(["toy", "wait"]);
    await Bun.sleep(20);
    send("SIGINT");
    send("SIGTERM");
    expect(out.quit).toBe(130);
    await ended;
  });
});
