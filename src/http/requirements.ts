import type { ValidationError } from "elysia";
import type { InputError } from "../core/errors.ts";

/** The part of a JSON schema that a sentence can be made of. `error` is the author's own words. */
type Schema = {
  readonly type?: string;
  readonly error?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly format?: string;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
};

const most = 20;

/**
 * What does not fit, by its dotted path (`email`, `roles.0`), at most once for each path. The sentences are made
 * of the schema alone: Elysia's own would hold the input, and so the password.
 */
export function unmetRequirements(error: ValidationError): InputError[] {
  // An out-of-range number of a query is told without its name: Elysia finds it while decoding, where it knows none.
  const root = error.type === "body" ? "body" : error.type === "params" ? "path" : "query";
  const errors = new Map<string, string>();
  for (const { path, schema, value } of error.all) {
    const dotted = path.slice(1).replaceAll("/", ".") || root;
    if (!errors.has(dotted)) errors.set(dotted, value === undefined ? "is required" : `must be ${requirement(schema)}`);
    if (errors.size === most) break;
  }
  return Array.from(errors, ([path, message]) => ({ path, message }));
}

/** What a value of this schema is, to follow "must be": `a string of 3 to 30 characters`. */
export function requirement(schema: Schema): string {
  if (typeof schema.error === "string") return schema.error;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return `one of ${schema.enum.map((one) => JSON.stringify(one)).join(", ")}`;
  if (schema.anyOf) return alternatives(schema.anyOf.filter((one) => !isSpelling(one)));
  switch (schema.type) {
    case "string":
      return `a string${form(schema)}${range(schema.minLength, schema.maxLength, " characters")}`;
    case "integer":
      return `a whole number${range(schema.minimum, schema.maximum)}`;
    case "number":
      return `a number${range(schema.minimum, schema.maximum)}`;
    case "boolean":
      return "true or false";
    case "array":
      return `a list${range(schema.minItems, schema.maxItems, " members")}`;
    case "object":
      return "an object";
    case "null":
      return "null";
    default:
      return "of another form";
  }
}

/** Elysia's numbers and booleans are unions with their spelling as a string, which nobody needs to be told of. */
export const isSpelling = ({ format }: { readonly format?: unknown }) =>
  format === "integer" || format === "numeric" || format === "boolean";

const alternatives = (schemas: readonly Schema[]) => Array.from(new Set(schemas.map(requirement))).join(" or ");

const form = ({ format, pattern }: Schema) =>
  format !== undefined ? ` in the form of ${format}` : pattern === undefined ? "" : " in the documented form";

function range(least: number | undefined, most: number | undefined, unit = ""): string {
  if (least !== undefined && most !== undefined) return ` ${unit ? "of" : "from"} ${least} to ${most}${unit}`;
  if (least !== undefined) return ` of at least ${least}${unit}`;
  return most === undefined ? "" : ` of at most ${most}${unit}`;
}
