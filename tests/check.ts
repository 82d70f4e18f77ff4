/**
 * The one command behind `bun run check`: types, lint, format, dead code, and every test on each database, each
 * step to its end, so that one run tells all that is wrong. Ends in the line `N passed, N failed`.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { curlProgram, Missing, redisProgram, startPostgres } from "./support/services.ts";

const root = join(import.meta.dir, "..");
const scratch = mkdtempSync(join(tmpdir(), "authctl-check-"));
const bin = (name: string, ...rest: string[]): string[] => [
  process.execPath,
  "--no-env-file",
  join(root, "node_modules/.bin", name),
  ...rest,
];

const total = { passed: 0, failed: 0 };
const troubles: string[] = [];

function count(title: string, passed: number, failed: number): void {
  total.passed += passed;
  total.failed += failed;
  if (failed > 0) troubles.push(title);
}

let running: Bun.Subprocess | undefined;

/** Runs a command, with a sign of life four times a minute. Answers whether it went well. */
async function run(title: string, command: readonly string[], env = {}): Promise<boolean> {
  console.log(`\n== ${title}`);
  const started = Date.now();
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`;
  const alive = setInterval(() => console.log(`   … ${seconds()}`), 15_000);
  running = Bun.spawn([...command], {
    cwd: root,
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  const good = (await running.exited) === 0;
  clearInterval(alive);
  console.log(`== ${title}: ${good ? "ok" : "FAILED"} (${seconds()})`);
  return good;
}

async function runTests(title: string, folders: readonly string[], env: Record<string, string>): Promise<void> {
  const report = join(scratch, `${title}.xml`);
  const workers = Math.min(4, availableParallelism());
  // Slow machines are no reason to fail: what hangs, hangs longer than this.
  const options = ["--timeout=30000", `--parallel=${workers}`, "--only-failures"];
  const reporter = ["--reporter=junit", `--reporter-outfile=${report}`];
  const green = await run(title, [process.execPath, "test", ...options, ...reporter, ...folders], env);
  const { passed, failed } = countsOf(report);
  // A runner that broke off without a failing test has failed all the same; and a run of no test is none.
  count(title, passed, Math.max(failed, green && passed > 0 ? 0 : 1));
}

/** Counts of a JUnit report: what the test runner did is read from its own record, not from its exit code alone. */
function countsOf(report: string): { passed: number; failed: number } {
  const text = existsSync(report) ? readFileSync(report, "utf8") : "";
  const of = (name: string): number => Number(new RegExp(`<testsuites[^>]*\\b${name}="(\\d+)"`).exec(text)?.[1] ?? 0);
  const failed = of("failures") + of("errors");
  return { passed: of("tests") - failed - of("skipped"), failed };
}

/** Where a missing service is a failure: on machines that have been set up for this. */
const required = [process.env["REQUIRE_SERVICES"], process.env["CI"]].some((value) => /^(1|true)$/.test(value ?? ""));

/** Answers `undefined` where there is no such service to be had, after saying so. */
async function ready<S extends { readonly origin: string }>(
  name: string,
  start: () => Promise<S>,
): Promise<S | undefined> {
  try {
    const service = await start();
    console.log(`== ${name}: ${service.origin}`);
    return service;
  } catch (error) {
    const missing = error instanceof Missing;
    const consequence = missing && !required ? "NOT TESTED" : "FAILED";
    console.error(`!! ${name}: ${consequence}. ${missing ? `To have it tested, ${error.message}.` : String(error)}`);
    if (consequence === "FAILED") count(name, 0, 1);
    return undefined;
  }
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    running?.kill();
    rmSync(scratch, { recursive: true, force: true });
    // The services end by themselves when this process does.
    process.exit(signal === "SIGINT" ? 130 : 143);
  });
}

const postgres = await ready("Postgres", startPostgres);
// Each of its tests starts one of its own.
const redis = await ready("Redis", async () => ({ origin: await redisProgram() }));
const services = {
  ...(postgres && { TEST_POSTGRES_URL: postgres.url }),
  ...(redis && { TEST_REDIS_PROGRAM: redis.origin }),
};
const curl = await ready("curl", async () => ({ origin: await curlProgram() }));
const without = [
  ...(redis ? [] : ["--path-ignore-patterns=tests/**/redis*.test.ts"]),
  ...(curl ? [] : ["--path-ignore-patterns=tests/journeys/seeds*.test.ts"]),
];

const steps = {
  types: bin("tsc", "--noEmit"),
  lint: bin("oxlint", "--type-aware", "--deny-warnings"),
  format: bin("biome", "check", "."),
  "dead code": bin("knip"),
};
for (const [title, command] of Object.entries(steps)) {
  const good = await run(title, command);
  count(title, Number(good), Number(!good));
}

// As one file it is what most people run, and there in a third of the time.
const built = await run("build", [process.execPath, "run", "build"]);
count("build", Number(built), Number(!built));
const executable = built ? { TEST_PROGRAM: "dist/authctl" } : {};
await runTests("tests on SQLite", without, { ...services, ...executable, TEST_DIALECT: "sqlite" });
if (postgres) {
  const folders = ["core", "store", "http", "journeys", "cli/both"].map((name) => `./tests/${name}/`);
  const env = { ...services, ...executable, TEST_DIALECT: "postgres" };
  await runTests("tests on Postgres", [...folders, ...without], env);
}

// The same program from its sources, which is what the package of the registry runs.
const journeys = ["./tests/journeys/first-token.test.ts", "./tests/http/sessions.test.ts"];
const names = ["serve", "migrate", "init", "mail", "surroundings"];
const commands = names.map((name) => `./tests/cli/${name}.test.ts`);
await runTests("from the sources", [...journeys, ...commands], { ...services, TEST_DIALECT: "sqlite" });
if (postgres) {
  await runTests("from the sources, on Postgres", journeys, { ...services, TEST_DIALECT: "postgres" });
}

await postgres?.stop();
rmSync(scratch, { recursive: true, force: true });
if (troubles.length > 0) console.log(`\nfailed: ${troubles.join(", ")}`);
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 ? 0 : 1);
