/** A person as another system knows them, and the reasons why one cannot be taken over. */
import type { Profile } from "../../store/tables.ts";
import type { FirebaseHashConfig } from "./firebase.ts";
import type { Members } from "./members.ts";

export type ForeignUser = {
  /** What the other system calls this user: it decides which id the user gets here. */
  readonly sourceId: string | null;
  readonly email: string | null;
  readonly emailVerified: boolean;
  readonly username: string | null;
  readonly fullName: string | null;
  readonly locale: string | null;
  readonly profile: Profile | null;
  readonly disabled: boolean;
  readonly createdAt: Date | null;
  readonly lastLoginAt: Date | null;
  /** In the text form of core/stored-hashes.ts; whether it is one, and a bearable one, is looked at later. */
  readonly passwordHash: string | null;
  readonly roles: readonly string[];
};

export const sourceNames = [
  "authctl",
  "fastapi-users",
  "supabase",
  "better-auth",
  "keycloak",
  "firebase",
  "auth0",
] as const;
export type SourceName = (typeof sourceNames)[number];

export type Circumstances = { readonly now: Date; readonly firebase?: FirebaseHashConfig | undefined };

/** One other system: how its records are known, and what they say. */
export type Source = {
  /** Whether a record is unmistakably one of this system's. */
  readonly recognises: (record: Members) => boolean;
  /** Throws `Refused` where the record cannot be read. */
  readonly read: (record: Members, circumstances: Circumstances) => ForeignUser;
};

/** What most systems do not know. */
export const unknown = { username: null, locale: null, profile: null, lastLoginAt: null, disabled: false } as const;

/** Why a row is refused. The sentences go on after "line 17: ", and never hold anything of the row. */
export const refusals = {
  unreadable: "it is no JSON object, or has not as many cells as the header",
  too_large: "it is longer than 1 MiB",
  broken: "the file cannot be read from here on; what follows was not looked at",
  unfit_member: "this member is not of the form that the source gives it",
  no_email: "the user has no address",
  invalid_email: "this is not an e-mail address that can be kept",
  invalid_username:
    "the user name has a form that is not taken here, or is reserved; `--drop names` imports without it",
  invalid_full_name: "the full name cannot be kept; `--drop names` imports without it",
  unsupported_hash: "the password is hashed in a way that is not known here; `--drop hashes` imports without it",
  costly_hash: "the hash would take too much time or memory to compare; `--drop hashes` imports without it",
  unknown_role:
    "there is no such role here; make it, name another one with --roles-map, or leave it out with `--drop roles`",
  deleted: "the user is deleted there",
  duplicate: "an earlier row has the same id, address or user name",
  email_taken: "another user here has the address",
  username_taken: "another user here has the user name",
} as const;
export type RefusalReason = keyof typeof refusals;

/** Thrown where a row cannot be imported; caught where its line is known. */
export class Refused extends Error {
  override readonly name = "Refused";

  constructor(
    readonly reason: RefusalReason,
    /** The member that is to blame. */
    readonly member?: string,
  ) {
    super(reason);
  }
}
