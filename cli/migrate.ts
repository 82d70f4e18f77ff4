import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fail } from "../src/core/errors.ts";
import { migrationView } from "../src/core/views.ts";
import { readySecrets } from "../src/open/secrets.ts";
import { openDatabase, settle } from "../src/open.ts";
import type { Migration, Migrations } from "../src/store/dialects/dialect.ts";
import { counted } from "./arguments.ts";
import { command, group } from "./command.ts";
import type { Desk } from "./desk.ts";
import { didYouMean } from "./nearest.ts";
import { number, positional, text } from "./options.ts";

const status = command({
  description: "Show every migration, and whether it is applied.",
  effect: "read",
  exits: { 5: "a migration is pending, or is not the one that was applied" },
  async run(_, desk) {
    const all = await withMigrations(desk, false, (migrations) => migrations.status());
    await desk.print(all.map(migrationView));
    const differing = all.filter(({ state }) => state === "altered" || state === "unknown");
    if (differing.length > 0) {
      fail("migrations_differ", { errors: differing.map(({ id, state }) => ({ path: id, message: troubles[state] })) });
    }
    const pending = all.filter(isPending);
    if (pending.length > 0) {
      fail("migrations_pending", {
        detail: `${counted(pending.length, "migration")} pending. Apply with \`authctl migrate up\`.`,
      });
    }
  },
});

const troubles = {
  applied: "is applied.",
  pending: "is pending.",
  altered: "was changed after it was applied.",
  ahead: "was applied by a newer version, and is no trouble to this one.",
  unknown: "was applied by a newer version, which this one does not understand.",
} as const satisfies Record<Migration["state"], string>;

const up = command({
  description: "Apply what is pending, all or nothing. Makes the database where there is none.",
  effect: "write",
  dryRun: true,
  args: { to: text("the last one to apply", { hint: "ID" }) },
  examples: ["authctl migrate up --dry-run", "authctl migrate up"],
  async run({ to }, desk) {
    await withMigrations(desk, !desk.dryRun, async (migrations) => {
      const before = await migrations.status();
      if (before.some(({ state }) => state === "unknown")) fail("schema_newer");
      if (to !== undefined && !before.some(({ id }) => id === to)) failUnknown(to, before);
      if (desk.dryRun) {
        const pending = before.filter((one) => isPending(one) && (to === undefined || one.id <= to));
        await desk.print(pending.map(migrationView));
        return desk.say(`would apply ${counted(pending.length, "migration")}`);
      }
      const applied = await migrations.up(desk.now(), to, waiting(desk));
      const after = await migrations.status();
      await desk.print(after.filter(({ id }) => applied.includes(id)).map(migrationView));
      return desk.say(applied.length === 0 ? nothing : `applied ${counted(applied.length, "migration")}`);
    });
  },
});

const down = command({
  description: "Take back the last migrations, all or nothing, with the data that only they have a place for.",
  effect: "destructive",
  dryRun: true,
  args: { steps: number("how many", { min: 1, max: 1000, default: 1 }) },
  exits: { 4: "one of them has no way back, or was changed after it was applied" },
  async run({ steps }, desk) {
    await withMigrations(desk, false, async (migrations) => {
      const applied = (await migrations.status()).filter(({ state }) => state === "applied" || state === "altered");
      const doomed = applied.toReversed().slice(0, steps);
      if (doomed.length === 0) return desk.say(nothing);
      const deed = `takes back ${counted(doomed.length, "migration")} (${doomed.map(({ id }) => id).join(", ")}), with the data that only they have a place for`;
      if (desk.dryRun) {
        await desk.print(doomed.map(migrationView));
        return desk.say(`would do: ${deed}`);
      }
      await desk.confirm(deed);
      const taken = await migrations.down(steps, waiting(desk));
      const after = await migrations.status();
      await desk.print(after.filter(({ id }) => taken.includes(id)).map(migrationView));
      return desk.say(`took back ${counted(taken.length, "migration")}`);
    });
  },
});

const history = command({
  description: "Show what was applied, and when.",
  effect: "read",
  async run(_, desk) {
    const all = await withMigrations(desk, false, (migrations) => migrations.status());
    const applied = all.filter((one) => !isPending(one));
    await desk.print(applied.toSorted((a, b) => Number(a.appliedAt) - Number(b.appliedAt)).map(migrationView));
  },
});

const dialects = ["sqlite", "postgres"] as const;

const create = command({
  description: "Generate a migration from src/store/tables.ts, for both databases. For those who develop authctl.",
  effect: "write",
  args: { name: positional("NAME", "what it does, such as add_devices", { required: true }) },
  async run({ name }, desk) {
    if (!/^[a-z0-9_]{1,60}$/.test(name)) {
      fail("usage", { detail: "NAME takes small letters, digits and underscores, such as add_devices." });
    }
    const root = join(import.meta.dir, "..");
    const generator = join(root, "node_modules/.bin/drizzle-kit");
    if (!existsSync(generator)) {
      fail("usage", {
        detail: "drizzle-kit is not installed: this works in a clone of authctl, after `bun install`.",
      });
    }
    const made: string[] = [];
    for (const dialect of dialects) {
      const folder = join(root, "drizzle", dialect);
      const before = readdirSync(folder);
      const config = `drizzle/${dialect}.config.ts`;
      const words = [process.execPath, "--bun", generator, "generate", "--config", config, "--name", name];
      // The schema is all that it needs, so it gets no settings to see.
      const env = { PATH: desk.place.env.PATH };
      const generating = Bun.spawn(words, { cwd: root, env, stdin: "ignore", stderr: "pipe" });
      const [said, complaint] = await Promise.all([generating.stdout.text(), generating.stderr.text()]);
      desk.detail(said.trim());
      if ((await generating.exited) !== 0) throw new Error(`drizzle-kit failed: ${complaint.trim() || said.trim()}`);
      const fresh = readdirSync(folder).filter((file) => file.endsWith(".sql") && !before.includes(file));
      for (const file of fresh) {
        // drizzle-kit writes the schema of its own machine before every name; ours is the one that DATABASE_SCHEMA names.
        writeFileSync(join(folder, file), readFileSync(join(folder, file), "utf8").replaceAll('"public".', ""));
        const wayBack = file.replace(/\.sql$/, ".down.sql");
        writeFileSync(join(folder, wayBack), "", { flag: "wx" });
        made.push(`drizzle/${dialect}/${file}`, `drizzle/${dialect}/${wayBack}`);
      }
    }
    await desk.print(made.map((file) => ({ file })));
    desk.say(
      made.length === 0
        ? "The tables have not changed. Nothing to do."
        : "Now write the way back into the empty .down.sql files.",
    );
  },
});

export default group({
  description: "Bring the database to this version, and back.",
  verbs: { status, up, down, create, history },
});

const nothing = "Nothing to do.";

const waiting = (desk: Desk) => ({
  onWait: (holder: string) => desk.say(`waiting for ${holder}`),
  interrupted: desk.interrupted,
});

const isPending = ({ state }: Migration): boolean => state === "pending";

function failUnknown(id: string, all: readonly Migration[]): never {
  const known = all.map((one) => one.id);
  fail("not_found", {
    detail: `No migration has this id.${didYouMean(id, known)} \`authctl migrate status\` lists them.`,
  });
}

/** Not the whole core, which refuses a database that is not of this version. */
async function withMigrations<T>(desk: Desk, make: boolean, act: (migrations: Migrations) => Promise<T>): Promise<T> {
  const { cwd } = desk.place;
  const config = settle(desk.place);
  if (make) readySecrets(config, cwd, desk.say);
  const database = await openDatabase(config, cwd, make);
  try {
    return await act(database.migrations);
  } catch (error) {
    throw database.translate(error);
  } finally {
    await database.close();
  }
}
