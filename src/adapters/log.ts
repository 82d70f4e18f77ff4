import pino from "pino";
import type { Config } from "../config.ts";
import type { Fields, Log } from "../core/core.ts";

/** One line for each event on standard output: JSON for machines, a sentence for people. */
export function createLog(
  settings: Pick<Config, "LOG_LEVEL" | "LOG_FORMAT">,
  output: { isTerminal: boolean; fd: number },
): Log {
  const pretty = settings.LOG_FORMAT === "pretty" || (settings.LOG_FORMAT === "auto" && output.isTerminal);
  const destination = pino.destination({ fd: output.fd, sync: true });
  const logger = pino(
    {
      level: settings.LOG_LEVEL,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: "event",
      errorKey: "cause",
      serializers: { cause: causeView },
    },
    { write: (line: string) => void destination.write(visible(pretty ? sentence(line) : line)) },
  );
  const write =
    (level: "debug" | "info" | "warn" | "error") =>
    (event: string, fields: Fields = {}) =>
      logger[level](fields, event);
  return {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: (event, fields = {}, cause) => logger.error(cause === undefined ? fields : { ...fields, cause }, event),
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
  return `${[String(time).slice(11, 23), String(level).padEnd(5), event, ...rest].join(" ")}\n`;
}
