/**
 * The one command behind `bun run check`: types, lint, format, dead code and every test, each step to its end,
 * so that one run tells all that is wrong. Ends in the line `N passed, N failed`.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const bun = [process.execPath, "--no-env-file"];
const bin = (name: string, ...rest: string[]): string[] => [...bun, join(root, "node_modules/.bin", name), ...rest];

async function run(title: string, command: string[]): Promise<boolean> {
  console.log(`\n== ${title}`);
  const child = Bun.spawn(command, { cwd: root, stdin: "ignore", stdout: "inherit", stderr: "inherit" });
  const good = (await child.exited) === 0;
  console.log(good ? `== ${title}: ok` : `== ${title}: FAILED`);
  return good;
}

/** Counts of a JUnit report: what the test runner did is read from its own record, not from its exit code alone. */
function countsOf(report: string): { passed: number; failed: number } {
  const text = existsSync(report) ? readFileSync(report, "utf8") : "";
  const of = (name: string): number => Number(new RegExp(`<testsuites[^>]*\\b${name}="(\\d+)"`).exec(text)?.[1] ?? 0);
  const failed = of("failures") + of("errors");
  return { passed: of("tests") - failed - of("skipped"), failed };
}

const scratch = mkdtempSync(join(tmpdir(), "authctl-check-"));
const report = join(scratch, "junit.xml");
const steps: ReadonlyArray<readonly [string, string[]]> = [
  ["types", bin("tsc", "--noEmit")],
  ["lint", bin("oxlint", "--type-aware", "--deny-warnings")],
  ["format", bin("biome", "check", ".")],
  ["dead code", bin("knip")],
];

let passed = 0;
let failed = 0;
for (const [title, command] of steps) {
  if (await run(title, command)) passed++;
  else failed++;
}

const green = await run("tests", [
  process.execPath,
  "test",
  "--timeout=60000",
  "--reporter=junit",
  `--reporter-outfile=${report}`,
]);
const counts = countsOf(report);
rmSync(scratch, { recursive: true, force: true });
passed += counts.passed;
// A runner that broke off without a failing test has failed all the same; and a run of no test is none.
failed += Math.max(counts.failed, green && counts.passed > 0 ? 0 : 1);

console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
