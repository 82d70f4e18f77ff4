/** What the database tells of how the server is kept. */

import type { Row } from "../../store/contents.ts";
import { examineSeals } from "../backups/examination.ts";
import type { Core } from "../core.ts";
import { sqlName } from "../moving.ts";
import { previewPurge, purgeKinds } from "../purging.ts";
import { open, versionsOf } from "../secrets.ts";
import { listSigningKeys } from "../signing-keys/listing.ts";
import { clockSkew } from "../signing-keys.ts";
import { formatAge } from "./ages.ts";
import type { Finding } from "./finding.ts";

const hour = 3_600_000;
const day = 24 * hour;

/** How long a key may sign before it is told, in milliseconds: cron has had a week to do it by then. */
const oldKeyOf = ({ settings: { KEY_ROTATION } }: Core): number =>
  KEY_ROTATION > 0 ? KEY_ROTATION + 7 * day : 180 * day;
/** How late cron may be, in milliseconds. */
const latePurge = 2 * day;
const lateMail = hour;
/** Servers that did not end, and have been silent for so long, in milliseconds. */
const silence = day;

const ago = (core: Core, milliseconds: number): Date => new Date(core.clock.now().getTime() - milliseconds);
const ageOf = (core: Core, at: Date): string => formatAge(core.clock.now().getTime() - at.getTime());

export async function examineKeys(core: Core): Promise<Finding[]> {
  const algorithm = core.settings.TOKEN_ALGORITHM;
  const keys = await listSigningKeys(core);
  const findings: Finding[] = [];
  const active = keys.find(({ state }) => state === "active");
  if (!active) {
    const problem = "No key signs: nobody can be given an access token.";
    findings.push({ problem, remedy: "Make one: `authctl key rotate --now`." });
  } else if (active.algorithm !== algorithm) {
    const problem = `TOKEN_ALGORITHM is ${algorithm}, and a key of ${active.algorithm} signs.`;
    findings.push({ problem, remedy: "Let one of the other algorithm sign: `authctl key rotate`." });
  } else if (active.activatedAt && active.activatedAt < ago(core, oldKeyOf(core))) {
    const problem = `The key ${active.kid} has been signing for ${ageOf(core, active.activatedAt)}.`;
    findings.push({ problem, remedy: "Let the next one sign: `authctl key rotate`." });
  }
  if (active && !keys.some((key) => key.state === "next" && key.algorithm === algorithm)) {
    const problem = "No next key is published: a key that leaks could not be replaced without an outage.";
    findings.push({ problem, remedy: "Publish one: `authctl key rotate`." });
  }
  const shut = keys.filter(
    ({ kid, privateJwk }) => privateJwk !== null && open(core.keyring, "signing-key", privateJwk, kid) === undefined,
  );
  for (const { kid, state } of shut) {
    findings.push({
      problem: `The ${state} key ${kid} does not open under the server secret.`,
      remedy: "Set SECRET_KEY to the secret that sealed it; where that is lost, `authctl key rotate --now`.",
    });
  }
  return findings;
}

/** Rows of a table that are looked at: enough to notice a secret that is missing. */
const sample = 1000;

/** Whether the secrets at hand open what is sealed. */
export async function examineSecret(core: Core): Promise<Finding[]> {
  const seals = examineSeals(core.keyring);
  for (const table of ["signingKeys", "serverSecrets", "users", "tombstones", "mails"] as const) {
    seals.look(sqlName(table), (await core.store.contents.page(table, sample)) satisfies readonly Row[]);
  }
  const missing = seals.missing().map((version) => ({
    problem: `Something is sealed by the server secret of version ${version}, and at hand is ${versionsOf(core.keyring).join(", ")}.`,
    remedy: "Put the secret of that version into SECRET_KEY again, behind the newest one.",
  }));
  const broken = seals.findings().map((problem) => ({
    problem,
    remedy: "Find out who writes to the database: `authctl audit verify`. Set those users a new password.",
  }));
  return [...missing, ...broken];
}

export async function examineOutbox(core: Core): Promise<Finding[]> {
  const findings: Finding[] = [];
  const dead = (await core.store.mails.countByState()).find(({ state }) => state === "dead")?.number ?? 0;
  if (dead > 0) {
    findings.push({
      problem: `${dead === 1 ? "1 mail was" : `${dead} mails were`} given up.`,
      remedy: "See why with `authctl mail queue list`, then `authctl mail queue retry` or `drop`.",
    });
  }
  const due = await core.store.mails.nextDue();
  if (due && due < ago(core, lateMail)) {
    findings.push({
      problem: `A mail has been waiting for ${ageOf(core, due)}: no server sends mails.`,
      remedy: "Start a server, or send them now: `authctl mail flush`.",
    });
  }
  return findings;
}

/** @param machine the time of this machine, where it is not what the servers go by */
export async function examineClock(core: Core, machine: Date): Promise<Finding[]> {
  const findings: Finding[] = [];
  const now = core.clock.now();
  const ahead = machine.getTime() - now.getTime();
  if (Math.abs(ahead) > 5_000) {
    findings.push({
      problem: `The clock of this machine is ${formatAge(Math.abs(ahead))} ${ahead > 0 ? "ahead of" : "behind"} that of the database.`,
      remedy: "Have both set by NTP: `timedatectl set-ntp true`.",
    });
  }
  const [newest] = await core.store.auditEvents.page({}, 1);
  if (newest && newest.at.getTime() > now.getTime() + clockSkew) {
    findings.push({
      problem: `The newest entry of the audit trail is ${formatAge(newest.at.getTime() - now.getTime())} in the future: the clock was set back.`,
      remedy: "Check the time of this machine: `timedatectl`.",
    });
  }
  return findings;
}

export async function examineBackups(core: Core): Promise<Finding[]> {
  const { BACKUP_MAX_AGE } = core.settings;
  if (BACKUP_MAX_AGE === 0) return [];
  const last = (await core.store.jobs.all()).find(({ name }) => name === "backup");
  if (last && last.succeededAt >= ago(core, BACKUP_MAX_AGE)) return [];
  return [
    {
      problem: last ? `The last backup is ${ageOf(core, last.succeededAt)} old.` : "There was never a backup.",
      remedy: "Make one now, and then from cron: `authctl backup create --keep 14`.",
    },
  ];
}

export async function examinePurge(core: Core): Promise<Finding[]> {
  const last = (await core.store.jobs.all()).find(({ name }) => name === "purge");
  if (last && last.succeededAt >= ago(core, latePurge)) return [];
  const waiting = await previewPurge(core, { kinds: purgeKinds, olderThan: latePurge });
  const oldest = waiting
    .flatMap((one) => (one.oldest && one.rows > 0 ? [one.oldest] : []))
    .toSorted((a, b) => +a - +b)[0];
  if (!oldest) return [];
  return [
    {
      problem: `What expired ${ageOf(core, oldest)} ago is still there: ${last ? `the last purge was ${ageOf(core, last.succeededAt)} ago` : "there was never a purge"}.`,
      remedy: "Run `authctl token purge` now, and then from cron.",
    },
  ];
}

export async function examineServers(core: Core): Promise<Finding[]> {
  const silent = await core.store.servers.silentSince(ago(core, silence));
  return silent.map(({ host, seenAt }) => ({
    problem: `A server on ${host} has not been heard of for ${ageOf(core, seenAt)}, and has not said that it ended.`,
    remedy: "See whether it was killed or cannot reach the database; `authctl token purge --kind servers` forgets it.",
  }));
}
