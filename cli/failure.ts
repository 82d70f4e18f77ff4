import { DomainError } from "../src/core/errors.ts";
import { visible } from "./visible.ts";

export type Manner = {
  /** One line of problem JSON instead of sentences. */
  readonly json: boolean;
  /** Show where a defect broke. */
  readonly verbose: boolean;
  readonly colour: boolean;
};

/** What standard error says of a failure. A defect keeps its words to itself unless they are asked for: they were not written for people. */
export function failureText(error: unknown, { json, verbose, colour }: Manner): string {
  const failure =
    error instanceof DomainError ? error : new DomainError("internal_error", { detail: defectAdvice, cause: error });
  const { code, title, detail, errors } = failure;
  const trace = verbose && failure !== error ? traceOf(error) : [];
  if (json)
    return `${JSON.stringify({ code, title, detail, ...(errors && { errors }), ...(trace.length > 0 && { trace }) })}\n`;
  const label = colour ? "\x1b[31merror:\x1b[39m" : "error:";
  const lines = [
    `${label} ${visible(title)}. ${visible(detail)}`,
    ...(errors ?? []).map(({ path, message }) => `  ${visible(path)} ${visible(message)}`),
    ...trace.map((line) => `  ${visible(line)}`),
  ];
  return `${lines.join("\n")}\n`;
}

const defectAdvice = "This is a defect. Repeat the command with --verbose to see where it broke.";

/**
 * The stack of an error and of its causes. A failed query's message holds its parameters, and the driver's may
 * quote one ("invalid input syntax for type uuid: …"), so of errors about SQL only the name and the code are told.
 */
function traceOf(error: unknown): string[] {
  const lines: string[] = [];
  let sql = false;
  for (
    let at = error, depth = 0;
    at !== undefined && depth < 8;
    at = at instanceof Error ? at.cause : undefined, depth++
  ) {
    if (!(at instanceof Error)) {
      lines.push(`thrown: ${typeof at}`);
      break;
    }
    sql ||= at.message.startsWith("Failed query") || /sql|postgres|drizzle/i.test(`${at.name} ${at.constructor.name}`);
    const code = "code" in at ? ` ${String(at.code)}` : "";
    lines.push(`${depth > 0 ? "caused by " : ""}${at.name}${code}${sql ? "" : `: ${at.message}`}`);
    lines.push(...(at.stack ?? "").split("\n").filter((line) => /^\s+at .*(:\d+:\d+\)?|native.*)$/.test(line)));
  }
  return lines;
}
