/**
 * The OpenAPI document. `@elysiajs/swagger` lists the routes and their inputs; what they answer is written beside
 * each of them with `describe()`, and never checked at run time: a wrong answer would be a 422 to the client.
 */
import { type DocumentDecoration, Elysia, type TSchema } from "elysia";
import type { Config } from "../config.ts";
import { type Code, catalogue } from "../core/errors.ts";
import type { OwnPermission } from "../core/permissions.ts";
import { takesForm } from "./body.ts";
import { isCountedPath } from "./limits.ts";
import { statuses } from "./problem.ts";
import { isSpelling } from "./requirements.ts";

type Description = {
  readonly tag: "auth" | "users" | "sessions" | "roles" | "audit" | "server";
  /** `[]` where anyone may ask; without it any credential will do. */
  readonly security?: [];
  readonly details?: string;
  /** What is answered when all goes well, by status; null where there is no body. */
  readonly ok: Readonly<Record<number, TSchema | null>>;
  /** Of that answer; JSON where nothing is said. */
  readonly type?: "text/plain";
  /** Failures of this route. Those of every body, query and credential need not be named. */
  readonly errors?: readonly Code[];
};

/** What the document tells of a route: its `detail`. */
export function describe(
  summary: string,
  about: Description,
): DocumentDecoration & { "x-error-codes": readonly Code[] } {
  return {
    summary,
    tags: [about.tag],
    ...(about.details && { description: about.details }),
    ...(about.security && { security: about.security }),
    responses: Object.fromEntries(
      Object.entries(about.ok).map(([status, schema]) => [
        status,
        {
          description: phrases[status] ?? "Done",
          ...(schema && { content: { [about.type ?? "application/json"]: { schema } } }),
        },
      ]),
    ),
    "x-error-codes": about.errors ?? [],
  };
}

/** What the document tells of a route that wants a permission. */
export const permissionDetail = (name: OwnPermission): DocumentDecoration & { "x-permission": OwnPermission } => ({
  "x-permission": name,
});

const phrases: Readonly<Record<string, string>> = {
  200: "Done",
  201: "Made",
  202: "Taken on; the answer is the same whatever comes of it",
  204: "Done; there is nothing to say",
  302: "It is there",
  304: "Not changed since",
  503: "Not ready",
};

type Media = Record<string, { schema: unknown }>;
type Operation = {
  description?: string;
  parameters?: Array<{ schema: unknown }>;
  requestBody?: { required: boolean; content: Media };
  responses: Record<string, { description: string; content?: Media }>;
  security?: readonly unknown[];
  "x-error-codes"?: readonly Code[];
  "x-permission"?: OwnPermission;
};
export type OpenApiDocument = {
  openapi: string;
  info: { version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown>; securitySchemes: Record<string, unknown> };
};

type Subject = Pick<Config, "COOKIE_ACCESS_NAME" | "COOKIE_SESSION_NAME"> & { readonly version: string };

/** The document of all routes that the app has by now. */
export async function openApiDocument(app: Elysia, subject: Subject): Promise<OpenApiDocument> {
  // Loaded where it is wanted: most servers are never asked for their document.
  const { swagger } = await import("@elysiajs/swagger");
  // The plugin stays outside of the app, which so has none of its pages: they load scripts from other hosts.
  const specPath = "/listed";
  const lister = new Elysia().use(swagger({ specPath, excludeStaticFile: false, documentation: preamble(subject) }));
  for (const { method, path, hooks } of app.routes) lister.route(method, path, () => undefined, hooks);
  const listed = await lister.handle(new Request(`http://localhost${specPath}`));
  const document: OpenApiDocument = JSON.parse(await listed.text());

  for (const route of app.routes) {
    const operation = document.paths[route.path.replace(/:(\w+)/g, "{$1}")]?.[route.method.toLowerCase()];
    if (!operation || route.hooks.detail?.hide) continue;
    if (operation.requestBody) operation.requestBody = requestBodyOf(operation.requestBody, route.hooks);
    for (const parameter of operation.parameters ?? []) parameter.schema = toOpenApi(parameter.schema);
    for (const answer of Object.values(operation.responses)) {
      for (const media of Object.values(answer.content ?? {})) media.schema = toOpenApi(media.schema);
    }
    const permission = operation["x-permission"];
    if (permission) {
      const needs = `Needs the permission \`${permission}\`.`;
      operation.description = operation.description ? `${operation.description} ${needs}` : needs;
    }
    operation.responses = { ...failures(codesOf(operation, route.path)), ...operation.responses };
  }
  return document;
}

const preamble = ({ version, COOKIE_ACCESS_NAME, COOKIE_SESSION_NAME }: Subject) => ({
  info: {
    title: "authctl",
    version,
    description: "Sign-in, sessions, tokens and users. Failures are RFC 9457 problems with a stable `code`.",
  },
  tags: [
    { name: "auth", description: "Registering, signing in and out" },
    { name: "users", description: "Accounts" },
    { name: "sessions", description: "Where one is signed in" },
    { name: "roles", description: "What they permit, and who holds them" },
    { name: "audit", description: "What was done, by whom and from where" },
    { name: "server", description: "Keys, health and this document" },
  ],
  security: [{ bearer: [] }, { password: [] }, { access_cookie: [] }, { session_cookie: [] }],
  components: {
    schemas: { Problem: problemSchema },
    securitySchemes: {
      bearer: {
        type: "http" as const,
        scheme: "bearer",
        description: "An access token or a session token.",
      },
      password: {
        type: "oauth2" as const,
        description: "Signs in with an address or user name; leave the client fields empty.",
        flows: { password: { tokenUrl: "/api/v1/auth/login-form", scopes: {} } },
      },
      access_cookie: { type: "apiKey" as const, in: "cookie", name: COOKIE_ACCESS_NAME },
      session_cookie: { type: "apiKey" as const, in: "cookie", name: COOKIE_SESSION_NAME },
    },
  },
});

const problemSchema = {
  type: "object" as const,
  description: "RFC 9457. `code` is stable; `errors` says which members of the input do not fit.",
  required: ["type", "title", "status", "detail", "code", "request_id"],
  properties: {
    type: { type: "string" as const, example: "urn:authctl:problem:validation_failed" },
    title: { type: "string" as const },
    status: { type: "integer" as const },
    detail: { type: "string" as const },
    code: { type: "string" as const },
    request_id: { type: "string" as const },
    errors: {
      type: "array" as const,
      items: {
        type: "object" as const,
        required: ["path", "message"],
        properties: { path: { type: "string" as const }, message: { type: "string" as const } },
      },
    },
  },
};

/** The one content type that the route takes, and whether its schema is optional: the plugin names three, and says always. */
function requestBodyOf({ content }: { content: Media }, hooks: { parse?: unknown; body?: unknown }) {
  const [media] = Object.values(content);
  const optional =
    typeof hooks.body === "object" && hooks.body !== null && Symbol.for("TypeBox.Optional") in hooks.body;
  const type = takesForm(hooks) ? "application/x-www-form-urlencoded" : "application/json";
  return { required: !optional, content: { [type]: { schema: toOpenApi(media?.schema) } } };
}

function codesOf(operation: Operation, path: string): Set<Code> {
  const codes = new Set<Code>(operation["x-error-codes"]);
  if (isCountedPath(path)) codes.add("rate_limited");
  if (operation.requestBody) {
    codes.add("malformed_request").add("payload_too_large").add("unsupported_media_type").add("validation_failed");
  }
  if (operation.parameters?.length) codes.add("validation_failed");
  if (operation.security?.length !== 0) codes.add("unauthenticated").add("session_hijack_suspected");
  if (operation["x-permission"]) codes.add("forbidden");
  return codes.add("internal_error");
}

function failures(codes: ReadonlySet<Code>): Operation["responses"] {
  const byStatus = Object.groupBy(codes, (code) => statuses[catalogue[code].kind]);
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, all]) => [
      status,
      {
        description: all.map((code) => `\`${code}\`: ${catalogue[code].title}`).join("; "),
        content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
      },
    ]),
  );
}

type Schema = Readonly<Record<string, unknown>>;

const isSchema = (value: unknown): value is Schema => typeof value === "object" && value !== null;

/** OpenAPI 3.0 knows neither `const` nor `type: null` nor `patternProperties`, all of which TypeBox writes. */
function toOpenApi(schema: unknown): unknown {
  if (!isSchema(schema)) return schema;
  const { anyOf, const: only, error: _ours, patternProperties, properties, items, "x-type": type, ...rest } = schema;
  return {
    ...rest,
    ...(type === "object" && { type, additionalProperties: true }),
    ...(only !== undefined && { enum: [only] }),
    ...(isSchema(items) && { items: toOpenApi(items) }),
    ...(isSchema(properties) && { properties: mapValues(properties, toOpenApi) }),
    ...(isSchema(patternProperties) && { additionalProperties: toOpenApi(Object.values(patternProperties)[0]) }),
    ...(Array.isArray(anyOf) &&
      union(
        anyOf
          .map(toOpenApi)
          .filter(isSchema)
          .filter((one) => !isSpelling(one)),
      )),
  };
}

function union(all: readonly Schema[]): Schema {
  const some = all.filter(({ type }) => type !== "null");
  const nullable = some.length < all.length && { nullable: true };
  if (some.length === 1) return { ...some[0], ...nullable };
  const values = some.flatMap((one) => (Array.isArray(one["enum"]) ? one["enum"] : [undefined]));
  if (!values.includes(undefined)) return { type: some[0]?.["type"], enum: values, ...nullable };
  return { anyOf: some, ...nullable };
}

const mapValues = (record: Schema, change: (value: unknown) => unknown) =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
