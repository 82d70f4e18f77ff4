/** Looks at every part by itself, so that one that is down keeps nobody from hearing of the others. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { systemClock } from "../adapters/system.ts";
import { formatSize } from "../config/sizes.ts";
import { type Config, loadConfig, type Problem } from "../config.ts";
import type { Actor } from "../core/actors.ts";
import type { Core, Log } from "../core/core.ts";
import {
  examineBackups,
  examineClock,
  examineKeys,
  examineOutbox,
  examinePurge,
  examineSecret,
  examineServers,
} from "../core/doctor/contents.ts";
import { type Examined, type Finding, type OutsidePart, type Part, parts } from "../core/doctor/finding.ts";
import { examineOutside, forgedAddress } from "../core/doctor/outside.ts";
import { examineCookies, examineProxy } from "../core/doctor/settings.ts";
import { storageTrouble } from "../core/doctor/storage.ts";
import { NoAnswer } from "../core/doctor/visitor.ts";
import { DomainError } from "../core/errors.ts";
import { noMeter } from "../core/meter.ts";
import { openCore, openDatabase, type Place, profileFormOf, settle } from "../open.ts";
import type { Dialect } from "../store/dialects/dialect.ts";
import { backupDirectory } from "./backups.ts";
import { databaseFile, heldSecrets, secretFile } from "./secrets.ts";
import { examineWriting, heldByAnother } from "./writing.ts";

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

type Examination = () => Promise<readonly Finding[]> | readonly Finding[];

/** Where one of these is broken, others cannot be looked at. */
const foundations: ReadonlySet<Part> = new Set(["config", "secret", "database", "schema"]);

/** Every part that is wanted, in their order. Never fails. */
export async function examineParts(place: Place, wanted: readonly Part[] = parts): Promise<Examined[]> {
  const { config, problems, notices } = loadConfig(place.env, place);
  const told: Examined[] = [];
  const look = async (part: Part, examine: Examination): Promise<boolean> => {
    const findings = await examineSafely(examine);
    told.push({ part, findings });
    return findings.length === 0;
  };
  const skip = (names: readonly Part[], why: string): void => {
    for (const part of names) told.push({ part, findings: [], skipped: why });
  };

  await look("config", () => examineConfig(config, [...problems, ...notices]));
  if (problems.length > 0) skip(parts.slice(1), "The settings have to be corrected first.");
  else {
    const hasSecret = await look("secret", () => {
      heldSecrets(config, place.cwd);
      return [];
    });
    await examineDatabaseParts(place, config, hasSecret, { look, skip, told });
    await look("redis", () => examineRedis(config));
    await look("mail", () => examineMail(config));
    await look("cookies", () => examineCookies(config));
    await look("proxy", () => examineProxy(config));
    await look("disk", () => examineDisk(config, place.cwd));
  }
  // What keeps a part from being looked at is told with it, wanted or not.
  const isSkipped = told.some(({ part, skipped }) => skipped !== undefined && wanted.includes(part));
  const inTheWay = ({ part, findings }: Examined) => isSkipped && findings.length > 0 && foundations.has(part);
  const inOrder = (one: Examined, other: Examined) => parts.indexOf(one.part) - parts.indexOf(other.part);
  return told.filter((one) => wanted.includes(one.part) || inTheWay(one)).toSorted(inOrder);
}

async function examineSafely(examine: Examination): Promise<readonly Finding[]> {
  try {
    return await examine();
  } catch (error) {
    if (!(error instanceof DomainError)) return [withoutReason(error)];
    const { code, title, detail, errors } = error;
    const trouble = ["unavailable", "database_busy"].includes(code) ? storageTrouble(error.cause) : undefined;
    if (trouble) return [trouble];
    if (!errors) return [{ problem: `${title}.`, remedy: detail }];
    return errors.map(({ path, message }) => ({ problem: `${path} ${message}`, remedy: detail }));
  }
}

/** What failed in a way that nobody foresaw; of a file, at least which one. */
function withoutReason(error: unknown): Finding {
  const { code, path = "It" }: NodeJS.ErrnoException = error instanceof Error ? error : new Error();
  const isForbidden = code === "EACCES" || code === "EPERM";
  return {
    problem: `${path} could not be looked at${code === undefined ? "" : ` (${code})`}.`,
    remedy: isForbidden
      ? "Run the command as the user of the server, who has to own it."
      : "Repeat the command with --verbose, and look into the log.",
  };
}

async function examineConfig(config: Config, told: readonly Problem[]): Promise<Finding[]> {
  await profileFormOf(config);
  return told.map(({ name, message }) => ({
    problem: `${name} ${message}`,
    remedy: `Correct it: \`authctl config explain ${name}\` tells what it means.`,
  }));
}

type Means = {
  readonly look: (part: Part, examine: Examination) => Promise<boolean>;
  readonly skip: (names: readonly Part[], why: string) => void;
  readonly told: Examined[];
};

/** How long somebody may keep the file before that is a finding, in milliseconds: a batch of a purge is far shorter. */
const patience = 1_500;

const inDatabase = ["keys", "outbox", "clock", "backup", "purge", "servers"] as const;

async function examineDatabaseParts(place: Place, config: Config, hasSecret: boolean, means: Means): Promise<void> {
  const { look, skip } = means;
  let database: Dialect | undefined;
  try {
    const opens = await look("database", async () => {
      try {
        database = await openDatabase(config, place.cwd, false, { patience });
        return [];
      } catch (error) {
        const held = heldByAnother(error, config, place.cwd);
        if (!held) throw error;
        return [held];
      }
    });
    if (!opens || !database) return skip(["schema", ...inDatabase], "The database could not be opened.");
    const dialect = database;
    const fits = await look("schema", () => examineSchema(dialect));
    // Of tables of another version nothing is known.
    if (!fits) return skip(inDatabase, "The tables are not those of this version.");
    await addTo(means, "database", () => examineWriting(dialect, config, place.cwd));
    if (!hasSecret) return skip(inDatabase, "There is no server secret.");
  } finally {
    await database?.close();
  }
  let core: Core | undefined;
  try {
    const opened = await openCore({ ...place, purpose: "bare", log: silent });
    core = opened;
    await addTo(means, "secret", () => examineSecret(opened));
    await look("keys", () => examineKeys(opened));
    await look("outbox", () => examineOutbox(opened));
    await look("clock", () => examineClock(opened, systemClock.now()));
    await look("backup", () => examineBackups(opened));
    await look("purge", () => examinePurge(opened));
    await look("servers", () => examineServers(opened));
  } catch {
    return skip(inDatabase, "The database went away meanwhile.");
  } finally {
    await core?.close();
  }
}

/** More findings of a part that was looked at already. */
async function addTo({ told }: Means, part: Part, examine: Examination): Promise<void> {
  const at = told.findIndex((one) => one.part === part);
  const known = told[at];
  if (known) told[at] = { ...known, findings: [...known.findings, ...(await examineSafely(examine))] };
}

async function examineSchema(database: Dialect): Promise<Finding[]> {
  const status = await database.migrations.status();
  const inState = (state: string) => status.filter((one) => one.state === state).map(({ id }) => id);
  const findings: Finding[] = [];
  const add = (ids: readonly string[], problem: string, remedy: string): void => {
    if (ids.length > 0) findings.push({ problem: `${problem}: ${ids.join(", ")}.`, remedy });
  };
  add(inState("pending"), "Migrations are pending", "Apply them: `authctl migrate up`.");
  add(
    inState("unknown"),
    "A newer version has migrated the database",
    "Use that version, or its `authctl migrate down`.",
  );
  add(
    inState("altered"),
    "Migrations are not as they were when they were applied",
    "Put the files of this version back.",
  );
  return findings;
}

async function examineRedis(config: Config): Promise<Finding[]> {
  if (!config.REDIS_URL) return [];
  const { connectRedis } = await import("../adapters/redis.ts");
  const redis = await connectRedis(config.REDIS_URL, { clock: systemClock, log: silent, meter: noMeter });
  try {
    await redis.ping();
    return [];
  } catch {
    return [
      {
        problem: "Redis does not answer: each server counts requests for itself meanwhile.",
        remedy: "Start it, or correct the address, the password or TLS in REDIS_URL.",
      },
    ];
  } finally {
    redis.close();
  }
}

async function examineMail(config: Config): Promise<Finding[]> {
  const { SMTP_URL } = config;
  if (SMTP_URL === undefined) {
    if (config.NODE_ENV !== "production") return [];
    const problem = "There is no mail server: nobody can verify an address or set a forgotten password.";
    return [{ problem, remedy: "Set SMTP_URL to the mail server, and MAIL_FROM to the sender." }];
  }
  const { createSmtpMailer } = await import("../adapters/smtp-mailer.ts");
  const mailer = createSmtpMailer({ ...config, SMTP_URL });
  const trouble = await mailer.verify().finally(mailer.close);
  if (!trouble) return [];
  return [
    {
      problem: `The mail server does not let this server in (${trouble.code}).`,
      remedy: "Check SMTP_URL, SMTP_PASSWORD and SMTP_REQUIRE_TLS, then `authctl mail test ADDRESS`.",
    },
  ];
}

/** Less than this is as good as full, in bytes. */
const leastFree = 256 * 1024 ** 2;

async function examineDisk(config: Config, cwd: string): Promise<Finding[]> {
  const file = databaseFile(config, cwd);
  const backups = backupDirectory(config, cwd);
  const data = resolve(cwd, config.DATA_DIR);
  const findings: Finding[] = [];
  for (const directory of new Set([file === undefined ? data : dirname(file), backups])) {
    if (!existsSync(directory)) continue;
    const { bavail, bsize } = await statfs(directory);
    const [free, size] = [
      bavail * bsize,
      file === undefined ? 0 : (statSync(file, { throwIfNoEntry: false })?.size ?? 0),
    ];
    if (free < Math.max(leastFree, size)) {
      findings.push({
        problem: `The disk of ${directory} has ${formatSize(free)} left.`,
        remedy: "Make room: without it nothing can be written, not even a sign-out.",
      });
    }
  }
  const secret = secretFile(config, cwd);
  const isBackup = (name: string) => /\.ndjson\.gz(\.age)?$/.test(name);
  const kept = existsSync(backups)
    ? readdirSync(backups)
        .filter(isBackup)
        .map((name) => join(backups, name))
    : [];
  const files = [file, file && `${file}-wal`, file && `${file}-shm`, secret, ...kept];
  for (const one of [data, backups, ...files]) {
    const stat = one === undefined ? undefined : statSync(one, { throwIfNoEntry: false });
    if (!one || !stat || (stat.mode & 0o077) === 0) continue;
    const wanted = stat.isDirectory() ? "700" : "600";
    findings.push({
      problem: `${one} is open to others (${(stat.mode & 0o777).toString(8)}).`,
      remedy: `\`chmod ${wanted} ${one}\`.`,
    });
  }
  return findings;
}

/** Goes through the address that users have; @param origin where it is not that of PUBLIC_URL. */
export async function examineFromOutside(
  place: Place,
  by: Actor,
  { origin, signsIn }: { readonly origin: string | undefined; readonly signsIn: boolean },
): Promise<Examined<OutsidePart>[]> {
  const settings = settle(place);
  const url = new URL(origin ?? settings.PUBLIC_URL);
  const { createVisitor } = await import("../adapters/visitor.ts");
  const forged = { "x-forwarded-for": forgedAddress, forwarded: `for=${forgedAddress}`, "x-real-ip": forgedAddress };
  const visitor = createVisitor(url.origin, {
    headers: { ...forged, "user-agent": "authctl-doctor" },
    noAnswer: (code) => new NoAnswer(code),
    now: () => systemClock.now(),
  });
  // Without its database, what is seen from outside can be told all the same. Nothing is made that is not there.
  const inside = await examineParts(place, ["secret", "database", "schema"]);
  const isThere = inside.every(({ findings, skipped }) => findings.length === 0 && skipped === undefined);
  const core = isThere ? await openCore({ ...place, purpose: "bare", log: silent }) : undefined;
  try {
    return await examineOutside({ url, settings, visitor, by, signsIn, ...(core && { core }) });
  } finally {
    await core?.close();
  }
}
