/** Has sessions forgotten that are kept outside of the database, whenever what is kept of them is no longer so. */
import type { Store, Tx } from "../store/store.ts";
import type { Clock, Log, SessionCache } from "./core.ts";

/**
 * Whose standing a writer changes: of the sessions, or of every session of the user, or of those who hold the role,
 * that its first argument names. Of what is removed, the sessions can be asked for only before.
 */
type Whose = "nobody" | "sessions" | "user" | "removed user" | "holders of a removed role";

type WritersOf<Noun extends keyof Tx> = Exclude<keyof Tx[Noun], Noun extends keyof Store ? keyof Store[Noun] : never>;
type Changes = { readonly [Noun in keyof Tx]: Readonly<Record<WritersOf<Noun>, Whose>> };

/** Exhaustive: a new writer does not compile until it is said here whose standing it changes. */
const changes: Changes = {
  users: {
    insert: "nobody",
    claim: "user",
    update: "user",
    disable: "user",
    enable: "user",
    replacePassword: "user",
    // The time of the last sign-in: the other sessions may learn of it a little later.
    noteLogin: "nobody",
    advanceEpoch: "user",
    // In a database that was empty until this transaction.
    advanceEveryEpoch: "nobody",
    delete: "removed user",
    grantRole: "user",
    revokeRole: "user",
    claimRole: "nobody",
  },
  tombstones: { insert: "nobody", remove: "nobody" },
  // What a role permits is kept nowhere: it is read with every request that wants a permission.
  roles: { insert: "nobody", update: "nobody", delete: "holders of a removed role" },
  // Only those who were not there, and so have no session.
  userBatches: { insert: "nobody" },
  sessions: {
    insert: "nobody",
    touch: "nobody",
    move: "nobody",
    revoke: "sessions",
    prove: "sessions",
    adoptEpoch: "sessions",
    purge: "nobody",
  },
  refreshFamilies: { insert: "nobody", advance: "nobody", countRetry: "nobody", countLateRetry: "nobody" },
  challenges: { put: "nobody", consume: "nobody", spendAll: "nobody", purge: "nobody" },
  mails: {
    forget: "nobody",
    insert: "nobody",
    claim: "nobody",
    hold: "nobody",
    settle: "nobody",
    markSent: "nobody",
    postpone: "nobody",
    bury: "nobody",
    withdraw: "nobody",
    retry: "nobody",
    drop: "nobody",
    dropWaiting: "nobody",
    purge: "nobody",
  },
  signingKeys: {
    claim: "nobody",
    insert: "nobody",
    deactivate: "nobody",
    activate: "nobody",
    lengthen: "nobody",
    retire: "nobody",
    retireExpired: "nobody",
  },
  auditEvents: { insert: "nobody", seal: "nobody", removeThrough: "nobody", erase: "nobody" },
  auditHeads: { claim: "nobody", put: "nobody" },
  tries: { reserve: "nobody", giveBack: "nobody", forget: "nobody", forgetAll: "nobody", purge: "nobody" },
  bans: { put: "nobody", remove: "nobody", removeExpired: "nobody" },
  jobs: { recordSuccess: "nobody", recordFailure: "nobody" },
  servers: { beat: "nobody", call: "nobody", remove: "nobody", purge: "nobody" },
  serverSecrets: { claim: "nobody", insert: "nobody", deactivate: "nobody", activate: "nobody", retire: "nobody" },
  sealedTexts: { replace: "nobody" },
  // Filled and cleared before anybody is signed in there.
  contents: { insert: "nobody", insertJson: "nobody", clear: "nobody" },
};

const changing = Object.entries(changes).flatMap(([noun, writers]) =>
  Object.entries(writers)
    .filter(([, whose]) => whose !== "nobody")
    .map(([name, whose]) => ({ noun, name, whose })),
);

type Changed = { readonly sessions: Set<string>; readonly users: Set<string> };

/**
 * The same store, whose writes have the sessions forgotten that they changed the standing of: once they are
 * committed, and before whoever asked hears of it. A write that fails changed nothing; where nobody knows whether
 * it did, the bound is the life of what is kept.
 */
export function forgetting(store: Store, cache: SessionCache, { clock, log }: { clock: Clock; log: Log }): Store {
  const forget = async ({ sessions, users }: Changed): Promise<void> => {
    // Read after the commit: whoever signed in before it is seen, and whoever does so later has seen the change.
    for (const user of users) {
      for (const session of await store.sessions.idsOfUser(user, clock.now())) sessions.add(session);
    }
    if (sessions.size > 0) await cache.forget([...sessions]);
  };
  return {
    ...store,
    async write(work) {
      const changed: Changed = { sessions: new Set(), users: new Set() };
      const answer = await store.write((tx) => work(noting(tx, changed, clock)));
      // What is done is done: the answer must not say that it is not.
      await forget(changed).catch((error: unknown) => log.error("session_cache_not_told", {}, error));
      return answer;
    },
  };
}

type Methods = Readonly<Record<string, (...given: unknown[]) => Promise<unknown>>>;

/** The same transaction, noting whose standing is changed. */
function noting(tx: Tx, { sessions, users }: Changed, clock: Clock): Tx {
  const nouns: Record<string, Methods> = { ...(tx as unknown as Record<string, Methods>) };
  for (const { noun, name, whose } of changing) {
    const method = nouns[noun]![name]!;
    const noted: Methods[string] = async (...given) => {
      const named = [given[0]].flat() as string[];
      const ids =
        whose === "removed user"
          ? await tx.sessions.idsOfUser(named[0]!, clock.now())
          : whose === "holders of a removed role"
            ? await tx.sessions.idsOfHolders(named[0]!, clock.now())
            : named;
      for (const id of ids) (whose === "user" ? users : sessions).add(id);
      return await method(...given);
    };
    nouns[noun] = { ...nouns[noun], [name]: noted };
  }
  return nouns as unknown as Tx;
}
