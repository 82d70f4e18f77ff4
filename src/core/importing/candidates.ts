/** From a record of another system to the rows that it becomes here, or to the reason why it becomes none. */
import { createHash } from "node:crypto";
import type { NewMember } from "../../store/user-batches.ts";
import type { Core } from "../core.ts";
import { parseEmail, parseFullName, parseUsername } from "../identifiers.ts";
import { type HashScheme, readHash } from "../passwords/stored-hashes.ts";
import { sealHash } from "../passwords.ts";
import { adminRole, defaultRole } from "../roles.ts";
import { auth0 } from "./auth0.ts";
import { authctl } from "./authctl.ts";
import { betterAuth } from "./better-auth.ts";
import { fastapiUsers } from "./fastapi-users.ts";
import { firebase } from "./firebase.ts";
import {
  type Circumstances,
  type ForeignUser,
  type RefusalReason,
  Refused,
  type Source,
  type SourceName,
  sourceNames,
} from "./foreign-user.ts";
import { keycloak } from "./keycloak.ts";
import { Members } from "./members.ts";
import { supabase } from "./supabase.ts";

const sources: Readonly<Record<SourceName, Source>> = {
  authctl,
  "fastapi-users": fastapiUsers,
  supabase,
  "better-auth": betterAuth,
  keycloak,
  firebase,
  auth0,
};

/** The one system whose record this can be; `undefined` where there are several, or none. */
export function recogniseSource(value: unknown): SourceName | undefined {
  const record = Members.of(value);
  const matching = record ? sourceNames.filter((name) => sources[name].recognises(record)) : [];
  return matching.length === 1 ? matching[0] : undefined;
}

/** A record as it was found in a file, or what was found in its place. `line` is a record's number where there are no lines. */
export type Incoming = { readonly line: number } & (
  | { readonly value: unknown }
  | { readonly problem: "unreadable" | "too_large" | "broken" }
);

/** What users are imported without where it cannot be kept, instead of being refused. */
export const droppables = ["names", "hashes", "roles"] as const;
export type Droppable = (typeof droppables)[number];

export type Choices = Circumstances & {
  readonly source: SourceName;
  readonly drop: ReadonlySet<Droppable>;
  /** Roles there and what they are called here. */
  readonly rolesMap: ReadonlyMap<string, string>;
  /** The roles that there are here. */
  readonly roles: readonly string[];
};

export type Candidate = NewMember & {
  readonly line: number;
  readonly scheme: HashScheme | undefined;
  readonly dropped: readonly Droppable[];
};
export type Refusal = { readonly line: number; readonly reason: RefusalReason; readonly member?: string | undefined };

export function prepare(core: Core, incoming: Incoming, choices: Choices): Candidate | Refusal {
  const { line } = incoming;
  if ("problem" in incoming) return { line, reason: incoming.problem };
  try {
    const record = Members.of(incoming.value);
    if (!record) throw new Refused("unreadable");
    return { line, ...candidateOf(core, sources[choices.source].read(record, choices), choices) };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { line, reason: error.reason, member: error.member };
  }
}

function candidateOf(core: Core, foreign: ForeignUser, choices: Choices): Omit<Candidate, "line"> {
  const { now, source } = choices;
  const dropped = new Set<Droppable>();
  /** Takes what is there, where it fits; drops or refuses what does not. */
  const kept = <T extends object>(
    text: string | null,
    parse: (text: string) => T | { readonly problem: string },
    refusal: RefusalReason,
  ): T | undefined => {
    const parsed = text === null || text.trim() === "" ? undefined : parse(text);
    if (parsed === undefined || !("problem" in parsed)) return parsed;
    if (!choices.drop.has("names")) throw new Refused(refusal);
    dropped.add("names");
    return undefined;
  };

  if (foreign.email === null) throw new Refused("no_email");
  const email = parseEmail(foreign.email);
  if ("problem" in email) throw new Refused("invalid_email");
  const id = importedId(source, foreign.sourceId ?? email.emailKey, foreign.createdAt);
  const hash = hashOf(core, foreign.passwordHash, choices, dropped);
  const createdAt = foreign.createdAt && foreign.createdAt < now ? foreign.createdAt : now;
  return {
    user: {
      id,
      ...email,
      ...(kept(foreign.username, parseUsername, "invalid_username") ?? { username: null, usernameKey: null }),
      ...(kept(foreign.fullName, parseFullName, "invalid_full_name") ?? { fullName: null, fullNameKey: null }),
      emailVerifiedAt: foreign.emailVerified ? now : null,
      locale: foreign.locale !== null && isLanguageTag(foreign.locale) ? foreign.locale : null,
      profile: foreign.profile,
      passwordHash: hash && sealHash(core, id, hash.text),
      disabledAt: foreign.disabled ? now : null,
      createdAt,
      lastLoginAt: foreign.lastLoginAt,
      updatedAt: now,
    },
    roles: rolesOf(foreign, choices, dropped),
    scheme: hash?.scheme,
    dropped: [...dropped],
  };
}

const isLanguageTag = (text: string): boolean => /^[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,3}$/.test(text);

function hashOf(
  core: Core,
  text: string | null,
  { drop }: Choices,
  dropped: Set<Droppable>,
): { readonly text: string; readonly scheme: HashScheme } | null {
  if (text === null) return null;
  const read = readHash(text, core.settings.ARGON2_MEMORY_KIB);
  if (read?.bearable) return { text, scheme: read.scheme };
  if (!drop.has("hashes")) throw new Refused(read ? "costly_hash" : "unsupported_hash");
  dropped.add("hashes");
  return null;
}

/** Our own exports say all of a user's roles; whoever comes from elsewhere has what everybody gets here, too. */
function rolesOf(foreign: ForeignUser, choices: Choices, dropped: Set<Droppable>): string[] {
  const named = foreign.roles.map((role) => choices.rolesMap.get(role) ?? role);
  const known = named.filter((role) => choices.roles.includes(role));
  if (known.length < named.length) {
    if (choices.source === "authctl" && !choices.drop.has("roles")) throw new Refused("unknown_role");
    dropped.add("roles");
  }
  return [...new Set(choices.source === "authctl" ? known : [...known, defaultRole])];
}

export const isAdmin = (candidate: Candidate): boolean => candidate.roles.includes(adminRole);

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

/**
 * The id of a user who comes from elsewhere: always the same for the same user, so that a second run finds whom the
 * first one made. A UUIDv7 of the time of the making there, whose 74 random bits are of the hash of where it comes from.
 */
export function importedId(source: SourceName, sourceId: string, createdAt: Date | null): string {
  if (uuidV7.test(sourceId)) return sourceId.toLowerCase();
  const bytes = createHash("sha256").update(`${source}|${sourceId}`).digest();
  bytes.writeUIntBE(createdAt?.getTime() ?? 0, 0, 6);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x70, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString("hex", 0, 16);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
