/** What is counted and measured of the work of one process. No label ever holds what somebody sent. */
import type { Figures } from "./figures.ts";
import type { LimitName } from "./limits.ts";

/** What came of signing in with a password: the words of the audit trail, where it has one. */
export type SignInResult =
  | "succeeded"
  | "unknown-user"
  | "wrong-password"
  | "disabled"
  | "unverified"
  | "rate-limited"
  | "overloaded"
  | "failed";

/**
 * What came of presenting a refresh token: it was traded, or traded again inside its grace or once after it; it was
 * spent, came from another client, or was none that counts.
 */
export type RefreshOutcome = "rotated" | "retried" | "late" | "reused" | "another-client" | "refused";

/** Why a password is not hashed: too many wait for that, or it has waited too long. */
export type HashRefusal = "queue-full" | "too-late";

/** What this process has of something at the moment at which it is asked. */
export type Levels = {
  readonly hashesRunning: number;
  readonly hashesWaiting: number;
  /** None where the database has no pool. */
  readonly connections: { readonly idle: number; readonly used: number; readonly waiting: number } | undefined;
};

/**
 * Where all of it goes. Every call is cheap, and none fails. What has taken time is told as soon as it is over, with
 * the moment on `now()` that it began `since`.
 */
export type Meter = {
  /** Seconds since a moment that means nothing: for differences, which no change of the clock spoils. */
  now(): number;
  /**
   * Does the work of one request: what is measured meanwhile belongs to it.
   * @param traceparent what a caller who may be believed says that it is a part of (W3C Trace Context)
   */
  during<T>(traceparent: string | undefined, work: () => Promise<T>): Promise<T>;
  /** Does one run of a job of the server, which belongs to nobody's request. */
  job<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Answers how long it took, in seconds. */
  request(method: string, route: string, status: number, since: number): number;
  signIn(result: SignInResult): void;
  refresh(outcome: RefreshOutcome): void;
  limit(name: LimitName, allowed: boolean): void;
  hashWaited(since: number): void;
  hashed(since: number): void;
  hashRefused(reason: HashRefusal): void;
  database(kind: "read" | "write", since: number, failed: boolean): void;
  redis(errand: string, since: number, failed: boolean): void;
  /** A mail was handed to the mail server, or failed to be. */
  mail(since: number, failed: boolean): void;
  redisReachable(isReachable: boolean): void;
  /** Says where levels are read, whenever somebody wants to know. */
  watch(levels: () => Levels): void;
  /** All that was counted by this server, whichever of its workers is asked, as Prometheus reads it. */
  report(figures: Figures | undefined): Promise<string>;
};

/** For a process that nobody scrapes. */
export const noMeter: Meter = {
  now: () => 0,
  during: (_, work) => work(),
  job: (_, work) => work(),
  request: () => 0,
  signIn: () => {},
  refresh: () => {},
  limit: () => {},
  hashWaited: () => {},
  hashed: () => {},
  hashRefused: () => {},
  database: () => {},
  redis: () => {},
  mail: () => {},
  redisReachable: () => {},
  watch: () => {},
  report: () => Promise.resolve(""),
};
