/**
 * A rotation: the next key is published, waits until everybody can know it, signs, and the one before it verifies
 * until the last token that it signed has expired. Each step is one transaction and stands by itself: whoever is
 * killed between two of them, or runs beside another, finds the next one to be done or done already.
 */
import type { Server } from "../../store/servers.ts";
import type { Tx } from "../../store/store.ts";
import type { SigningAlgorithm, SigningKey } from "../../store/tables.ts";
import type { Actor } from "../actors.ts";
import { record } from "../audit.ts";
import type { Core } from "../core.ts";
import { fail } from "../errors.ts";
import { callServers, liveServers } from "../servers.ts";
import { activeOf, clockSkew, freshFor, jwksMaxAge } from "../signing-keys.ts";
import { rest, soleRun } from "../upkeep.ts";
import { mintKey, publishKey, retireAtOnce, retireSigningKeys } from "./minting.ts";

/**
 * How long after its publication a key is known to everybody, in milliseconds: servers go on with what they have
 * read, clients with what they were served, and clocks differ.
 */
const becomesKnownIn = freshFor + jwksMaxAge * 1000 + clockSkew;

/** How often whoever waits looks again, in milliseconds: another run may have gone on. */
const lookEvery = 1_000;
/** How long servers are waited for that do not serve a key yet, in milliseconds, before they are called again. */
const answerWithin = 5_000;

export type Rotation = {
  readonly algorithm: SigningAlgorithm;
  readonly activated: string;
  readonly replaced: string | null;
  readonly rotatedAt: Date;
};

/** What is in the way: the time, or servers that do not say that they serve the next key. */
export type Waiting = { readonly kid: string; readonly until: Date; readonly lacking: readonly Server[] };

type Step = { readonly rotation: Rotation } | { readonly waiting: Waiting };

/** From when on every client knows the key, as long as every server serves it. */
export const knownAt = ({ publishedAt }: SigningKey): Date => new Date(publishedAt.getTime() + becomesKnownIn);

/** The servers that run and do not say that they serve the key. */
export async function serversWithout(core: Core, kid: string): Promise<Server[]> {
  return (await liveServers(core)).filter(({ keys }) => !keys?.split(" ").includes(kid));
}

/** When the last token of a key that stops signing now has expired, wherever it was signed. */
export function lastTokenExpires(core: Core, { longestLife }: SigningKey): Date {
  const life = Math.max(longestLife, core.settings.ACCESS_TOKEN_TTL);
  return new Date(core.clock.now().getTime() + life + clockSkew + freshFor);
}

type RotateOptions = {
  /** Without it that of TOKEN_ALGORITHM. */
  readonly algorithm?: SigningAlgorithm;
  readonly interrupted?: AbortSignal;
  /** Is told every second what it is waiting for. */
  readonly onWait?: (waiting: Waiting) => void;
};

/**
 * Walks through a whole rotation, however long clients may keep the keys that they have. A rotation that is so
 * recent that clients may not know another key yet is taken for this one: by a run beside it, or one that was
 * killed. Fails with `partly_done` where it is interrupted while it waits.
 */
export async function rotateSigningKey(
  core: Core,
  by: Actor,
  options: RotateOptions = {},
): Promise<Rotation & { readonly isEarlier: boolean }> {
  const { algorithm = core.settings.TOKEN_ALGORITHM, interrupted, onWait } = options;
  for (;;) {
    const step = await takeStep(core, by, algorithm);
    if ("rotation" in step) return { ...step.rotation, isEarlier: false };
    const { waiting } = step;
    const left = waiting.until.getTime() - core.clock.now().getTime();
    const rows = await core.store.signingKeys.current();
    const earlier = left > 0 ? recentRotation(core, rows, algorithm) : undefined;
    if (earlier) return { ...earlier, isEarlier: true };
    onWait?.(waiting);
    if (interrupted?.aborted) return failWaiting(waiting, left);
    if (left > 0) await rest(core, Math.min(left, lookEvery), interrupted);
    else await callServers(core, { timeout: answerWithin, ...(interrupted && { interrupted }) });
  }
}

function failWaiting({ kid, until, lacking }: Waiting, left: number): never {
  const again = "run the same command again, and it goes on from here";
  const detail =
    left > 0
      ? `The next key ${kid} is published, and clients may not know it before ${until.toISOString()}: then ${again}.`
      : `The next key ${kid} is published, but not served by ${namesOf(lacking)}. Once they serve it, or have stopped, ${again}.`;
  return fail("partly_done", { detail });
}

/** Servers, as people look for them. */
export const namesOf = (servers: readonly Pick<Server, "host" | "id">[]): string =>
  servers.map(({ host, id }) => `${host} (${id})`).join(", ");

/** The step that is possible now: to publish the next key, or to let it sign. Never waits. */
export async function takeStep(core: Core, by: Actor, algorithm: SigningAlgorithm): Promise<Step> {
  const { key } = await publishNext(core, by, algorithm);
  const until = knownAt(key);
  const lacking = await serversWithout(core, key.kid);
  if (until > core.clock.now() || lacking.length > 0) return { waiting: { kid: key.kid, until, lacking } };
  const rotation = await activate(core, by, key);
  // Somebody else did, or took the key away.
  return rotation ? { rotation } : await takeStep(core, by, algorithm);
}

/** The key to come, made where there is none. */
async function publishNext(
  core: Core,
  by: Actor,
  algorithm: SigningAlgorithm,
): Promise<{ key: SigningKey; made: boolean }> {
  const isNext = (row: SigningKey) => row.state === "next" && row.algorithm === algorithm;
  const there = (await core.store.signingKeys.current()).find(isNext);
  if (there) return { key: there, made: false };
  const minted = await mintKey(core, algorithm);
  return await core.store.write(async (tx) => {
    await tx.signingKeys.claim();
    const made = await publishKey(core, tx, by, "next", minted);
    const key = (await tx.signingKeys.current()).find(isNext);
    return key ? { key, made } : fail("internal_error");
  });
}

/** The rotation that the key that signs now began with; none where the next one could have followed since. */
function recentRotation(core: Core, rows: readonly SigningKey[], algorithm: SigningAlgorithm): Rotation | undefined {
  const active = activeOf(rows);
  const rotatedAt = active?.activatedAt;
  // A key that signed from its very beginning was the first one, or took the place of one that had leaked.
  if (!active || !rotatedAt || active.algorithm !== algorithm || rotatedAt <= active.publishedAt) return undefined;
  if (rotatedAt.getTime() + becomesKnownIn <= core.clock.now().getTime()) return undefined;
  const replaced = rows
    .filter(({ state }) => state === "retiring")
    .toSorted((one, other) => Number(one.retiresAt) - Number(other.retiresAt))
    .at(-1);
  return { algorithm, activated: active.kid, replaced: replaced?.kid ?? null, rotatedAt };
}

/** Lets a key sign that is still the next one; `undefined` where it no longer is. */
async function activate(core: Core, by: Actor, { kid, algorithm }: SigningKey): Promise<Rotation | undefined> {
  const spare = await mintKey(core, algorithm);
  return await core.store.write(async (tx) => {
    await tx.signingKeys.claim();
    const rows = await tx.signingKeys.current();
    const next = rows.find((row) => row.kid === kid && row.state === "next");
    return next && (await letSign(core, tx, by, { rows, next, spare }));
  });
}

type Succession = {
  readonly rows: readonly SigningKey[];
  readonly next: SigningKey;
  readonly spare: Awaited<ReturnType<typeof mintKey>>;
};

/** Lets the next key sign, the one before it retire in its time, and publishes the one to come. The caller has claimed the keys. */
export async function letSign(core: Core, tx: Tx, by: Actor, { rows, next, spare }: Succession): Promise<Rotation> {
  const { kid, algorithm } = next;
  const rotatedAt = core.clock.now();
  const replaced = activeOf(rows)?.kid ?? null;
  for (const old of rows) {
    if (old.state === "active") await tx.signingKeys.deactivate(old.kid, lastTokenExpires(core, old));
  }
  await tx.signingKeys.activate(kid, rotatedAt);
  await tx.signingKeys.lengthen(kid, core.settings.ACCESS_TOKEN_TTL);
  await publishKey(core, tx, by, "next", spare);
  await record(core, tx, by, { action: "key.rotated", particulars: { algorithm, activated: kid, replaced } });
  // What is to come of an algorithm that nobody wants any more has signed nothing.
  const wanted = [algorithm, core.settings.TOKEN_ALGORITHM];
  const unwanted = rows.filter((row) => row.state === "next" && !wanted.includes(row.algorithm));
  await retireAtOnce(
    core,
    tx,
    by,
    unwanted.map((row) => row.kid),
  );
  await retireSigningKeys(core, tx, by);
  return { algorithm, activated: kid, replaced, rotatedAt };
}

export type KeyUpkeep = {
  readonly published: string | null;
  readonly activated: string | null;
  readonly retired: readonly string[];
};

/**
 * For cron: takes whatever step is due now, and never waits. Publishes the next key where there is none; lets it
 * sign where the one before has done so for KEY_ROTATION, and everybody can know it; retires what is over. Fails
 * with `lock_held` where another run does so.
 */
export async function rotateIfDue(core: Core, by: Actor): Promise<KeyUpkeep> {
  return await soleRun(core, "key-rotation", async () => {
    const algorithm = core.settings.TOKEN_ALGORITHM;
    const { key, made } = await publishNext(core, by, algorithm);
    const step = isDue(core, await core.store.signingKeys.current()) && (await takeStep(core, by, algorithm));
    const activated = step && "rotation" in step ? step.rotation.activated : null;
    const retired = await core.store.write((tx) => retireSigningKeys(core, tx, by));
    const success = { published: made ? 1 : 0, activated: activated ? 1 : 0, retired: retired.length };
    return { answer: { published: made ? key.kid : null, activated, retired }, success };
  });
}

/** Whether the key that signs has done so for as long as it should. */
function isDue({ settings, clock }: Core, rows: readonly SigningKey[]): boolean {
  const since = activeOf(rows)?.activatedAt;
  return settings.KEY_ROTATION > 0 && Number(since) + settings.KEY_ROTATION <= clock.now().getTime();
}
