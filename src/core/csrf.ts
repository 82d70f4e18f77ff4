/**
 * Proof that a request was made by a page that could read our answers: for browsers that do not say where a
 * request comes from (rule BR-1).
 */
import type { Core } from "./core.ts";
import { sessionOfHandle } from "./handles.ts";
import { mintSecret, sign, verify } from "./secrets.ts";
import { isAlive } from "./standings.ts";

/** A token for whoever holds these handles, good for their session. */
export async function mintCsrfToken(core: Core, handles: readonly string[]): Promise<string> {
  const nonce = mintSecret(core.random).slice(0, 22);
  const [session = ""] = await sessionsOf(core, handles);
  return `${nonce}.${sign(core.keyring, "csrf", `${nonce}|${session}`)}`;
}

/**
 * Whether a request that carries these handles may have been made by somebody else's page: it is of a session that
 * is alive, and the token was not given to whoever held that.
 */
export async function mayBeForged(core: Core, token: string | null, handles: readonly string[]): Promise<boolean> {
  const sessions: string[] = [];
  for (const id of await sessionsOf(core, handles)) {
    const standing = await core.store.sessions.standing(id);
    if (standing && isAlive(standing.session, standing.user, core.clock.now())) sessions.push(id);
  }
  const [, nonce, signature] = /^([\w-]{22})\.([\w-]{43})$/.exec(token ?? "") ?? [];
  return !sessions.every(
    (session) => nonce && signature && verify(core.keyring, "csrf", `${nonce}|${session}`, signature),
  );
}

async function sessionsOf(core: Core, handles: readonly string[]): Promise<string[]> {
  const ids = await Promise.all(handles.map((handle) => sessionOfHandle(core, handle)));
  return ids.filter((id) => id !== undefined);
}
