import { chmodSync, closeSync, createReadStream, openSync, writeSync } from "node:fs";
import { resolve } from "node:path";
import { fail } from "../src/core/errors.ts";
import { droppables, type Incoming, type Refusal, recogniseSource } from "../src/core/importing/candidates.ts";
import { type FirebaseHashConfig, parseHashConfig } from "../src/core/importing/firebase.ts";
import { refusals, type SourceName, sourceNames } from "../src/core/importing/foreign-user.ts";
import { type Imported, importUsers } from "../src/core/importing.ts";
import { importedView } from "../src/core/views.ts";
import { counted } from "./arguments.ts";
import { command } from "./command.ts";
import type { Desk } from "./desk.ts";
import { choice, positional, text } from "./options.ts";
import { containers, guessContainer, readRecords } from "./records.ts";
import { readPrivateFile } from "./secret.ts";

/** Refusals that are told one by one; --refused has all of them. */
const told = 10;

export default command({
  description:
    "Take over the users of another system with their passwords. Run it again to go on where it ended: nobody is imported twice.",
  effect: "write",
  dryRun: true,
  args: {
    file: positional("FILE", "the export of the other system; - is standard input", { required: true }),
    from: choice("the other system; needed where the first record does not tell", sourceNames),
    format: choice("how the file is written; without this its beginning tells", containers),
    hashConfig: text("the hash parameters of a Firebase project, from its console: they hold a secret", {
      hint: "FILE",
    }),
    rolesMap: text("a role there and what it is called here", { hint: "OLD=NEW", many: true }),
    drop: choice("import without what cannot be kept: user and full names, hashes, roles", droppables, { many: true }),
    refused: text("write the line and the reason of every refused row to this file", { hint: "FILE" }),
  },
  examples: [
    "authctl user import users.csv --from fastapi-users --dry-run",
    "authctl user import users.json --from firebase --hash-config hash-config.txt",
    "authctl user import users.ndjson --from authctl --refused refused.ndjson",
  ],
  exits: { 6: "some rows were refused", 75: "another import is running" },
  async run({ file, hashConfig, refused, ...args }, desk) {
    const rolesMap = new Map(args.rolesMap.map(parseMapping));
    const firebase = hashConfig === undefined ? undefined : await readHashConfig(hashConfig, desk);
    const opened = await openFile(file, desk);
    const container = args.format ?? opened.container;
    const { source, records } = await settleSource(args.from, readRecords(container, opened.bytes));
    const drop = new Set(args.drop);
    if (source === "firebase" && !firebase && !drop.has("hashes")) {
      fail("usage", {
        detail:
          "The passwords of Firebase need --hash-config FILE, or are left out with `--drop hashes`. The console shows the parameters under Authentication, Users, Password hash parameters.",
      });
    }
    await desk.withCore(async (core, by) => {
      const list = listOf(refused, desk);
      const progress = desk.progress(undefined, desk.dryRun ? "reading" : "importing");
      const done = await importUsers(core, by, records, {
        source,
        firebase,
        rolesMap,
        drop,
        rehearsal: desk.dryRun,
        interrupted: desk.interrupted,
        onRows: (rows) => progress.advance(rows),
        onRefusal: (refusal) => list.add(refusal),
      }).finally(() => {
        progress.end();
        list.end();
      });
      await tell(done, { source, firstRefused: list.first }, desk);
    });
  },
});

function parseMapping(words: string): [string, string] {
  const [there, here, ...more] = words.split("=").map((word) => word.trim());
  if (!there || !here || more.length > 0) {
    return fail("usage", { detail: "--roles-map takes pairs such as editor=author,superuser=admin." });
  }
  return [there, here];
}

async function readHashConfig(file: string, desk: Desk): Promise<FirebaseHashConfig> {
  const config = parseHashConfig(await readPrivateFile("--hash-config", resolve(desk.place.cwd, file), desk.warn));
  return (
    config ??
    fail("usage", {
      detail:
        "The file of --hash-config does not hold base64_signer_key, base64_salt_separator, rounds and mem_cost. Copy the whole block that the console shows.",
    })
  );
}

async function openFile(file: string, desk: Desk) {
  try {
    const bytes = file === "-" ? desk.inputAsItComes() : createReadStream(resolve(desk.place.cwd, file));
    return await guessContainer(bytes);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : undefined;
    if (code === undefined) throw error;
    const name = file === "-" ? "Standard input" : file;
    if (code === "ENOENT") return fail("usage", { detail: `There is no file ${file}.` });
    return fail("usage", { detail: `${name} cannot be read (${code}). Name a file that this user may read.` });
  }
}

/** The system that was named, else the one whose record the first one must be. */
async function settleSource(
  from: SourceName | undefined,
  records: AsyncGenerator<Incoming>,
): Promise<{ source: SourceName; records: AsyncIterable<Incoming> }> {
  if (from) return { source: from, records };
  const first = await records.next();
  const source = !first.done && "value" in first.value ? recogniseSource(first.value.value) : undefined;
  if (first.done || !source) {
    return fail("usage", {
      detail: `The first record does not tell which system it is from. Say it: --from ${sourceNames.join("|")}.`,
    });
  }
  async function* again(): AsyncGenerator<Incoming> {
    if (!first.done) yield first.value;
    yield* records;
  }
  return { source, records: again() };
}

const refusalView = ({ line, reason, member }: Refusal) => ({
  line,
  reason,
  ...(member !== undefined && { member }),
  message: refusals[reason],
});

/** Keeps the first refusals, and writes all of them where a file is named. */
function listOf(file: string | undefined, desk: Desk) {
  const first: ReturnType<typeof refusalView>[] = [];
  const path = file === undefined ? undefined : resolve(desk.place.cwd, file);
  const descriptor = path === undefined ? undefined : openPrivate(path);
  return {
    first,
    add(refusal: Refusal): void {
      const view = refusalView(refusal);
      if (first.length < told) first.push(view);
      if (descriptor !== undefined) writeSync(descriptor, `${JSON.stringify(view)}\n`);
    },
    end(): void {
      if (descriptor !== undefined) closeSync(descriptor);
    },
  };
}

function openPrivate(path: string): number {
  try {
    const descriptor = openSync(path, "w", 0o600);
    // Where it was there already.
    chmodSync(path, 0o600);
    return descriptor;
  } catch {
    return fail("usage", { detail: "The file of --refused cannot be written." });
  }
}

type About = { readonly source: SourceName; readonly firstRefused: readonly ReturnType<typeof refusalView>[] };

async function tell(done: Imported, { source, firstRefused }: About, desk: Desk): Promise<void> {
  await desk.print({ source, dry_run: desk.dryRun, ...importedView(done), first_refused: firstRefused }, [
    "source",
    "rows",
    "imported",
    "already",
    "refused",
    { title: "refusals", of: ({ refusals }) => listed(refusals) },
    "admins",
    "without_password",
    { title: "hashes", of: ({ hashes }) => listed(hashes) },
    { title: "without", of: ({ without }) => listed(without) },
  ]);
  for (const { line, message, member } of desk.json ? [] : firstRefused) {
    desk.say(`line ${line}: ${member === undefined ? "" : `${member}: `}${message}`);
  }
  if (done.refused > firstRefused.length) desk.say(`… and ${counted(done.refused - firstRefused.length, "other")}`);
  desk.say(`${desk.dryRun ? "would import" : "imported"} ${counted(done.imported, "user")}`);
  if (!done.finished) {
    fail("partly_done", { detail: "The import was interrupted. Run the same command again to go on." });
  }
  if (done.refused > 0) {
    fail("partly_done", {
      detail: `${counted(done.refused, "row")} of ${done.rows.toLocaleString("en-US")} ${desk.dryRun ? "would be" : "were"} refused. Correct them and run the same command again: nobody is imported twice.`,
    });
  }
}

const listed = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .filter(([, number]) => number > 0)
    .map(([name, number]) => `${name} ${number}`)
    .join(", ");
