/**
 * The outer edge: what holds for every request and every answer, whatever route is behind it. It is one
 * function around the whole app, so that nothing gets past it: not a 404, not a HEAD, not a thrown `undefined`.
 */
import { type Elysia, NotFoundError, ParseError, ValidationError } from "elysia";
import type { Config } from "../config.ts";
import type { BanList } from "../core/bans.ts";
import type { Clock, Limiter, Log, Random } from "../core/core.ts";
import { DomainError, fail } from "../core/errors.ts";
import type { Allowance } from "../core/limits.ts";
import type { Meter } from "../core/meter.ts";
import { holdsCredential } from "../core/redaction.ts";
import type { Session } from "../store/tables.ts";
import { decodePercents, readPairs } from "./body.ts";
import { clientAddress, trustedProxies } from "./client-address.ts";
import { type Meant, meantPath } from "./compat.ts";
import { readCookies } from "./cookies.ts";
import { countRequest, isCounted, rateFields } from "./limits.ts";
import { sharing } from "./origins.ts";
import { problemText, statuses } from "./problem.ts";
import { unmetRequirements } from "./requirements.ts";
import type { Shortcuts } from "./shortcuts.ts";

/** What the edge knows of a request before any route sees it. */
export type Visit = {
  readonly requestId: string;
  /** The address of the client; null where there is none, as in `app.handle()`. */
  readonly ip: string | null;
  /** What is left of each limit that the request has met so far. */
  readonly allowances: Allowance[];
  /** How credentials are given where the request does not say: the default of the path that it came by. */
  delivery: Meant["delivery"];
  /** Whose request it turned out to be. */
  whose?: { readonly userId: string; readonly sessionId: string };
};

const visits = new WeakMap<Request, Visit>();

/** Never without an answer: every request that a route gets to see has come through the edge. */
export const visitOf = (request: Request): Visit => visits.get(request)!;

/** Tells the log who is behind a request, once that is known. */
export function identify(request: Request, standing: { readonly session: Session }) {
  visitOf(request).whose = whoseIs(standing.session);
}

const whoseIs = ({ id, userId }: Session) => ({ userId, sessionId: id });

type Surroundings = {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly meter: Meter;
  readonly limiter?: Limiter | undefined;
  readonly bans?: BanList;
  readonly settings: Pick<
    Config,
    | "PUBLIC_URL"
    | "TRUSTED_PROXIES"
    | "PROXY_HEADER"
    | "COMPAT_PATHS"
    | "TRACES_URL"
    | "ALLOWED_ORIGINS"
    | "COOKIE_ACCESS_NAME"
    | "COOKIE_REFRESH_NAME"
    | "COOKIE_SESSION_NAME"
  >;
};

const longestPath = 2048;
/** Any other is a word that somebody made up, and stands in no log. */
const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

const aboutProblems = { "content-type": "application/problem+json", "cache-control": "no-store" };

/** What the log and the meter are told of a request once it has been answered. */
type Account = {
  readonly request: Request;
  readonly visit: Visit;
  readonly route: string;
  readonly since: number;
};

/** To be used before all else: Elysia gives hooks to the routes that come after them. */
export function edge(
  { log, clock, random, meter, limiter, bans, settings }: Surroundings,
  shortcuts?: (common: Headers) => Shortcuts,
) {
  const always = headersOfEveryAnswer(settings);
  // Headers that are there already are taken over at half the price of a plain object.
  const ofProblem = new Headers({ ...always, ...aboutProblems });
  const forged = new DomainError("unauthenticated");
  const ofForged = new Headers({ ...always, ...aboutProblems, "www-authenticate": challenge(true) });
  const shortcut = shortcuts?.(new Headers({ ...always, "content-type": "application/json;charset=utf-8" }));
  const cookieNames = [settings.COOKIE_ACCESS_NAME, settings.COOKIE_REFRESH_NAME, settings.COOKIE_SESSION_NAME];

  /** Makes an answer of whatever was thrown, and tells the log what the client must not know. */
  const tell = (thrown: unknown, request: Request, { requestId, allowances }: Visit, route: string) => {
    const failure = failureOf(thrown);
    const status = statuses[failure.kind];
    // Being busy is no defect, and tells nothing that the access line does not.
    if (status >= 500 && failure.kind !== "busy") {
      log.error("request_failed", { request_id: requestId, route, code: failure.code }, failure.cause ?? failure);
    }
    const headers: Record<string, string> = {};
    if (failure.allowance) allowances.push(failure.allowance);
    if (failure.retryAfter !== undefined) headers["retry-after"] = String(Math.ceil(failure.retryAfter));
    if (failure.allow) headers["allow"] = failure.allow.join(", ");
    if (failure.code === "unauthenticated") headers["www-authenticate"] = challenge(holdsAny(request, cookieNames));
    return { status, headers, body: problemText(failure, requestId) };
  };

  // What belongs to a trace takes the long way.
  const isShort = shortcut !== undefined && settings.TRACES_URL === undefined;
  const addressOf = clientAddress(settings);
  const shared = sharing(settings);
  const isTrusted = trustedProxies(settings);

  const refusal = (thrown: unknown, request: Request, visit: Visit, route: string): Response => {
    const { status, headers, body } = tell(thrown, request, visit, route);
    const response = respond(visit, body, { status, headers: ofProblem });
    for (const name in headers) response.headers.set(name, headers[name]!);
    return response;
  };

  /** What every answer says, and what is noted of every request. */
  const answered = (response: Response, { request, visit, route, since }: Account): Response => {
    for (const [name, value] of rateFields(visit.allowances)) response.headers.set(name, value);
    for (const [name, value] of shared.fieldsFor(request)) response.headers.set(name, value);
    const { status } = response;
    const method = methods.has(request.method) ? request.method : "other";
    const took = meter.request(method, route, status, since);
    log.info("request", {
      request_id: visit.requestId,
      method,
      route,
      status,
      duration_ms: Math.round(took * 1000),
      ip: visit.ip,
      user_id: visit.whose?.userId,
      session_id: visit.whose?.sessionId,
    });
    return response;
  };

  return (app: Elysia) => {
    let places: ReturnType<typeof directory> | undefined;

    const visitFrom = (request: Request, arrivedAt: Date): Visit => {
      const connection = app.server?.requestIP(request)?.address;
      return {
        requestId: requestIdOf(request) ?? random.id(arrivedAt),
        ip: connection === undefined ? null : addressOf(connection, request.headers),
        allowances: [],
        delivery: "body",
      };
    };

    /** The answer of a shortcut, where there is one and nothing about the request is out of the ordinary. */
    const shortAnswer = (request: Request, path: string, visit: Visit, now: Date): Response | undefined => {
      const given = namesTwoHosts(request) ? undefined : shortcut?.answer(request, path, now);
      if (!given) return undefined;
      if (given === "forged") {
        return respond(visit, problemText(forged, visit.requestId), { status: 401, headers: ofForged });
      }
      visit.whose = whoseIs(given.whose.session);
      return respond(visit, given.rendered.body, { status: 200, headers: given.rendered.headers });
    };

    /** The same without a promise, where nothing has to be waited for. */
    const answerAtOnce = (request: Request): Response | undefined => {
      const route = pathOf(request.url);
      if (!shortcut?.knows(route)) return undefined;
      const arrivedAt = clock.now();
      const since = meter.now();
      const visit = visitFrom(request, arrivedAt);
      // Also where it has to be asked first, which is a promise.
      if (visit.ip !== null && bans && bans.has(visit.ip) !== false) return undefined;
      const response = shortAnswer(request, route, visit, arrivedAt);
      return response && answered(response, { request, visit, route, since });
    };

    const answer = async (request: Request, next: (request: Request) => unknown): Promise<Response> => {
      const arrivedAt = clock.now();
      const since = meter.now();
      const visit = visitFrom(request, arrivedAt);
      visits.set(request, visit);

      let route = "unmatched";
      let response: Response;
      try {
        // One check for all that comes in, before anything is done for it.
        if (visit.ip !== null && bans && (await bans.has(visit.ip))) fail("banned");
        if (isCounted(request.url)) await countRequest({ limiter, meter }, "requests", visit);
        places ??= directory(app.routes, meantPath(settings));
        const path = isShort && limiter ? pathOf(request.url) : "";
        const short = shortcut?.knows(path) ? shortAnswer(request, path, visit, clock.now()) : undefined;
        if (short) {
          route = path;
          response = short;
        } else {
          if (shared.isPreflight(request)) response = shared.preflight(request, places.methodsOf(request));
          else {
            const admitted = places.admit(request);
            ({ route } = admitted);
            const { request: meant, delivery } = admitted;
            visit.delivery = delivery;
            visits.set(meant, visit);
            const given = await next(meant);
            if (!(given instanceof Response)) throw new TypeError("The app gave no response");
            response = given;
          }
          response.headers.set("x-request-id", visit.requestId);
        }
      } catch (thrown) {
        response = refusal(thrown, request, visit, route);
      }
      return answered(response, { request, visit, route, since });
    };

    /** A stranger must not decide which requests are traced, nor put them into a trace of somebody else's. */
    const traceparentOf = (request: Request): string | undefined => {
      const sent = request.headers.get("traceparent");
      const connection = sent === null ? undefined : app.server?.requestIP(request)?.address;
      return sent !== null && connection !== undefined && isTrusted(connection) ? sent : undefined;
    };

    // What is counted first takes a promise.
    const isAtOnce = isShort && limiter === undefined;
    const long = (next: (request: Request) => unknown, request: Request) =>
      meter.during(traceparentOf(request), () => answer(request, next));

    return app
      .headers(always)
      .wrap((next, request) => () => (isAtOnce ? answerAtOnce(request) : undefined) ?? long(next, request))
      .onError(({ error, request, route, set }) => {
        const { status, headers, body } = tell(error, request, visitOf(request), route);
        set.status = status;
        // What the route has set so far stays: cookies that were to be cleared still are.
        Object.assign(set.headers, aboutProblems, headers);
        return body;
      });
  };
}

/**
 * A response with these headers and the id of the request, which every answer has. The response takes a copy of them:
 * what is set there first, each time anew, costs less than what is added to the response's own.
 */
function respond({ requestId }: Visit, body: string, init: { status: number; headers: Headers }): Response {
  init.headers.set("x-request-id", requestId);
  return new Response(body, init);
}

/** Two Host headers are joined by a comma: a proxy and Bun may each choose another one (RFC 9112, section 3.2). */
const namesTwoHosts = ({ headers }: Request): boolean => headers.get("host")?.includes(",") === true;

/** The path that an address names; empty where it names no host. */
function pathOf(url: string): string {
  return url.startsWith("http://") ? url.slice(url.indexOf("/", "http://".length)) : "";
}

function headersOfEveryAnswer({ PUBLIC_URL }: Pick<Config, "PUBLIC_URL">): Record<string, string> {
  return {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
    ...(PUBLIC_URL.startsWith("https:") && { "strict-transport-security": "max-age=31536000; includeSubDomains" }),
  };
}

/** The caller's own, where it can stand in a log line as it is. */
function requestIdOf({ headers }: Request): string | undefined {
  const sent = headers.get("x-request-id");
  return sent !== null && /^[A-Za-z0-9._-]{1,128}$/.test(sent) && !holdsCredential(sent) ? sent : undefined;
}

/** RFC 6750, section 3: `error` only where a credential came, and was not good. */
const challenge = (came: boolean): string => `Bearer realm="authctl"${came ? ', error="invalid_token"' : ""}`;

const holdsAny = ({ headers }: Request, cookieNames: readonly string[]): boolean =>
  headers.has("authorization") || Object.keys(readCookies(headers.get("cookie"), cookieNames)).length > 0;

/** The failure that was meant. What nobody meant is a defect, and `cause` keeps it for the log. */
function failureOf(thrown: unknown): DomainError {
  if (thrown instanceof DomainError) return thrown;
  if (thrown instanceof ParseError) {
    return thrown.cause instanceof DomainError ? thrown.cause : new DomainError("malformed_request");
  }
  if (thrown instanceof NotFoundError) return new DomainError("not_found");
  if (thrown instanceof ValidationError && thrown.type !== "response") {
    return new DomainError("validation_failed", { errors: unmetRequirements(thrown) });
  }
  return new DomainError("internal_error", { cause: thrown ?? new Error("nothing was thrown") });
}

/** A path that there is, as its pattern, and the methods that it takes. */
type Place = { readonly route: string; readonly methods: readonly string[] };

/**
 * The paths that there are, by their one spelling. Elysia alone would take `//x` for `/x`, answer 404 to a wrong
 * method, and pass `;`, `%2f` and an unreadable query on. Patterns are of whole `:parameters`, without wildcards.
 */
function directory(
  routes: ReadonlyArray<{ readonly method: string; readonly path: string }>,
  meant: ReturnType<typeof meantPath>,
) {
  const places = Object.entries(Object.groupBy(routes, ({ path }) => path)).map(([route, all = []]): Place => {
    const methods = new Set(all.map(({ method }) => method));
    if (methods.has("GET")) methods.add("HEAD");
    return { route, methods: Array.from(methods).toSorted() };
  });
  const fixed = new Map(places.map((place) => [place.route, place]));
  const patterns = places
    .filter(({ route }) => route.includes(":"))
    // As in Elysia's router: what is spelled out goes before what is a parameter.
    .toSorted((a, b) => b.route.indexOf(":") - a.route.indexOf(":"))
    .map((place) => ({
      place,
      pattern: new RegExp(`^${place.route.replaceAll(".", "\\.").replace(/:\w+/g, "[^/]+")}$`),
    }));

  const find = (path: string): Place | undefined => {
    if (path.length > longestPath) return undefined;
    decodePercents(path);
    // Encoded slashes, backslashes and dots, and path parameters: other spellings of a path that there is.
    if (/%2f|%5c|%2e|[;\\#]/i.test(path)) return undefined;
    return fixed.get(path) ?? patterns.find(({ pattern }) => pattern.test(path))?.place;
  };

  /** The place that an address names, in whichever spelling. */
  const placeOf = (url: string) => {
    // Where the Host header is no host, Bun gives the path alone, and Elysia would look for it in the wrong place.
    if (!url.startsWith("http://")) fail("malformed_request", { detail: "Send a Host header that names a host." });
    const pathAt = url.indexOf("/", "http://".length);
    const queryAt = url.indexOf("?", pathAt);
    const asked = url.slice(pathAt, queryAt === -1 ? undefined : queryAt);
    const query = queryAt === -1 ? "" : url.slice(queryAt);
    const { path, delivery } = meant(asked);
    return { place: find(path) ?? fail("not_found"), asked, path, query, delivery };
  };

  return {
    methodsOf: ({ url }: Request): readonly string[] => placeOf(url).place.methods,
    /** Gives the request in our own spelling, with the pattern of its path, and fails where it cannot be let in. */
    admit(request: Request): { request: Request; route: string; delivery: Meant["delivery"] } {
      const { place, asked, path, query, delivery } = placeOf(request.url);
      const { method } = request;
      if (namesTwoHosts(request)) fail("malformed_request", { detail: "Send one Host header." });
      if (!place.methods.includes(method)) fail("method_not_allowed", { allow: place.methods });
      if (query !== "") readPairs(query.slice(1), "query");
      const spelled = path === asked ? request : new Request(`http://localhost${path}${query}`, request);
      return { request: spelled, route: place.route, delivery };
    },
  };
}
