import { defineTables } from "../tables.ts";
import { sqliteKit } from "./sqlite-kit.ts";

/** For drizzle-kit, which reads the exports of a module. */
export const { users, roles, userRoles, sessions, refreshFamilies, signingKeys, auditEvents, tries, jobs, servers } =
  defineTables(sqliteKit);
