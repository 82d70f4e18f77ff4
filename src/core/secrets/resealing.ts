/** Seals anew what an older server secret has sealed, while everybody goes on reading and writing it. */
import type { SealedPlace } from "../../store/sealed-texts.ts";
import { renewHeads } from "../audit/sealing.ts";
import type { Core } from "../core.ts";
import { type Keyring, open, type Purpose, seal, writingVersion } from "../secrets.ts";
import { rest } from "../upkeep.ts";

/** What each column is sealed for. */
const purposes: Readonly<Record<SealedPlace, Purpose>> = {
  "users.password_hash": "password-hash",
  "tombstones.password_hash": "password-hash",
  "signing_keys.private_jwk": "signing-key",
  "mails.content": "mail",
  "server_secrets.audit_key": "audit-key",
};
export const sealedPlaces = Object.keys(purposes) as SealedPlace[];

/** How much of it at once, and the time between, in milliseconds, which belongs to live traffic. */
export type Pace = {
  readonly batchSize: number;
  readonly pause: number;
  readonly interrupted?: AbortSignal;
  readonly onRows?: (rows: number) => void;
};

/** How many texts were sealed anew, and whether nothing was left that could have been. */
export type Resealed = { readonly rows: number; readonly finished: boolean };

/**
 * In short transactions, each text only where it is still what was read: whoever sets another password meanwhile
 * wins. Done again after a crash, it goes on with what is left.
 */
export async function reseal(core: Core, pace: Pace): Promise<Resealed> {
  let rows = 0;
  for (const place of sealedPlaces) {
    for (let after: string | undefined; ; ) {
      if (pace.interrupted?.aborted) return { rows, finished: false };
      const not = writingVersion(core.keyring);
      const page = await core.store.sealedTexts.page(place, pace.batchSize, { after, not });
      const fresh = page.flatMap((old) => {
        const text = openSealed(core.keyring, place, old);
        return text === undefined
          ? []
          : [{ old, text: seal(core.keyring, core.random, purposes[place], text, old.id) }];
      });
      const replaced = await core.store.write(async (tx) => {
        let count = 0;
        for (const { old, text } of fresh) count += (await tx.sealedTexts.replace(place, old, text)) ? 1 : 0;
        return count;
      });
      rows += replaced;
      pace.onRows?.(replaced);
      after = page.at(-1)?.id;
      if (page.length < pace.batchSize) break;
      await rest(core, pace.pause, pace.interrupted);
    }
  }
  await core.store.write((tx) => renewHeads(core, tx));
  return { rows, finished: true };
}

/** `undefined` where none of these secrets opens it. */
export const openSealed = (
  keyring: Keyring,
  place: SealedPlace,
  { id, text }: { readonly id: string; readonly text: string },
): string | undefined => open(keyring, purposes[place], text, id);
