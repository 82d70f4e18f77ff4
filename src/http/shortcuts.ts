/**
 * What every request of every app asks for, answered at once: without a promise, a route or a hook. A shortcut only
 * ever gives the answer that its route would give, and a test asks both for everything. Where anything is out of the
 * ordinary it gives none: then the request goes through the app, which knows nothing of shortcuts.
 */
import type { Core } from "../core/core.ts";
import { type Onlooker, recognise, sessionsAtHand } from "../core/sessions.ts";
import { sessionView, userView } from "../core/views.ts";
import type { Account } from "../store/tables.ts";
import { type Handles, handlesOf } from "./guards.ts";
import { etagOf } from "./preconditions.ts";

/** What an answer is made of, and whose it is. */
export type AtOnce = { readonly rendered: Rendered; readonly whose: Onlooker };
type Rendered = { readonly body: string; readonly headers: Headers };

export type Shortcuts = {
  /** Whether there is one for this path, in its one spelling and without a query. */
  knows(path: string): boolean;
  answer(request: Request, path: string, now: Date): AtOnce | "forged" | undefined;
};

/** @param common the headers that every answer with JSON has */
export function shortcuts(core: Core, common: Headers): Shortcuts {
  const answers: ReadonlyMap<string, (whose: Onlooker) => Rendered | undefined> = new Map([
    ["/api/v1/users/me", ownAccount(common)],
    ["/api/v1/sessions", (whose) => ownSessions(core, common, whose)],
  ]);

  return {
    knows: (path) => answers.has(path),
    answer(request, path, now) {
      const answer = answers.get(path);
      if (!answer || request.method !== "GET" || request.headers.has("if-none-match")) return undefined;
      const handles = handlesOf(core, request);
      const token = onlyCredential(handles);
      if (token === undefined) return undefined;
      const whose = recognise(core, token, { userAgent: request.headers.get("user-agent"), now });
      // A browser is to forget a cookie that is refused.
      if (whose === "forged") return handles.bearer === undefined ? undefined : whose;
      const rendered = whose && answer(whose);
      return rendered && { rendered, whose };
    },
  };
}

/** Where two credentials come, it takes more to know which one counts. */
function onlyCredential({ bearer, accessCookie, sessionCookie }: Handles): string | undefined {
  if (bearer !== undefined) return bearer;
  return accessCookie === undefined || sessionCookie === undefined ? (accessCookie ?? sessionCookie) : undefined;
}

/** As many revisions of accounts have headers of their own: few accounts are changed often. */
const mostRevisions = 100;

/** Headers with the tag of an account, made once for all accounts of the same revision. */
function tagged(common: Headers) {
  const made = new Map<string, Headers>();
  return (user: Account): Headers => {
    const etag = etagOf(user);
    const known = made.get(etag);
    if (known) return known;
    const headers = new Headers(common);
    headers.set("etag", etag);
    if (made.size < mostRevisions) made.set(etag, headers);
    return headers;
  };
}

/** `GET /api/v1/users/me`, written once for as long as the account is kept as it is. */
function ownAccount(common: Headers) {
  const written = new WeakMap<Account, Rendered>();
  const headersFor = tagged(common);
  return ({ user, roles }: Onlooker): Rendered => {
    const known = written.get(user);
    if (known) return known;
    const rendered = { body: JSON.stringify(userView(user, roles)), headers: headersFor(user) };
    written.set(user, rendered);
    return rendered;
  };
}

/** `GET /api/v1/sessions`. */
function ownSessions(core: Core, headers: Headers, { user, session }: Onlooker): Rendered | undefined {
  const sessions = sessionsAtHand(core, user.id);
  const body = sessions && JSON.stringify(sessions.map((one) => sessionView(one, session.id)));
  return body === undefined ? undefined : { body, headers };
}
