/**
 * PROFILE_SCHEMA, compiled. What does not fit it is told by its path, in words of the schema alone: neither a value
 * nor a name that the schema does not know is ever repeated. Loaded only where there is such a schema.
 */
import type { ErrorObject, Options } from "ajv";
import { Ajv } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { Profile } from "../../store/tables.ts";
import { fail } from "../errors.ts";
import type { ProfileForm } from "./profiles.ts";

const options: Options = {
  allErrors: true,
  // A keyword that is misspelled would let pass what it was to keep out.
  strictSchema: true,
  // Formats are remarks, as draft 2020-12 has them.
  validateFormats: false,
  ownProperties: true,
  logger: false,
};

const drafts = {
  "https://json-schema.org/draft/2020-12/schema": Ajv2020,
  "http://json-schema.org/draft-07/schema": Ajv,
} as const;
type Draft = keyof typeof drafts;

const mostProblems = 20;

/** Fails with `config_invalid` where the schema is none. Nothing is ever fetched: a reference leads into the schema itself. */
export function compileProfileForm(schema: Readonly<Record<string, unknown>>): ProfileForm {
  const { $schema = "https://json-schema.org/draft/2020-12/schema", $async, properties } = schema;
  const draft = Object.keys(drafts).find((one) => one === String($schema).replace(/#$/, "")) as Draft | undefined;
  if (!draft) return refuseSchema("names another draft than 2020-12 or draft-07 as its `$schema`.");
  // Its check would answer a promise, which is true whatever comes of it.
  if ($async !== undefined) return refuseSchema("must not be `$async`.");
  const validate = compiled(draft, schema);
  const known = namesIn(schema);
  return {
    readOnly: Object.entries(asRecord(properties)).flatMap(([name, member]) =>
      asRecord(member)["readOnly"] === true ? [name] : [],
    ),
    problemsOf(profile) {
      if (validate(profile)) return [];
      const problems = new Map<string, string>();
      for (const error of validate.errors ?? []) {
        const path = pathOf(error, known);
        const message = error.keyword === "required" ? "is required" : (error.message ?? "does not fit");
        if (problems.size < mostProblems && !problems.has(path)) problems.set(path, `${message}.`);
      }
      return Array.from(problems, ([path, message]) => ({ path, message }));
    },
  };
}

function compiled(draft: Draft, schema: Readonly<Record<string, unknown>>) {
  try {
    return new drafts[draft](options).compile<Profile>(schema);
  } catch (error) {
    return refuseSchema(`is no schema that can be used: ${error instanceof Error ? error.message : "unknown"}.`);
  }
}

const refuseSchema = (message: string): never =>
  fail("config_invalid", { errors: [{ path: "PROFILE_SCHEMA", message }] });

const asRecord = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? { ...value } : {};

/** Every name that stands under a `properties`, however deep. */
function namesIn(schema: unknown): ReadonlySet<string> {
  const names = new Set<string>();
  const visit = (value: unknown): void => {
    for (const [key, member] of Object.entries(asRecord(value))) {
      if (key === "properties") for (const name of Object.keys(asRecord(member))) names.add(name);
      visit(member);
    }
  };
  visit(schema);
  return names;
}

/** `/profile/theme`. Names of members that the schema does not know are somebody's input. */
function pathOf({ instancePath, keyword, params }: ErrorObject, known: ReadonlySet<string>): string {
  const parts = instancePath.split("/").slice(1);
  const names = parts.map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  if (keyword === "required") names.push(String(params["missingProperty"]));
  const shown = names.map((name) => (known.has(name) || /^\d{1,5}$/.test(name) ? name : "*"));
  return ["/profile", ...shown].join("/");
}
