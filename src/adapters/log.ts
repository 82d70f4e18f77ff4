import { writeSync } from "node:fs";
import type { Config } from "../config.ts";
import type { Fields, Log } from "../core/core.ts";
import { systemClock } from "./system.ts";

const levels = [
  "trace",
  "debug",
  "info",
  "warn",
  "error",
  "fatal",
  "silent",
] as const satisfies readonly Config["LOG_LEVEL"][];

/** One line for each event on standard output: JSON for machines, a sentence for people. */
export function createLog(
  settings: Pick<Config, "LOG_LEVEL" | "LOG_FORMAT">,
  output: { isTerminal: boolean; fd: number },
): Log {
  const pretty = settings.LOG_FORMAT === "pretty" || (settings.LOG_FORMAT === "auto" && output.isTerminal);
  const least = levels.indexOf(settings.LOG_LEVEL);
  const lines = createLines(output.fd);

  const write = (level: "debug" | "info" | "warn" | "error") => {
    const rank = levels.indexOf(level);
    if (rank < least) return () => {};
    // Who reads of trouble must not have to wait for it, and a process that is about to end may write no more.
    const atOnce = rank > levels.indexOf("info");
    return (event: string, fields?: Fields, cause?: unknown): void => {
      const more = JSON.stringify(cause === undefined ? (fields ?? {}) : { ...fields, cause: causeView(cause) });
      const begin = `{"level":"${level}","time":"${timestamp()}","event":${JSON.stringify(event)}`;
      const told = more === "{}" ? `${begin}}` : `${begin},${more.slice(1)}`;
      lines.add(`${visible(pretty ? sentence(told) : told)}\n`);
      if (atOnce) lines.flush();
    };
  };
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

/** Of one millisecond there are many lines: its text is made once. */
const last = { at: Number.NaN, text: "" };
function timestamp(): string {
  const now = systemClock.now();
  if (now.getTime() !== last.at) Object.assign(last, { at: now.getTime(), text: now.toISOString() });
  return last.text;
}

/** Text that waits is written once there is so much of it, in characters. */
const enough = 64 * 1024;
/** How long a line waits for others, in milliseconds. Trouble waits for nobody, and takes what waits along. */
const linger = 10;
/** Where nobody takes what is written, no more of it is kept. */
const tooMuch = 16 * enough;
/** When a reader that was busy is tried again, in milliseconds. */
const tryAgainAfter = 20;

/** What a process still has to write when it ends. */
const unfinished = new Set<() => void>();
process.once("exit", () => {
  for (const flush of unfinished) flush();
});

/** Writes lines to a file, many at once: to write is what costs, ten times as much as the line. */
function createLines(fd: number) {
  let waiting = "";
  /** What a busy reader has not taken. */
  let left: Buffer | undefined;
  let lost = 0;
  let isDue = false;

  /** What of it was not taken. */
  const tryToWrite = (text: Buffer): Buffer | undefined => {
    let rest = text;
    try {
      while (rest.length > 0) rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      // A reader that is gone does not stop the server.
      return error instanceof Error && "code" in error && error.code === "EAGAIN" ? rest : undefined;
    }
    return undefined;
  };
  const flush = (): void => {
    if (waiting === "" && !left) return;
    const text = Buffer.from(waiting);
    waiting = "";
    left = tryToWrite(left ? Buffer.concat([left, text]) : text);
    if (left) systemClock.after(tryAgainAfter, flush);
    else if (lost > 0) tellOfLoss();
  };
  const tellOfLoss = (): void => {
    const told = { level: "warn", time: timestamp(), event: "log_lines_lost", lines: lost };
    lost = 0;
    waiting = `${JSON.stringify(told)}\n`;
    flush();
  };
  unfinished.add(flush);

  return {
    add(line: string): void {
      if (waiting.length + (left?.length ?? 0) > tooMuch) {
        lost++;
        return;
      }
      waiting += line;
      if (waiting.length >= enough) flush();
      if (isDue) return;
      isDue = true;
      systemClock.after(linger, () => {
        isDue = false;
        flush();
      });
    },
    flush,
  };
}

/** What ends a line or begins an escape sequence for some readers, though JSON lets it stand as it is. */
const invisible = /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** Whatever a field holds, it is one line, and nothing that a terminal obeys (rule IO-4). */
const visible = (line: string): string =>
  line.replace(invisible, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);

/**
 * A driver's message may hold the values of a query, so of an error only its kind, its code and the places
 * that it came through are told (rule IO-3).
 */
function causeView(cause: unknown): object {
  if (!(cause instanceof Error)) return { name: typeof cause };
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : undefined;
  // A message of several lines could pass for places.
  const trace = (cause.stack ?? "").replace(cause.message, () => "");
  const frames = trace.split("\n").filter((line) => /^\s+at /.test(line));
  const origin = cause.cause === undefined ? undefined : causeView(cause.cause);
  return { name: cause.name, code, stack: frames.slice(0, 12).map((line) => line.trim()), origin };
}

function sentence(line: string): string {
  const { time, level, event, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.entries(fields).map(
    ([name, value]) =>
      `${name}=${typeof value === "string" && /^[\w./:-]+$/.test(value) ? value : JSON.stringify(value)}`,
  );
  return [String(time).slice(11, 23), String(level).padEnd(5), event, ...rest].join(" ");
}
