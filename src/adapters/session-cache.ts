import type { Log, SessionCache } from "../core/core.ts";
import type { RedisConnection } from "./redis.ts";

/** Stands where a session was forgotten, for as long as somebody may still want to write down what it was. */
const gone = "gone";

const keyOf = (sessionId: string): string => `authctl:session:${sessionId}`;

/** For how long nothing is kept of a session that was forgotten, in milliseconds: longer than SESSION_CACHE_TTL of any server can be. */
const goneFor = 6_000;

export function createSessionCache(redis: RedisConnection, log: Log): SessionCache {
  return {
    async recall(sessionId) {
      const kept = await redis.ask("recall", (client) => client.get(keyOf(sessionId))).catch(() => null);
      return kept === null || kept === gone ? undefined : kept;
    },
    async keep(sessionId, text, milliseconds) {
      // Only where nothing stands: neither what somebody else kept, nor that it was forgotten.
      const keeping = redis.ask("recall", (client) => client.set(keyOf(sessionId), text, "PX", milliseconds, "NX"));
      await keeping.catch(() => null);
    },
    async forget(sessionIds) {
      const forgetting = redis.ask("forget", (client) =>
        Promise.all(sessionIds.map((id) => client.set(keyOf(id), gone, "PX", goneFor))),
      );
      await forgetting.catch(() => log.warn("session_cache_not_told", { sessions: sessionIds.length }));
    },
  };
}
