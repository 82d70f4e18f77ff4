import { exportJWK, generateKeyPair } from "jose";
import type { Tx } from "../../store/store.ts";
import type { SigningAlgorithm, SigningKey } from "../../store/tables.ts";
import type { Actor } from "../actors.ts";
import { record } from "../audit.ts";
import type { Core } from "../core.ts";
import { seal } from "../secrets.ts";

type Minted = Pick<SigningKey, "kid" | "algorithm" | "publicJwk"> & { readonly privateJwk: string };

/** A new key pair, its private part sealed. Slow for RS256: made before a write, not in it. */
export async function mintKey(core: Core, algorithm: SigningAlgorithm): Promise<Minted> {
  const pair = await generateKeyPair(algorithm, { extractable: true, modulusLength: 2048 });
  const kid = core.random.id(core.clock.now());
  const publicJwk = (await exportJWK(pair.publicKey)) as Record<string, string>;
  const secret = JSON.stringify(await exportJWK(pair.privateKey));
  return { kid, algorithm, publicJwk, privateJwk: seal(core.keyring, core.random, "signing-key", secret, kid) };
}

/** Publishes a key: from now on every server serves it. `false` where there is one of this state and algorithm already. */
export async function publishKey(
  core: Core,
  tx: Tx,
  by: Actor,
  state: "next" | "active",
  minted: Minted,
): Promise<boolean> {
  const now = core.clock.now();
  const made = await tx.signingKeys.insert({
    ...minted,
    state,
    publishedAt: now,
    activatedAt: state === "active" ? now : null,
    longestLife: core.settings.ACCESS_TOKEN_TTL,
  });
  const { kid, algorithm } = minted;
  if (made) await record(core, tx, by, { action: "key.created", particulars: { kid, algorithm, state } });
  return made;
}

/** Retires keys whatever they do now: no server serves them any more, and whatever they signed is dead. */
export async function retireAtOnce(core: Core, tx: Tx, by: Actor, kids: readonly string[]): Promise<string[]> {
  return await recordRetired(core, tx, by, await tx.signingKeys.retire(kids, core.clock.now()));
}

/** Retires the keys whose last token has expired. */
export async function retireSigningKeys(core: Core, tx: Tx, by: Actor): Promise<string[]> {
  return await recordRetired(core, tx, by, await tx.signingKeys.retireExpired(core.clock.now()));
}

async function recordRetired(core: Core, tx: Tx, by: Actor, kids: string[]): Promise<string[]> {
  for (const kid of kids) await record(core, tx, by, { action: "key.retired", particulars: { kid } });
  return kids;
}
