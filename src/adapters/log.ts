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
  const lines = createLines(output.fd, pretty ? (line) => sentence(asJson(line)) : asJson);

  const write = (level: "debug" | "info" | "warn" | "error") => {
    const rank = levels.indexOf(level);
    if (rank < least) return () => {};
    // Who reads of trouble must not have to wait for it, and a process that is about to end may write no more.
    const atOnce = rank > levels.indexOf("info");
    return (event: string, fields?: Fields, cause?: unknown): void => {
      const at = systemClock.now();
      lines.add({ level, at, event, fields, cause: cause === undefined ? undefined : causeView(cause) });
      if (atOnce) lines.flush();
    };
  };
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

type Line = {
  readonly level: string;
  readonly at: Date;
  readonly event: string;
  readonly fields?: Fields | undefined;
  readonly cause?: object | undefined;
};

const asJson = ({ level, at, event, fields, cause }: Line): string =>
  JSON.stringify({ level, time: timestamp(at), event, ...fields, cause });

/** Of one millisecond there are many lines: its text is made once. */
const last = { at: Number.NaN, text: "" };
function timestamp(at: Date): string {
  if (at.getTime() !== last.at) Object.assign(last, { at: at.getTime(), text: at.toISOString() });
  return last.text;
}

/** Lines that wait are written once there are so many. */
const enough = 250;
/** How long a line waits for others, in milliseconds. Trouble waits for nobody, and takes what waits along. */
const linger = 10;
/** Where nobody takes what is written, no more of it is kept than so many bytes. */
const tooMuch = 1024 * 1024;
/** When a reader that was busy is tried again, in milliseconds. */
const tryAgainAfter = 20;

/** What a process still has to write when it ends. */
const unfinished = new Set<() => void>();
process.once("exit", () => {
  for (const flush of unfinished) flush();
});

/**
 * Writes lines to a file, many at once: to write is what costs, ten times as much as the line, and to make the text
 * of one between two requests costs several times as much as to make it among many.
 */
function createLines(fd: number, textOf: (line: Line) => string) {
  let waiting: Line[] = [];
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
    if (waiting.length === 0 && !left) return;
    const text = Buffer.from(visible(waiting.map((line) => `${textOf(line)}\n`).join("")));
    waiting = [];
    left = tryToWrite(left ? Buffer.concat([left, text]) : text);
    if (left) systemClock.after(tryAgainAfter, flush);
    else if (lost > 0) tellOfLoss();
  };
  const tellOfLoss = (): void => {
    waiting = [{ level: "warn", at: systemClock.now(), event: "log_lines_lost", fields: { lines: lost } }];
    lost = 0;
    flush();
  };
  unfinished.add(flush);

  return {
    add(line: Line): void {
      if ((left?.length ?? 0) > tooMuch) {
        lost++;
        return;
      }
      waiting.push(line);
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

/** Whatever a field holds, it is one line, and nothing that a terminal obeys (rule IO-4): JSON escapes what ends one. */
const visible = (lines: string): string =>
  lines.replace(invisible, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);

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
