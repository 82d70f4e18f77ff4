import type { Config } from "../config.ts";
import type { Store } from "../store/store.ts";
import type { BanList } from "./bans.ts";
import type { Kept } from "./kept.ts";
import type { RateName, Taken } from "./limits.ts";
import type { MailKind } from "./mail.ts";
import type { Meter } from "./meter.ts";
import type { Hashing } from "./passwords/hashing.ts";
import type { Keyring } from "./secrets.ts";
import type { KeyCache } from "./signing-keys.ts";
import type { ProfileForm } from "./users/profiles.ts";

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

/** A mail as it goes out: to one person, never more. No member but `text` and `html` holds a line break. */
export type Letter = {
  /** Equal for every attempt to send the same mail, so that one that comes twice can be recognised. */
  readonly messageId: string;
  readonly at: Date;
  readonly to: { readonly name: string; readonly address: string };
} & Pick<Words, "language" | "subject" | "text" | "html">;

/** Why a mail did not go out. */
export type MailTrouble = {
  /** Whether no other mail would fare better now, or it is about this one. */
  readonly scope: "server" | "mail";
  /** Whether it is of no use to try again. */
  readonly permanent: boolean;
  /** Such as `550` or `ECONNREFUSED`: never what the mail server said. */
  readonly code: string;
};

export type Mailer = {
  /** Hands the letter over within 30 seconds, and answers what was in the way; `undefined` where it was taken. Never fails. */
  send(letter: Letter): Promise<MailTrouble | undefined>;
  /** Whether what was sent stays in the outbox to be read, because nobody else keeps it. */
  readonly keeps: boolean;
};

/** What a mail says. */
export type Words = {
  /** A language tag (BCP 47). */
  readonly language: string;
  readonly subject: string;
  readonly text: string;
  /** None where the operator gave none for a language of their own. */
  readonly html: string | undefined;
  /** Templates of the operator's that could not be used, and why. */
  readonly broken: ReadonlyArray<{ readonly file: string; readonly message: string }>;
};

export type MailTemplates = {
  /** The words of a mail of this kind in the first of the `languages` that there are words in. */
  render(kind: MailKind, languages: readonly string[], variables: MailVariables): Promise<Words>;
};
export type MailVariables = Readonly<Record<string, string | number | null>>;

/** Where the server secrets are kept, apart from the database. */
export type SecretShelf = {
  /** All that are kept there now, newest first. Fails where they cannot be read. */
  read(): readonly string[];
  /**
   * Keeps these instead, so that a crash leaves the old ones or the new ones. Fails with `secret_not_writable`: they
   * may come from where only whoever starts the server can put them.
   */
  keep(secrets: readonly string[]): void;
  /** Takes away what a `keep` has left that was killed. For whoever makes sure that nobody else keeps any just now. */
  tidy(): void;
  /** What a person knows it by: the name of a file, or of a setting. */
  readonly name: string;
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
  readonly secretShelf: SecretShelf;
  readonly hashing: Hashing;
  readonly keyCache: KeyCache;
  readonly kept: Kept;
  /** None where there is no PROFILE_SCHEMA. */
  readonly profileForm: ProfileForm | undefined;
  /** None where nothing is limited. */
  readonly limiter: Limiter | undefined;
  readonly bans: BanList;
  /** None where there is no Redis. */
  readonly sessionCache: SessionCache | undefined;
  /** Fails where Redis does not answer. None where there is none. */
  readonly pingRedis: (() => Promise<void>) | undefined;
  /** None in production without SMTP_URL: then no mail is written either. */
  readonly mailer: Mailer | undefined;
  readonly mailTemplates: MailTemplates;
  close(): Promise<void>;
};
