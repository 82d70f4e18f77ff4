import type { BatchFilter, StoredMember } from "../store/user-batches.ts";
import type { Actor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Core } from "./core.ts";
import { openHash } from "./passwords.ts";
import { followSecrets } from "./secrets/keyrings.ts";

/** Users that are in memory at a time. */
const pageSize = 500;

export type Exported = StoredMember & {
  /** As it was before it was sealed; null for whoever has no password, undefined where hashes were not asked for. */
  readonly hash: string | null | undefined;
};

/**
 * All users in the order of their ids, a page at a time. The audit trail knows of it before the first one is given
 * out, because what has been given out cannot be taken back.
 */
export async function* exportUsers(
  core: Core,
  by: Actor,
  { withHashes, ...filter }: BatchFilter & { readonly withHashes: boolean },
): AsyncGenerator<Exported[]> {
  const users = await core.store.userBatches.count(filter);
  await core.store.write((tx) =>
    record(core, tx, by, { action: "users.exported", particulars: { users, hashes: withHashes } }),
  );
  const hashOf = ({ id, passwordHash }: StoredMember["user"]) =>
    withHashes ? passwordHash && openHash(core, id, passwordHash) : undefined;
  for (let after: string | undefined; ; ) {
    const page = await core.store.userBatches.page(filter, pageSize, after);
    // A rotation of the server secret may have sealed them anew since this began.
    if (withHashes) await followSecrets(core);
    if (page.length > 0) yield page.map((member) => ({ ...member, hash: hashOf(member.user) }));
    after = page.at(-1)?.user.id;
    if (page.length < pageSize) return;
  }
}
