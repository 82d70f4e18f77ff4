import { readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { fail } from "../src/core/errors.ts";
import type { Io } from "./io.ts";
import { type ArgsOf, text, toggle } from "./options.ts";
import { type Prompt, readInput } from "./prompt.ts";

/** The flags of a command that needs a secret; spread them into its `args`. A secret itself is never an argument. */
export const secretArgs = {
  passwordStdin: toggle("read the password from standard input"),
  passwordFile: text("read the password from this file", { hint: "FILE" }),
  generate: toggle("make a password up and print it once"),
};

export type SecretArgs = ArgsOf<typeof secretArgs>;

type Means = {
  readonly io: Io;
  readonly signal: AbortSignal;
  readonly prompt: Prompt;
  /** Whether somebody is there to be asked. */
  readonly interactive: boolean;
  readonly warn: (message: string) => void;
};

/** What is to be read from standard input, or typed. */
export type Wanted = {
  readonly question: string;
  readonly noun: "password" | "passphrase" | "address";
  /** Whether it is typed again, because nothing would tell of a slip. */
  readonly twice: boolean;
  /** The ways to give it, for where nobody can be asked. */
  readonly ways: string;
};

/** The secret from the one source that `args` names, else from whoever sits at the terminal. */
export async function resolveSecret(
  question: string,
  args: SecretArgs,
  means: Means,
): Promise<{ value: string; generated: boolean }> {
  const { passwordStdin, passwordFile, generate } = args;
  if ([passwordStdin, passwordFile !== undefined, generate].filter(Boolean).length > 1) {
    fail("usage", { detail: "Use only one of --password-stdin, --password-file and --generate." });
  }
  // 192 random bits, without a character that a shell would touch.
  if (generate) return { value: Buffer.from(means.io.randomBytes(24)).toString("base64url"), generated: true };
  const wanted = { question, noun: "password", twice: true, ways: passwordWays } as const;
  const value = passwordStdin
    ? await readSecret(wanted, means)
    : passwordFile === undefined
      ? filled("password", await typed(wanted, means))
      : filled("password", await readPrivateFile("--password-file", resolve(means.io.cwd, passwordFile), means.warn));
  return { value, generated: false };
}

const passwordWays = "--password-stdin, --password-file FILE or --generate";

/** The secret on standard input. At a terminal everybody could read what is typed: there it is asked for, unseen. */
export async function readSecret(wanted: Wanted, means: Means): Promise<string> {
  const { io, signal } = means;
  return filled(wanted.noun, io.stdin.isTTY ? await typed(wanted, means) : await readInput(io, signal));
}

/** The text of a secret without the end of its line, of which it is no part. */
export function filled(noun: Wanted["noun"], text: string): string {
  const value = text.replace(/\r?\n$/, "");
  return value === "" ? fail("usage", { detail: `The ${noun} is empty.` }) : value;
}

async function typed({ question, noun, twice, ways }: Wanted, { prompt, interactive }: Means): Promise<string> {
  if (!interactive) {
    fail("usage", { detail: `The ${noun} is missing: use ${ways}, or run the command on a terminal.` });
  }
  const first = await prompt.askHidden(`${question}: `);
  if (!first) return "";
  if (twice && (await prompt.askHidden("The same again: ")) !== first)
    fail("usage", { detail: `The two ${noun}s differ. Nothing was done.` });
  return first;
}

/** A file that `flag` names and that holds a secret. */
export async function readPrivateFile(flag: string, file: string, warn: (message: string) => void): Promise<string> {
  try {
    const { mode } = await stat(file);
    const isRegular = (mode & 0o170000) === 0o100000;
    if (isRegular && (mode & 0o077) !== 0) warn(`${file} can be read by others. Protect it with \`chmod 600\`.`);
    return await readFile(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    return fail("usage", {
      detail: `The file of ${flag} cannot be read.`,
      errors: [{ path: flag, message: `failed with ${code}` }],
    });
  }
}
