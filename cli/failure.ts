import { storageTrouble } from "../src/core/doctor/storage.ts";
import { type Code, catalogue, DomainError } from "../src/core/errors.ts";
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
  const { code, errors } = failure;
  const { title, detail } = wordsOf(failure);
  const trace = verbose && failure !== error ? traceOf(error) : [];
  if (json)
    return `${JSON.stringify({ code, title, detail, ...(errors && { errors }), ...(trace.length > 0 && { trace }) })}\n`;
  const label = colour ? "\x1b[31merror:\x1b[39m" : "error:";
  const lines = [
    `${label} ${visible(title)}. ${visible(detail)}`,
    ...(errors ?? []).map(
      ({ path, message }) => `  ${visible(path)}${/^[A-Z]/.test(message) ? ":" : ""} ${visible(message)}`,
    ),
    ...trace.map((line) => `  ${visible(line)}`),
  ];
  return `${lines.join("\n")}\n`;
}

/** What the catalogue says to whoever sends requests, for whoever types commands. */
const words: Partial<Record<Code, string>> = {
  validation_failed: "Correct what is listed, and run the command again.",
  email_taken: "Use another address; `authctl user get ADDRESS` shows whose it is.",
  username_taken: "Choose another user name; `authctl user get NAME` shows whose it is.",
  overloaded: "Run the command again in a few seconds.",
  unavailable: "Run the command again in a few seconds; `authctl doctor` looks at every part.",
  database_busy:
    "Another process has been writing for long. Run the command again; where that does not help, `authctl doctor` tells how to find who it is.",
};

function wordsOf({ code, title, detail, cause }: DomainError): { readonly title: string; readonly detail: string } {
  // Whoever failed had nothing more precise to say.
  if (detail !== catalogue[code].detail) return { title, detail };
  const trouble = code === "unavailable" ? storageTrouble(cause) : undefined;
  if (trouble) return { title: trouble.problem.replace(/\.$/, ""), detail: trouble.remedy };
  return { title, detail: words[code] ?? detail };
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
