import { mac, saltedKey } from "../../src/core/secrets.ts";
import type { TestCore } from "./core.ts";

/** A refresh token as it was before the nonce stood in it. */
export async function inTheOldForm(core: TestCore, token: string): Promise<string> {
  const [, version, id, generation] = token.split(".");
  const { nonce, clientId } = (await core.store.refreshFamilies.byId(id!))!;
  const key = saltedKey(core.keyring, version!, "refresh-token", nonce, id!)!;
  return `rt1.${version}.${id}.${generation}.${mac(key, `${clientId}|${generation}`)}`;
}
