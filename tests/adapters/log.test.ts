import { describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog } from "../../src/adapters/log.ts";
import type { Log } from "../../src/core/core.ts";

/** All that was logged, byte for byte. */
function logged(write: (log: Log) => void, format: "json" | "pretty" = "json"): string {
  const file = join(mkdtempSync(join(tmpdir(), "authctl-log-")), "log");
  const fd = openSync(file, "w");
  write(createLog({ LOG_LEVEL: "trace", LOG_FORMAT: format }, { isTerminal: false, fd }));
  closeSync(fd);
  const text = readFileSync(file, "utf8");
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
