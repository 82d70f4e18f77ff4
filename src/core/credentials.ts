import type { Standing } from "../store/sessions.ts";
import { issueAccessToken } from "./access-tokens.ts";
import type { Core } from "./core.ts";

/** What a client holds after signing in: handles on one session. Lives are in seconds. */
export type Credentials =
  | {
      readonly credential: "tokens";
      readonly standing: Standing;
      readonly accessToken: string;
      readonly expiresIn: number;
      readonly refreshToken: string;
      readonly refreshExpiresIn: number;
    }
  | {
      readonly credential: "session";
      readonly standing: Standing;
      readonly sessionToken: string;
      readonly expiresIn: number;
    };

export const secondsUntil = (then: Date, now: Date): number =>
  Math.max(0, Math.round((then.getTime() - now.getTime()) / 1000));

/** A fresh access token beside a refresh token. */
export async function tokenCredentials(
  core: Core,
  standing: Standing,
  given: { permissions: readonly string[]; refreshToken: string; idleExpiresAt: Date },
): Promise<Credentials> {
  const access = await issueAccessToken(core, standing.session, {
    roles: standing.roles,
    permissions: given.permissions,
  });
  return {
    credential: "tokens",
    standing,
    accessToken: access.token,
    expiresIn: access.expiresIn,
    refreshToken: given.refreshToken,
    refreshExpiresIn: secondsUntil(given.idleExpiresAt, core.clock.now()),
  };
}
