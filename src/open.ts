/** The composition root: from settings to a core. The one file that knows every room but the doors. */
import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { agreeingClock } from "./adapters/agreeing-clock.ts";
import { createLog } from "./adapters/log.ts";
import { systemClock, systemRandom } from "./adapters/system.ts";
import { type Config, type Loaded, loadConfig } from "./config.ts";
import { withSealing } from "./core/audit/sealing.ts";
import { createBanList } from "./core/bans.ts";
import type { Clock, Core, Log, Random } from "./core/core.ts";
import { DomainError, fail } from "./core/errors.ts";
import { forgetting } from "./core/forgetting.ts";
import { keepNothing } from "./core/kept.ts";
import { quotaOf } from "./core/limits.ts";
import { type Meter, noMeter } from "./core/meter.ts";
import { createHashing } from "./core/passwords/hashing.ts";
import { adoptSecrets, followSecrets } from "./core/secrets/keyrings.ts";
import { createKeyring } from "./core/secrets.ts";
import { currentKeys, ensureSigningKeys } from "./core/signing-keys.ts";
import { serverJob } from "./core/upkeep.ts";
import { seedFirstAdmin } from "./core/users/first-admin.ts";
import type { ProfileForm } from "./core/users/profiles.ts";
import { openMail } from "./open/mail.ts";
import { databaseFile, heldSecrets, readySecrets, secretShelfOf } from "./open/secrets.ts";
import type { Dialect, Failures, Migration } from "./store/dialects/dialect.ts";
import { openSqlite, peekIntoSqlite } from "./store/dialects/sqlite.ts";
import { isBusy } from "./store/dialects/sqlite-errors.ts";
import { createStore, type Readers, readersOf, type Store, type Watch } from "./store/store.ts";

export type Place = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly envFile?: string;
};

export type Opening = Place & {
  /**
   * `serve` and `init` make what is missing; a command does so only in development, where nothing is there yet. A
   * bare one gets its tables where it has none, and nothing else: to be restored into, or to be looked at.
   */
  readonly purpose: "serve" | "command" | "bare";
  /** Instead of the one that the settings name, and without Redis. */
  readonly database?: Config["DATABASE_URL"];
  /** Whether pending migrations are applied, or refused with the command to type. A server on SQLite applies them by default. */
  readonly migrate?: "auto" | "check";
  /** Is told what was made, a sentence at a time. */
  readonly onMade?: (what: string) => void;
  /** The only clock there is, for tests; without it the machine's, which gives way to that of a database elsewhere. */
  readonly clock?: Clock;
  readonly machineClock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
  readonly meter?: Meter;
};

/** What the store needs of the catalogue of failures. `source` is where the database's address was written. */
const failuresOf = (source: string): Failures => ({
  unavailable: (cause) => new DomainError("unavailable", { retryAfter: 1, cause }),
  busy: (cause) => new DomainError("database_busy", { retryAfter: 1, cause }),
  unreachable: (detail, cause) => new DomainError("unavailable", { retryAfter: 1, detail, cause }),
  misconfigured: (message, cause) =>
    new DomainError("config_invalid", {
      detail: `Correct ${source}.`,
      errors: [{ path: source, message }],
      cause,
    }),
  irreversible: (migration) =>
    new DomainError("irreversible_migration", {
      detail: `${migration} has no way back. Restore a backup that was made before it.`,
    }),
  altered: (migration) =>
    new DomainError("migration_altered", {
      detail: `${migration} is not as it was when it was applied. Put the file back, and write the change as a new migration.`,
    }),
});
const failures = failuresOf("DATABASE_URL");

/** The settings, or `config_invalid` with every problem. */
export const settle = (place: Place): Config => load(place).config;

function load(place: Place): Loaded {
  const loaded = loadConfig(place.env, place);
  if (loaded.problems.length === 0) return loaded;
  return fail("config_invalid", { errors: loaded.problems.map(({ name, message }) => ({ path: name, message })) });
}

/** Fails with `config_invalid` where PROFILE_SCHEMA is no schema. */
export async function profileFormOf({ PROFILE_SCHEMA }: Config): Promise<ProfileForm | undefined> {
  if (!PROFILE_SCHEMA) return undefined;
  // Loaded where it is wanted: few have members of their own.
  return (await import("./core/users/profile-forms.ts")).compileProfileForm(PROFILE_SCHEMA);
}

type Manner = {
  /** Where the database's address was written. */
  readonly source?: string;
  /** How long a file is waited for that another process keeps, in milliseconds; without it as long as anybody waits. */
  readonly patience?: number;
};

/** The database alone, whatever its schema: for migrating. Fails with `not_initialised` where its file is missing and `make` is off. */
export async function openDatabase(
  config: Config,
  cwd: string,
  make: boolean,
  { source = "DATABASE_URL", patience }: Manner = {},
): Promise<Dialect> {
  const { DATABASE_URL } = config;
  const failures = failuresOf(source);
  if (DATABASE_URL.dialect === "postgres") {
    // Loaded where it is wanted: the embedded database does without a driver.
    const { openPostgres } = await import("./store/dialects/postgres.ts");
    const { url } = DATABASE_URL;
    return await openPostgres(
      { url, schema: config.DATABASE_SCHEMA, maxConnections: config.DATABASE_CONNECTIONS },
      failures,
    );
  }
  const file = resolve(cwd, DATABASE_URL.file);
  if (!make && !existsSync(file))
    return fail("not_initialised", {
      detail: `There is no database at ${file}. Create it with \`authctl init\`, or start the server with \`authctl serve\`.`,
    });
  if (config.NODE_ENV === "production") refuseLooseModes(file);
  try {
    const { SQLITE_SYNCHRONOUS: synchronous } = config;
    return openSqlite({ file, synchronous, ...(patience !== undefined && { patience }) }, failures);
  } catch (error) {
    throw isBusy(error) ? failures.busy(error) : failures.unavailable(error);
  }
}

function refuseLooseModes(file: string): void {
  const loose = existsSync(file) && statSync(file).mode & 0o077;
  if (loose)
    fail("config_invalid", {
      errors: [{ path: "DATABASE_URL", message: `${file} can be read by others: \`chmod 600 ${file}\`.` }],
    });
}

function configOf({ config }: Loaded, opening: Opening): Config {
  return opening.database ? { ...config, DATABASE_URL: opening.database, REDIS_URL: undefined } : config;
}

/**
 * A look at what can be read without a core: no secret, no key, no lock is needed for it, and nothing is made.
 * Fails where there is nothing to be read, in whatever way.
 */
export async function peek<T>(place: Place, look: (readers: Readers) => Promise<T>): Promise<T> {
  const config = settle(place);
  const file = databaseFile(config, place.cwd);
  const database = file === undefined ? await openDatabase(config, place.cwd, false) : peekIntoSqlite(file);
  try {
    return await look(readersOf(database.read, database.tables));
  } finally {
    await database.close();
  }
}

/** Opens everything. Whoever opens closes. */
export async function openCore(opening: Opening): Promise<Core> {
  const loaded = load(opening);
  const config = configOf(loaded, opening);
  const development = config.NODE_ENV !== "production";
  const made = opening.onMade ?? (() => {});
  const isBare = opening.purpose === "bare";
  const mayMake = opening.purpose === "serve" || isBare || development;
  const profileForm = await profileFormOf(config);
  const file = databaseFile(config, opening.cwd);
  const fresh = file !== undefined && !existsSync(file);

  if (!isBare) readySecrets(config, opening.cwd, made);
  const secretShelf = secretShelfOf(loaded, opening.cwd);
  const keyring = createKeyring(isBare ? heldSecrets(config, opening.cwd) : secretShelf.read());
  const database = await openDatabase(config, opening.cwd, mayMake);
  const closing: Array<() => void | Promise<void>> = [() => database.close()];
  const close = async () => {
    for (const one of closing.toReversed()) await one();
  };
  try {
    if (fresh) made(`made the database ${file}`);
    const migrate = opening.migrate ?? (database.name === "sqlite" && opening.purpose === "serve" ? "auto" : "check");
    const mayMakeTables = isBare || (mayMake && database.name === "sqlite");
    await readySchema(database, { ...opening, migrate }, mayMakeTables, made);
    const log = opening.log ?? createLog(config, { isTerminal: false, fd: 2 });
    const own = opening.machineClock ?? systemClock;
    const clock = opening.clock ?? (await agreedClock(own, database, log, closing));
    const meter = opening.meter ?? noMeter;
    const aids = await openAids(config, opening.purpose, { clock, log, meter });
    closing.push(aids.close);
    const mail = openMail(config, opening.cwd);
    closing.push(mail.close);
    const store = createStore(database, metering(meter));
    const opened: Core = {
      settings: config,
      store: aids.sessionCache ? forgetting(store, aids.sessionCache, { clock, log }) : store,
      clock,
      random: opening.random ?? systemRandom,
      log,
      meter,
      keyring,
      secretShelf,
      hashing: createHashing(
        {
          memoryCost: config.ARGON2_MEMORY_KIB,
          timeCost: config.ARGON2_TIME_COST,
          concurrency: Math.max(1, Math.floor(config.HASH_CONCURRENCY / config.WORKERS)),
          queue: config.HASH_QUEUE,
          maxWait: 2_000,
        },
        clock,
        meter,
      ),
      keyCache: {},
      kept: keepNothing(),
      profileForm,
      limiter: aids.limiter,
      bans: createBanList(store.bans, { clock, log }),
      sessionCache: aids.sessionCache,
      pingRedis: aids.pingRedis,
      mailer: mail.mailer,
      mailTemplates: mail.mailTemplates,
      close,
    };
    // Before anything is written: a secret that is not of this database is refused.
    await followSecrets(opened).catch((error: unknown) => {
      // Whoever examines a database wants to see it with any secret.
      if (!isBare) throw error;
    });
    const core = withSealing(opened, opening.purpose === "serve");
    meter.watch(() => ({
      hashesRunning: core.hashing.running,
      hashesWaiting: core.hashing.waiting,
      connections: store.connections(),
    }));
    if (isBare) return core;
    await ensureSigningKeys(core, serverJob);
    // Opens the private part of a key, and so tells at once whether the secret is the one of this database.
    const { signing } = await currentKeys(core);
    if (opening.purpose === "serve") {
      await adoptSecrets(core);
      const { TOKEN_ALGORITHM: wanted } = config;
      if (signing.algorithm !== wanted) log.warn("token_algorithm_differs", { wanted, signing: signing.algorithm });
      const first = await seedFirstAdmin(core, serverJob);
      if (first?.outcome === "created") made(`made the first admin ${first.user.email}`);
    }
    return core;
  } catch (error) {
    await close();
    throw database.translate(error);
  }
}

/**
 * Another database, to be copied into: with the tables of this version, made where it has none. A rehearsal makes
 * nothing, and is answered `undefined` where there are none.
 */
export async function openTarget(
  config: Config,
  cwd: string,
  target: Config["DATABASE_URL"],
  { now, rehearsal, source = "--to" }: { readonly now: Date; readonly rehearsal: boolean; readonly source?: string },
): Promise<Store | undefined> {
  if (rehearsal && target.dialect === "sqlite" && !existsSync(resolve(cwd, target.file))) return undefined;
  const database = await openDatabase({ ...config, DATABASE_URL: target }, cwd, true, { source });
  try {
    const status = await database.migrations.status();
    const fits = status.every(({ state }) => state === "applied" || state === "ahead");
    const isBare = status.every(({ state }) => state === "pending");
    if (!fits && !isBare) {
      fail("schema_outdated", {
        detail: "The target has tables of another version. Name a database that is empty, or migrate that one first.",
      });
    }
    if (isBare && rehearsal) {
      await database.close();
      return undefined;
    }
    if (isBare) await database.migrations.up(now);
    return createStore(database);
  } catch (error) {
    await database.close();
    throw database.translate(error);
  }
}

/** A transaction that an act has taken back by a failure of its own is no failure of the database. */
const metering = (meter: Meter): Watch => ({
  now: () => meter.now(),
  over(kind, since, failure) {
    const meant = failure instanceof DomainError && !["unavailable", "database_busy"].includes(failure.code);
    meter.database(kind, since, failure !== undefined && !meant);
  },
});

/** The clock of the database where it has one of its own: so that servers agree, whatever their machines say. */
async function agreedClock(own: Clock, database: Dialect, log: Log, closing: Array<() => void>): Promise<Clock> {
  const { now } = database;
  if (!now) return own;
  const clock = await agreeingClock(own, now, (milliseconds) => log.warn("clock_moved", { milliseconds }));
  closing.push(() => clock.stop());
  return clock;
}

type Aids = Pick<Core, "limiter" | "sessionCache" | "pingRedis"> & { readonly close: () => void };

/** What helps, and is done without where it fails. Loaded where it is wanted: a command counts no requests. */
async function openAids(
  config: Config,
  purpose: Opening["purpose"],
  world: { clock: Clock; log: Log; meter: Meter },
): Promise<Aids> {
  const redis = config.REDIS_URL && (await (await import("./adapters/redis.ts")).connectRedis(config.REDIS_URL, world));
  const counts = purpose === "serve" && config.RATE_LIMITS;
  const limiter = counts
    ? (await import("./adapters/limiters.ts")).createLimiter({
        quotas: {
          requests: quotaOf(config, "requests"),
          register: quotaOf(config, "register"),
          refresh: quotaOf(config, "refresh"),
        },
        workers: config.WORKERS,
        redis,
      })
    : undefined;
  if (!redis) return { limiter, sessionCache: undefined, pingRedis: undefined, close: () => {} };
  const { createSessionCache } = await import("./adapters/session-cache.ts");
  // Sessions are forgotten even where this process keeps none: others may.
  return { limiter, sessionCache: createSessionCache(redis, world.log), pingRedis: redis.ping, close: redis.close };
}

async function readySchema(
  database: Dialect,
  opening: Opening,
  mayMake: boolean,
  made: (what: string) => void,
): Promise<void> {
  const status = await database.migrations.status();
  const inState = (state: Migration["state"]) => status.filter((one) => one.state === state);
  const [altered] = inState("altered");
  if (altered) throw failures.altered(altered.id);
  if (inState("unknown").length > 0) return fail("schema_newer");
  const pending = inState("pending").length;
  if (pending === 0) return;
  const empty = pending === status.length;
  if (!(empty && mayMake) && opening.migrate !== "auto") {
    if (!empty) return fail("schema_outdated");
    return fail("not_initialised", { detail: "The database has no tables yet. Make them with `authctl migrate up`." });
  }
  const applied = await database.migrations.up((opening.clock ?? systemClock).now());
  if (applied.length > 0) made(`applied ${applied.length} ${applied.length === 1 ? "migration" : "migrations"}`);
}
