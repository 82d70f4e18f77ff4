/**
 * How another server secret takes over (rule TK-7). It is kept durably before a row is touched; every server accepts
 * it before one of them writes by it; what the older one has sealed is sealed anew; and the older one goes when
 * nothing needs it any more. Each step can be done again: a run that was killed is gone on with.
 */
import type { Server } from "../../store/servers.ts";
import type { SignedBy } from "../../store/sessions.ts";
import type { Actor } from "../actors.ts";
import { record } from "../audit.ts";
import type { Core } from "../core.ts";
import { DomainError, fail } from "../errors.ts";
import { auditKeyOf, seal, secretFrom, writingVersion } from "../secrets.ts";
import { callServers, liveServers, secretsOf } from "../servers.ts";
import { revoke } from "../sessions.ts";
import { adoptSecrets, followSecrets } from "./keyrings.ts";
import { type Need, needsOf, signedBy } from "./needs.ts";
import { openSealed, type Pace, type Resealed, reseal, sealedPlaces } from "./resealing.ts";

/** One call of the servers, at most, in milliseconds. */
const callFor = 5_000;

export type RotationOptions = Pace & {
  /** Goes on with a rotation that has begun, and begins none. */
  readonly resume: boolean;
  /** How long servers may take to accept the new secret, in milliseconds. */
  readonly wait: number;
};

export type Rotation = {
  /** The version that writes now. */
  readonly version: string;
  /** The one that wrote before; none where nothing but the rest of an earlier rotation was left to do. */
  readonly replaced: string | null;
  readonly resealed: number;
  readonly finished: boolean;
};

/**
 * Has a new secret take over, or goes on where an earlier run has ended. Fails with `lock_held`, with
 * `secret_not_writable`, and with `secret_not_accepted` where a server does not accept the new secret in time: then
 * the old one still writes.
 */
export const rotateSecret = async (core: Core, by: Actor, options: RotationOptions): Promise<Rotation> =>
  await alone(core, async () => {
    await adoptSecrets(core);
    await followSecrets(core);
    const successor = await successorOf(core, by, options);
    const replaced = successor === undefined ? null : await activate(core, by, successor, options);
    // So that they write by it before what they have sealed is sealed anew; a run that was killed may not have told
    // them. Who is late loses nothing.
    await call(core, callFor, options.interrupted);
    const { rows, finished } = await resealAll(core, by, options);
    return { version: writingVersion(core.keyring), replaced, resealed: rows, finished };
  });

async function alone<T>(core: Core, work: () => Promise<T>): Promise<T> {
  const release = await core.store.lock("secret");
  if (!release) return fail("lock_held", { detail: "Another rotation of the secret is running. Wait for it to end." });
  try {
    core.secretShelf.tidy();
    return await work();
  } finally {
    await release();
  }
}

/**
 * The version that is to write next, which is kept and known to the database then. `undefined` where only the rest
 * of an earlier rotation is left, or nothing at all.
 */
async function successorOf(core: Core, by: Actor, { resume }: RotationOptions): Promise<string | undefined> {
  const begun = (await core.store.serverSecrets.all()).find(({ state }) => state === "next");
  if (begun) {
    if (core.keyring.awaited.has(begun.version)) return begun.version;
    const detail = `A rotation to the secret of version ${begun.version} has begun, and that secret is not in ${core.secretShelf.name}. Put it there, or give it up with \`authctl secret retire ${begun.version}\`.`;
    return fail("secret_not_accepted", { detail });
  }
  // Whoever set it in another way, or was killed after it was kept.
  const [held] = core.keyring.awaited;
  if (held === undefined && (resume || (await hasRest(core)))) return undefined;
  const version = held ?? (await makeSecret(core));
  await core.store.write(async (tx) => {
    // Behind all others, also where the clock was set back.
    const newest = (await tx.serverSecrets.all()).at(-1)?.addedAt.getTime() ?? 0;
    const addedAt = new Date(Math.max(core.clock.now().getTime(), newest + 1));
    if (await tx.serverSecrets.insert({ version, state: "next", addedAt }))
      await record(core, tx, by, { action: "secret.added", particulars: { version } });
  });
  return version;
}

/** Whether an earlier rotation has left something that can be sealed anew. */
async function hasRest(core: Core): Promise<boolean> {
  const not = writingVersion(core.keyring);
  for (const place of sealedPlaces) {
    const page = await core.store.sealedTexts.page(place, 100, { not });
    if (page.some((one) => openSealed(core.keyring, place, one) !== undefined)) return true;
  }
  return false;
}

async function makeSecret(core: Core): Promise<string> {
  const fresh = secretFrom(Buffer.from(core.random.bytes(48)).toString("base64"));
  core.secretShelf.keep([fresh.material, ...core.secretShelf.read()]);
  await followSecrets(core);
  return fresh.version;
}

/** All accept it, then it writes. Answers which one wrote before. */
async function activate(core: Core, by: Actor, version: string, options: RotationOptions): Promise<string | null> {
  await acceptedByAll(core, version, options);
  const verdict = await core.store.write(async (tx) => {
    // From here on no server begins to run that has not seen what is decided here (see `join`).
    await tx.serverSecrets.claim();
    const refusing = refusingOf(await liveServers(core, tx), version);
    if (refusing.length > 0) return { refusing };
    const replaced = (await tx.serverSecrets.deactivate()) ?? null;
    await tx.serverSecrets.activate(version, core.clock.now());
    await record(core, tx, by, { action: "secret.rotated", particulars: { version, replaced } });
    return { replaced };
  });
  if ("refusing" in verdict) return failRefused(verdict.refusing);
  await followSecrets(core);
  return verdict.replaced;
}

const call = async (core: Core, timeout: number, interrupted: AbortSignal | undefined) =>
  await callServers(core, { timeout, ...(interrupted && { interrupted }) });

const refusingOf = (servers: readonly Server[], version: string): Server[] =>
  servers.filter((one) => !secretsOf(one).includes(version));

async function acceptedByAll(core: Core, version: string, { wait, interrupted }: RotationOptions): Promise<void> {
  const begun = core.clock.now().getTime();
  for (let hasCalled = false; ; hasCalled = true) {
    const refusing = refusingOf(await liveServers(core), version);
    if (refusing.length === 0) return;
    const left = begun + wait - core.clock.now().getTime();
    if (hasCalled && (left <= 0 || interrupted?.aborted)) failRefused(refusing);
    const { silent } = await call(core, Math.max(0, Math.min(left, callFor)), interrupted);
    // Whoever has answered has read anew what it was given, and finds no more in it the next time.
    const stubborn = refusingOf(await liveServers(core), version);
    if (silent.length === 0 && stubborn.length > 0) failRefused(stubborn);
  }
}

const failRefused = (refusing: readonly Server[]): never =>
  fail("secret_not_accepted", {
    errors: refusing.map(({ id, host }) => ({ path: `${host}/${id}`, message: "does not accept the new secret." })),
  });

/** So often at most: whoever still writes by the old secret then is told by `verifySecrets`. */
const mostPasses = 5;

/** Again while something was found: a server that was told late may have written by the old secret meanwhile. */
async function resealAll(core: Core, by: Actor, pace: Pace): Promise<Resealed> {
  let [rows, finished] = [0, true];
  for (let passes = 0; passes < mostPasses; passes++) {
    const pass = await reseal(core, pace);
    rows += pass.rows;
    finished = pass.finished;
    if (!finished || pass.rows === 0) break;
  }
  const particulars = { rows, finished };
  if (rows > 0) await core.store.write((tx) => record(core, tx, by, { action: "secret.resealed", particulars }));
  return { rows, finished };
}

/** What has to be set where only a person can set it: a fresh secret, and the present ones behind it. */
export const nextSecrets = (core: Core): readonly string[] =>
  core.keyring.awaited.size > 0
    ? core.secretShelf.read()
    : [Buffer.from(core.random.bytes(48)).toString("base64"), ...core.secretShelf.read()];

export type Retirement = {
  readonly version: string;
  /** Sessions that were ended for it. */
  readonly ended: number;
  /** Whether it is gone from where the secrets are kept; else a person has to take it away there. */
  readonly removed: boolean;
};

export type RetirementOptions = { readonly force: boolean; readonly interrupted?: AbortSignal };

/**
 * Drops an older secret: nobody accepts it from then on. Fails with `not_found`, and with `secret_in_use` where
 * something needs it; with `force` the sessions that do are ended instead. What is sealed by it is never given up.
 * A key that checks the audit trail's MACs of this secret, and does nothing else, is kept under the one that writes.
 */
export const retireSecret = async (
  core: Core,
  by: Actor,
  version: string,
  { force, interrupted }: RetirementOptions,
): Promise<Retirement> =>
  await alone(core, async () => {
    await followSecrets(core);
    const { row, rows } = await retirable(core, version, force);
    let ended = 0;
    if (row.state !== "retired") {
      if (force) ended = await endSessions(core, by, signedBy(row, rows), interrupted);
      await retire(core, by, version);
    }
    const removed = takeAway(core, version);
    await followSecrets(core);
    await call(core, callFor, interrupted);
    return { version, ended, removed };
  });

/** What a retirement would end, in sessions. Fails where it would be refused. */
export const previewRetirement = async (core: Core, version: string, force: boolean): Promise<number> =>
  (await retirable(core, version, force)).needs
    .filter(({ what }) => endable.has(what))
    .reduce((sum, { rows }) => sum + rows, 0);

async function retirable(core: Core, version: string, force: boolean) {
  const rows = await core.store.serverSecrets.all();
  const row = rows.find((one) => one.version === version);
  if (!row)
    return fail("not_found", { detail: "No server secret has this version; `authctl secret status` lists them." });
  if (row.state === "active")
    return fail("secret_in_use", {
      detail: "This secret writes. Have another one take over first: `authctl secret rotate`.",
    });
  const needs = row.state === "retired" ? [] : await needsOf(core, version);
  refuseNeeded(needs, force);
  return { row, rows, needs };
}

/** What ends with `force`: everything else would be lost, not ended. */
const endable: ReadonlySet<Need["what"]> = new Set(["sessions", "refresh_families"]);

function refuseNeeded(needs: readonly Need[], force: boolean): void {
  const left = needs.filter(({ what }) => !(force && endable.has(what)));
  if (left.length === 0) return;
  fail("secret_in_use", {
    errors: left.map(({ what, rows, until }) => ({
      path: what,
      message: `${rows} need it${until ? `, until ${until.toISOString()} at the latest` : ""}.`,
    })),
  });
}

async function endSessions(core: Core, by: Actor, secret: SignedBy, interrupted?: AbortSignal): Promise<number> {
  for (let ended = 0; ; ) {
    interrupted?.throwIfAborted();
    const batch = await core.store.sessions.pageNeeding(secret, core.clock.now(), 200);
    if (batch.length === 0) return ended;
    ended += (await core.store.write((tx) => revoke(core, tx, by, batch, "secret-retired"))).length;
  }
}

async function retire(core: Core, by: Actor, version: string): Promise<void> {
  const key = auditKeyOf(core.keyring, version);
  // Without the key, what it proved is told as unproven, and hangs on what comes behind it.
  const sealed = key === undefined ? null : seal(core.keyring, core.random, "audit-key", key, version);
  await core.store.write(async (tx) => {
    await tx.serverSecrets.claim();
    const retired = await tx.serverSecrets.retire(version, core.clock.now(), sealed);
    if (retired) await record(core, tx, by, { action: "secret.retired", particulars: { version } });
  });
}

/** Whether it could be taken away from where it is kept. It counts for nothing any more in any case. */
function takeAway(core: Core, version: string): boolean {
  const kept = core.secretShelf.read();
  const left = kept.filter((material) => secretFrom(material).version !== version);
  if (left.length === kept.length) return true;
  try {
    core.secretShelf.keep(left);
    return true;
  } catch (error) {
    if (error instanceof DomainError && error.code === "secret_not_writable") return false;
    throw error;
  }
}
