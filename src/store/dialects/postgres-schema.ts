import { defineTables } from "../tables.ts";
import { postgresKit } from "./postgres-kit.ts";

/** For drizzle-kit, which reads the exports of a module. */
export const {
  users,
  tombstones,
  roles,
  userRoles,
  sessions,
  refreshFamilies,
  challenges,
  mails,
  signingKeys,
  serverSecrets,
  auditEvents,
  auditHeads,
  tries,
  bans,
  jobs,
  jobFailures,
  servers,
} = defineTables(postgresKit);
