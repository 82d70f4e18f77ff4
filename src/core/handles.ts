import { verifyAccessToken } from "./access-tokens.ts";
import type { Core } from "./core.ts";
import { isRefreshToken, sessionOfRefreshToken } from "./refresh-tokens.ts";
import { sessionOfToken } from "./sessions.ts";

/** The id of the session that a handle is of, alive or not; an expired access token is one too. */
export async function sessionOfHandle(core: Core, handle: string): Promise<string | undefined> {
  if (handle.startsWith("st_")) return sessionOfToken(core, handle)?.id;
  if (isRefreshToken(handle)) return await sessionOfRefreshToken(core, handle);
  return (await verifyAccessToken(core, handle, { expired: true }))?.sessionId;
}
