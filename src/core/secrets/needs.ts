/** What each server secret is still needed for: the proof that an older one can go, before it goes. */
import type { SealedPlace } from "../../store/sealed-texts.ts";
import type { Server } from "../../store/servers.ts";
import type { SignedBy } from "../../store/sessions.ts";
import type { ServerSecret } from "../../store/tables.ts";
import type { Core } from "../core.ts";
import { provenBy } from "../secrets.ts";
import { liveServers, secretsOf, silence } from "../servers.ts";
import { openSealed, sealedPlaces } from "./resealing.ts";

/** Why a secret cannot go yet: so many of these, until then at the latest where that is known. */
export type Need = {
  readonly version: string;
  readonly what: SealedPlace | "audit_heads" | "sessions" | "refresh_families" | "servers" | "writers";
  readonly rows: number;
  readonly until: Date | null;
};

export type SecretState = {
  readonly version: string;
  readonly state: ServerSecret["state"];
  /** Whether this process holds and accepts it. */
  readonly accepted: boolean;
  readonly addedAt: Date | null;
  readonly activatedAt: Date | null;
  readonly retiredAt: Date | null;
  /** How many texts it has sealed, by column. */
  readonly sealed: Readonly<Record<SealedPlace, number>>;
  /** Ends of the audit trail's chain, and entries of it, that it proves. The entries stay provable without it. */
  readonly auditHeads: number;
  readonly auditEvents: number;
  /** Live sessions whose tokens it signed or may have signed, and live refresh families of which it may have made a token. */
  readonly sessions: number;
  readonly refreshFamilies: number;
  readonly lastSessionEnds: Date | null;
  /** The live servers that accept it, and those that do not. */
  readonly servers: { readonly accepting: readonly Server[]; readonly refusing: readonly Server[] };
};

/** As the database knows them; before it does, as it will when a server starts on it. */
async function knownSecrets(core: Core): Promise<ServerSecret[]> {
  const rows = await core.store.serverSecrets.all();
  if (rows.length > 0) return rows;
  const untold = { addedAt: new Date(0), activatedAt: null, retiredAt: null, auditKey: null };
  return core.keyring.secrets
    .map(({ version }, at): ServerSecret => ({ version, state: at === 0 ? "active" : "retiring", ...untold }))
    .toReversed();
}

/** The server secrets, oldest first, each with what depends on it. */
export async function listSecrets(core: Core): Promise<SecretState[]> {
  const rows = await knownSecrets(core);
  const accepted = core.keyring.secrets.map(({ version }) => version);
  // Held here, and not yet made known by a rotation.
  const unknown = accepted.filter((version) => !rows.some((row) => row.version === version));
  const servers = await liveServers(core);
  const sealed = await sealedCounts(core);
  const proven = new Map((await core.store.auditEvents.countBySecret()).map((one) => [one.version, one.rows]));
  const states: SecretState[] = [];
  for (const version of [...rows.map((row) => row.version), ...unknown]) {
    const row = rows.find((one) => one.version === version);
    const signs = row !== undefined && ["active", "retiring"].includes(row.state);
    const { sessions, families } = signs ? await needOfSessions(core, row, rows) : nothing;
    states.push({
      version,
      state: row?.state ?? "next",
      accepted: accepted.includes(version),
      addedAt: row?.addedAt ?? null,
      activatedAt: row?.activatedAt ?? null,
      retiredAt: row?.retiredAt ?? null,
      sealed: sealed(version),
      auditHeads: await headsBy(core, version),
      auditEvents: proven.get(version) ?? 0,
      sessions: sessions.number,
      refreshFamilies: families.number,
      lastSessionEnds: later(sessions.last, families.last),
      servers: {
        accepting: servers.filter((one) => secretsOf(one).includes(version)),
        refusing: servers.filter((one) => !secretsOf(one).includes(version)),
      },
    });
  }
  return states;
}

const none = { number: 0, last: null } as const;
const nothing = { sessions: none, families: none } as const;

const later = (one: Date | null, other: Date | null): Date | null =>
  one && other && one > other ? one : (other ?? one);

/** What bears no version is older than the table of the secrets, and so are those that it began with. */
export const signedBy = ({ version, addedAt }: ServerSecret, rows: readonly ServerSecret[]): SignedBy => ({
  version,
  unmarked: addedAt.getTime() === rows[0]?.addedAt.getTime(),
});

async function needOfSessions(core: Core, row: ServerSecret, rows: readonly ServerSecret[]) {
  const now = core.clock.now();
  const secret = signedBy(row, rows);
  const sessions = await core.store.sessions.needing(secret, now);
  const families = await core.store.refreshFamilies.needing(secret, now);
  return { sessions, families };
}

async function sealedCounts(core: Core): Promise<(version: string) => Record<SealedPlace, number>> {
  const counted = new Map<SealedPlace, ReadonlyMap<string, number>>();
  for (const place of sealedPlaces) {
    const counts = await core.store.sealedTexts.counts(place);
    counted.set(place, new Map(counts.map(({ version, rows }) => [version, rows])));
  }
  const of = (version: string) => sealedPlaces.map((place) => [place, counted.get(place)?.get(version) ?? 0]);
  return (version) => Object.fromEntries(of(version)) as Record<SealedPlace, number>;
}

async function headsBy(core: Core, version: string): Promise<number> {
  const heads = [await core.store.auditHeads.byName("head"), await core.store.auditHeads.byName("anchor")];
  return heads.filter((head) => head && provenBy(head.mac) === version).length;
}

/** Everything that an older secret is needed for; of every one that is accepted, or of this one alone. */
export async function needsOf(core: Core, only?: string): Promise<Need[]> {
  const rows = await knownSecrets(core);
  const active = rows.find(({ state }) => state === "active");
  const servers = await liveServers(core);
  const sealed = await sealedCounts(core);
  const needs: Need[] = [];
  for (const row of rows) {
    const { version } = row;
    if (row.state !== "retiring" || (only !== undefined && only !== version)) continue;
    const add = (what: Need["what"], count: number, until: Date | null = null): void => {
      if (count > 0) needs.push({ version, what, rows: count, until });
    };
    for (const [place, count] of Object.entries(sealed(version))) add(place as SealedPlace, count);
    add("audit_heads", await headsBy(core, version));
    const { sessions, families } = await needOfSessions(core, row, rows);
    add("sessions", sessions.number, sessions.last);
    add("refresh_families", families.number, families.last);
    add("servers", servers.filter((one) => secretsOf(one)[0] === version).length);
    // A command that began before may still write by the secret that it found then.
    const settledAt = new Date((active?.activatedAt ?? new Date(0)).getTime() + silence);
    if (core.clock.now() < settledAt) add("writers", 1, settledAt);
  }
  return needs;
}

export type Examined = {
  readonly place: SealedPlace;
  readonly rows: number;
  /** Those that only an older secret opens, which is still accepted. */
  readonly older: number;
  /** Those that no secret opens that is given here. */
  readonly unopened: number;
};

export type Verified = {
  readonly writing: string;
  /** Every column that is sealed. */
  readonly examined: readonly Examined[];
  readonly needs: readonly Need[];
  /** Older secrets that nothing needs any more. */
  readonly droppable: readonly string[];
};

/** Opens everything that is sealed, with the secret that writes alone, and counts what needs an older one. */
export async function verifySecrets(
  core: Core,
  { interrupted, onRows }: { readonly interrupted?: AbortSignal; readonly onRows?: (rows: number) => void } = {},
): Promise<Verified> {
  const [writing] = core.keyring.secrets;
  const alone = { ...core.keyring, secrets: [writing] as const };
  const examined: Examined[] = [];
  for (const place of sealedPlaces) {
    let [rows, older, unopened] = [0, 0, 0];
    for (let after: string | undefined; ; ) {
      interrupted?.throwIfAborted();
      const page = await core.store.sealedTexts.page(place, 500, { after });
      rows += page.length;
      const others = page.filter((one) => openSealed(alone, place, one) === undefined);
      const strange = others.filter((one) => openSealed(core.keyring, place, one) === undefined).length;
      older += others.length - strange;
      unopened += strange;
      onRows?.(page.length);
      after = page.at(-1)?.id;
      if (page.length < 500) break;
    }
    examined.push({ place, rows, older, unopened });
  }
  const needs = await needsOf(core);
  const older = (await knownSecrets(core)).filter(({ state }) => state === "retiring");
  const isNeeded = (version: string): boolean => needs.some((need) => need.version === version);
  const droppable = older.map(({ version }) => version).filter((version) => !isNeeded(version));
  return { writing: writing.version, examined, needs, droppable };
}
