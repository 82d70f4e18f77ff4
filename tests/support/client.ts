import type { credentialsView, sessionView, userView } from "../../src/core/views.ts";
import type { problemOf } from "../../src/http/problem.ts";
import type { CookieJar } from "./cookie-jar.ts";
import { readSetCookie, type SetCookie } from "./cookie-jar.ts";

export type WireUser = ReturnType<typeof userView>;
export type WireSession = ReturnType<typeof sessionView>;
export type Problem = ReturnType<typeof problemOf>;
type About = Pick<ReturnType<typeof credentialsView>, "token_type" | "expires_in" | "session_id" | "user">;
export type Tokens = About & {
  readonly access_token: string;
  readonly refresh_token: string;
  readonly refresh_expires_in: number;
};
export type SessionToken = About & { readonly session_token: string };

/** An answer as a program sees it. `body` is what the caller expects; where it was no JSON, it is `undefined`. */
export type Answer<T> = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: T;
  readonly cookies: readonly SetCookie[];
};

export type Sending = {
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as `Authorization: Bearer …`. */
  readonly bearer?: string;
  /** Sends its cookies, and takes in those of the answer. */
  readonly jar?: CookieJar;
  readonly signal?: AbortSignal;
};

export const firefoxAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0";
export const safariAgent =
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15";

/** Speaks to one server as a browser's `fetch` would. A body that is no text is sent as JSON. */
export function createClient(origin: () => string) {
  async function send<T>(method: string, path: string, body?: unknown, sending: Sending = {}): Promise<Answer<T>> {
    const { jar, bearer, signal } = sending;
    const cookies = jar?.headerFor(path) ?? "";
    const own = Object.keys(sending.headers ?? {});
    const saysWhence = own.some((name) => ["origin", "sec-fetch-site", "user-agent"].includes(name));
    const headers = {
      "user-agent": firefoxAgent,
      ...(cookies !== "" && !saysWhence && { "sec-fetch-site": "same-origin" }),
      ...(body !== undefined && { "content-type": "application/json" }),
      ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
      ...(cookies !== "" && { cookie: cookies }),
      ...sending.headers,
    };
    const response = await fetch(origin() + path, {
      method,
      headers,
      redirect: "manual",
      // A connection that is kept would be a dead one after a restart.
      keepalive: false,
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
      ...(signal && { signal }),
    });
    const text = await response.text();
    const set = response.headers.getSetCookie().map(readSetCookie);
    jar?.take(set);
    const isJson = text !== "" && /json/.test(response.headers.get("content-type") ?? "");
    const given = (isJson ? JSON.parse(text) : undefined) as T;
    return { status: response.status, headers: response.headers, text, body: given, cookies: set };
  }

  return {
    send,
    get: <T = Problem>(path: string, sending?: Sending) => send<T>("GET", path, undefined, sending),
    post: <T = Problem>(path: string, body?: unknown, sending?: Sending) => send<T>("POST", path, body, sending),
    put: <T = Problem>(path: string, body?: unknown, sending?: Sending) => send<T>("PUT", path, body, sending),
    patch: <T = Problem>(path: string, body?: unknown, sending?: Sending) => send<T>("PATCH", path, body, sending),
    delete: <T = Problem>(path: string, body?: unknown, sending?: Sending) => send<T>("DELETE", path, body, sending),
  };
}

export type HttpClient = ReturnType<typeof createClient>;
