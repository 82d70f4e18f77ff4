import type { Server } from "../store/servers.ts";
import type { Core } from "./core.ts";
import { currentKeys } from "./signing-keys.ts";

export type Check = { readonly name: "database" | "signing_key" | "redis"; readonly ok: boolean };
export type Health = { readonly ok: boolean; readonly checks: readonly Check[] };

/** Anybody may ask, so that an answer is good for a second: asking often costs no more writes. */
const goodFor = 1_000;

/** Parts that the server works without. */
const dispensable: ReadonlySet<Check["name"]> = new Set(["redis"]);

/** Whether this server can do its work: proven by a write, and by a key to sign with. */
export function healthOf(core: Core, server: Omit<Server, "seenAt">): () => Promise<Health> {
  let last: { at: number; health: Promise<Health> } | undefined;
  return () => {
    const now = core.clock.now().getTime();
    if (!last || now - last.at >= goodFor || now < last.at) last = { at: now, health: examine(core, server) };
    return last.health;
  };
}

async function examine(core: Core, server: Omit<Server, "seenAt">): Promise<Health> {
  const checks = await Promise.all([
    passes(
      core,
      "database",
      core.store.write((tx) => tx.servers.beat({ ...server, seenAt: core.clock.now() })),
    ),
    passes(core, "signing_key", currentKeys(core)),
    ...(core.pingRedis ? [passes(core, "redis", core.pingRedis())] : []),
  ]);
  return { ok: checks.every(({ name, ok }) => ok || dispensable.has(name)), checks };
}

async function passes(core: Core, name: Check["name"], proof: Promise<unknown>): Promise<Check> {
  try {
    await proof;
    return { name, ok: true };
  } catch (error) {
    core.log.error("health_check_failed", { check: name }, error);
    return { name, ok: false };
  }
}

/** Says that this server has ended. */
export async function leave(core: Core, serverId: string): Promise<void> {
  await core.store.write((tx) => tx.servers.remove(serverId));
}
