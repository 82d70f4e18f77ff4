/** What users are told by mail of what was done with their accounts, in the transaction of the deed. */
import type { Tx } from "../../store/store.ts";
import { type Actor, clientOf } from "../actors.ts";
import type { Core } from "../core.ts";
import { describeDevice } from "../devices.ts";
import { addresseeOf, queueMail } from "../mail.ts";

/** Says what was done, from where and when. */
export async function notify(
  core: Core,
  tx: Tx,
  by: Actor,
  user: Parameters<typeof addresseeOf>[0],
  kind: "password-changed" | "new-device" | "session-compromised",
): Promise<void> {
  const { ip, userAgent } = clientOf(by);
  const { browser, os } = describeDevice(userAgent);
  const device = by.kind === "operator" ? "authctl" : [browser, os].filter((one) => one !== null).join(" on ");
  const at = core.clock.now().toISOString();
  await queueMail(core, tx, addresseeOf(user), kind, { device: device || unknown, ip: ip ?? unknown, at });
}

const unknown = "–";
