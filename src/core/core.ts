import type { Config } from "../config.ts";
import type { Store } from "../store/store.ts";
import type { Hashing } from "./hashing.ts";
import type { RateName, Taken } from "./limits.ts";
import type { Meter } from "./meter.ts";
import type { Keyring } from "./secrets.ts";
import type { KeyCache } from "./signing-keys.ts";

/** Time, injected: tests move it by hand. */
export type Clock = {
  now(): Date;
  /** Calls `then` after so many milliseconds, unless the answer is called first. */
  after(milliseconds: number, then: () => void): () => void;
};

/** Chance, injected. */
export type Random = {
  bytes(length: number): Uint8Array;
  /** A UUIDv7 (RFC 9562, section 5.7): sorted by the time of its making. */
  id(now: Date): string;
};

export type Fields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** One line for each event. Fields hold ids and numbers, never input, credentials or messages of a driver. */
export type Log = {
  debug(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  /** The cause goes to the log, with its stack, and nowhere else. */
  error(event: string, fields?: Fields, cause?: unknown): void;
};

/**
 * Counts requests. Never fails, and never waits for long: what cannot be counted together with the other servers
 * is counted here alone.
 */
export type Limiter = {
  /** Takes one of the quota of `rate` that `whose` has. */
  take(rate: RateName, whose: string): Promise<Taken>;
};

/**
 * Keeps what was read of sessions, for a few seconds. Never fails, and never waits for long: what it cannot tell is
 * not known.
 */
export type SessionCache = {
  recall(sessionId: string): Promise<string | undefined>;
  /** Keeps a text of a session for so many milliseconds; not where one is kept, nor where it was just forgotten. */
  keep(sessionId: string, text: string, milliseconds: number): Promise<void>;
  /** From then on no text is recalled that was read before, even where somebody is about to keep one. */
  forget(sessionIds: readonly string[]): Promise<void>;
};

/** What every act is given: the settings, what is remembered, and the world. */
export type Core = {
  readonly settings: Config;
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly meter: Meter;
  readonly keyring: Keyring;
  readonly hashing: Hashing;
  readonly keyCache: KeyCache;
  /** None where nothing is limited. */
  readonly limiter: Limiter | undefined;
  /** None where there is no Redis. */
  readonly sessionCache: SessionCache | undefined;
  /** Fails where Redis does not answer. None where there is none. */
  readonly pingRedis: (() => Promise<void>) | undefined;
  close(): Promise<void>;
};
