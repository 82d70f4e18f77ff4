/** Rows as they stand in the tables, each with what a test wants to be different. */
import type { NewAuditEvent } from "../../src/store/audit-events.ts";
import type { NewSigningKey } from "../../src/store/signing-keys.ts";
import type { RefreshFamily, Session, SigningAlgorithm } from "../../src/store/tables.ts";
import type { NewUser } from "../../src/store/users.ts";

/** So many seconds after some day. */
export const at = (seconds: number): Date => new Date(Date.UTC(2026, 0, 1) + Math.round(seconds * 1000));

export const aUser = (id: string, changed: Partial<NewUser> = {}): NewUser => ({
  id,
  email: `${id}@example.com`,
  emailKey: `${id}@example.com`,
  createdAt: at(0),
  updatedAt: at(0),
  ...changed,
});

export const aSession = (id: string, userId: string, changed: Partial<Session> = {}): Session => ({
  id,
  userId,
  credential: "session",
  secretHash: `hash of ${id}`,
  secretVersion: null,
  epoch: 0,
  createdAt: at(0),
  authenticatedAt: at(0),
  lastSeenAt: at(0),
  idleExpiresAt: at(3600),
  expiresAt: at(86_400),
  ip: "192.0.2.7",
  userAgent: "curl/8",
  browser: "curl",
  os: null,
  clientKind: "program",
  revokedAt: null,
  revokeReason: null,
  ...changed,
});

export const aFamily = (id: string, sessionId: string): RefreshFamily => ({
  generation: 1,
  rotatedAt: null,
  retries: 0,
  lateRetriedAt: null,
  secretVersion: null,
  id,
  sessionId,
  clientId: "first-party",
  nonce: "nonce",
  createdAt: at(0),
});

export const aKey = (kid: string, state: "active" | "next", algorithm: SigningAlgorithm): NewSigningKey => ({
  kid,
  algorithm,
  state,
  publicJwk: { kty: "EC" },
  privateJwk: "sealed",
  publishedAt: at(0),
});

export const anEvent = (id: string, changed: Partial<NewAuditEvent> = {}): NewAuditEvent => ({
  id,
  at: at(0),
  action: "login.succeeded",
  actorKind: "anonymous",
  ...changed,
});
