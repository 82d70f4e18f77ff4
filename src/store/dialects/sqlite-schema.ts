import { defineTables } from "../tables.ts";
import { sqliteKit } from "./sqlite-kit.ts";

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
} = defineTables(sqliteKit);
