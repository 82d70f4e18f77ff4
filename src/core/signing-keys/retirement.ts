/** Keys that must not count any more: because their time is over, or because somebody else may have them. */
import type { SigningAlgorithm, SigningKey } from "../../store/tables.ts";
import type { Actor } from "../actors.ts";
import { record } from "../audit.ts";
import type { Core } from "../core.ts";
import { fail } from "../errors.ts";
import { type Answered, callServers } from "../servers.ts";
import { activeOf } from "../signing-keys.ts";
import { listSigningKeys } from "./listing.ts";
import { mintKey, publishKey, retireAtOnce } from "./minting.ts";
import { knownAt, letSign, type Rotation, serversWithout } from "./rotation.ts";

/** How long servers are waited for, in milliseconds, and until when. */
export type Patience = { readonly timeout: number; readonly interrupted?: AbortSignal };

export type Replacement = Rotation & { readonly retired: readonly string[] };

/**
 * For a key that has leaked: new ones are made and sign at once, and all that there were are retired. All of them,
 * even those that have not signed yet: they lay in the same database, under the same secret, and whoever has one
 * may have the others. Sessions stay; access tokens that were given out before are dead.
 */
export async function replaceSigningKeys(core: Core, by: Actor, wanted?: SigningAlgorithm): Promise<Replacement> {
  const algorithm =
    wanted ?? activeOf(await core.store.signingKeys.current())?.algorithm ?? core.settings.TOKEN_ALGORITHM;
  const [fresh, spare] = await Promise.all([mintKey(core, algorithm), mintKey(core, algorithm)]);
  return await core.store.write(async (tx) => {
    await tx.signingKeys.claim();
    const rows = await tx.signingKeys.current();
    const replaced = activeOf(rows)?.kid ?? null;
    const retired = await retireAtOnce(
      core,
      tx,
      by,
      rows.map(({ kid }) => kid),
    );
    await publishKey(core, tx, by, "active", fresh);
    await publishKey(core, tx, by, "next", spare);
    const particulars = { algorithm, activated: fresh.kid, replaced, immediately: true };
    await record(core, tx, by, { action: "key.rotated", particulars });
    return { algorithm, activated: fresh.kid, replaced, rotatedAt: core.clock.now(), retired };
  });
}

/** The same, and waits until every live server goes by it. */
export async function replaceLeakedKeys(
  core: Core,
  by: Actor,
  { algorithm, ...patience }: Patience & { readonly algorithm?: SigningAlgorithm },
): Promise<Replacement & { readonly answered: Answered }> {
  const replacement = await replaceSigningKeys(core, by, algorithm);
  return { ...replacement, answered: await callServers(core, patience) };
}

type Retirement = {
  /** None where it was retired before. */
  readonly retired: string | null;
  /** The key that signs in its place from now on. */
  readonly activated: string | null;
  readonly answered: Answered;
};

/**
 * Retires one key, and waits until every live server has let go of it. Fails with `key_in_use` where a token could
 * still be alive that it signed; with `force` such tokens die. One that signs needs a successor that everybody can
 * know. In the place of one that was still to come another one is published.
 */
export async function retireSigningKey(
  core: Core,
  by: Actor,
  kid: string,
  { force, ...patience }: Patience & { readonly force: boolean },
): Promise<Retirement> {
  const row = (await core.store.signingKeys.all()).find((one) => one.kid === kid);
  if (!row) return failUnknown();
  const spare = await mintKey(core, row.algorithm);
  const successor = row.state === "active" ? await knownSuccessor(core, row) : undefined;
  const verdict = await core.store.write(async (tx) => {
    await tx.signingKeys.claim();
    const rows = await tx.signingKeys.current();
    const key = rows.find((one) => one.kid === kid);
    if (!key) return { retired: null, activated: null };
    const next = rows.find((one) => one.kid === successor && one.state === "next");
    const refusal = whyNot(core, key, next?.kid, force);
    if (refusal) return { refusal };
    if (next) await letSign(core, tx, by, { rows, next, spare });
    await retireAtOnce(core, tx, by, [kid]);
    if (key.state === "next") await publishKey(core, tx, by, "next", spare);
    return { retired: kid, activated: next?.kid ?? null };
  });
  if ("refusal" in verdict) return fail("key_in_use", { detail: verdict.refusal });
  return { ...verdict, answered: await callServers(core, patience) };
}

/** What retiring a key would do now: fails as that would, and changes nothing. */
export async function previewRetirement(
  core: Core,
  kid: string,
  force: boolean,
): Promise<Pick<Retirement, "retired" | "activated"> & { readonly heldByAtMost: number }> {
  const key = (await listSigningKeys(core)).find((one) => one.kid === kid);
  if (!key) return failUnknown();
  if (key.state === "retired") return { retired: null, activated: null, heldByAtMost: 0 };
  const successor = key.state === "active" ? await knownSuccessor(core, key) : undefined;
  const refusal = whyNot(core, key, successor, force);
  if (refusal) return fail("key_in_use", { detail: refusal });
  return { retired: kid, activated: successor ?? null, heldByAtMost: key.heldByAtMost };
}

const failUnknown = (): never =>
  fail("not_found", { detail: "There is no such key. `authctl key list` shows those that there are." });

/** The key that could sign in the place of an active one now: everybody can know it, and every live server serves it. */
async function knownSuccessor(core: Core, active: SigningKey): Promise<string | undefined> {
  const rows = await core.store.signingKeys.current();
  const next = rows.find((row) => row.state === "next" && row.algorithm === active.algorithm);
  const isKnown = next && knownAt(next) <= core.clock.now() && (await serversWithout(core, next.kid)).length === 0;
  return isKnown ? next.kid : undefined;
}

/** What speaks against retiring the key now, for people. */
function whyNot(core: Core, key: SigningKey, successor: string | undefined, force: boolean): string | undefined {
  const forced = `\`authctl key retire ${key.kid} --force --confirm ${key.kid}\``;
  if (key.state === "active" && !successor) {
    return "It signs, and there is no other key that clients know. `authctl key rotate` waits until there is one; `authctl key rotate --now` is for a key that has leaked.";
  }
  if (force) return undefined;
  if (key.state === "active")
    return `It signs. \`authctl key rotate\` lets the next one sign; ${forced} kills its tokens, too.`;
  if (key.state === "retiring" && key.retiresAt && key.retiresAt > core.clock.now()) {
    return `The last token that it signed lives until ${key.retiresAt.toISOString()}. It can be retired then; ${forced} does so now, and kills such tokens.`;
  }
  return undefined;
}
