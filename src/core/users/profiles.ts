/** An app's own members of a user, as PROFILE_SCHEMA wants them. */
import { isDeepStrictEqual } from "node:util";
import type { Profile } from "../../store/tables.ts";
import { fail, type InputError } from "../errors.ts";

/** What a profile has to be like. */
export type ProfileForm = {
  /** Members that users cannot change themselves. */
  readonly readOnly: readonly string[];
  problemsOf(profile: Profile): InputError[];
};

/** `merge` leaves what it does not name, and `null` takes a member away (RFC 7396, of the members at the top). */
export type ProfileEdit = { readonly how: "replace" | "merge"; readonly members: Profile };

type Owner = {
  /** Whether users change it themselves: then what is read-only stays. */
  readonly own: boolean;
};

/** In UTF-8, as it would be written on the wire. */
const mostBytes = 16 * 1024;
const deepest = 32;

const refuse = (message: string): never => fail("validation_failed", { errors: [{ path: "/profile", message }] });

/** As it may be stored: of the form that there is, of a bounded size, and of characters that every database can hold. */
function checkedProfile(form: ProfileForm | undefined, profile: Profile): Profile {
  if (Object.keys(profile).length === 0 && !form) return profile;
  if (!form) return refuse("must be left out: this server has no PROFILE_SCHEMA, and so no members of its own.");
  refuseOddities(profile, 1);
  if (Buffer.byteLength(JSON.stringify(profile)) > mostBytes)
    refuse(`must be at most ${mostBytes / 1024} KiB of JSON.`);
  const errors = form.problemsOf(profile);
  return errors.length > 0 ? fail("validation_failed", { errors }) : profile;
}

/** Names that reach a prototype wherever such an object is copied carelessly. */
const refusedNames: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

function refuseOddities(value: unknown, depth: number): void {
  if (typeof value === "string" && (value.includes("\0") || !value.isWellFormed())) {
    refuse("must hold no NUL characters and no halves of characters.");
  }
  if (typeof value !== "object" || value === null) return;
  if (depth > deepest) refuse(`must be nested at most ${deepest} levels deep.`);
  for (const [name, member] of Object.entries(value)) {
    if (refusedNames.has(name)) refuse("must not name a member `__proto__`, `constructor` or `prototype`.");
    refuseOddities(name, depth);
    refuseOddities(member, depth + 1);
  }
}

/** The profile as it is after the edit. Fails with `validation_failed`. */
export function editedProfile(
  form: ProfileForm | undefined,
  before: Profile | null,
  { how, members }: ProfileEdit,
  { own }: Owner,
): Profile {
  const kept = own ? (form?.readOnly ?? []) : [];
  const errors = kept
    .filter((name) => Object.hasOwn(members, name) && !isDeepStrictEqual(members[name], before?.[name]))
    .map((name) => ({ path: `/profile/${name}`, message: "is changed by operators alone." }));
  if (errors.length > 0) fail("validation_failed", { errors });
  // Unlike members of an object, entries have no names that mean anything.
  const old = Object.entries(before ?? {});
  const next = new Map(how === "merge" ? old : old.filter(([name]) => kept.includes(name)));
  for (const [name, member] of Object.entries(members)) {
    if (how === "merge" && member === null) next.delete(name);
    else next.set(name, member);
  }
  return checkedProfile(form, Object.fromEntries(next));
}
