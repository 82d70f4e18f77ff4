import { Elysia } from "elysia";
import { type Client, clientFrom } from "../core/actors.ts";
import type { Core } from "../core/core.ts";
import { DomainError, fail } from "../core/errors.ts";
import type { RateName } from "../core/limits.ts";
import type { OwnPermission } from "../core/permissions.ts";
import { requirePermission } from "../core/roles.ts";
import { sameText } from "../core/secrets.ts";
import { authenticate, type Principal } from "../core/sessions.ts";
import { credentialCookies, readCookies } from "./cookies.ts";
import { identify, visitOf } from "./edge.ts";
import { countRequest } from "./limits.ts";
import { permissionDetail } from "./openapi.ts";
import { refuseForgery } from "./origins.ts";

/** Where a request came from. */
export function clientOf(request: Request): Client {
  const { ip, requestId } = visitOf(request);
  return clientFrom({ ip, requestId, userAgent: request.headers.get("user-agent") });
}

/** Whatever a request carries that could be a handle on a session. */
export type Handles = {
  readonly bearer?: string | undefined;
  readonly accessCookie?: string | undefined;
  readonly sessionCookie?: string | undefined;
  readonly refreshCookie?: string | undefined;
};

/** Those that a browser sends by itself. */
export const cookiesAmong = ({ accessCookie, sessionCookie, refreshCookie }: Handles): string[] =>
  [accessCookie, sessionCookie, refreshCookie].filter((one) => one !== undefined);

export function handlesOf({ settings }: Core, { headers }: Request): Handles {
  const names = [settings.COOKIE_ACCESS_NAME, settings.COOKIE_SESSION_NAME, settings.COOKIE_REFRESH_NAME];
  const cookies = readCookies(headers.get("cookie"), names);
  const authorization = headers.get("authorization");
  return {
    // Another scheme is a credential too, only none that is taken here: it wins over cookies all the same.
    bearer: authorization === null ? undefined : (/^Bearer +([^\s,]+)$/i.exec(authorization)?.[1] ?? ""),
    accessCookie: cookies[settings.COOKIE_ACCESS_NAME],
    sessionCookie: cookies[settings.COOKIE_SESSION_NAME],
    refreshCookie: cookies[settings.COOKIE_REFRESH_NAME],
  };
}

const safeMethods = ["GET", "HEAD", "OPTIONS"];

/**
 * Who is signed in: by `Authorization`, which wins, or by a cookie. Fails with `unauthenticated`,
 * `session_hijack_suspected` or `csrf_rejected`.
 */
async function principalOf(core: Core, request: Request): Promise<Principal> {
  const { bearer, accessCookie, sessionCookie } = handlesOf(core, request);
  const client = clientOf(request);
  if (bearer !== undefined) return await authenticate(core, bearer, client);
  const cookies = [accessCookie, sessionCookie].filter((one) => one !== undefined);
  if (cookies.length > 0 && !safeMethods.includes(request.method)) await refuseForgery(core, request, cookies);
  for (const cookie of cookies) {
    try {
      return await authenticate(core, cookie, client);
    } catch (error) {
      // A broken cookie is no reason to overlook a good one.
      if (!(error instanceof DomainError && error.code === "unauthenticated") || cookie === cookies.at(-1)) throw error;
    }
  }
  return fail("unauthenticated");
}

/** Whether what was presented is no credential (any more), so that a browser should forget it (rule SE-6). */
export const isRefused = (error: unknown): boolean =>
  error instanceof DomainError &&
  ["unauthenticated", "session_hijack_suspected", "refresh_token_reused"].includes(error.code);

/** Whether a request carries METRICS_TOKEN: so that no person's session stands in the settings of a monitor. */
export function isScraper(core: Core, request: Request): boolean {
  const { METRICS_TOKEN } = core.settings;
  const { bearer } = handlesOf(core, request);
  return METRICS_TOKEN !== undefined && bearer !== undefined && sameText(bearer, METRICS_TOKEN);
}

const principals = new WeakMap<Request, Principal>();

/**
 * What a route may ask for: `signedIn: true` gives it a `principal`, `permission: "users:read"` one who may do that,
 * `scraper: true` lets in who may read the metrics, `rate: "register"` lets in no more than that rate; otherwise the request never reaches it. Who is not let in hears that before anything is said of the body.
 */
export const guards = (core: Core) => {
  const cookies = credentialCookies(core.settings);

  const admit = async (request: Request, set: { headers: Record<string, unknown> }) => {
    try {
      const principal = await principalOf(core, request);
      principals.set(request, principal);
      identify(request, principal);
      return principal;
    } catch (error) {
      const byCookie = !request.headers.has("authorization");
      if (byCookie && isRefused(error))
        set.headers["set-cookie"] = cookies.clear(cookies.sent(request, "access", "session"));
      throw error;
    }
  };
  const resolve = ({ request }: { request: Request }) => ({ principal: principals.get(request)! });

  return new Elysia({ name: "guards" }).macro({
    rate: (name: RateName) => ({
      transform: async ({ request }) => await countRequest(core, name, visitOf(request)),
    }),
    signedIn: { transform: async ({ request, set }) => void (await admit(request, set)), resolve },
    permission: (name: OwnPermission) => ({
      // The document says what the guard asks for, whatever is written beside the route.
      detail: permissionDetail(name),
      transform: async ({ request, set }) => await requirePermission(core, (await admit(request, set)).by, name),
      resolve,
    }),
    scraper: {
      transform: async ({ request, set }) => {
        if (isScraper(core, request)) return;
        await requirePermission(core, (await admit(request, set)).by, "metrics:read");
      },
    },
  });
};
