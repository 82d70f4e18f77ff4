import type { OwnPermission } from "../../src/core/permissions.ts";
import type { OpenApiDocument } from "../../src/http/openapi.ts";
import type { HttpClient } from "./client.ts";

/** As much of a schema object (OpenAPI 3.0) as our document uses. */
export type Schema = {
  readonly $ref?: string;
  readonly type?: "object" | "array" | "string" | "integer" | "number" | "boolean";
  readonly nullable?: boolean;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly format?: string;
  readonly maxLength?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema;
};

/** One route, as the document tells it. */
export type Route = {
  readonly method: string;
  /** With its parameters in braces. */
  readonly path: string;
  /** `GET /api/v1/users/me` */
  readonly name: string;
  readonly isPublic: boolean;
  /** What the route asks of whoever is signed in, if anything. */
  readonly permission: OwnPermission | undefined;
  readonly body: { readonly type: string; readonly schema: Schema; readonly required: boolean } | undefined;
  /** The schema of each answer, by status; null where there is no body. */
  readonly answers: ReadonlyMap<number, Schema | null>;
};

export async function readRoutes(client: HttpClient): Promise<Route[]> {
  const { body: document } = await client.get<OpenApiDocument>("/openapi.json");
  const problem = document.components.schemas["Problem"] as Schema;
  return Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([key, operation]): Route => {
      const method = key.toUpperCase();
      const [media] = Object.entries(operation.requestBody?.content ?? {});
      const answers = Object.entries(operation.responses).map(([status, { content = {} }]) => {
        const [schema] = Object.values(content).map((one) => one.schema as Schema);
        return [Number(status), schema ? (schema.$ref ? problem : schema) : null] as const;
      });
      return {
        method,
        path,
        name: `${method} ${path}`,
        isPublic: operation.security?.length === 0,
        permission: operation["x-permission"],
        body: media && {
          type: media[0],
          schema: media[1].schema as Schema,
          required: operation.requestBody?.required ?? false,
        },
        answers: new Map(answers),
      };
    }),
  );
}

/** A path without its braces. */
export const filled = (path: string, value = "01890a5d-ac96-774b-bcce-b302099a8057"): string =>
  path.replace(/\{\w+\}/g, value);

/** The least that fits a schema: the members that are required, and of each the plainest value. */
export function plainest(schema: Schema): unknown {
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf) return plainest(schema.anyOf[0]!);
  switch (schema.type) {
    case "object":
      return Object.fromEntries((schema.required ?? []).map((key) => [key, plainest(schema.properties?.[key] ?? {})]));
    case "array":
      return [];
    case "integer":
    case "number":
      return 1;
    case "boolean":
      return false;
    default:
      return "somebody@example.com";
  }
}

/** What of a value does not fit its schema, by its path. A member that the schema does not name does not fit. */
export function misfits(schema: Schema, value: unknown, path = "body"): string[] {
  if (value === null) return schema.nullable ? [] : [`${path} is null`];
  if (schema.enum) return schema.enum.includes(value) ? [] : [`${path} is none of the choices`];
  if (schema.anyOf) return schema.anyOf.some((one) => misfits(one, value).length === 0) ? [] : [`${path} fits nowhere`];
  switch (schema.type) {
    case "object":
      return typeof value === "object" && !Array.isArray(value)
        ? misfitsOfObject(schema, value as Record<string, unknown>, path)
        : [`${path} is no object`];
    case "array":
      return Array.isArray(value)
        ? value.flatMap((one, at) => misfits(schema.items ?? {}, one, `${path}.${at}`))
        : [`${path} is no list`];
    case "integer":
      return Number.isInteger(value) ? [] : [`${path} is no whole number`];
    case "string":
      return typeof value === "string" && (knownFormats[schema.format ?? ""]?.test(value) ?? true)
        ? []
        : [`${path} is no ${schema.format ?? "string"}`];
    default:
      return schema.type === undefined || typeof value === schema.type ? [] : [`${path} is no ${schema.type}`];
  }
}

export const formats = {
  uuid: /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/,
  "date-time": /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
} as const satisfies Readonly<Record<string, RegExp>>;
const knownFormats: Readonly<Record<string, RegExp>> = formats;

function misfitsOfObject(schema: Schema, value: Readonly<Record<string, unknown>>, path: string): string[] {
  const missing = (schema.required ?? []).filter((key) => !Object.hasOwn(value, key));
  const wrong = Object.entries(value).flatMap(([key, member]) => {
    const known = schema.properties?.[key] ?? schema.additionalProperties;
    return known ? misfits(known, member, `${path}.${key}`) : [`${path}.${key} is not in the document`];
  });
  return [...missing.map((key) => `${path}.${key} is missing`), ...wrong];
}
