/** `bun run up`, in a copy of this repository: never an executable of other sources, and a server whatever happens. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { knownExecutable } from "../bin/executable.ts";
import { until } from "./support/until.ts";

// Executables are built.
setDefaultTimeout(120_000);

const root = join(import.meta.dir, "..");
const copy = mkdtempSync(join(tmpdir(), "authctl-up-"));
const shelf = join(copy, "dist/up");
const building = "building the server, once for these sources …\n";

beforeAll(() => {
  for (const name of ["bin", "bun.lock", "bunfig.toml", "cli", "drizzle", "package.json", "src"]) {
    cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
});
afterAll(() => rmSync(copy, { recursive: true }));

function start(...words: readonly string[]) {
  // As the script of the package does it, without the two processes around it that would outlive a kill.
  const [, ...script] = JSON.parse(readFileSync(join(copy, "package.json"), "utf8"))
    .scripts.up.split(" ")
    .slice(1);
  return Bun.spawn([process.execPath, ...script, ...words], {
    cwd: copy,
    env: { PATH: process.env["PATH"]!, DATA_DIR: join(copy, "data") },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function up(...words: readonly string[]) {
  const child = start(...words);
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, stdout, stderr };
}

function release(version: string): void {
  const file = join(copy, "package.json");
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), version }));
}

test("two first starts at once build what both of them run", async () => {
  release("1.0.0");
  const started = { code: 0, stdout: "1.0.0\n", stderr: building };
  expect(await Promise.all([up("--version"), up("--version")])).toEqual([started, started]);
  expect(readdirSync(shelf)).toEqual([expect.stringMatching(/^authctl-[0-9a-f]{32}$/)]);
});

test("the next start is that executable, and serves", async () => {
  expect(await up("--version")).toEqual({ code: 0, stdout: "1.0.0\n", stderr: "" });
  const server = start("--port", "0");
  let said = "";
  for await (const chunk of server.stderr.pipeThrough(new TextDecoderStream())) {
    said += chunk;
    if (said.includes("/docs")) break;
  }
  const [, url] = /serves (http:\S+);/.exec(said)!;
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  server.kill("SIGTERM");
  expect(await server.exited).toBe(0);
});

test("a build that is killed half-way leaves nothing that is run, and what is of other sources goes", async () => {
  const old = readdirSync(shelf);
  release("2.0.0");
  const killed = start("--version");
  await until("it builds", () => readdirSync(shelf).some((name) => name.startsWith(".making-")));
  killed.kill("SIGKILL");
  await killed.exited;
  expect(await up("--version")).toEqual({ code: 0, stdout: "2.0.0\n", stderr: building });
  const kept = readdirSync(shelf).filter((name) => !name.startsWith(".making-"));
  expect([kept.length, old.includes(kept[0]!)]).toEqual([1, false]);
});

test.each(["src/core/errors.ts", "cli/io.ts", "bun.lock"])("a change of %s alone is another executable", (name) => {
  const file = join(copy, name);
  const before = readFileSync(file, "utf8");
  expect(knownExecutable(copy)).toBeString();
  writeFileSync(file, `${before}\n`);
  expect(knownExecutable(copy)).toBeUndefined();
  writeFileSync(file, before);
  expect(knownExecutable(copy)).toBeString();
});

test.each(["src/added.ts", "drizzle/sqlite/added.sql"])("so is %s", (name) => {
  writeFileSync(join(copy, name), "");
  expect(knownExecutable(copy)).toBeUndefined();
  rmSync(join(copy, name));
  expect(knownExecutable(copy)).toBeString();
});

test("where nothing can be written, the server starts from its sources", async () => {
  rmSync(join(copy, "dist"), { recursive: true });
  writeFileSync(join(copy, "dist"), "");
  const { code, stdout, stderr } = await up("--version");
  expect([code, stdout]).toEqual([0, "2.0.0\n"]);
  expect(stderr).toStartWith(`${building}It cannot be built, and starts from its sources: `);
});
