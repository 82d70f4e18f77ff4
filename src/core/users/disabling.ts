import type { Actor } from "../actors.ts";
import type { Core } from "../core.ts";
import { DomainError } from "../errors.ts";
import { disableUser } from "../users.ts";

/** What became of each of many users. */
export type BulkDisabled = {
  readonly disabled: readonly string[];
  readonly unchanged: readonly string[];
  readonly refused: ReadonlyArray<{ readonly id: string; readonly error: DomainError }>;
};

/** Disables users, each by itself: who is refused keeps nobody else from it. The same call again changes nothing. */
export async function disableUsers(core: Core, by: Actor, ids: readonly string[]): Promise<BulkDisabled> {
  const done: Record<keyof Omit<BulkDisabled, "refused">, string[]> = { disabled: [], unchanged: [] };
  const refused: Array<BulkDisabled["refused"][number]> = [];
  for (const id of new Set(ids)) {
    try {
      const { changed } = await disableUser(core, by, id);
      done[changed ? "disabled" : "unchanged"].push(id);
    } catch (error) {
      if (!(error instanceof DomainError && ["conflict", "missing", "forbidden"].includes(error.kind))) throw error;
      refused.push({ id, error });
    }
  }
  return { ...done, refused };
}
