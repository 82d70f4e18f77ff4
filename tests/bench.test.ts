import { expect, test } from "bun:test";
import { join } from "node:path";

const root = join(import.meta.dir, "..");

async function bench(...words: readonly string[]) {
  const child = Bun.spawn([process.execPath, "--no-env-file", "bench/run.ts", ...words], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, errors, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { out, errors, code };
}

const operations = [
  "check-token",
  "check-beside-writes",
  "check-cookie",
  "check-access",
  "check-new-access",
  "forged",
  "list",
  "refresh",
  "sign-out",
  "sign-in",
];

// What it measures is nobody's business here: only that every server answers every operation as it should.
test.skipIf(process.platform !== "linux")(
  "the bench asks for every operation and gets right answers, beside the limit",
  async () => {
    const tiny = ["--only=authctl-sqlite", "--users=10", "--connections=4", "--rounds=1", "--seconds=0.05"];
    const { out, errors, code } = await bench(...tiny, "--json");
    expect({ errors, code }).toEqual({ errors: "", code: 0 });
    const { rows } = JSON.parse(out) as { rows: ReadonlyArray<{ operation: string; slug: string; rate: number }> };
    const measured = rows.filter(({ rate }) => rate > 0).map(({ operation, slug }) => `${slug}: ${operation}`);
    expect(measured).toEqual(
      operations.flatMap((operation) => [`limit: ${operation}`, `authctl-sqlite: ${operation}`]),
    );
  },
  60_000,
);

test.each([["--quik"], ["--users=none"], ["--only=nobody"], ["growht"]])("the bench refuses %s", async (word) => {
  const { errors, code } = await bench(word);
  expect(code).toBe(2);
  expect(errors).toContain("Known flags");
});
