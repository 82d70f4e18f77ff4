/**
 * kill -9 in the midst of what changes a whole database: then it is as it was or as it was to be, the next run ends
 * it, and nobody is signed out. `KILLS=100` makes it a hundred of each. Rotations have journeys of their own.
 */
import { afterAll, expect, test } from "bun:test";
import { cpSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { startFamily } from "../../src/core/refresh-tokens.ts";
import { startSession } from "../../src/core/sessions.ts";
import { findUser } from "../../src/core/users.ts";
import { openCore } from "../../src/open.ts";
import { createTestClock } from "../support/clock.ts";
import { authctl } from "../support/command.ts";
import { type Contents, contentsOf, expectKept, expectSound, expectTidy } from "../support/contents.ts";
import { firefox } from "../support/core.ts";
import { copyOf, dialect, dump, type FreshDatabase, freshDatabase, type Place, rawSql } from "../support/database.ts";
import { again, killAgainAndAgain, killsOr, patienceFor } from "../support/kills.ts";
import { goOn, moveIn, type Resident } from "../support/residents.ts";
import { type Environment, startServer } from "../support/server.ts";

const rounds = killsOr(3);
/** Sessions with their refresh families, that there is something to be done. */
const many = 1_000;

const home = await startServer();
const residents = [await moveIn(home), await moveIn(home)] as const;
await signInOften(home.env, residents[0].email, new Date());
await home.stop();
afterAll(home.end);

const ending: Array<() => Promise<unknown>> = [];
afterAll(async () => {
  for (const end of ending) await end();
});
const given = (database: FreshDatabase): FreshDatabase => {
  ending.push(database.drop);
  return database;
};

async function signInOften(env: Environment, email: string, at: Date): Promise<void> {
  const core = await openCore({ env, cwd: env["DATA_DIR"]!, purpose: "serve", clock: createTestClock(at) });
  const { user } = await findUser(core, email);
  await core.store.write(async (tx) => {
    for (let made = 0; made < many; made++) {
      await startFamily(core, tx, (await startSession(core, tx, firefox, user, "tokens")).session);
    }
  });
  await core.close();
}

const run = async (env: Environment, ...words: string[]) => {
  const ran = await authctl(env, words);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
};

/** A server on it takes everybody for who they are, and nothing is left lying about when it has gone. */
async function expectAtHome(place: FreshDatabase, resident: Resident): Promise<void> {
  const server = await startServer(place.env, place);
  try {
    await goOn(server, resident);
  } finally {
    await server.stop();
  }
  await expectSound(place);
  expectTidy(place);
}

const one = (round: number): Resident => residents[round & 1]!;

test(
  "kill -9 of a migration, up and down: all of it is there or nothing, and the next one ends it",
  async () => {
    const steps = readdirSync(join(import.meta.dir, `../../drizzle/${dialect}`)).filter((name) =>
      /^0*[2-9].*\.down/.test(name),
    );
    const down = ["migrate", "down", "--steps", String(steps.length), "--yes"];
    const older = given(await copyOf(home));
    await run(older.env, ...down);
    const newer = given(await copyOf(older));
    await run(newer.env, "migrate", "up");
    const shapes = { older: await shapeOf(older), newer: await shapeOf(newer) };
    let place: FreshDatabase;
    await killAgainAndAgain({
      name: "migrate",
      rounds,
      prepare: async (round) => {
        const isUp = round % 2 === 0;
        place = await copyOf(isUp ? older : newer);
        return { env: place.env, words: isUp ? ["migrate", "up"] : down };
      },
      check: async (round) => {
        expect([shapes.older, shapes.newer]).toContainEqual(await shapeOf(place));
        await run(place.env, "migrate", "up");
        expect(await shapeOf(place)).toEqual(shapes.newer);
        await expectAtHome(place, one(round));
        await place.drop();
      },
    });
  },
  patienceFor(rounds),
);

/** Every row of every table, but for when it was migrated. */
async function shapeOf(place: Place) {
  const { schema_migrations: migrations = [], ...rows } = await dump(place);
  return { ...rows, migrations: migrations.map(({ id }) => String(id)).toSorted() };
}

test(
  "kill -9 of a restore: all of it is there or nothing, and the next one ends it",
  async () => {
    const original = given(await copyOf(home));
    const before = await contentsOf(original);
    const backups = join(original.env["DATA_DIR"]!, "backups");
    await run(original.env, "backup", "create", "--plain", "--out", backups);
    const words = ["backup", "restore", join(backups, readdirSync(backups)[0]!), "--keep-sessions", "--yes"];
    let place: FreshDatabase;
    await killAgainAndAgain({
      name: "backup restore",
      rounds,
      prepare: async (round) => {
        place = await emptyPlace(round);
        return { env: place.env, words };
      },
      check: async (round) => {
        const isWhole = await isFilled(place, before);
        const { code, stderr } = await again({ env: place.env, words });
        expect(code, stderr).toBe(isWhole ? 4 : 0);
        const after = await contentsOf(place);
        expectKept(before, after, { actions: ["backup.restored"] });
        expect(after.auditEvents.length - before.auditEvents.length).toBe(1);
        await expectAtHome(place, one(round));
        await place.drop();
      },
    });
  },
  patienceFor(rounds),
);

/** Without a table, or with empty ones, and with the secret of the original. */
async function emptyPlace(round: number): Promise<FreshDatabase> {
  const place = await freshDatabase({ empty: round % 2 === 0 });
  const secret = (directory: string) => join(directory, "secret.key");
  cpSync(secret(home.directory), secret(place.env["DATA_DIR"]!));
  return { ...place, env: { ...home.env, ...place.env } };
}

/** Whether all of it is there; fails where a part is. */
async function isFilled(place: Place, whole: Contents): Promise<boolean> {
  if (dialect === "sqlite" && !existsSync(join(place.env["DATA_DIR"]!, "auth.db"))) return false;
  const { schema_migrations: _, roles: __, ...rows } = await dump(place);
  const filled = Object.values(rows).flat().length;
  if (filled > 0) expect(rows["users"]).toHaveLength(whole.users.length);
  return filled > 0;
}

test(
  "kill -9 of a copy: all of it is there or nothing, the original stays as it was, and the next one ends it",
  async () => {
    // From a file to whichever database this run is about.
    const DATA_DIR = given(await copyOf(home)).env["DATA_DIR"]!;
    const { DATABASE_URL, ...settings } = home.env;
    const original = { env: { ...settings, DATA_DIR } };
    if (DATABASE_URL !== undefined) await run(home.env, "db", "copy", "--to", `sqlite:${join(DATA_DIR, "auth.db")}`);
    let before = await contentsOf(original);
    let place: FreshDatabase;
    const callTo = ({ env }: Place) => ({
      words: ["db", "copy", "--to-env", "TARGET"],
      env: { ...original.env, TARGET: env["DATABASE_URL"] ?? `sqlite:${join(env["DATA_DIR"]!, "auth.db")}` },
    });
    await killAgainAndAgain({
      name: "db copy",
      rounds,
      prepare: async (round) => {
        place = await emptyPlace(round);
        return callTo(place);
      },
      check: async (round) => {
        const isWhole = await isFilled(place, before);
        const { code, stderr } = await again(callTo(place));
        expect(code, stderr).toBe(isWhole ? 4 : 0);
        const now = await contentsOf(original);
        expectKept(before, now, { actions: ["database.copied"] });
        // An entry for each run, and those of the kills before.
        before = now;
        const copy = await contentsOf(place);
        expectKept(copy, now, { actions: isWhole ? ["database.copied"] : [] });
        await expectAtHome(place, one(round));
        await place.drop();
      },
    });
    await expectSound(original);
  },
  patienceFor(rounds),
);

test(
  "kill -9 of a purge beside a live server: it has done whole batches, and the next one goes on",
  async () => {
    const place = await copyOf(home);
    await signInOften(place.env, residents[1].email, new Date(Date.now() - 500 * 86_400_000));
    let full = await standing(place);
    expect(full).toMatchObject({ expired: many, pairs: many });
    // So that what was purged can be there again.
    const gone = [
      ["sessions", expired],
      ["refresh_families", `session_id IN (SELECT id FROM sessions WHERE ${expired})`],
    ] as const;
    for (const [table, which] of gone)
      await rawSql(place, `CREATE TABLE gone_${table} AS SELECT * FROM ${table} WHERE ${which}`);
    const server = await startServer(place.env, place);
    ending.push(server.end);
    const people = [...residents];
    const call = { env: place.env, words: ["token", "purge", "--batch-size", "50", "--pause", "1ms"] };
    await killAgainAndAgain({
      name: "token purge",
      rounds,
      prepare: async () => {
        if ((await standing(place)).expired === 0) {
          for (const [table] of gone) await rawSql(place, `INSERT INTO ${table} SELECT * FROM gone_${table}`);
        }
        full = await standing(place);
        expect(full.expired).toBe(many);
        return call;
      },
      check: async (round) => {
        const purged = (number: number) => ({
          sessions: full.sessions - number,
          families: full.families - number,
          expired: many - number,
          pairs: many - number,
        });
        const left = await standing(place);
        // None that lives, and of none that has expired only a part.
        expect(left).toEqual(purged(many - left.expired));
        const { code, stderr } = await again(call);
        expect(code, stderr).toBe(0);
        expect(await standing(place)).toEqual(purged(many));
        people[round & 1] = await goOn(server, people[round & 1]!);
        await expectSound(place);
      },
    });
    await server.stop();
    expectTidy(place);
  },
  patienceFor(rounds),
);

const expired = `idle_expires_at < ${dialect === "sqlite" ? Date.now() : "now()"}`;

/** How many sessions and families there are, how many sessions have expired, and how many of these have a family. */
async function standing(place: Place) {
  const number = async (from: string) =>
    Number((await rawSql(place, `SELECT count(*) AS number FROM ${from}`))[0]?.["number"]);
  return {
    sessions: await number("sessions"),
    families: await number("refresh_families"),
    expired: await number(`sessions WHERE ${expired}`),
    pairs: await number(`refresh_families WHERE session_id IN (SELECT id FROM sessions WHERE ${expired})`),
  };
}
