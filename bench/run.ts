/**
 * `bun run bench`: what each operation costs on authctl, beside the limits of the machine and, where its package can
 * be installed, Better Auth. What counts is processor time of the server for each answer, as a ratio to the limit of the same
 * round: how much is answered in a second depends on what else the machine does. `bun run bench growth` and the other
 * names below are benches of their own.
 */
import { join } from "node:path";
import { Missing } from "../tests/support/services.ts";
import { memoryOf } from "./accounting.ts";
import { bars } from "./bars.ts";
import { type Figures, measure, median } from "./measuring.ts";
import { type Asker, connectionsOf, type Operation, operationNames, operations } from "./operations.ts";
import { readOptions } from "./options.ts";
import { bun, openScratch, type Running, type Scratch, takeOwnCore } from "./server.ts";
import { type Amounts, limit, NotInstalled, prepare, type Subject, subjectNames } from "./subjects.ts";
import { shown, table } from "./table.ts";

const others = ["growth", "workers", "soak", "flood", "known", "lists", "purge"];
const [other] = process.argv.slice(2);
if (other !== undefined && others.includes(other)) {
  const words = [...bun, join(import.meta.dir, `${other}.ts`), ...process.argv.slice(3)];
  process.exit(Bun.spawnSync(words, { stdio: ["inherit", "inherit", "inherit"] }).exitCode);
}

const quick = process.argv.includes("--quick");
const options = readOptions({
  quick,
  json: false,
  only: subjectNames,
  operations: operationNames,
  users: quick ? 250 : 1_000,
  sessions: 1_000,
  connections: 32,
  rounds: quick ? 1 : 5,
  seconds: quick ? 0.25 : 1,
});
const plan = {
  ...options,
  sessions: Math.max(options.sessions, options.users),
  starts: quick ? 2 : Math.min(5, options.rounds),
};

type Live = {
  readonly slug: string;
  readonly subject: Subject;
  readonly server: Running;
  readonly ask: Asker;
  readonly startedIn: number;
  idle: number;
};

/** Those that are to be had, filled. */
async function subjects(scratch: Scratch): Promise<Array<readonly [slug: string, Subject]>> {
  const amounts: Amounts = { ...plan, seconds: plan.rounds * plan.seconds };
  const all: Array<readonly [string, Subject]> = [["limit", limit(scratch, amounts)]];
  const unavailable = new Set<string>();
  for (const name of plan.only) {
    try {
      for (const subject of await prepare(scratch, name, amounts)) all.push([name, subject]);
    } catch (error) {
      if (!(error instanceof NotInstalled || error instanceof Missing)) throw error;
      unavailable.add(error.message);
    }
  }
  for (const message of unavailable) console.error(`Left out: ${message}`);
  return all;
}

/** Each is started several times, in turn; the last one goes on. */
async function startAll(all: Awaited<ReturnType<typeof subjects>>, live: Live[]): Promise<void> {
  const times = new Map<Subject, number[]>(all.map(([, subject]) => [subject, []]));
  for (let turn = 1; turn < plan.starts; turn++) {
    for (const [, subject] of all) {
      if (subject.aside) continue;
      const server = await subject.start();
      times.get(subject)?.push(server.startedIn);
      await server.stop();
    }
  }
  for (const [slug, subject] of all) {
    const server = await subject.start();
    const startedIn = median([...times.get(subject)!, server.startedIn]);
    live.push({ slug, subject, server, ask: subject.asker(server.port), startedIn, idle: 0 });
  }
  // What a start leaves behind is collected meanwhile.
  await Bun.sleep(1_500);
  for (const one of live) one.idle = memoryOf([one.server.pid], "VmRSS");
}

type Row = Figures & {
  readonly slug: string;
  readonly subject: string;
  readonly operation: Operation;
  readonly ratio: number;
  readonly rounds: readonly Figures[];
};

/** The rounds of one operation, in turn. */
async function rows(live: readonly Live[], operation: Operation): Promise<Row[]> {
  const load = { connections: connectionsOf(operation, plan.connections), seconds: plan.seconds };
  const rounds = new Map<Live, Figures[]>();
  for (let turn = 0; turn < plan.rounds; turn++) {
    for (const one of live) {
      const round = one.ask(operation, { port: one.server.port, seconds: plan.seconds });
      if (!round) continue;
      const figures = await measure(one.server, one.subject.stores, round, load).catch((error: unknown) => {
        throw new Error(`${one.subject.name}, ${operations[operation]}: ${String(error)}`, { cause: error });
      });
      rounds.set(one, [...(rounds.get(one) ?? []), figures]);
    }
  }
  const bare = rounds.get(live[0]!) ?? [];
  // Where nobody was asked, the limit alone says nothing.
  if (rounds.size === 1) return [];
  return [...rounds].map(([{ slug, subject }, figures]) => ({
    slug,
    subject: subject.name,
    operation,
    server: median(figures.map(({ server }) => server)),
    stores: median(figures.map(({ stores }) => stores)),
    rate: median(figures.map(({ rate }) => rate)),
    ratio: median(figures.map(({ server }, at) => server / bare[at]!.server)),
    rounds: figures,
  }));
}

/** The bar, and whether the figure is met by it. */
function held(what: string, slug: string, figure: number): readonly [bar: string, met: string] {
  const bar = bars[what]?.[slug];
  return bar === undefined ? ["", ""] : [`≤ ${bar}`, figure <= bar ? "met" : "NOT met"];
}

function print(measured: readonly Row[], live: ReadonlyArray<Live & { readonly peak: number }>): void {
  const head = ["", "server, µs", "database, µs", "answers/s", "to the limit", "bar", ""];
  const lines = Map.groupBy(measured, ({ operation }) => operation);
  for (const [operation, all] of lines) {
    const body = all.map(({ slug, subject, server, stores, rate, ratio }) => [
      slug === "limit" ? `the limit: one ${operation === "sign-in" ? "argon2id verification" : "SELECT"}` : subject,
      shown(server),
      stores > 0 ? shown(stores) : "",
      rate.toFixed(0),
      shown(ratio),
      ...held(operation, slug, ratio),
    ]);
    console.log(`\n${operations[operation]}\n${table(head, body)}`);
  }
  const body = live.map(({ slug, subject, startedIn, idle, peak }) => [
    subject.name,
    shown(startedIn),
    held("start", slug, startedIn).join(" "),
    shown(idle),
    held("idle", slug, idle).join(" "),
    shown(peak),
    held("peak", slug, peak).join(" "),
  ]);
  const memoryHead = ["", "first 200, ms", "bar", "idle, MiB", "bar", "peak under load, MiB", "bar"];
  console.log(`\nstart and memory\n${table(memoryHead, body)}`);
}

const cores = takeOwnCore();
const scratch = openScratch();
const live: Live[] = [];
try {
  await startAll(await subjects(scratch), live);
  const measured: Row[] = [];
  for (const operation of plan.operations) measured.push(...(await rows(live, operation)));
  const whole = live
    .filter(({ subject }) => !subject.aside)
    .map((one) => ({ ...one, peak: memoryOf([one.server.pid], "VmHWM") }));
  if (options.json) {
    const memory = whole.map(({ slug, subject, startedIn, idle, peak }) => ({
      slug,
      subject: subject.name,
      startedIn,
      idle,
      peak,
    }));
    const withBars = measured.map((row) => ({ ...row, bar: bars[row.operation]?.[row.slug] ?? null }));
    console.log(JSON.stringify({ cores, plan, rows: withBars, memory }, null, 2));
  } else {
    const { users, sessions, connections, rounds, seconds } = plan;
    console.log(
      `${cores} ${connections} connections, ${users} users in turn of ${sessions} sessions, the median of ${rounds} × ${seconds} s.`,
    );
    print(measured, whole);
  }
} finally {
  await Promise.all(live.map(({ server }) => server.stop()));
  await scratch.end();
}
