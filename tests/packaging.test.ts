/** What is shipped: the container, the unit of systemd, the package. No engine is at hand, so they are held against what they name. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { build } from "../bin/executable.ts";
import { commands } from "../cli/run.ts";
import { parseLine } from "../cli/words.ts";
import { version } from "../package.json";

// Packages are installed.
setDefaultTimeout(60_000);

const root = join(import.meta.dir, "..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");
const scripts: Readonly<Record<string, string>> = JSON.parse(read("package.json")).scripts;

/** Every `authctl …` of a text is a line that is understood. */
async function expectUnderstood(lines: readonly string[]): Promise<void> {
  expect(lines).not.toBeEmpty();
  for (const line of lines) expect((await parseLine(line.split(" "), commands)).node?.kind).toBe("command");
}

describe("the single executable", () => {
  test("is built without what breaks it, or lets the directory that it runs in decide what it does", () => {
    // Names that are shortened are names that Elysia looks for.
    for (const flag of ["--minify", "--minify-identifiers"]) expect(build).not.toContain(flag);
    for (const flag of ["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"]) expect(build).toContain(flag);
    expect(build).not.toContain("--compile-autoload-tsconfig");
  });
});

describe("Dockerfile", () => {
  const steps = read("Dockerfile")
    .replaceAll("\\\n", " ")
    .split("\n")
    .filter((line) => /^[A-Z]/.test(line))
    .map((line) => ({ verb: line.split(" ")[0]!, words: line.split(/\s+/).slice(1) }));
  const of = (verb: string) => steps.filter((step) => step.verb === verb).map(({ words }) => words);

  test("copies only what there is, and what the build needs", () => {
    const copied = of("COPY").filter(([first]) => !first!.startsWith("--from"));
    const sources = copied.flatMap((words) => words.slice(0, -1));
    for (const source of sources) expect(existsSync(join(root, source))).toBeTrue();
    expect(sources).toEqual(expect.arrayContaining(["src", "cli", "drizzle", "package.json", "bun.lock"]));
    expect(of("COPY").find(([first]) => first!.startsWith("--from"))?.[1]).toBe("/app/dist/authctl");
    const ignored = read(".dockerignore").split("\n");
    expect(ignored.filter((one) => sources.includes(one))).toEqual([]);
    expect(ignored).toEqual(expect.arrayContaining([".git", ".env", ".env.*", "data", "dist", "node_modules"]));
  });

  test("builds with the Bun that the package asks for, and names every image with its version", () => {
    const images = of("FROM").map(([image]) => image!);
    expect(images[0]).toBe(`oven/bun:${JSON.parse(read("package.json")).packageManager.split("@")[1]}-slim`);
    for (const image of images) expect(image).toMatch(/^[a-z]+(\/[a-z]+)?:\d/);
    for (const [, , script] of of("RUN").filter(([, verb]) => verb === "run")) expect(scripts).toHaveProperty(script!);
  });

  test("runs as nobody's administrator, is asked for its health, and gives commands that there are", async () => {
    expect(of("USER").at(-1)).toEqual(["1000:1000"]);
    const [health = []] = of("HEALTHCHECK");
    const asked: string[] = JSON.parse(health.slice(health.indexOf("CMD") + 1).join(" "));
    const [, , script = ""]: string[] = JSON.parse(of("CMD")[0]!.join(" "));
    const started = [...script.matchAll(/authctl ([a-z -]+[a-z])/g)].map(([, line = ""]) => line);
    await expectUnderstood([asked.slice(1).join(" "), ...started]);
  });
});

describe("deploy/authctl.service", () => {
  const unit = read("deploy/authctl.service");
  const value = (name: string): string[] => [...unit.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].map(([, it]) => it!);

  test("starts the one file with commands that there are, as a user who may do nothing else", async () => {
    const started = [...value("ExecStartPre"), ...value("ExecStart")];
    for (const line of started) expect(line).toStartWith("/usr/local/bin/authctl ");
    await expectUnderstood(started.map((line) => line.slice("/usr/local/bin/authctl ".length)));
    expect(value("User")).toEqual(["authctl"]);
    expect(value("ProtectSystem")).toEqual(["strict"]);
    expect(value("CapabilityBoundingSet")).toEqual([""]);
    // Code is compiled while it runs, which this would forbid.
    expect(value("MemoryDenyWriteExecute")).toEqual([]);
  });

  test("gives a server the time that it gives itself to stop", () => {
    const [, seconds = 0] = /\| `SHUTDOWN_TIMEOUT` \| `(\d+)s` \|/.exec(read("docs/settings.md")) ?? [];
    expect(Number(value("TimeoutStopSec")[0])).toBeGreaterThan(Number(seconds));
  });
});

describe("the package", () => {
  const directory = mkdtempSync(join(tmpdir(), "authctl-package-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const { dependencies, packageManager } = JSON.parse(read("package.json")) as {
    dependencies: Readonly<Record<string, string>>;
    packageManager: string;
  };
  const launcher = join(directory, "node_modules/.bin/authctl");

  async function run(words: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const child = Bun.spawn([...words], { cwd: directory, env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { code, stdout, stderr };
  }

  /** As a package manager lays it out, with nothing to import but what `dependencies` names. */
  async function install(): Promise<void> {
    const packed = Bun.spawnSync([process.execPath, "pm", "pack", "--destination", directory, "--quiet"], {
      cwd: root,
    });
    expect(packed.exitCode).toBe(0);
    const modules = join(directory, "node_modules");
    mkdirSync(join(modules, ".bin"), { recursive: true });
    const unpacked = await run(["tar", "-xzf", join(directory, `authctl-${version}.tgz`)], {
      PATH: process.env["PATH"]!,
    });
    expect(unpacked.code).toBe(0);
    renameSync(join(directory, "package"), join(modules, "authctl"));
    symlinkSync("../authctl/bin/authctl", launcher);
    for (const name of Object.keys(dependencies)) {
      mkdirSync(join(modules, name, ".."), { recursive: true });
      symlinkSync(join(root, "node_modules", name), join(modules, name));
    }
  }

  test("installed in an empty directory, it makes a database, and holds nothing that only developers want", async () => {
    await install();
    const env = { PATH: `${dirname(process.execPath)}:${process.env["PATH"]!}` };
    expect(await run([launcher, "version", "--output", "csv"], env)).toMatchObject({ code: 0, stderr: "" });
    expect(await run([launcher, "init", "--quiet"], env)).toEqual({ code: 0, stdout: "", stderr: "" });
    const status = await run([launcher, "migrate", "status", "--json"], env);
    expect(status).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(status.stdout)).not.toBeEmpty();
    const preview = await run([launcher, "mail", "preview", "new-device"], env);
    expect(preview).toMatchObject({ code: 0, stderr: "" });
    expect(readdirSync(join(directory, "node_modules/authctl"))).not.toContain("tests");
    expect(existsSync(join(directory, "node_modules/authctl/docs/authctl.1"))).toBeTrue();
  });

  test("says in a sentence what it needs where there is no Bun", async () => {
    const tools = join(directory, "tools");
    mkdirSync(tools);
    for (const tool of ["sh", "readlink"]) symlinkSync(Bun.which(tool)!, join(tools, tool));
    const ran = await run([join(tools, "sh"), join(root, "bin/authctl"), "version"], { PATH: tools });
    expect(ran).toMatchObject({ code: 69, stdout: "" });
    expect(ran.stderr).toStartWith("error: authctl runs on Bun, and there is none on the path.\n");
    expect(ran.stderr).toContain(packageManager);
  });
});
