import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import { beat, type Presence } from "./servers.ts";
import { currentKeys } from "./signing-keys.ts";

/** Times are in milliseconds. */
export type Check = {
  readonly name: "database" | "schema" | "signing_key" | "redis";
  readonly ok: boolean;
  /** How long it took. */
  readonly latency: number;
  /** How long ago it began. */
  readonly age: number;
};
export type Health = { readonly ok: boolean; readonly checks: readonly Check[] };

type Part = {
  readonly name: Check["name"];
  /** For how long it need not be proven again, in milliseconds: anybody may ask, and asking often must cost nothing. */
  readonly goodFor: number;
  /** Whether the server works without it. */
  readonly isDispensable?: boolean;
  readonly prove: () => Promise<unknown>;
};

/** What is wrong may be mended at any moment. */
const badFor = 1_000;

function partsOf(core: Core, presence: Presence): Part[] {
  const { pingRedis } = core;
  return [
    {
      name: "database",
      goodFor: 1_000,
      prove: () => beat(core, presence),
    },
    // Asked on a connection of its own; and whoever migrates does not do so every second.
    { name: "schema", goodFor: 30_000, prove: () => requireSchema(core) },
    { name: "signing_key", goodFor: 1_000, prove: () => currentKeys(core) },
    ...(pingRedis ? [{ name: "redis", goodFor: 1_000, isDispensable: true, prove: pingRedis } as const] : []),
  ];
}

/** Fails where the tables are no longer those of this version, or of one that only adds to it. */
async function requireSchema({ store }: Core): Promise<void> {
  const migrations = await store.migrations.status();
  if (!migrations.every(({ state }) => state === "applied" || state === "ahead")) fail("schema_outdated");
}

/**
 * Whether this server can do its work: proven by a write, its tables, and a key to sign with. A start that has just
 * been through all of that is a proof, too: it says when it ended.
 */
export function healthOf(core: Core, presence: Presence, provenAt?: Date): () => Promise<Health> {
  const now = () => core.clock.now().getTime();
  const parts = partsOf(core, presence).map((part) => ({
    part,
    check: remembered(core, part, part.isDispensable ? undefined : provenAt?.getTime()),
  }));
  return async () => {
    const results = await Promise.all(parts.map(async ({ part, check }) => ({ part, result: await check() })));
    return {
      ok: results.every(({ part, result }) => result.ok || part.isDispensable),
      checks: results.map(({ part: { name }, result: { ok, latency, at } }) => ({
        name,
        ok,
        latency,
        age: Math.max(0, now() - at),
      })),
    };
  };
}

type Result = { readonly at: number; readonly ok: boolean; readonly latency: number };

/** One examination for all who ask at the same time, and for those who ask a little later. */
function remembered(core: Core, part: Part, provenAt?: number): () => Promise<Result> {
  let last: { until: number; at: number; result: Promise<Result> } | undefined;
  if (provenAt !== undefined) {
    const result = Promise.resolve({ at: provenAt, ok: true, latency: 0 });
    last = { at: provenAt, until: provenAt + part.goodFor, result };
  }
  return () => {
    const at = core.clock.now().getTime();
    if (!last || at >= last.until || at < last.at) {
      const result = examine(core, part, at).then((one) => {
        if (!one.ok) fresh.until = at + badFor;
        return one;
      });
      const fresh = { at, until: at + part.goodFor, result };
      last = fresh;
    }
    return last.result;
  };
}

async function examine(core: Core, { name, prove }: Part, at: number): Promise<Result> {
  const result = (ok: boolean): Result => ({ at, ok, latency: Math.max(0, core.clock.now().getTime() - at) });
  try {
    await prove();
    return result(true);
  } catch (error) {
    core.log.error("health_check_failed", { check: name }, error);
    return result(false);
  }
}
