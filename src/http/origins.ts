/** What the pages of which origins may do: have a browser send our cookies (rule BR-1), and read our answers (rule BR-2). */
import type { Config } from "../config.ts";
import type { Core } from "../core/core.ts";
import { mayBeForged } from "../core/csrf.ts";
import { isBrowser } from "../core/devices.ts";
import { fail } from "../core/errors.ts";

type Fields = ReadonlyArray<readonly [name: string, value: string]>;

/** How long a browser need not ask again, in seconds. */
const preflightMaxAge = 600;
const takenHeaders = "authorization, content-type, if-match, if-none-match, x-csrf-token, x-request-id";
const shownHeaders = "etag, ratelimit, ratelimit-policy, retry-after, www-authenticate, x-request-id";

/**
 * The Fetch standard's CORS protocol, for the origins of ALLOWED_ORIGINS and no other: compared whole, so that
 * neither `null` nor a look-alike is ever among them.
 */
export function sharing({ ALLOWED_ORIGINS }: Pick<Config, "ALLOWED_ORIGINS">) {
  const allowed = new Set(ALLOWED_ORIGINS);
  return {
    isPreflight: ({ method, headers }: Request): boolean =>
      method === "OPTIONS" && headers.has("origin") && headers.has("access-control-request-method"),

    /** The answer to a preflight for a path that takes these methods. Fails with `csrf_rejected` for other origins. */
    preflight({ headers }: Request, methods: readonly string[]): Response {
      const origin = headers.get("origin");
      if (origin === null || !allowed.has(origin)) return failForeign(origin, ALLOWED_ORIGINS);
      return new Response(null, {
        status: 204,
        headers: {
          "access-control-allow-methods": methods.join(", "),
          "access-control-allow-headers": takenHeaders,
          "access-control-max-age": String(preflightMaxAge),
        },
      });
    },

    /** What tells a browser whether the page that asked may read the answer, whatever the answer is. */
    fieldsFor({ headers }: Request): Fields {
      if (allowed.size === 0) return [];
      const origin = headers.get("origin");
      // A cache must not give one origin's answer to another.
      if (origin === null || !allowed.has(origin)) return [["vary", "origin"]];
      return [
        ["vary", "origin"],
        ["access-control-allow-origin", origin],
        ["access-control-allow-credentials", "true"],
        ["access-control-expose-headers", shownHeaders],
      ];
    },
  };
}

/**
 * Refuses what a page of another origin made a browser send with our cookies (rule BR-1). Browsers say where a
 * request comes from in `Sec-Fetch-Site`, older ones in `Origin`; one that says neither has to show a token that only
 * our own pages and those of ALLOWED_ORIGINS can have read. What is no browser has no cookies of a person.
 *
 * @param handles what the request carries by cookie; without any, only what the browser does say is looked at
 */
export async function refuseForgery(core: Core, { headers }: Request, handles: readonly string[]): Promise<void> {
  const site = headers.get("sec-fetch-site");
  if (site === "same-origin" || site === "none") return;
  const origin = headers.get("origin");
  const expected = [core.settings.PUBLIC_URL, ...core.settings.ALLOWED_ORIGINS];
  if (origin !== null && expected.includes(origin)) return;
  if (site !== null || origin !== null) return failForeign(origin, expected);
  if (!isBrowser(headers.get("user-agent"))) return;
  if (!(await mayBeForged(core, headers.get("x-csrf-token"), handles))) return;
  return fail("csrf_rejected", {
    detail:
      "The browser did not say where the request comes from. Send the token of GET /api/v1/auth/csrf as `X-CSRF-Token`.",
  });
}

function failForeign(origin: string | null, expected: readonly string[]): never {
  // Only what is an origin is repeated, so that a refusal never carries anything else that was sent.
  const seen = origin !== null && URL.canParse(origin) ? new URL(origin).origin : "none";
  return fail("csrf_rejected", {
    detail: `The request came from the origin ${seen}; expected is ${expected.join(" or ") || "none"}. An operator can add to ALLOWED_ORIGINS.`,
  });
}
