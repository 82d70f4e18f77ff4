/**
 * Bodies, read strictly: one content type for each route, one encoding, one spelling of each member.
 * Elysia's own parsers take forms on JSON routes, JSON under any name, and the last of two equal fields.
 */
import type { Elysia } from "elysia";
import type { Config } from "../config.ts";
import { fail } from "../core/errors.ts";

const deepest = 32;

const json = /^application\/json(?:\s*;\s*charset=(?:utf-8|"utf-8"))?$/i;
const form = /^application\/x-www-form-urlencoded(?:\s*;\s*charset=(?:utf-8|"utf-8"))?$/i;

// A byte order mark is kept, so that JSON.parse refuses it (RFC 8259, section 8.1).
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads every body before Elysia's own parsers get to see it. A route takes JSON, but where it declares
 * `parse: "urlencoded"`: that one takes a form and nothing else. No body and no `Content-Type` is `undefined`,
 * for the schema of the route to judge.
 */
export function strictBody({ BODY_LIMIT }: Pick<Config, "BODY_LIMIT">) {
  return (app: Elysia) => {
    let forms: ReadonlySet<string> | undefined;
    return app.onParse(async ({ request, route }) => {
      forms ??= new Set(app.routes.filter(({ hooks }) => takesForm(hooks)).map(({ path }) => path));
      const isForm = forms.has(route);
      const type = request.headers.get("content-type");
      if (type === null && request.body === null) return undefined;

      if (!(isForm ? form : json).test(type ?? "") || !isPlain(request.headers.get("content-encoding"))) {
        fail("unsupported_media_type", {
          detail: `Send the body with \`Content-Type: ${isForm ? "application/x-www-form-urlencoded" : "application/json"}\`.`,
        });
      }
      const bytes = await readBytes(request, BODY_LIMIT);
      if (bytes.byteLength === 0) return undefined;
      return isForm ? readPairs(decode(bytes), "body") : readJson(decode(bytes));
    });
  };
}

/** Whether a route's hooks, as Elysia keeps them, declare `parse: "urlencoded"`. */
export function takesForm(hooks: { readonly parse?: unknown }): boolean {
  const parsers: readonly unknown[] = [hooks.parse].flat();
  return parsers.some(
    (one) =>
      one === "urlencoded" || (typeof one === "object" && one !== null && "fn" in one && one.fn === "urlencoded"),
  );
}

const isPlain = (encoding: string | null) => encoding === null || encoding.toLowerCase() === "identity";

async function readBytes(request: Request, limit: number): Promise<Uint8Array> {
  const announced = Number(request.headers.get("content-length") ?? Number.NaN);
  if (announced > limit) fail("payload_too_large");
  if (announced <= limit) return request.bytes();
  // A chunked body does not say beforehand how long it is: count while reading.
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.byteLength;
    if (length > limit) fail("payload_too_large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return fail("malformed_request");
  }
}

function readJson(text: string): object {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    // Neither a syntax error nor what it quotes is for anyone's eyes: the text may hold a password.
    fail("malformed_request");
  }
  purify(document);
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    fail("validation_failed", { errors: [{ path: "body", message: "must be an object" }] });
  }
  return document;
}

/** What could reach a prototype, or break whoever makes a text of an object: Elysia does so of what does not fit. */
const forgotten: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype", "toString", "valueOf"]);

/** Refuses what no text column can hold, and forgets members that could reach a prototype. Walks without recursion. */
function purify(document: unknown): void {
  const ahead: Array<readonly [value: unknown, depth: number]> = [[document, 1]];
  for (let next = ahead.pop(); next; next = ahead.pop()) {
    const [value, depth] = next;
    if (typeof value === "string") refuseOddCharacters(value);
    if (typeof value !== "object" || value === null) continue;
    if (depth > deepest) fail("malformed_request");
    for (const [key, member] of Object.entries(value)) {
      refuseOddCharacters(key);
      if (forgotten.has(key)) Reflect.deleteProperty(value, key);
      else ahead.push([member, depth + 1]);
    }
  }
}

function refuseOddCharacters(text: string): void {
  if (text.includes("\0") || !text.isWellFormed()) fail("malformed_request");
}

/**
 * Reads `a=1&b=2`, the notation of queries and forms. A name that comes twice is refused, since readers differ
 * on which of the two counts.
 */
export function readPairs(text: string, where: "query" | "body"): Record<string, string> {
  const pairs = new Map<string, string>();
  for (const pair of text.split("&")) {
    if (pair === "") continue;
    const [, name, value = ""] = /^([^=]*)(?:=(.*))?$/s.exec(pair) ?? [];
    const key = decodePercents(name!.replaceAll("+", " "));
    if (pairs.has(key)) fail("validation_failed", { errors: [{ path: where, message: "must name each member once" }] });
    pairs.set(key, decodePercents(value.replaceAll("+", " ")));
  }
  return Object.fromEntries(pairs);
}

/** Percent-decodes, and refuses what does not decode to UTF-8 text. */
export function decodePercents(text: string): string {
  let decoded = text;
  try {
    if (text.includes("%")) decoded = decodeURIComponent(text);
  } catch {
    fail("malformed_request", { detail: "Send an address whose percent-encoding is that of UTF-8." });
  }
  refuseOddCharacters(decoded);
  return decoded;
}
