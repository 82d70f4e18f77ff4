import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { fail } from "../src/core/errors.ts";
import type { Profile } from "../src/store/tables.ts";
import type { Desk } from "./desk.ts";
import { text } from "./options.ts";

export const profileJson = text("the app's own members, as a JSON object in this file; `-` is standard input", {
  hint: "FILE",
});

/** What the file of `--profile-json` holds. */
export async function readProfile(desk: Desk, file: string): Promise<Profile> {
  const given = file === "-" ? await desk.input() : await readText(resolve(desk.place.cwd, file));
  try {
    const profile: unknown = JSON.parse(given);
    if (typeof profile === "object" && profile !== null && !Array.isArray(profile)) return { ...profile };
  } catch {
    // Told below: what is no JSON is no object either.
  }
  return fail("usage", { detail: "What --profile-json names is no JSON object. Nothing was done." });
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    return fail("usage", {
      detail: "The file of --profile-json cannot be read.",
      errors: [{ path: "--profile-json", message: `failed with ${code}` }],
    });
  }
}
