import { sql } from "drizzle-orm";
import type { Kit } from "./dialects/sqlite-kit.ts";

export const clientKinds = ["desktop", "mobile", "tablet", "tv", "bot", "program", "unknown"] as const;
export const credentialKinds = ["tokens", "session"] as const;
export const signingAlgorithms = ["ES256", "EdDSA", "RS256"] as const;
export const keyStates = ["next", "active", "retiring", "retired"] as const;
export const secretStates = ["next", "active", "retiring", "retired"] as const;
export const challengePurposes = ["verify-email", "change-email", "reset-password", "recover"] as const;
export const mailStates = ["asked", "queued", "sent", "dead"] as const;
export const auditHeadNames = ["head", "anchor"] as const;
export const actorKinds = ["anonymous", "user", "operator", "job"] as const;

/** Members that an app gave a meaning to. */
export type Profile = Readonly<Record<string, unknown>>;

/** Every table, once, for both dialects. */
export function defineTables(k: Kit) {
  /** What is known of a person, and stays known for a while when the user is deleted. */
  const person = () => ({
    id: k.text("id").primaryKey(),
    /** As it was typed; `emailKey` is what is compared. */
    email: k.text("email").notNull(),
    emailKey: k.key("email_key").notNull(),
    emailVerifiedAt: k.instant("email_verified_at"),
    username: k.text("username"),
    usernameKey: k.key("username_key"),
    fullName: k.text("full_name"),
    fullNameKey: k.key("full_name_key"),
    /** A language tag (BCP 47): what mails are written in. */
    locale: k.text("locale"),
    /** An app's own members, of the form that PROFILE_SCHEMA gives. */
    profile: k.json<Profile>("profile"),
    /** A PHC string, sealed under the server secret with the user's id (rule PW-7). */
    passwordHash: k.text("password_hash"),
    disabledAt: k.instant("disabled_at"),
    createdAt: k.instant("created_at").notNull(),
    lastLoginAt: k.instant("last_login_at"),
  });

  const users = k.table(
    "users",
    {
      ...person(),
      /** Moved on by whatever signs out everywhere: sessions of an older epoch are dead. */
      epoch: k.count("epoch").notNull().default(0),
      /** Moved on with every change of what others may change: the `ETag` of a user. */
      revision: k.count("revision").notNull().default(0),
      updatedAt: k.instant("updated_at").notNull(),
    },
    (t) => [
      k.uniqueIndex("users_email_key").on(t.emailKey),
      k.uniqueIndex("users_username_key").on(t.usernameKey),
      k.index("users_full_name_key").on(t.fullNameKey, t.id),
      k.index("users_updated").on(t.updatedAt, t.id),
      // So that a page of the few costs no walk through the many.
      k.index("users_disabled").on(t.id).where(sql`disabled_at is not null`),
      k.index("users_verified").on(t.id).where(sql`email_verified_at is not null`),
      k.index("users_unverified").on(t.id).where(sql`email_verified_at is null`),
    ],
  );

  /** Users who were deleted and can still be restored. Their names are free for others meanwhile. */
  const tombstones = k.table(
    "tombstones",
    {
      ...person(),
      roles: k.json<readonly string[]>("roles").notNull(),
      deletedAt: k.instant("deleted_at").notNull(),
    },
    (t) => [
      k.index("tombstones_email_key").on(t.emailKey),
      k.index("tombstones_username_key").on(t.usernameKey),
      k.index("tombstones_deleted").on(t.deletedAt),
    ],
  );

  const roles = k.table("roles", {
    name: k.text("name").primaryKey(),
    description: k.text("description").notNull(),
    permissions: k.json<readonly string[]>("permissions").notNull(),
    createdAt: k.instant("created_at").notNull(),
    updatedAt: k.instant("updated_at").notNull(),
  });

  const userRoles = k.table(
    "user_roles",
    {
      userId: k
        .text("user_id")
        .notNull()
        .references(() => users.id, { onDelete: "cascade" }),
      role: k
        .text("role")
        .notNull()
        .references(() => roles.name, { onDelete: "cascade" }),
      grantedAt: k.instant("granted_at").notNull(),
    },
    (t) => [k.primaryKey({ columns: [t.userId, t.role] }), k.index("user_roles_role").on(t.role, t.userId)],
  );

  /** One sign-in on one device. */
  const sessions = k.table(
    "sessions",
    {
      id: k.text("id").primaryKey(),
      userId: k
        .text("user_id")
        .notNull()
        .references(() => users.id, { onDelete: "cascade" }),
      credential: k.word("credential", credentialKinds).notNull(),
      /** SHA-256 of the session token's secret; sessions with refresh tokens have none. */
      secretHash: k.text("secret_hash"),
      /** The version of the server secret that signed the session token. None where there is no token, or from before. */
      secretVersion: k.text("secret_version"),
      epoch: k.count("epoch").notNull(),
      createdAt: k.instant("created_at").notNull(),
      authenticatedAt: k.instant("authenticated_at").notNull(),
      lastSeenAt: k.instant("last_seen_at").notNull(),
      /** When it ends if it rests. Never later than `expiresAt`, so this alone says whether it has expired. */
      idleExpiresAt: k.instant("idle_expires_at").notNull(),
      /** When it ends however busy it is. Nothing moves it. */
      expiresAt: k.instant("expires_at").notNull(),
      ip: k.text("ip"),
      userAgent: k.text("user_agent"),
      browser: k.text("browser"),
      os: k.text("os"),
      clientKind: k.word("client_kind", clientKinds).notNull(),
      revokedAt: k.instant("revoked_at"),
      revokeReason: k.text("revoke_reason"),
    },
    (t) => [k.index("sessions_user").on(t.userId, t.id), k.index("sessions_idle_expires").on(t.idleExpiresAt)],
  );

  /** All refresh tokens of a session, as one counter: no token is stored, nor what would make one. */
  const refreshFamilies = k.table(
    "refresh_families",
    {
      id: k.text("id").primaryKey(),
      sessionId: k
        .text("session_id")
        .notNull()
        .references(() => sessions.id, { onDelete: "cascade" }),
      clientId: k.text("client_id").notNull(),
      /** Half of the MAC key: the other half is the server secret, so neither alone makes a token. */
      nonce: k.text("nonce").notNull(),
      generation: k.count("generation").notNull().default(1),
      rotatedAt: k.instant("rotated_at"),
      retries: k.count("retries").notNull().default(0),
      lateRetriedAt: k.instant("late_retried_at"),
      /** The version of the oldest server secret that made a token which may still be taken. None from before. */
      secretVersion: k.text("secret_version"),
      createdAt: k.instant("created_at").notNull(),
    },
    (t) => [k.index("refresh_families_session").on(t.sessionId)],
  );

  const signingKeys = k.table(
    "signing_keys",
    {
      kid: k.text("kid").primaryKey(),
      algorithm: k.word("algorithm", signingAlgorithms).notNull(),
      state: k.word("state", keyStates).notNull(),
      publicJwk: k.json<Record<string, string>>("public_jwk").notNull(),
      /** The private JWK, sealed under the server secret. Erased when the key is retired. */
      privateJwk: k.text("private_jwk"),
      publishedAt: k.instant("published_at").notNull(),
      activatedAt: k.instant("activated_at"),
      /** The longest life of a token that it signs, in milliseconds: ACCESS_TOKEN_TTL of whichever server has most. */
      longestLife: k.count("longest_life").notNull().default(0),
      /** When the last token that it signed has expired; known once it signs no more. */
      retiresAt: k.instant("retires_at"),
      retiredAt: k.instant("retired_at"),
    },
    (t) => [
      // Two processes that rotate at once cannot end with two keys of one role (rule TK-6).
      k.uniqueIndex("signing_keys_one_active").on(t.algorithm).where(sql`state = 'active'`),
      k.uniqueIndex("signing_keys_one_next").on(t.algorithm).where(sql`state = 'next'`),
    ],
  );

  /** The server secrets, by version: which of them writes. The secrets themselves are never in the database. */
  const serverSecrets = k.table(
    "server_secrets",
    {
      version: k.text("version").primaryKey(),
      state: k.word("state", secretStates).notNull(),
      addedAt: k.instant("added_at").notNull(),
      activatedAt: k.instant("activated_at"),
      retiredAt: k.instant("retired_at"),
      /** Of one that is retired: the key that checks the audit trail's MACs and nothing else, sealed under another one. */
      auditKey: k.text("audit_key"),
    },
    (t) => [
      // Two operators who rotate at once cannot end with two secrets of one role (rule TK-7).
      k.uniqueIndex("server_secrets_one_active").on(t.state).where(sql`state = 'active'`),
      k.uniqueIndex("server_secrets_one_next").on(t.state).where(sql`state = 'next'`),
    ],
  );

  /** What happened: written in the same transaction as the deed. */
  const auditEvents = k.table(
    "audit_events",
    {
      id: k.text("id").primaryKey(),
      at: k.instant("at").notNull(),
      action: k.text("action").notNull(),
      actorKind: k.word("actor_kind", actorKinds).notNull(),
      /** A user's id, `<os user>@<host>`, or a job's name. */
      actor: k.text("actor"),
      /** The user that it was done to or by. No foreign key: the record outlives the person. */
      userId: k.text("user_id"),
      sessionId: k.text("session_id"),
      ip: k.text("ip"),
      userAgent: k.text("user_agent"),
      requestId: k.text("request_id"),
      reason: k.text("reason"),
      particulars: k.json<Readonly<Record<string, string | number | boolean | null>>>("particulars"),
      /** SHA-256 over `ip`, `userAgent` and the salt: what the chain knows of them, so that they can be erased. */
      personalDigest: k.text("personal_digest"),
      /** Random, until they are erased; then what proves that this server did it. */
      personalSalt: k.text("personal_salt"),
      /** The place in the chain, given when the entry is sealed, soon after the commit. */
      seq: k.place("seq"),
      /** SHA-256 over the hash of the entry before, the place and the entry. */
      hash: k.text("hash"),
      /** The version of the server secret and a MAC: of the entry, and from when it is sealed of its place and hash. */
      mac: k.text("mac"),
    },
    (t) => [
      k.index("audit_events_user").on(t.userId, t.id),
      // Whoever signs in is nobody yet.
      k.index("audit_events_actor").on(t.actor, t.id).where(sql`actor is not null`),
      k.index("audit_events_action").on(t.action, t.id),
      k.index("audit_events_session").on(t.sessionId, t.id).where(sql`session_id is not null`),
      k.uniqueIndex("audit_events_seq").on(t.seq).where(sql`seq is not null`),
      k.index("audit_events_unsealed").on(t.id).where(sql`seq is null`),
    ],
  );

  /** Where the chain of the audit trail ends, and where it begins since a purge: so that a cut is noticed at both ends. */
  const auditHeads = k.table("audit_heads", {
    name: k.word("name", auditHeadNames).primaryKey(),
    seq: k.place("seq").notNull(),
    hash: k.text("hash").notNull(),
    /** How many entries from before there was a chain stand at its beginning. */
    adopted: k.place("adopted").notNull(),
    /** As of an entry; none in a row that was only just made. */
    mac: k.text("mac"),
  });

  /** One-time proofs that are sent by mail, or handed over by an operator. One of each purpose for each user: a newer one takes the place of the older. */
  const challenges = k.table(
    "challenges",
    {
      userId: k
        .text("user_id")
        .notNull()
        .references(() => users.id, { onDelete: "cascade" }),
      purpose: k.word("purpose", challengePurposes).notNull(),
      /** SHA-256 of the 256 random bits that were sent. */
      secretHash: k.text("secret_hash").notNull(),
      /** The address that it was sent to, and proves. */
      email: k.text("email").notNull(),
      emailKey: k.key("email_key").notNull(),
      createdAt: k.instant("created_at").notNull(),
      expiresAt: k.instant("expires_at").notNull(),
    },
    (t) => [
      k.primaryKey({ columns: [t.userId, t.purpose] }),
      k.uniqueIndex("challenges_secret").on(t.secretHash),
      k.index("challenges_expires").on(t.expiresAt),
    ],
  );

  /** The outbox: what is to be sent, written in the same transaction as its cause. */
  const mails = k.table(
    "mails",
    {
      id: k.text("id").primaryKey(),
      kind: k.text("kind").notNull(),
      state: k.word("state", mailStates).notNull(),
      /** Whom it is about. No foreign key: who deleted an account is still told. */
      userId: k.text("user_id"),
      /** Recipient, language and facts, sealed under the server secret: a link stands in it. None once it is sent. */
      content: k.text("content"),
      attempts: k.count("attempts").notNull().default(0),
      /** When it may be tried next. While one server sends it, this is the end of its lease; once it is over, when that was. */
      dueAt: k.instant("due_at").notNull(),
      createdAt: k.instant("created_at").notNull(),
      sentAt: k.instant("sent_at"),
      /** What came of the last attempt, as a code: never what a mail server said. None while one is under way. */
      problem: k.text("problem"),
    },
    (t) => [
      k.index("mails_due").on(t.dueAt).where(sql`state in ('asked', 'queued')`),
      k.index("mails_over").on(t.dueAt).where(sql`state in ('sent', 'dead')`),
      k.index("mails_user").on(t.userId),
    ],
  );

  /** What was tried by guessing, and is therefore counted: a row for each account and address, for as long as its window lasts. */
  const tries = k.table(
    "tries",
    {
      /** The name of the limit, and whose tries they are. */
      key: k.text("key").primaryKey(),
      spent: k.count("spent").notNull(),
      /** When the window ends: from then on, `spent` counts for nothing. */
      endsAt: k.instant("ends_at").notNull(),
    },
    (t) => [k.index("tries_ends").on(t.endsAt)],
  );

  /** Networks whose requests are refused. */
  const bans = k.table("bans", {
    /** In its one spelling: `192.0.2.0/24`, `2001:db8::/64`. */
    network: k.text("network").primaryKey(),
    reason: k.text("reason"),
    createdAt: k.instant("created_at").notNull(),
    createdBy: k.text("created_by"),
    /** From then on it counts for nothing. None where it stays until it is lifted. */
    expiresAt: k.instant("expires_at"),
  });

  /** When each job last succeeded. */
  const jobs = k.table("jobs", {
    name: k.text("name").primaryKey(),
    succeededAt: k.instant("succeeded_at").notNull(),
    summary: k.json<Readonly<Record<string, number>>>("summary").notNull(),
  });

  /** When each job last failed. */
  const jobFailures = k.table("job_failures", {
    name: k.text("name").primaryKey(),
    failedAt: k.instant("failed_at").notNull(),
    /** As a code: never what a database or a mail server said. */
    problem: k.text("problem").notNull(),
  });

  /** One row for each running server: proves that writing works, and who is there. */
  const servers = k.table("servers", {
    id: k.text("id").primaryKey(),
    host: k.text("host").notNull(),
    version: k.text("version").notNull(),
    startedAt: k.instant("started_at").notNull(),
    seenAt: k.instant("seen_at").notNull(),
    /** The ids of the signing keys that it serves, between spaces. */
    keys: k.text("keys"),
    /** The versions of the server secrets that it accepts, between spaces; the first one writes. */
    secrets: k.text("secrets"),
    /** The last call of an operator to read everything anew, and the last one that it has answered. */
    called: k.text("called"),
    heard: k.text("heard"),
  });

  return {
    users,
    tombstones,
    roles,
    userRoles,
    sessions,
    refreshFamilies,
    challenges,
    mails,
    signingKeys,
    serverSecrets,
    auditEvents,
    auditHeads,
    tries,
    bans,
    jobs,
    jobFailures,
    servers,
  };
}

export type Tables = ReturnType<typeof defineTables>;

export type User = Tables["users"]["$inferSelect"];
/** A user as far as anybody but the check of a password has to know. */
export type Account = Omit<User, "passwordHash">;
export type Role = Tables["roles"]["$inferSelect"];
export type Session = Tables["sessions"]["$inferSelect"];
export type RefreshFamily = Tables["refreshFamilies"]["$inferSelect"];
export type SigningKey = Tables["signingKeys"]["$inferSelect"];
export type ServerSecret = Tables["serverSecrets"]["$inferSelect"];
export type Tombstone = Tables["tombstones"]["$inferSelect"];
export type Challenge = Tables["challenges"]["$inferSelect"];
export type Mail = Tables["mails"]["$inferSelect"];
export type Ban = Tables["bans"]["$inferSelect"];
export type AuditEvent = Tables["auditEvents"]["$inferSelect"];
export type AuditHead = Tables["auditHeads"]["$inferSelect"];

export type ClientKind = (typeof clientKinds)[number];
export type CredentialKind = (typeof credentialKinds)[number];
export type ChallengePurpose = (typeof challengePurposes)[number];
export type MailState = (typeof mailStates)[number];
export type SigningAlgorithm = (typeof signingAlgorithms)[number];
