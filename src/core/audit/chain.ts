/**
 * How entries prove that they are as they were written. Each bears a MAC from the transaction that wrote it. Soon
 * after the commit it is sealed: it gets a place in a chain of hashes, and the MAC becomes one of that place. The
 * hashes need no secret, so that whoever keeps one elsewhere can follow them; the MACs do, so that whoever has the
 * database alone can make none.
 */
import type { StoredAuditEvent } from "../../store/audit-events.ts";
import type { AuditEvent, AuditHead } from "../../store/tables.ts";
import { canonical } from "../canonical.ts";
import { checkProof, type Keyring, type Proven, prove, sha256, withoutRetired } from "../secrets.ts";

type Personal = Pick<AuditEvent, "ip" | "userAgent">;

/** What an entry says. Of the person's address and browser only a salted digest, so that they can be erased. */
type Said = Omit<AuditEvent, keyof Personal | "particulars" | "personalSalt" | "seq" | "hash" | "mac"> & {
  readonly particulars: unknown;
};

const form = "authctl audit entry 1";

export const digestOf = (entry: Said): string =>
  sha256(
    canonical([
      form,
      entry.id,
      entry.at.getTime(),
      entry.action,
      entry.actorKind,
      entry.actor,
      entry.userId,
      entry.sessionId,
      entry.requestId,
      entry.reason,
      entry.particulars,
      entry.personalDigest,
    ]),
  );

/** The same of an entry as it was found: particulars that are no JSON are none that we wrote. */
export const storedDigestOf = (entry: StoredAuditEvent): string =>
  digestOf({ ...entry, particulars: parsed(entry.particulars) });

function parsed(text: string | null): unknown {
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    return { unreadable: text };
  }
}

export const personalDigestOf = (salt: string, { ip, userAgent }: Personal): string =>
  sha256(canonical([salt, ip, userAgent]));

/** The hash of a place: whoever has it holds everything up to there. */
export const hashOf = (previous: string, seq: number, digest: string): string => sha256(`${previous}|${seq}|${digest}`);

const asWritten = (digest: string): string => `entry|${digest}`;
const asPlaced = ({ seq, hash }: Place, digest: string): string => `place|${seq}|${hash}|${digest}`;
const asHead = ({ name, seq, hash, adopted }: Omit<AuditHead, "mac">): string =>
  `head|${name}|${seq}|${hash}|${adopted}`;

type Place = { readonly seq: number; readonly hash: string };

export const writtenMac = (keyring: Keyring, digest: string): string => prove(keyring, "audit", asWritten(digest));

export const placedMac = (keyring: Keyring, place: Place, digest: string): string =>
  prove(keyring, "audit", asPlaced(place, digest));

export const checkWritten = (keyring: Keyring, digest: string, mac: string): Proven =>
  checkProof(keyring, "audit", asWritten(digest), mac);

export const checkPlaced = (keyring: Keyring, place: Place, digest: string, mac: string): Proven =>
  checkProof(keyring, "audit", asPlaced(place, digest), mac);

export const headOf = (keyring: Keyring, head: Omit<AuditHead, "mac">): AuditHead => ({
  ...head,
  mac: prove(keyring, "audit", asHead(head)),
});

/** No retired secret proves a head: those are proven anew before it is retired. */
export const checkHead = (keyring: Keyring, { mac, ...head }: AuditHead): Proven =>
  mac === null ? "forged" : checkProof(withoutRetired(keyring), "audit", asHead(head), mac);

const erasedBy = "erased:";
const asErased = (userId: string): string => `erased|${userId}`;

/** Stands where the salt stood. It tells of whom, so that it erases nobody else. */
export const erasure = (keyring: Keyring, userId: string): string =>
  `${erasedBy}${prove(keyring, "audit", asErased(userId))}`;

export type PersonalState = "as written" | "erased" | "unproven" | "changed";

/** What has become of an entry's address and browser. */
export function personalState(keyring: Keyring, entry: StoredAuditEvent): PersonalState {
  const { ip, userAgent, personalSalt: salt, personalDigest: digest } = entry;
  const isEmpty = ip === null && userAgent === null;
  if (digest === null) return isEmpty && salt === null ? "as written" : "changed";
  if (salt === null) return "changed";
  if (!salt.startsWith(erasedBy)) return personalDigestOf(salt, entry) === digest ? "as written" : "changed";
  const proof = salt.slice(erasedBy.length);
  const proven = [entry.userId, entry.actor].map((id) =>
    id === null ? "forged" : checkProof(keyring, "audit", asErased(id), proof),
  );
  if (!isEmpty || proven.every((one) => one === "forged")) return "changed";
  return proven.includes("genuine") ? "erased" : "unproven";
}
