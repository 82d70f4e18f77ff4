/**
 * The cookies that carry credentials. Read by hand: Elysia would parse a value as JSON, and let the last of
 * two cookies of one name win, which is how a neighbouring host plants a session.
 */
import type { Config } from "../config.ts";
import type { Credentials } from "../core/credentials.ts";
import { compatAuthPath } from "./compat.ts";

/** All that our tokens are made of. Anything else is nobody's credential. */
const tokenText = /^[A-Za-z0-9._~-]{1,4096}$/;

/** The cookies of these names. One that is sent twice, or holds what no token holds, counts as not sent. */
export function readCookies<Name extends string>(
  header: string | null,
  names: readonly Name[],
): Readonly<Partial<Record<Name, string>>> {
  const credentials: Partial<Record<Name, string>> = {};
  if (header === null) return credentials;
  const refused: Name[] = [];
  for (const pair of header.split(";")) {
    const at = pair.indexOf("=");
    const sent = pair.slice(0, Math.max(at, 0)).trim();
    const name = names.find((one) => one === sent);
    if (name === undefined) continue;
    const value = pair.slice(at + 1).trim();
    if (!refused.includes(name) && !(name in credentials) && tokenText.test(value)) credentials[name] = value;
    else {
      refused.push(name);
      delete credentials[name];
    }
  }
  return credentials;
}

type CookieSettings = Pick<
  Config,
  | "COOKIE_ACCESS_NAME"
  | "COOKIE_REFRESH_NAME"
  | "COOKIE_SESSION_NAME"
  | "COOKIE_DEVICE_NAME"
  | "COOKIE_SECURE"
  | "COOKIE_SAMESITE"
  | "COOKIE_DOMAIN"
  | "COMPAT_PATHS"
>;

type WithoutStanding<C> = C extends Credentials ? Omit<C, "standing"> : never;

type Kind = "access" | "refresh" | "session";

type Attributes = { readonly name: string; readonly path: string; readonly sameSite: "Lax" | "Strict" | "None" };

/** How long a browser is known, in seconds: a year from the last sign-in. */
const deviceMaxAge = 365 * 24 * 60 * 60;

/** The cookies of the contract: how they are called, set and cleared. All are values of `Set-Cookie`. */
export function credentialCookies(settings: CookieSettings) {
  const sameSite = ({ lax: "Lax", strict: "Strict", none: "None" } as const)[settings.COOKIE_SAMESITE];
  const access: Attributes = { name: settings.COOKIE_ACCESS_NAME, path: "/", sameSite };
  // Only the routes that take a refresh token are ever sent one: a cookie for each place that they are found at.
  const refreshPaths = ["/api/v1/auth", ...(settings.COMPAT_PATHS ? [compatAuthPath] : [])];
  const refresh = refreshPaths.map(
    (path): Attributes => ({ name: settings.COOKIE_REFRESH_NAME, path, sameSite: "Strict" }),
  );
  const session: Attributes = { name: settings.COOKIE_SESSION_NAME, path: "/", sameSite };
  const device: Attributes = { name: settings.COOKIE_DEVICE_NAME, path: "/", sameSite: "Lax" };
  const names = { access: access.name, refresh: settings.COOKIE_REFRESH_NAME, session: session.name };

  const write = (cookie: Attributes, value: string, maxAge?: number): string => {
    // Browsers refuse a `__Host-` cookie with a Domain (RFC 6265bis, section 4.1.3.2).
    const domain = cookie.name.startsWith("__Host-") ? undefined : settings.COOKIE_DOMAIN;
    return [
      `${cookie.name}=${value}`,
      ...(domain === undefined ? [] : [`Domain=${domain}`]),
      `Path=${cookie.path}`,
      ...(maxAge === undefined ? [] : [`Max-Age=${maxAge}`]),
      "HttpOnly",
      ...(settings.COOKIE_SECURE ? ["Secure"] : []),
      `SameSite=${cookie.sameSite}`,
    ].join("; ");
  };
  // A browser forgets a cookie only where the attributes are those that it was set with.
  const forget = (cookie: Attributes) => write(cookie, "", 0);
  const forgotten = { access: [forget(access)], refresh: refresh.map(forget), session: [forget(session)] };
  const allForgotten = Object.values(forgotten).flat();

  return {
    names,

    /**
     * Gives the browser these credentials, and takes away those of the other kind: one browser, one session. With the
     * proof of a device it is known again when somebody signs in, which signing out changes nothing of.
     */
    set: (given: WithoutStanding<Credentials>, proof?: string): string[] => [
      ...(given.credential === "session"
        ? [write(session, given.sessionToken), ...forgotten.access, ...forgotten.refresh]
        : [
            write(access, given.accessToken, given.expiresIn),
            ...refresh.map((one) => write(one, given.refreshToken, given.refreshExpiresIn)),
            ...forgotten.session,
          ]),
      ...(proof === undefined ? [] : [write(device, proof, deviceMaxAge)]),
    ],

    /** The proof of a device that came with a request. */
    deviceOf: ({ headers }: Request): string | undefined =>
      readCookies(headers.get("cookie"), [device.name])[device.name],

    /** Takes away these, or all of them. */
    clear: (which?: readonly Kind[]): string[] => (which ? which.flatMap((one) => forgotten[one]) : [...allForgotten]),

    /** Which of these cookies came with a request, whether they can be read or not. */
    sent: ({ headers }: Request, ...which: readonly Kind[]): Kind[] => {
      const sent = (headers.get("cookie") ?? "").split(";").map((pair) => pair.split("=", 1)[0]?.trim());
      return which.filter((one) => sent.includes(names[one]));
    },
  };
}
