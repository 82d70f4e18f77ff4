import type { Tree } from "./command.ts";
import type { Description, Manual } from "./help.ts";
import { exitMeanings } from "./help-text.ts";

/** The manual as `man` reads it: man(7), which mandoc and groff both know. */
export function manualPage({ version, globalFlags, commands }: Manual, tree: Tree): string {
  return [
    `.TH AUTHCTL 1 "" "authctl ${version}" "User Commands"`,
    // Words of a shell are not to be broken at the end of a line, nor spread over it.
    ".nh",
    ".ad l",
    ".SH NAME",
    "authctl \\- the auth server that one command starts and that is administered from a shell",
    ".SH SYNOPSIS",
    ".B authctl",
    ".I command",
    "[arguments] [flags]",
    ".SH DESCRIPTION",
    plain(
      "authctl opens the same core as the server, on the database that the settings name: it works with the server up, down or not yet started. Standard output is data only, messages go to standard error. Secrets are never taken from the command line.",
    ),
    ".SH COMMANDS",
    ...Object.entries(tree).flatMap(([name, { summary }]) => entry(name, summary)),
    ".SH OPTIONS",
    "Every command takes these, anywhere on the line.",
    ...globalFlags.flatMap(described),
    ".SH COMMAND REFERENCE",
    ...commands.flatMap(section),
    ".SH EXIT STATUS",
    ...Object.entries(exitMeanings).flatMap(([code, meaning]) => entry(code, meaning)),
    ".SH ENVIRONMENT",
    "Every setting is a variable; \\fBauthctl config example\\fR lists them.",
    "These stand for flags:",
    ...globalFlags.flatMap(({ name, environment }) => (environment ? entry(environment, `as ${name}`) : [])),
    ...entry("NO_COLOR", "as --no-color"),
    ".SH FILES",
    ...entry(".env", "settings, in the directory that the command is given in; --env-file names another file"),
    "",
  ].join("\n");
}

function section({ command, description, effect, dryRun, arguments: places, flags, examples, exits }: Description) {
  const usage = places.map(({ name, required, many }) => {
    const shown = many ? `${name}...` : name;
    return required ? shown : `[${shown}]`;
  });
  const own = Object.entries(exits).filter(([code, meaning]) => exitMeanings[Number(code)] !== meaning);
  return [
    `.SS ${quoted([command, ...usage].join(" "))}`,
    plain(description),
    `${effects[effect]}${dryRun ? " \\fB\\-\\-dry\\-run\\fR rehearses it." : ""}`,
    ...[...places, ...flags].flatMap(described),
    ...own.flatMap(([code, meaning]) => entry(`exit ${code}`, meaning)),
    ...(examples.length > 0 ? [".PP", ".nf", ...examples.map(plain), ".fi"] : []),
  ];
}

const effects = {
  read: "Changes nothing.",
  write: "Changes data.",
  destructive: "Takes data away, and asks first.",
} as const satisfies Record<Description["effect"], string>;

function described({ name, short, type, hint, choices, description, default: fallback, negatable }: Argument) {
  const long = negatable ? `--[no-]${name.slice(2)}` : name;
  const isMany = (choices?.length ?? 0) > 8;
  const value = type === "toggle" || !name.startsWith("-") ? "" : ` ${isMany ? "WORD" : (hint ?? "")}`;
  const listed = isMany ? `: ${choices?.join(", ")}` : "";
  const start = fallback === undefined || type === "toggle" ? "" : ` (default ${fallback})`;
  return entry(`${short ? `${short}, ` : ""}${long}${value}`, `${description}${start}${listed}`);
}

type Argument = Description["flags"][number];

const entry = (name: string, words: string): string[] => [".TP", `.B ${quoted(name)}`, plain(words)];

const quoted = (text: string): string => `"${escaped(text).replaceAll('"', "\\(dq")}"`;

/** A line of text, which no beginning makes a request of. */
const plain = (text: string): string => escaped(text).replace(/^(?=[.'])/, "\\&");

/** Backslashes begin an escape, a bare hyphen may be printed as another sign, and not every reader takes UTF-8. */
function escaped(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("`", "\\(ga")
    .replace(/[^\x20-\x7e]/gu, (sign) => `\\[u${sign.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}]`);
}
