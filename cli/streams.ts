/** What a stream or a directory that fails is told as: it is nobody's defect. */
import { fail } from "../src/core/errors.ts";
import { PipeClosed } from "./io.ts";

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : "an unknown reason";

export function failWriting(descriptor: 1 | 2, error: unknown): never {
  const code = codeOf(error);
  if (code === "EPIPE") throw new PipeClosed();
  const name = descriptor === 1 ? "Standard output" : "Standard error";
  return fail("output_failed", {
    detail: `${name} failed with ${code}: make room where it goes, or send it elsewhere.`,
  });
}

export const failReading = (error: unknown): never =>
  fail("usage", { detail: `Standard input cannot be read (${codeOf(error)}). Send a file or a pipe.` });

export const failNowhere = (): never =>
  fail("usage", { detail: "The directory that this runs in is gone. Change to another one." });
