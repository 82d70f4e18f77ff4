/**
 * Browsers that a user has signed in with before. The proof of it signs nobody in: it only says whose tries of a
 * password are counted apart, so that no stranger who spends those of the account keeps its owner out (rule LI-2).
 */
import type { User } from "../store/tables.ts";
import type { Core } from "./core.ts";
import { sessionOfHandle } from "./handles.ts";
import { mintSecret, sign, verify } from "./secrets.ts";
import { isAlive } from "./standings.ts";

/** What a client brings along when it signs in. */
export type Presented = {
  readonly device?: string | undefined;
  /** Handles on the session that it still has. */
  readonly handles: readonly string[];
};

/** Stands where there is no user, so that the same work is done: nobody has it, and nothing is signed for it. */
const nobody = "00000000-0000-0000-0000-000000000000";

/**
 * The device that a client is known by to this user: of the proof that was given to it, or of a session of the user
 * that is alive. `undefined` for a stranger, and where there is no such user, after the same work.
 */
export async function knownDevice(
  core: Core,
  user: User | undefined,
  { device, handles }: Presented,
): Promise<string | undefined> {
  const proven = deviceOf(core, user?.id ?? nobody, device);
  const sessions = await Promise.all(handles.map((handle) => liveSession(core, handle)));
  return proven ?? sessions.find((one) => one?.user.id === user?.id)?.session.id;
}

/**
 * What tells this browser again: by the name that it has, where its proof is good for the user, else by a new one.
 * Signed anew each time, so that whoever signs in now and then is known beyond the life of a server secret.
 */
export function rememberDevice(core: Core, userId: string, presented: string | undefined): string {
  const id = deviceOf(core, userId, presented) ?? mintSecret(core.random).slice(0, 22);
  return `dv1.${id}.${sign(core.keyring, "device", `${id}|${userId}`)}`;
}

function deviceOf(core: Core, userId: string, proof: string | undefined): string | undefined {
  const [, id, signature] = /^dv1\.([\w-]{22})\.([\w-]{43})$/.exec(proof ?? "") ?? [];
  return id && signature && verify(core.keyring, "device", `${id}|${userId}`, signature) ? id : undefined;
}

async function liveSession(core: Core, handle: string) {
  const id = await sessionOfHandle(core, handle);
  const standing = id === undefined ? undefined : await core.store.sessions.standing(id);
  return standing && isAlive(standing.session, standing.user, core.clock.now()) ? standing : undefined;
}
