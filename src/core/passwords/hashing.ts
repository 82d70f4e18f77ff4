/**
 * Argon2id, and what other systems hashed by, behind a bounded queue (rules PW-1 and PW-5): a flood of sign-ins can occupy neither more memory than
 * `concurrency` hashes take, nor more patience than `maxWait`.
 */
import type { Clock } from "../core.ts";
import { DomainError, fail } from "../errors.ts";
import { type Meter, noMeter } from "../meter.ts";
import { fitsPasswordBytes, normalizePassword } from "./password-policy.ts";
import { argon2Cost, readHash, type StoredHash } from "./stored-hashes.ts";

export type HashingOptions = {
  /** KiB: the setting ARGON2_MEMORY_KIB. */
  readonly memoryCost: number;
  /** Passes: the setting ARGON2_TIME_COST. */
  readonly timeCost: number;
  /** How many hashes are computed at the same time. Bun's pool of threads also serves files and DNS. */
  readonly concurrency: number;
  /** How many may wait for their turn. */
  readonly queue: number;
  /** How long one may wait, in milliseconds. */
  readonly maxWait?: number;
};

/** Every promise here may also fail with `overloaded`, or with the signal's reason once its signal is aborted while it waits. */
export type Hashing = {
  /** A PHC string of the password. The policy has passed it before: an empty or oversized one is a defect. */
  hash(password: string, signal?: AbortSignal): Promise<string>;
  /** Whether the password is the one that was hashed, by us or by another system. False, without work, for a password over 1024 bytes and for a stored text of an unknown form or of a cost beyond the bounds. */
  verify(password: string, phc: string, signal?: AbortSignal, waited?: number): Promise<boolean>;
  /** Whether a hash was made with other parameters than those of today, or by another scheme. */
  needsRehash(phc: string): boolean;
  /** A hash that no password fits, to verify against where there is no user: so that both cost the same (rule PW-4). */
  readonly dummyHash: string;
  /**
   * Does what a try of a password takes, the look-ups before its hash among it, for a few at a time: whoever comes
   * in a flood waits, or finds no place, before the database is asked for anything. Tells how long it has
   * waited, so that this wait and the one for a turn count as one.
   */
  admit<T>(attempt: (waited: number) => Promise<T>): Promise<T>;
  readonly waiting: number;
  readonly running: number;
};

/** 32 bytes of zero, in the alphabet of PHC strings. */
const zeros = "A".repeat(43);

export function createHashing(options: HashingOptions, clock: Clock, meter: Meter = noMeter): Hashing {
  const { memoryCost, timeCost } = options;
  const turns = createTurns({ maxWait: 2000, ...options }, clock, meter);
  // As many again as are hashed, so that none of the slots is empty while the next one is looked up.
  const places = createTurns({ maxWait: 2000, ...options, concurrency: 2 * options.concurrency }, clock, meter);

  const inTurn = async <T>(hash: () => Promise<T>, signal?: AbortSignal, waited = 0): Promise<T> => {
    const came = meter.now();
    return await turns.take(async () => {
      const begun = meter.now();
      meter.hashWaited(came - waited);
      try {
        return await hash();
      } finally {
        meter.hashed(begun);
      }
    }, signal);
  };
  const compute = (text: string, signal?: AbortSignal) =>
    inTurn(() => Bun.password.hash(text, { algorithm: "argon2id", memoryCost, timeCost }), signal);

  return {
    async hash(password, signal) {
      const normal = fitsPasswordBytes(password) ? normalizePassword(password) : "";
      if (normal === "" || !fitsPasswordBytes(normal))
        throw new RangeError("The policy lets no such password through.");
      return await compute(normal, signal);
    },

    async verify(password, phc, signal, waited) {
      const stored = readHash(phc, memoryCost);
      if (!stored?.bearable || !fitsPasswordBytes(password)) return false;
      const normal = normalizePassword(password);
      return fitsPasswordBytes(normal) && (await inTurn(() => fitsEither(stored, normal, password), signal, waited));
    },

    needsRehash(phc) {
      const cost = argon2Cost(phc);
      return cost?.variant !== "id" || cost.memory !== memoryCost || cost.passes !== timeCost || cost.lanes !== 1;
    },

    // Nobody has ever hashed anything to 256 bits of zero. Its cost is that of the real ones, whose lengths it has.
    dummyHash: `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=1$${zeros}$${zeros}`,

    async admit(attempt) {
      turns.requireRoom();
      const came = meter.now();
      return await places.take(async () => await attempt(meter.now() - came));
    },

    get waiting() {
      return places.waiting + turns.waiting;
    },
    get running() {
      return turns.running;
    },
  };
}

/**
 * Ours are made of the normalised password; those of other systems mostly of what was typed. So where the two
 * differ, both are compared, whatever the hash: how long it takes tells nothing (rule PW-4).
 */
async function fitsEither(hash: StoredHash, normal: string, typed: string): Promise<boolean> {
  return (await hash.fits(Buffer.from(normal))) || (typed !== normal && (await hash.fits(Buffer.from(typed))));
}

/** A fair semaphore: first come, first served; a slot is free only while nobody waits. */
function createTurns({ concurrency, queue, maxWait }: Required<HashingOptions>, clock: Clock, meter: Meter) {
  const waiting = new Set<() => void>();
  let running = 0;
  /** How long one turn takes, in milliseconds: a moving mean over about the last eight. */
  let typical = 50;

  const overloaded = () => {
    const drained = ((waiting.size + running) * typical) / concurrency;
    return { retryAfter: Math.min(60, Math.max(1, Math.ceil(drained / 1000))) };
  };

  function requireRoom(): void {
    if (running < concurrency || waiting.size < queue) return;
    meter.hashRefused("queue-full");
    fail("overloaded", overloaded());
  }

  async function enter(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    requireRoom();
    if (running < concurrency) {
      running++;
      return;
    }
    const turn = Promise.withResolvers<void>();
    const giveUp = (reason: unknown) => {
      leaveQueue();
      turn.reject(reason);
    };
    const begin = () => {
      leaveQueue();
      turn.resolve();
    };
    const onAbort = () => giveUp(signal?.reason);
    const stopTimer = clock.after(maxWait, () => {
      meter.hashRefused("too-late");
      giveUp(new DomainError("overloaded", overloaded()));
    });
    const leaveQueue = () => {
      waiting.delete(begin);
      stopTimer();
      signal?.removeEventListener("abort", onAbort);
    };
    waiting.add(begin);
    signal?.addEventListener("abort", onAbort);
    await turn.promise;
  }

  /** Hands the slot to whoever has waited longest. */
  function leave(): void {
    const [next] = waiting;
    if (next) next();
    else running--;
  }

  return {
    requireRoom,
    async take<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
      await enter(signal);
      const began = clock.now().getTime();
      try {
        return await work();
      } finally {
        typical += (Math.max(0, clock.now().getTime() - began) - typical) / 8;
        leave();
      }
    },
    get waiting() {
      return waiting.size;
    },
    get running() {
      return running;
    },
  };
}
