import { describe, expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog } from "../../src/adapters/log.ts";
import type { Log } from "../../src/core/core.ts";
import { until } from "../support/until.ts";

/** All that was logged, byte for byte. */
function logged(write: (log: Log) => void, format: "json" | "pretty" = "json"): string {
  const file = join(mkdtempSync(join(tmpdir(), "authctl-log-")), "log");
  const fd = openSync(file, "w");
  const log = createLog({ LOG_LEVEL: "trace", LOG_FORMAT: format }, { isTerminal: false, fd });
  write(log);
  // What waits for others is taken along by a line that waits for nobody, which is taken off again.
  log.warn("end");
  closeSync(fd);
  const text = readFileSync(file, "utf8").replace(/[^\n]*\n$/, "");
  rmSync(join(file, ".."), { recursive: true });
  return text;
}

/** What somebody sends who wants a line, a colour or a command of his own in the log. */
const nasty = [
  '\n{"level":"error","event":"forged"}',
  "\r\nforged",
  "\u001b[31mred\u001b[0m",
  "\u009b31m",
  "\u2028forged\u2029",
  "\u0085forged",
  "\u202egnp.exe",
  "\u0000\u0007\u007f",
  '"},{"event":"forged',
  "\ud800",
] as const;

describe("IO-4 one line for each event, whatever stands in it", () => {
  test.each(["json", "pretty"] as const)("as %s", (format) => {
    for (const text of nasty) {
      const lines = logged((log) => log.warn("event", { text, before: 1 }), format);
      expect(lines).toEndWith("\n");
      expect(lines.slice(0, -1)).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u);
    }
  });

  test("and JSON gives back the very text", () => {
    for (const text of nasty.slice(0, -1)) {
      const line = JSON.parse(logged((log) => log.info("event", { text }))) as Record<string, unknown>;
      expect(line).toMatchObject({ level: "info", event: "event", text });
      expect(line["time"]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    }
  });
});

describe("IO-3 of an error", () => {
  test("the places are told, and nothing of its message", () => {
    const cause = new Error("params: secret-one\n    at secret-two (secret-three:1:1)\nsecret-four");
    const text = logged((log) => log.error("failed", {}, new TypeError("secret-five", { cause })));
    expect(text).not.toContain("secret");
    const { cause: told } = JSON.parse(text) as {
      cause: { name: string; stack: string[]; origin: { stack: string[] } };
    };
    expect(told.name).toBe("TypeError");
    expect(told.stack[0]).toContain("log.test.ts");
    expect(told.origin.stack[0]).toContain("log.test.ts");
  });

  test("what is no error is told by its type alone", () => {
    expect(logged((log) => log.error("failed", {}, "secret"))).not.toContain("secret");
  });
});

describe("lines are written", () => {
  const json = { LOG_LEVEL: "info", LOG_FORMAT: "json" } as const;

  test("many at once, but of trouble immediately, and in their order", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "authctl-log-")), "log");
    const fd = openSync(file, "w");
    const log = createLog(json, { isTerminal: false, fd });
    const written = () => Array.from(readFileSync(file, "utf8").matchAll(/"event":"(\w+)"/g), ([, event]) => event);
    log.info("one");
    log.info("two");
    expect(written()).toEqual([]);
    log.warn("three");
    expect(written()).toEqual(["one", "two", "three"]);
    log.info("four");
    await until("the last line", () => written().length === 4);
    expect(written()).toEqual(["one", "two", "three", "four"]);
    closeSync(fd);
    rmSync(join(file, ".."), { recursive: true });
  });

  test("also those that wait when the process ends", () => {
    const script = `import { createLog } from "./src/adapters/log.ts";
      createLog(${JSON.stringify(json)}, { isTerminal: false, fd: 1 }).info("last");
      process.exit(0);`;
    const { stdout } = Bun.spawnSync([process.execPath, "-e", script], { cwd: join(import.meta.dir, "../..") });
    expect(stdout.toString()).toContain('"event":"last"');
  });

  test("when a reader that was busy comes back, who is told how many were lost meanwhile", async () => {
    const fifo = join(mkdtempSync(join(tmpdir(), "authctl-log-")), "fifo");
    expect(Bun.spawnSync(["mkfifo", fifo]).exitCode).toBe(0);
    const fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
    const log = createLog(json, { isTerminal: false, fd });
    const sent = 3_000;
    for (let number = 0; number < sent; number++) log.info("line", { number, text: "x".repeat(1_000) });
    let text = "";
    const taken = Buffer.alloc(64 * 1024);
    await until("word of what was lost", () => {
      try {
        for (let read = -1; read !== 0; ) text += taken.toString("utf8", 0, (read = readSync(fd, taken)));
      } catch {
        // There is nothing more just now.
      }
      return text.includes("log_lines_lost");
    });
    const lines = text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { event: string; number?: number; lines?: number });
    const numbers = lines.flatMap(({ number }) => (number === undefined ? [] : [number]));
    expect(numbers).toEqual(Array.from(numbers, (_, at) => at));
    expect(lines.at(-1)).toMatchObject({ event: "log_lines_lost", lines: sent - numbers.length });
    closeSync(fd);
    rmSync(join(fifo, ".."), { recursive: true });
  });
});
