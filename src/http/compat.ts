/**
 * The addresses at which the clients of the FastAPI templates look for us. They are no routes: each is another
 * spelling of one that there is, so that guards, limits and the access log know of one path alone.
 */
import type { Config } from "../config.ts";

/** Where the routes of `/api/v1/auth` are found as well. */
export const compatAuthPath = "/auth";

const elsewhere: Readonly<Record<string, string>> = {
  "/users/me": "/api/v1/users/me",
  "/token": "/api/v1/auth/login-form",
  "/redoc": "/docs",
};

/** What was asked for, in our own spelling. */
export type Meant = {
  readonly path: string;
  /** How credentials are given there, where the request does not say. */
  readonly delivery: "body" | "cookie";
};

/** With COMPAT_PATHS, the path that is meant by one that there is not; without, every path means itself. */
export function meantPath({ COMPAT_PATHS }: Pick<Config, "COMPAT_PATHS">): (path: string) => Meant {
  if (!COMPAT_PATHS) return (path) => ({ path, delivery: "body" });
  return (path) => {
    // One slash at the end, where there is something before it: `//` stays nobody's path.
    const bare = /[^/]\/$/.test(path) ? path.slice(0, -1) : path;
    if (bare.startsWith(`${compatAuthPath}/`)) return { path: `/api/v1${bare}`, delivery: "cookie" };
    return { path: Object.hasOwn(elsewhere, bare) ? (elsewhere[bare] ?? bare) : bare, delivery: "body" };
  };
}
