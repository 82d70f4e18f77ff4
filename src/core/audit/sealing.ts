/** Gives the entries of the audit trail their places in the chain: soon after they are written, and in no one's way. */
import type { Sealed, StoredAuditEvent } from "../../store/audit-events.ts";
import type { Store, Tx } from "../../store/store.ts";
import type { AuditHead } from "../../store/tables.ts";
import { job } from "../actors.ts";
import { record } from "../audit.ts";
import type { Core } from "../core.ts";
import { mintSecret, provenBy, withoutRetired, writingVersion } from "../secrets.ts";
import { checkHead, checkWritten, hashOf, headOf, personalDigestOf, placedMac, storedDigestOf } from "./chain.ts";

/** Entries that one transaction seals. */
const batchSize = 200;
/** How long after a commit: what is written meanwhile shares the transaction, in milliseconds. */
const delay = 250;
/** How long whoever ends waits for the last entries, in milliseconds. */
const farewell = 2_000;

/** Where the chain ends. */
type End = { readonly seq: number; readonly hash: string; readonly adopted: number };

/** Seals what is committed, to the end. */
export async function sealAudit(core: Core, isWanted: () => boolean = () => true): Promise<void> {
  let sealed = batchSize;
  while (sealed === batchSize && isWanted()) sealed = await core.store.write((tx) => sealBatch(core, tx));
}

/**
 * The order is that of sealing: an entry whose transaction took long comes after entries that are younger, and
 * before none that has a place already. Only one transaction at a time goes on with the chain, as it claims its head.
 */
async function sealBatch(core: Core, tx: Tx): Promise<number> {
  const begin = await endOfChain(core, tx);
  if (!begin) return 0;
  let end: End = begin;
  const sealed: Sealed[] = [];
  for (const entry of await tx.auditEvents.unsealed(batchSize)) {
    const one = sealedAfter(core, end, entry);
    sealed.push(one);
    const adopted = end.adopted + (entry.mac === null && one.mac !== null ? 1 : 0);
    end = { seq: one.seq, hash: one.hash, adopted };
  }
  if (sealed.length === 0) return 0;
  await tx.auditEvents.seal(sealed);
  await tx.auditHeads.put(headOf(core.keyring, { name: "head", ...end }));
  await renewAnchor(core, tx);
  return sealed.length;
}

/** The anchor outlives many secrets: it is proven anew by the one that writes while the one before is still accepted. */
const renewAnchor = async (core: Core, tx: Tx): Promise<void> =>
  await renew(core, tx, await tx.auditHeads.byName("anchor"));

async function renew({ keyring }: Core, tx: Tx, head: AuditHead | undefined): Promise<void> {
  if (!head || provenBy(head.mac) === writingVersion(keyring)) return;
  if (checkHead(keyring, head) === "genuine") await tx.auditHeads.put(headOf(keyring, head));
}

/** Has both ends of the chain proven by the secret that writes. */
export async function renewHeads(core: Core, tx: Tx): Promise<void> {
  // Claimed: otherwise one that is sealed at this moment would be set back.
  await renew(core, tx, await tx.auditHeads.claim("head"));
  await renewAnchor(core, tx);
}

/** An entry that is not as it was written gets its place and nothing that proves it: so it is found for good. */
function sealedAfter({ keyring, random }: Core, end: End, entry: StoredAuditEvent): Sealed {
  const seq = end.seq + 1;
  // From before there was a chain: taken over as they are, at its beginning and nowhere else.
  const isAdopted = entry.mac === null && end.adopted === end.seq;
  const bare = isAdopted && entry.personalDigest === null && (entry.ip !== null || entry.userAgent !== null);
  const personalSalt = bare ? mintSecret(random) : null;
  const personalDigest = personalSalt && personalDigestOf(personalSalt, entry);
  const digest = storedDigestOf(personalDigest ? { ...entry, personalDigest } : entry);
  const hash = hashOf(end.hash, seq, digest);
  // Who holds a secret that is retired, because it leaked, writes nothing that is proven.
  const written = entry.mac === null ? "forged" : checkWritten(withoutRetired(keyring), digest, entry.mac);
  const isProven = isAdopted || written === "genuine";
  const mac = isProven ? placedMac(keyring, { seq, hash }, digest) : entry.mac;
  return { id: entry.id, seq, hash, mac, personalDigest, personalSalt };
}

/**
 * The end that the head tells of. Where somebody took the head away or put another one there, the chain goes on
 * behind the last entry that it has, and an entry of its own tells so for good. `undefined` where a secret made the
 * head that this server does not accept: another server has a newer one, and it is that one's turn.
 */
async function endOfChain(core: Core, tx: Tx): Promise<End | undefined> {
  const head = await tx.auditHeads.claim("head");
  const last = await tx.auditEvents.lastSealed();
  const proven = checkHead(core.keyring, head);
  if (proven === "genuine" && head.seq >= (last?.seq ?? 0)) return head;
  if (proven === "unknown secret") {
    core.log.error("audit_head_of_unknown_secret", { seq: head.seq });
    return undefined;
  }
  const anchor = await tx.auditHeads.byName("anchor");
  const end = { seq: 0, hash: "", ...anchor, ...last };
  const isFirst = head.mac === null && head.seq === 0 && end.seq === 0;
  if (isFirst) return { ...end, adopted: 0 };
  const particulars = { claimed: head.seq, found: end.seq };
  core.log.error("audit_chain_broken", particulars);
  await record(core, tx, job("audit"), { action: "audit.chain_broken", particulars });
  return { ...end, adopted: anchor?.adopted ?? 0 };
}

/**
 * The same core, which seals what it has written: a moment after each commit, all of it together, and before it
 * is closed. A failure is told to the log alone: the entries stand there, and are sealed the next time.
 * @param atOnce whether there may be entries that somebody else left behind: an older version, or a server that was killed
 */
export function withSealing(core: Core, atOnce: boolean): Core {
  let isDue = false;
  let isEnding = false;
  let cancel: (() => void) | undefined;
  let running: Promise<void> | undefined;

  const seal = async (): Promise<void> => {
    isDue = false;
    try {
      await sealAudit(core, () => !isEnding);
    } catch (error) {
      isDue = true;
      core.log.error("audit_sealing_failed", {}, error);
    }
  };
  const begin = (): void => {
    cancel = undefined;
    running = (running ?? Promise.resolve()).then(seal);
  };
  const due = (): void => {
    isDue = true;
    cancel ??= core.clock.after(delay, begin);
  };

  if (atOnce) due();

  const finish = async (): Promise<void> => {
    cancel?.();
    await running;
    if (isDue) await seal();
  };

  return {
    ...core,
    store: telling(core.store, due),
    close: async () => {
      const { promise: over, resolve } = Promise.withResolvers<void>();
      const giveUp = core.clock.after(farewell, () => {
        isEnding = true;
        resolve();
      });
      await Promise.race([finish(), over]);
      giveUp();
      await core.close();
    },
  };
}

/** The same store, which calls `then` after each commit that holds an entry. */
const telling = (store: Store, then: () => void): Store => ({
  ...store,
  async write(work) {
    let hasEntry = false;
    const answer = await store.write((tx) => {
      const insert: Tx["auditEvents"]["insert"] = async (event) => {
        hasEntry = true;
        await tx.auditEvents.insert(event);
      };
      return work({ ...tx, auditEvents: { ...tx.auditEvents, insert } });
    });
    if (hasEntry) then();
    return answer;
  },
});
