/**
 * The pages of the documentation that say what the code says: settings, errors, the command line and the HTTP
 * routes. `bun run docs` writes them; a test holds them against the code.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command, Group } from "../cli/command.ts";
import { exitCodes, interruptedBy } from "../cli/exit.ts";
import { describe } from "../cli/help.ts";
import { helpText } from "../cli/help-text.ts";
import { manualPage } from "../cli/manual.ts";
import { commands } from "../cli/run.ts";
import { databaseMetrics, type Metric, workerMetrics } from "../src/adapters/metrics.ts";
import { settings } from "../src/config.ts";
import { type Code, catalogue } from "../src/core/errors.ts";
import { createApp } from "../src/http/app.ts";
import { statuses } from "../src/http/problem.ts";
import { openCore } from "../src/open.ts";

const generated = "<!-- Made by `bun run docs` from the code. Change the code, not this page. -->";

const table = (head: readonly string[], rows: ReadonlyArray<readonly string[]>): string =>
  [head, head.map(() => "---"), ...rows]
    .map((row) => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`)
    .join("\n");

const code = (text: string): string => `\`${text}\``;

function settingsPage(): string {
  const groups = Object.entries(Object.groupBy(settings, (one) => one.group));
  const sections = groups.map(([group, rows = []]) => {
    const lines = rows.map((row) => {
      const fallback = row.fallbackDoc ?? (typeof row.fallback === "string" ? code(row.fallback) : "none");
      return [
        code(row.name),
        fallback,
        `${row.doc}${row.secret ? ` Secret; ${code(`${row.name}_FILE`)} names a file that holds it.` : ""}${aliasesOf(row)}`,
      ];
    });
    return `## ${group}\n\n${table(["variable", "default", "meaning"], lines)}`;
  });
  return [
    generated,
    "# Settings",
    "Every setting is a variable of the environment, or a line `NAME=value` of a file `.env` in the directory that the server is started in (`--env-file FILE` names another one). The environment wins over the file. Lengths of time are written `90s`, `15m`, `12h`, `30d`; sizes `64KiB`. `authctl config check` reports every problem at once, `authctl config show` the values and where each came from. An alias is what other projects call the same setting: it may stand instead of ours, or beside it where both say the same; two that differ are refused.",
    ...sections,
  ].join("\n\n");
}

/** What the templates call it. */
function aliasesOf({ aliases = {} }: (typeof settings)[number]): string {
  const names = Object.entries(aliases).map(([name, { takes }]) => code(name) + (takes ? ` (${takes})` : ""));
  return names.length > 0 ? ` Alias: ${names.join(", ")}.` : "";
}

function errorsPage(): string {
  const codes = Object.keys(catalogue) as Code[];
  const rows = codes.map((name) => {
    const { kind, title, detail } = catalogue[name];
    return [code(name), String(statuses[kind]), String(exitCodes[kind]), title, detail];
  });
  return [
    generated,
    "# Errors",
    "Every failure has a stable `code`. Over HTTP it comes as `application/problem+json` (RFC 9457) with the status; `authctl` prints it on standard error, as one line of the same JSON with `--json`, and ends with the exit code.",
    table(["code", "status", "exit", "title", "what to do next"], rows),
    `A command that is interrupted ends with ${interruptedBy.SIGINT} (SIGINT) or ${interruptedBy.SIGTERM} (SIGTERM); what it had finished stays.`,
  ].join("\n\n");
}

async function cliPage(): Promise<string> {
  const sections: string[] = [];
  const visit = (node: Command | Group, path: readonly string[]): void => {
    if (node.kind === "group") {
      sections.push(`## ${path.join(" ")}`, node.description);
      for (const [name, child] of Object.entries(node.verbs)) visit(child, [...path, name]);
      return;
    }
    sections.push(`${path.length > 1 ? "###" : "##"} ${path.join(" ")}`, fenced(helpText(node, path)));
  };
  for (const [name, entry] of Object.entries(commands)) visit((await entry.load(commands)).default, [name]);
  return [
    generated,
    "# The command line",
    "`authctl` opens the same core as the server, on the database that the settings name: it works with the server up, down or not yet started. Standard output is data only, messages go to standard error; `--json` gives the shapes of the HTTP API. Secrets are never taken from the command line. `authctl help --json` describes all of this for programs.",
    fenced(helpText(commands, [])),
    ...sections,
  ].join("\n\n");
}

const fenced = (text: string): string => `\`\`\`text\n${text.trimEnd()}\n\`\`\``;

type Operation = {
  summary: string;
  description?: string;
  security?: unknown[];
  requestBody?: { content: Record<string, { schema: { properties?: Record<string, unknown>; required?: string[] } }> };
  "x-error-codes"?: string[];
};

function httpPage(document: { paths: Record<string, Record<string, Operation>> }): string {
  const rows = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => {
      const [[type, media] = []] = Object.entries(operation.requestBody?.content ?? {});
      const required = media?.schema.required ?? [];
      const members = Object.keys(media?.schema.properties ?? {}).map((name) =>
        required.includes(name) ? name : `${name}?`,
      );
      const input =
        members.length === 0 ? "" : `${type?.includes("form") ? "form " : ""}${code(`{${members.join(", ")}}`)}`;
      const open = operation.security?.length === 0;
      const failures = (operation["x-error-codes"] ?? []).map(code).join(" ");
      const text = [operation.summary, operation.description].filter(Boolean).join(". ");
      return [code(`${method.toUpperCase()} ${path}`), open ? "anyone" : "signed in", input, text, failures];
    }),
  );
  return [
    generated,
    "# HTTP",
    "The whole contract, with the form of every answer, is the OpenAPI document that a running server has at `/openapi.json`; `/docs` shows it, and lets you try it. Bodies are JSON in UTF-8, times RFC 3339 in UTC, ids UUIDv7. Every answer carries `X-Request-Id`. A credential is sent as `Authorization: Bearer …`, or comes by cookie. With `COMPAT_PATHS=true` the paths of the FastAPI templates are [answered as well](from-fastapi.md).",
    table(["route", "for", "input", "what it does", "failures of its own"], rows),
    "Any route with a body may also answer `malformed_request`, `unsupported_media_type`, `payload_too_large` and `validation_failed`; any route for those who are signed in `unauthenticated` and `session_hijack_suspected`; any route but the probes, the keys and the docs page `rate_limited`, and tells what is left of the limit of requests in the fields `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10). See [errors](errors.md).",
  ].join("\n\n");
}

function metricsPage(): string {
  const rows = (metrics: Readonly<Record<string, Metric>>) =>
    Object.entries(metrics).map(([name, { kind, labels = [], help }]) => [
      code(name),
      kind,
      labels.map(code).join(" "),
      help,
    ]);
  const head = ["metric", "kind", "labels", "meaning"];
  return [
    generated,
    "# Metrics",
    "What `/metrics` tells in the text format of Prometheus. [Observability](observability.md) says how to read it from there, and what to watch.",
    "## Of each worker",
    "Every one of these also has the label `worker`: the number of the process, which one that takes the place of another has again. No label holds anything that was sent, nor an address or an id.",
    table(head, rows(workerMetrics)),
    "## Of the database",
    "The same from every server, so that one needs the `max` over them, not the sum. Read at most every 15 seconds, and more seldom where that takes long; left out while the database does not answer.",
    table(head, rows(databaseMetrics)),
  ].join("\n\n");
}

/** Every generated page, by its file. */
export async function pages(openapi: {
  paths: Record<string, Record<string, Operation>>;
}): Promise<Record<string, string>> {
  const all: Record<string, string> = {
    "docs/authctl.1": manualPage(await describe(commands, [], commands), commands).trimEnd(),
    "docs/settings.md": settingsPage(),
    "docs/errors.md": errorsPage(),
    "docs/cli.md": await cliPage(),
    "docs/http.md": httpPage(openapi),
    "docs/metrics.md": metricsPage(),
  };
  return Object.fromEntries(Object.entries(all).map(([file, text]) => [file, `${text}\n`]));
}

/** As one would start it: the routes of a real app, on a database that is thrown away. */
export async function currentPages(): Promise<Record<string, string>> {
  const directory = mkdtempSync(join(tmpdir(), "authctl-docs-"));
  const core = await openCore({ env: { DATA_DIR: directory, LOG_LEVEL: "silent" }, cwd: directory, purpose: "serve" });
  try {
    const app = createApp(core, {
      version: "0",
      health: () => Promise.reject(new Error("not asked")),
      isDraining: () => false,
      reusePort: false,
    });
    const answer = await app.handle(new Request("http://localhost/openapi.json"));
    return await pages((await answer.json()) as Parameters<typeof pages>[0]);
  } finally {
    await core.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  for (const [file, text] of Object.entries(await currentPages())) {
    await Bun.write(join(import.meta.dir, "..", file), text);
  }
}
