import { describe, expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { isTerminal } from "../../src/adapters/system.ts";

const system = join(import.meta.dir, "../../src/adapters/system.ts");
const question = `process.exit((await import(${JSON.stringify(system)})).isTerminal(1) ? 7 : 0)`;
const command = [process.execPath, "--no-env-file", "-e", question];

describe("a terminal", () => {
  test("is one where somebody may sit", async () => {
    const asked = Bun.spawn(command, { terminal: { cols: 80, rows: 24 } });
    expect(await asked.exited).toBe(7);
  });

  test.each(["ignore", "pipe"] as const)("is none of what a server is given (%s)", async (stdout) => {
    expect(await Bun.spawn(command, { stdout }).exited).toBe(0);
  });

  test("is neither a file nor what is closed", () => {
    const file = openSync(system, "r");
    expect(isTerminal(file)).toBeFalse();
    closeSync(file);
    expect(isTerminal(file)).toBeFalse();
  });
});
