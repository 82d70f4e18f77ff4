/** What is not wanted at the start is not loaded then: a test of the packages, as times depend on the machine. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

setDefaultTimeout(60_000);

const root = join(import.meta.dir, "..");

/** The packages, and the rooms of ours, that a process has loaded after it did `work`. */
async function loadedBy(work: string): Promise<ReadonlySet<string>> {
  const script = `${work}
    const files = Object.keys(require.cache).map((file) => file.replaceAll("\\\\", "/"));
    const names = files.map((file) => /.*node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(file)?.[1] ?? file.slice(${root.length + 1}));
    process.stdout.write(JSON.stringify([...new Set(names)]));
    process.exit(0);`;
  const child = Bun.spawn([process.execPath, "--no-env-file", "-e", script], {
    cwd: root,
    env: { PATH: process.env["PATH"] ?? "" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect(stderr).toBe("");
  return new Set(JSON.parse(stdout));
}

const quiet = `{ env: {}, cwd: "/", user: "", host: "", now: () => new Date(), randomBytes: () => new Uint8Array(),
  onSignal: () => () => {}, quit() {}, stdin: { isTTY: false, read: async () => undefined, raw() {} },
  stdout: { isTTY: false, columns: 80, write: async () => {} }, stderr: { isTTY: false, columns: 80, write: async () => {} } }`;

const run = (line: string) => `await (await import("./cli/run.ts")).run(${JSON.stringify(line.split(" "))}, ${quiet});`;

test.each(["--help", "help", "--version", "nonsense"])("`authctl %s` loads no command and no package", async (line) => {
  const loaded = [...(await loadedBy(run(line)))];
  expect(loaded).toContain("cli/run.ts");
  const allowed =
    /^(cli\/|src\/(config\/|core\/(errors|instants|completing|doctor\/storage)\.ts|core\/errors\/)|package\.json)/;
  const packages = line === "help" ? ["citty", "consola"] : [];
  expect(loaded.filter((name) => !allowed.test(name) && !packages.includes(name))).toEqual([]);
});

test("help of a command loads nothing that only its work wants", async () => {
  const loaded = await loadedBy(run("user list --help"));
  const heavy = ["elysia", "pg", "bun-sqlite", "ioredis", "ajv", "nodemailer", "liquidjs", "csv-parse"];
  expect(heavy.filter((name) => loaded.has(name))).toEqual([]);
});

test("a server on SQLite has loaded no package when it listens but those that every request wants", async () => {
  const data = mkdtempSync(join(tmpdir(), "authctl-starting-"));
  const place = { cwd: data, env: { DATA_DIR: data, PORT: "0", LOG_LEVEL: "error" } };
  const loaded = await loadedBy(`await import("./cli/serve.ts");
    await (await import("./src/server.ts")).startServer(${JSON.stringify(place)});`);
  rmSync(data, { recursive: true });
  const packages = [...loaded].filter((name) => !/^(src|cli)\/|^package\.json$/.test(name));
  expect(packages.toSorted()).toEqual([
    "@sinclair/typebox",
    "bowser",
    "citty",
    "cookie",
    "drizzle-orm",
    "elysia",
    "exact-mirror",
    "fast-decode-uri-component",
    "jose",
    "memoirist",
    "rate-limiter-flexible",
    // Where its two files are, and nothing of what is in them.
    "swagger-ui-dist",
  ]);
});

test("of a package with an index of a dozen databases, a start loads the limiters that it counts by", async () => {
  const index = "./node_modules/rate-limiter-flexible/index.js";
  const loaded = await loadedBy(`await import("./src/adapters/limiters.ts");
    if (require.resolve(${JSON.stringify(index)}) in require.cache) throw new Error("the index is loaded");`);
  expect(loaded).toContain("rate-limiter-flexible");
});
