import type { StoredAuditEvent } from "../../store/audit-events.ts";
import type { Readers } from "../../store/store.ts";
import type { AuditHead } from "../../store/tables.ts";
import type { Core } from "../core.ts";
import { checkHead, checkPlaced, checkWritten, hashOf, personalState, storedDigestOf } from "./chain.ts";

/** Entries that are read at a time: all that is ever in memory. */
const pageSize = 500;
/** Findings that are told one by one; what is beyond is counted. */
const mostTold = 1_000;

/** A place in the chain with its hash: whoever keeps one elsewhere notices that the chain was shortened or made anew. */
export type Mark = { readonly seq: number; readonly hash: string };

/** `1204:abc…`, to be kept elsewhere and given back. */
export const markText = ({ seq, hash }: Mark): string => `${seq}:${hash}`;

export function parseMark(text: string): Mark | undefined {
  const [, seq, hash] = /^(\d{1,15}):([\w-]{43})$/.exec(text) ?? [];
  return seq && hash ? { seq: Number(seq), hash } : undefined;
}

/** Without an id where an entry is not there, without a place where it has none. */
export type Finding = { readonly id: string | null; readonly seq: number | null; readonly problem: string };

export type Verified = {
  readonly sealed: number;
  /** The last ones, which have no place yet. */
  readonly unsealed: number;
  /** From before there was a chain: as they were when they were taken over. */
  readonly adopted: number;
  /** Whose address and browser were erased with the person. */
  readonly erased: number;
  /** By a server secret that is no longer accepted, and with nothing behind them that would prove them. */
  readonly unproven: number;
  /** The last place before the first entry, where older ones were purged. */
  readonly anchor: Mark;
  readonly head: Mark;
  readonly found: number;
  readonly findings: readonly Finding[];
};

type Options = {
  /** The chain has to hold this place with this hash. One that was purged since is not looked for. */
  readonly mark?: Mark;
  readonly interrupted?: AbortSignal;
  readonly onEntries?: (entries: number) => void;
};

/** Reads the whole trail as it is at one moment, and tells every entry that is not as it was written, or that is not there. */
export const verifyAudit = async (core: Core, options: Options = {}): Promise<Verified> =>
  await core.store.snapshot((readers) => walk(core, readers, options));

async function walk(core: Core, readers: Readers, options: Options): Promise<Verified> {
  const found = findings();
  const people = { "as written": 0, erased: 0, unproven: 0, changed: 0 };
  const examinePerson: ExaminePerson = (entry) => {
    const state = personalState(core.keyring, entry);
    people[state] += 1;
    if (state === "changed") found.add({ id: entry.id, seq: entry.seq, problem: "its address or browser was changed" });
  };
  const head = await readers.auditHeads.byName("head");
  const anchor = await readers.auditHeads.byName("anchor");
  if (anchor && checkHead(core.keyring, anchor) !== "genuine") {
    found.add({ id: null, seq: anchor.seq, problem: `the note of what was purged ${unprovable(core, anchor)}` });
  }
  const start: Mark = { seq: anchor?.seq ?? 0, hash: anchor?.hash ?? "" };
  const chain = await walkChain(core, readers, start, { ...options, found, examinePerson });
  // Nothing was ever sealed: the database is as an older version left it, and the next deed begins the chain.
  const isBefore = chain.entries === 0 && !head?.mac && !anchor;
  const loose = await walkUnsealed(core, readers, isBefore, { ...options, found, examinePerson });
  const isWhole = (isBefore && loose.entries > 0) || checkEnd(core, head, chain.end, found);
  return {
    sealed: chain.entries,
    unsealed: loose.entries,
    adopted: Math.max(0, (head?.adopted ?? 0) - start.seq),
    erased: people.erased,
    unproven: (isWhole ? 0 : chain.leaning) + loose.leaning + people.unproven,
    anchor: start,
    head: chain.end,
    ...found.told(),
  };
}

/** Whether the head proves the chain up to its end. */
function checkEnd(core: Core, head: AuditHead | undefined, end: Mark, found: Findings): boolean {
  const add = (problem: string): false => found.add({ id: null, seq: end.seq, problem });
  // There is no database without an entry: its first signing keys have theirs.
  if (!head?.mac) return add("the head of the chain is missing: entries behind this place may be missing too");
  if (checkHead(core.keyring, head) !== "genuine") return add(`the head of the chain ${unprovable(core, head)}`);
  if (head.seq > end.seq) return add(`the chain is cut off: entries up to ${head.seq} are missing`);
  if (head.seq < end.seq || head.hash !== end.hash) return add("the chain does not end where its head says");
  return true;
}

const unprovable = ({ keyring }: Core, head: AuditHead): string =>
  checkHead(keyring, head) === "forged"
    ? "is not as it was written"
    : "was made by a server secret that is not accepted here, and proves nothing";

type ExaminePerson = (entry: StoredAuditEvent) => void;

type Walk = Options & { readonly found: Findings; readonly examinePerson: ExaminePerson };

type Walked = {
  readonly entries: number;
  /** Entries that only what comes behind them can prove. */
  readonly leaning: number;
};

async function walkChain(
  core: Core,
  readers: Readers,
  start: Mark,
  { found, examinePerson, mark, interrupted, onEntries }: Walk,
): Promise<Walked & { readonly end: Mark }> {
  let [entries, leaning] = [0, 0];
  let end = start;
  /** The hash that the next entry follows on; none where the entry before it is missing, or is not what it was. */
  let previous: string | undefined = start.hash;
  const compare = (place: Mark): void => {
    if (mark?.seq === place.seq && mark.hash !== place.hash) {
      found.add({ id: null, seq: mark.seq, problem: "the chain has another hash here than the one that was noted" });
    }
  };
  compare(start);
  for (let isOver = false; !isOver; ) {
    interrupted?.throwIfAborted();
    const page = await readers.auditEvents.chain(pageSize, end.seq);
    for (const entry of page) {
      const seq = entry.seq ?? 0;
      const about = { id: entry.id, seq };
      if (seq !== end.seq + 1) {
        const gap = seq - end.seq === 2 ? `entry ${seq - 1} is` : `entries ${end.seq + 1} to ${seq - 1} are`;
        found.add({ id: null, seq: end.seq + 1, problem: `${gap} missing` });
        previous = undefined;
      }
      const state = stateOf(core, entry, previous);
      if (state.problem) found.add({ ...about, problem: state.problem });
      examinePerson(entry);
      if (entry.action === "audit.chain_broken") found.add({ ...about, problem: brokenBefore(entry) });
      leaning = state.proves ? 0 : leaning + 1;
      end = { seq, hash: entry.hash ?? "" };
      previous = state.problem ? undefined : end.hash;
      compare(end);
    }
    entries += page.length;
    onEntries?.(page.length);
    isOver = page.length < pageSize;
  }
  if (mark && mark.seq > end.seq) {
    found.add({ id: null, seq: mark.seq, problem: "the chain is shorter than it was when this place was noted" });
  }
  return { entries, leaning, end };
}

/** What is wrong with an entry of the chain, and whether it proves those before it. */
function stateOf(core: Core, entry: StoredAuditEvent, previous: string | undefined) {
  const digest = storedDigestOf(entry);
  const place = { seq: entry.seq ?? 0, hash: entry.hash ?? "" };
  const follows = previous === undefined || place.hash === hashOf(previous, place.seq, digest);
  const told = (problem: string | undefined, proves = false) => ({ problem, proves });
  if (entry.mac === null) return told("it bears no MAC: it was put there by hand, or by a server of an older version");
  const placed = checkPlaced(core.keyring, place, digest, entry.mac);
  // Sealed by a process that did not accept the secret it was written by: its place hangs on what comes behind it.
  const proven = placed === "forged" ? checkWritten(core.keyring, digest, entry.mac) : placed;
  if (proven === "forged") return told("it was changed, or moved here from another place");
  if (!follows) return told("it does not follow on the entry before it");
  return told(undefined, placed === "genuine");
}

const brokenBefore = ({ particulars }: StoredAuditEvent): string =>
  `the head of the chain was missing or forged when the chain was gone on with here: entries before this one may be missing (${particulars})`;

async function walkUnsealed(
  core: Core,
  readers: Readers,
  isBefore: boolean,
  { found, examinePerson, interrupted, onEntries }: Walk,
): Promise<Walked> {
  let [entries, leaning] = [0, 0];
  for (let after = ""; ; ) {
    interrupted?.throwIfAborted();
    const page: StoredAuditEvent[] = await readers.auditEvents.unsealed(pageSize, after);
    for (const entry of page.filter(({ mac }) => !(isBefore && mac === null))) {
      const written = entry.mac === null ? "forged" : checkWritten(core.keyring, storedDigestOf(entry), entry.mac);
      if (written === "forged") {
        const problem = "it has no place in the chain, and is not as it was written";
        found.add({ id: entry.id, seq: null, problem });
      }
      if (entry.mac !== null) examinePerson(entry);
      leaning += written === "unknown secret" ? 1 : 0;
    }
    entries += page.length;
    onEntries?.(page.length);
    after = page.at(-1)?.id ?? after;
    if (page.length < pageSize) return { entries, leaning };
  }
}

type Findings = ReturnType<typeof findings>;

function findings() {
  const kept: Finding[] = [];
  let found = 0;
  return {
    add: (finding: Finding): false => {
      found += 1;
      if (found <= mostTold) kept.push(finding);
      return false;
    },
    told: () => ({ found, findings: kept }),
  };
}
