import { keptFor, toggle } from "./parsers.ts";
import { required } from "./rows.ts";

/** What is done without anybody asking for it. */
export const upkeep = {
  JOBS: required({
    doc: "Whether this server sees to the upkeep itself: removes what has expired, and rotates signing keys that are due. `off` where cron does it, see `authctl job print-cron`; both together do no harm.",
    parse: toggle,
    fallback: "on",
  }),
  AUDIT_KEEP: required({
    doc: "How long an entry of the audit trail is kept, before a purge removes it, or `forever`.",
    parse: keptFor("1d", "36500d"),
    fallback: "400d",
  }),
} as const;
