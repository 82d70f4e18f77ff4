/** The audit trail of a core, and what somebody with the database alone could do to it. */
import { sealAudit } from "../../src/core/audit/sealing.ts";
import { verifyAudit } from "../../src/core/audit/verification.ts";
import type { Core } from "../../src/core/core.ts";
import { login } from "../../src/core/login.ts";
import { registerAda, type TestCore, visitor } from "./core.ts";
import { dialect, type Place, rawSql } from "./database.ts";

/** Five sealed entries: two keys, a registration and two failed sign-ins, which come from an address. */
export async function fiveEntries(core: TestCore): Promise<string> {
  const { user } = await registerAda(core);
  for (let failed = 0; failed < 2; failed++) await failToSignIn(core);
  await sealAudit(core);
  return user.id;
}

export const failToSignIn = (core: Core, identifier = "ada@example.com"): Promise<unknown> =>
  login(core, visitor, { identifier, password: "wrong", credential: "session" }).catch(() => {});

/** What is found, as `3: problem`. */
export async function findingsOf(core: Core): Promise<string[]> {
  const { findings, found } = await verifyAudit(core);
  if (found !== findings.length) throw new Error("not all of them were told");
  return findings.map(({ seq, problem }) => `${seq}: ${problem}`);
}

export const changed = "it was changed, or moved here from another place";
export const personChanged = "its address or browser was changed";

/** Another value for each column, as SQL. */
export const otherValues: Readonly<Record<string, string>> = {
  id: "'x' || id",
  at: dialect === "sqlite" ? "at + 1" : "at + interval '1 millisecond'",
  action: "'login.succeeded'",
  actor_kind: "'job'",
  actor: "'somebody@else'",
  user_id: "'01900000-0000-7000-8000-000000000000'",
  session_id: "'01900000-0000-7000-8000-000000000000'",
  ip: "'203.0.113.9'",
  user_agent: "'curl/8'",
  request_id: "'another'",
  reason: "'on a whim'",
  particulars: `'{"harmless": true}'`,
  personal_digest: "'xvtyFL3_cta0qsyZRbbyzHlUUJ_HJODnTcePK22U5Ek'",
  personal_salt: "'salt'",
  seq: "seq + 1000",
  hash: "'xvtyFL3_cta0qsyZRbbyzHlUUJ_HJODnTcePK22U5Ek'",
  mac: "'_klJPz7b.kFtKu5nNP_wcUfyS2wTVi6aKpJGgXwosSvCFZJDWRjw'",
};

export const columnsOf = async (place: Place): Promise<string[]> =>
  Object.keys((await rawSql(place, "SELECT * FROM audit_events LIMIT 1"))[0] ?? {});

/** A copy of an entry under another id, with other values in some columns. */
export async function copyEntry(place: Place, seq: number, values: Readonly<Record<string, string>>): Promise<void> {
  const columns = await columnsOf(place);
  const chosen = columns.map((column) => values[column] ?? column);
  await rawSql(
    place,
    `INSERT INTO audit_events (${columns.join(", ")}) SELECT ${chosen.join(", ")} FROM audit_events WHERE seq = ${seq}`,
  );
}
