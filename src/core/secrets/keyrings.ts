/**
 * Which of the secrets that this process holds it accepts, and by which of them it writes: as the database says, so
 * that no server writes by a secret that another one does not accept yet (rule TK-7).
 */
import type { ServerSecret } from "../../store/tables.ts";
import type { Core } from "../core.ts";
import { fail } from "../errors.ts";
import { isAccepted, type Keyring, open, secretFrom } from "../secrets.ts";

/**
 * Takes these secrets into the keyring. Where the database knows none yet, the first one writes. Fails with
 * `secret_mismatch` where the one that writes is missing: then the keyring stays as it was.
 */
function settle(keyring: Keyring, materials: readonly string[], rows: readonly ServerSecret[]): void {
  const rowOf = (version: string) => rows.find((row) => row.version === version);
  const before = new Map(keyring.secrets.map((secret) => [secret.version, secret]));
  const held = new Map(materials.map(secretFrom).map((one) => [one.version, before.get(one.version) ?? one]));
  const accepted = [...held.values()].filter(({ version }) => rowOf(version)?.state !== "retired");
  const active = rows.find(({ state }) => state === "active");
  const writing = active ? accepted.find(({ version }) => version === active.version) : accepted[0];
  if (!writing) {
    const detail = active
      ? `The database is written with the server secret of version ${active.version}, which is not among those that are given here. Put it there: without it nothing that is sealed can be opened.`
      : "The secrets that are given here are all retired. Put the one there that the database was written with.";
    return fail("secret_mismatch", { detail });
  }
  // Whatever has no row yet is newer than all that have one.
  const age = (version: string): number => {
    const at = rows.findIndex((row) => row.version === version);
    return at < 0 ? rows.length : at;
  };
  const others = accepted
    .filter((one) => one !== writing)
    .toSorted((one, other) => age(other.version) - age(one.version));
  keyring.secrets = [writing, ...others];
  const isAwaited = (version: string): boolean => (rowOf(version)?.state ?? "next") === "next";
  keyring.awaited = new Set(active ? others.map(({ version }) => version).filter(isAwaited) : []);
  keyring.auditKeys = new Map(
    rows.flatMap(({ version, auditKey }) => {
      const key = auditKey && open(keyring, "audit-key", auditKey, version);
      return key ? [[version, Buffer.from(key, "base64url")] as const] : [];
    }),
  );
}

/** Reads anew which secrets there are and which of them writes. Fails where they cannot be read, and changes nothing then. */
export async function followSecrets(core: Core): Promise<void> {
  const rows = await core.store.serverSecrets.all();
  settle(core.keyring, core.secretShelf.read(), rows);
}

/** An unknown version makes the secrets be read again; for so long after that it does not, in milliseconds. */
const rereadAfter = 1_000;

/**
 * Whether the secret of this version is accepted, after one more look where it is not known: this process may have
 * been asleep when all were called.
 */
export async function accepts(core: Core, version: string): Promise<boolean> {
  const { keyring } = core;
  if (isAccepted(keyring, version)) return true;
  const now = core.clock.now().getTime();
  if (Math.abs(now - keyring.soughtAt) < rereadAfter) return false;
  keyring.soughtAt = now;
  await followSecrets(core).catch((error: unknown) => core.log.error("secrets_not_read", {}, error));
  return isAccepted(keyring, version);
}

/**
 * Has the database know the secrets that it was written with so far: once, whoever comes first. Whoever asks has
 * made sure that they are those.
 */
export async function adoptSecrets(core: Core): Promise<void> {
  if ((await core.store.serverSecrets.all()).length > 0) return;
  const now = core.clock.now();
  const [first, ...rest] = core.keyring.secrets;
  await core.store.write(async (tx) => {
    const active = { version: first.version, state: "active", addedAt: now, activatedAt: now } as const;
    if (!(await tx.serverSecrets.insert(active))) return;
    for (const { version } of rest) await tx.serverSecrets.insert({ version, state: "retiring", addedAt: now });
  });
  await followSecrets(core);
}
