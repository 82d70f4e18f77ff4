import type { Held } from "../store/user-batches.ts";
import type { Actor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import {
  type Candidate,
  type Choices,
  type Droppable,
  droppables,
  type Incoming,
  isAdmin,
  prepare,
  type Refusal,
} from "./importing/candidates.ts";
import type { RefusalReason } from "./importing/foreign-user.ts";
import { Seen } from "./importing/seen.ts";
import type { HashScheme } from "./passwords/stored-hashes.ts";
import { followSecrets } from "./secrets/keyrings.ts";

/** Users in one transaction: what is lost where a run is killed. */
const batchSize = 500;

export type ImportOptions = Omit<Choices, "now" | "roles"> & {
  /** Everything is read and looked at, nothing is written. */
  readonly rehearsal: boolean;
  readonly interrupted?: AbortSignal;
  /** So many more rows were read. */
  readonly onRows?: (rows: number) => void;
  readonly onRefusal?: (refusal: Refusal) => void;
};

/** What came of the rows; of a rehearsal, what would. */
export type Imported = {
  rows: number;
  imported: number;
  /** Imported before; also those who were deleted here since and can still be restored. */
  already: number;
  refused: number;
  readonly refusals: Partial<Record<RefusalReason, number>>;
  /** Of those who are imported. */
  admins: number;
  withoutPassword: number;
  readonly hashes: Partial<Record<HashScheme, number>>;
  /** So many were imported without something of theirs. */
  readonly without: Record<Droppable, number>;
  finished: boolean;
};

/**
 * Takes over the users of another system, in batches that each stand for themselves: whatever ends a run, the next
 * one goes on where it ended, because a user gets the same id every time. Fails with `lock_held` where another
 * import runs.
 */
export async function importUsers(
  core: Core,
  by: Actor,
  records: AsyncIterable<Incoming>,
  options: ImportOptions,
): Promise<Imported> {
  const release = options.rehearsal ? () => {} : await core.store.lock("import");
  if (!release) return fail("lock_held", { detail: "Another import is running. Wait for it to end." });
  try {
    return await importBatches(core, by, records, options);
  } finally {
    await release();
  }
}

async function importBatches(
  core: Core,
  by: Actor,
  records: AsyncIterable<Incoming>,
  options: ImportOptions,
): Promise<Imported> {
  const roles = await core.store.roles.names();
  const imported = nothing();
  const seen = new Seen();
  for await (const batch of batchesOf(records)) {
    if (options.interrupted?.aborted) return imported;
    // A rotation of the server secret may have begun since: what is sealed from here on is sealed by the new one.
    await followSecrets(core);
    const prepared = batch.map((one) => prepare(core, one, { ...options, now: core.clock.now(), roles }));
    const fresh = prepared.map((one) => ("reason" in one ? one : unlessSeen(seen, one)));
    const candidates = fresh.filter((one): one is Candidate => !("reason" in one));
    const verdicts = options.rehearsal
      ? verdictsOn(candidates, await core.store.userBatches.held(candidates.map(({ user }) => user)))
      : await insertBatch(core, by, candidates, options);
    for (const one of fresh) {
      const verdict = "reason" in one ? one.reason : (verdicts.get(one) ?? "imported");
      note(imported, one, verdict);
      if (verdict !== "imported" && verdict !== "already") {
        options.onRefusal?.("reason" in one ? one : { line: one.line, reason: verdict });
      }
    }
    options.onRows?.(batch.length);
  }
  imported.finished = options.interrupted?.aborted !== true;
  return imported;
}

async function* batchesOf(records: AsyncIterable<Incoming>): AsyncGenerator<Incoming[]> {
  let batch: Incoming[] = [];
  for await (const one of records) {
    batch.push(one);
    if (batch.length < batchSize) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** The candidate, unless an earlier row of the file has one of its names. */
function unlessSeen(seen: Seen, candidate: Candidate): Candidate | Refusal {
  const { id, emailKey, usernameKey } = candidate.user;
  const names = [`id ${id}`, `email ${emailKey}`, ...(usernameKey ? [`username ${usernameKey}`] : [])];
  if (names.some((name) => seen.has(name))) return { line: candidate.line, reason: "duplicate" };
  for (const name of names) seen.add(name);
  return candidate;
}

/** What keeps a candidate from being imported; of those who are missing in a map, nothing does. */
type Verdict = "already" | "email_taken" | "username_taken";
type Verdicts = ReadonlyMap<Candidate, Verdict>;

function verdictsOn(candidates: readonly Candidate[], held: Held): Verdicts {
  const verdictOn = ({ user }: Candidate): Verdict | undefined => {
    if (held.ids.has(user.id)) return "already";
    if (held.emailKeys.has(user.emailKey)) return "email_taken";
    return user.usernameKey && held.usernameKeys.has(user.usernameKey) ? "username_taken" : undefined;
  };
  const verdicts = candidates.map((one) => [one, verdictOn(one)] as const);
  return new Map(verdicts.flatMap(([one, verdict]) => (verdict ? [[one, verdict] as const] : [])));
}

/** Makes those users whom nothing is in the way of, all in one transaction with its record. */
async function insertBatch(
  core: Core,
  by: Actor,
  candidates: readonly Candidate[],
  { source }: ImportOptions,
): Promise<Verdicts> {
  if (candidates.length === 0) return new Map();
  return await core.store.write(async (tx) => {
    const before = verdictsOn(candidates, await tx.userBatches.held(candidates.map(({ user }) => user)));
    const free = candidates.filter((one) => !before.has(one));
    if (free.length === 0) return before;
    const inserted = await tx.userBatches.insert(free, core.clock.now());
    if (inserted.size > 0) {
      const admins = free.filter((one) => isAdmin(one) && inserted.has(one.user.id)).length;
      const particulars = { source, users: inserted.size, admins };
      await record(core, tx, by, { action: "users.imported", particulars });
    }
    // Somebody else took a name in between.
    const late = free.filter(({ user }) => !inserted.has(user.id));
    if (late.length === 0) return before;
    return new Map([...before, ...verdictsOn(late, await tx.userBatches.held(late.map(({ user }) => user)))]);
  });
}

const nothing = (): Imported => ({
  rows: 0,
  imported: 0,
  already: 0,
  refused: 0,
  refusals: {},
  admins: 0,
  withoutPassword: 0,
  hashes: {},
  without: { names: 0, hashes: 0, roles: 0 },
  finished: false,
});

function note(imported: Imported, one: Candidate | Refusal, verdict: RefusalReason | Verdict | "imported"): void {
  imported.rows++;
  if (verdict === "already") imported.already++;
  else if (verdict !== "imported") {
    imported.refused++;
    imported.refusals[verdict] = (imported.refusals[verdict] ?? 0) + 1;
  } else if (!("reason" in one)) {
    imported.imported++;
    if (isAdmin(one)) imported.admins++;
    if (one.scheme) imported.hashes[one.scheme] = (imported.hashes[one.scheme] ?? 0) + 1;
    else imported.withoutPassword++;
    for (const each of droppables) if (one.dropped.includes(each)) imported.without[each]++;
  }
}
