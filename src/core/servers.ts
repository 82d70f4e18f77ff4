/**
 * The servers that run on one database know of each other by their rows in it: each says there that it lives and
 * what it goes by, and an operator calls all of them there to read anew whatever they keep.
 */
import type { Server } from "../store/servers.ts";
import type { Readers } from "../store/store.ts";
import type { Core } from "./core.ts";
import { forgetAll } from "./kept.ts";
import { followSecrets } from "./secrets/keyrings.ts";
import { currentKeys, rereadKeys } from "./signing-keys.ts";
import { rest } from "./upkeep.ts";

/** How often a server looks whether it is called, in milliseconds. */
const listenEvery = 1_000;
/** How often it says that it lives, where nothing else is to be said, in milliseconds. */
const beatEvery = 10_000;
/** Who has not been heard of for so long does not run any more, in milliseconds. */
export const silence = 3 * beatEvery;
/** How often whoever has called looks for answers, in milliseconds. */
const lookEvery = 50;

/** A running server, and the last call that it has answered. */
export type Presence = Pick<Server, "id" | "host" | "version" | "startedAt"> & { heard?: string };

/** Says that the server lives, and what it goes by. Proves by the way that the database can be written to. */
export async function beat(core: Core, presence: Presence): Promise<void> {
  const row = await rowOf(core, presence);
  await core.store.write((tx) => tx.servers.beat(row));
}

/**
 * The first of these, before the server takes requests. Whoever makes another secret write sees it, or it sees that
 * other secret: fails with `secret_mismatch` where it does not hold that one.
 */
export async function join(core: Core, presence: Presence): Promise<void> {
  const row = await rowOf(core, presence);
  await core.store.write(async (tx) => {
    await tx.serverSecrets.claim();
    await tx.servers.beat(row);
  });
  await followSecrets(core);
}

async function rowOf(core: Core, presence: Presence) {
  // Read anew where nobody has asked for them for long; without any, the rest still counts.
  const keys = await currentKeys(core).catch(() => undefined);
  return {
    ...presence,
    seenAt: core.clock.now(),
    keys: keys ? [...keys.verifying.keys()].join(" ") : null,
    secrets: core.keyring.secrets.map(({ version }) => version).join(" "),
  };
}

/** Lets go of whatever was kept, so that what was written before the call counts with the next request. */
async function readAnew(core: Core): Promise<void> {
  core.kept.distrustBefore = core.clock.now().getTime();
  forgetAll(core.kept);
  // Before the keys, which may be sealed anew. What cannot be read leaves the secrets as they are.
  await followSecrets(core).catch((error: unknown) => core.log.error("secrets_not_read", {}, error));
  await Promise.all([rereadKeys(core), core.bans.read()]);
}

/** Listens for calls, and says every now and then that the server lives, until it is stopped. */
export function startHeartbeat(core: Core, presence: Presence): { stop(): void } {
  let stopped = false;
  let cancel = (): void => {};
  let beatAt = Number.NEGATIVE_INFINITY;
  let isWell = true;

  const listen = async (): Promise<void> => {
    const called = await core.store.servers.called(presence.id);
    const isCalled = typeof called === "string" && called !== presence.heard;
    const now = core.clock.now().getTime();
    if (!isCalled && called !== undefined && Math.abs(now - beatAt) < beatEvery) return;
    // Somebody took it for one that has ended, and has not called it since.
    const isForgotten = called === undefined;
    if (isCalled || isForgotten) await readAnew(core);
    if (isCalled) presence.heard = called;
    await beat(core, presence);
    beatAt = now;
  };
  const turn = async (): Promise<void> => {
    try {
      await listen();
      isWell = true;
    } catch (error) {
      // Once: a database that is away is told about by every request, too.
      if (isWell) core.log.error("heartbeat_failed", {}, error);
      isWell = false;
    }
    listenAgain();
  };
  const listenAgain = (): void => {
    if (!stopped) cancel = core.clock.after(listenEvery, () => void turn());
  };
  listenAgain();
  return {
    stop: () => {
      stopped = true;
      cancel();
    },
  };
}

/** Says that this server has ended. */
export async function leave(core: Core, serverId: string): Promise<void> {
  await core.store.write((tx) => tx.servers.remove(serverId));
}

/** The servers that run now, as they were last heard of. */
export const liveServers = async (core: Core, readers: Pick<Readers, "servers"> = core.store): Promise<Server[]> =>
  await readers.servers.seenSince(new Date(core.clock.now().getTime() - silence));

/** The versions of the secrets that a server accepts; it writes by the first one. */
export const secretsOf = ({ secrets }: Server): readonly string[] => secrets?.split(" ") ?? [];

export type Answered = {
  readonly heard: readonly Server[];
  /** Those that have not answered in time. */
  readonly silent: readonly Server[];
  /** How long it took, in milliseconds. */
  readonly took: number;
};

/**
 * Has every server that runs read anew whatever it keeps, and waits until all have said that they did: what was
 * committed before this is known to each of them then. No longer than `timeout`, in milliseconds, and no longer
 * than until it is interrupted.
 */
export async function callServers(
  core: Core,
  { timeout, interrupted }: { readonly timeout: number; readonly interrupted?: AbortSignal },
): Promise<Answered> {
  const begun = core.clock.now();
  const call = core.random.id(begun);
  const called = await core.store.write((tx) => tx.servers.call(call, new Date(begun.getTime() - silence)));
  for (;;) {
    const took = core.clock.now().getTime() - begun.getTime();
    const there = new Map((await core.store.servers.seenSince(new Date(0))).map((one) => [one.id, one]));
    // Who has left meanwhile serves nobody; and a later call is an answer to this one, too.
    const waitedFor = called.filter(({ id }) => there.has(id)).toSorted((one, other) => (one.id < other.id ? -1 : 1));
    const isHeard = ({ id }: Server): boolean => (there.get(id)?.heard ?? "") >= call;
    const silent = waitedFor.filter((one) => !isHeard(one));
    if (silent.length === 0 || took >= timeout || interrupted?.aborted)
      return { heard: waitedFor.filter(isHeard), silent, took };
    await rest(core, Math.min(lookEvery, timeout - took), interrupted);
  }
}
