/**
 * `bun run bench growth`: whether a session check, a refresh and the list of the own sessions cost more where there are
 * more sessions: a thousand, a hundred thousand, a million. What counts is by how much more they grow than the limit
 * of the same run, a SELECT from a table of as many rows.
 */
import { touchInterval } from "../src/core/standings.ts";
import { growthBar } from "./bars.ts";
import { type Figures, measure, median } from "./measuring.ts";
import { type Asker, connectionsOf, operations } from "./operations.ts";
import { readOptions } from "./options.ts";
import { openScratch, type Running, takeOwnCore } from "./server.ts";
import { limit, prepare, type Subject } from "./subjects.ts";
import { shown, table } from "./table.ts";

const measured = ["check-token", "list", "refresh"] as const;
const sizes = ["1000", "100000", "1000000"];

const { json, rounds, seconds, ...options } = readOptions({
  json: false,
  only: ["authctl-sqlite", "authctl-postgres"],
  sizes,
  users: 1_000,
  rounds: 5,
  seconds: 1,
  connections: 32,
});
/** SQLite alone, unless it was asked for: to fill Postgres takes a quarter of an hour. */
const only = process.argv.some((word) => word.startsWith("--only=")) ? options.only : ["authctl-sqlite" as const];

type Live = {
  readonly name: string;
  readonly size: number;
  readonly subject: Subject;
  readonly server: Running;
  readonly ask: Asker;
};

console.error(takeOwnCore());
const scratch = openScratch();
const live: Live[] = [];
try {
  for (const size of options.sizes.map(Number)) {
    const { connections } = options;
    const users = Math.min(options.users, size);
    // Warming up is rounds too, and nothing is spent here.
    const amounts = { users, sessions: size, connections, seconds: 0 };
    const subjects: Array<readonly [string, Subject]> = [["the limit", limit(scratch, amounts)]];
    for (const name of only) {
      const began = performance.now();
      for (const subject of await prepare(scratch, name, amounts, `_${size}`)) subjects.push([subject.name, subject]);
      console.error(`${name}: filled with ${size} sessions in ${((performance.now() - began) / 1000).toFixed(0)} s`);
    }
    for (const [name, subject] of subjects) {
      const server = await subject.start();
      live.push({ name, size, subject, server, ask: subject.asker(server.port) });
    }
  }

  // The use of a session is written once a minute. From now on that is due for all of them at the same time, however
  // long it took to begin them: otherwise more sessions would mean more writes in each round.
  await Bun.sleep(touchInterval);
  const rows = [];
  for (const operation of measured) {
    const figures = new Map<Live, Figures[]>(live.map((one) => [one, []]));
    for (let turn = 0; turn < rounds; turn++) {
      for (const one of live) {
        const round = one.ask(operation, { port: one.server.port, seconds })!;
        const load = { connections: connectionsOf(operation, options.connections), seconds };
        figures.get(one)!.push(await measure(one.server, one.subject.stores, round, load));
      }
    }
    /** How many times as much as with the least sessions, server and database together; the median over the rounds. */
    const growthOf = ({ name, size }: Live): number => {
      const of = (rows: number) => figures.get(live.find((one) => one.name === name && one.size === rows)!)!;
      const least = of(Number(options.sizes[0]));
      const cost = (one: Figures) => one.server + one.stores;
      return median(of(size).map((one, turn) => cost(one) / cost(least[turn]!)));
    };
    for (const one of live) {
      const bare = live.find(({ name, size }) => name === "the limit" && size === one.size)!;
      const all = figures.get(one)!;
      const growth = growthOf(one);
      rows.push({
        operation,
        subject: one.name,
        sessions: one.size,
        server: median(all.map(({ server }) => server)),
        stores: median(all.map(({ stores }) => stores)),
        growth,
        overLimit: growth / growthOf(bare),
      });
    }
  }
  if (json) console.log(JSON.stringify({ rows, bar: growthBar }, null, 2));
  else {
    for (const [operation, all] of Map.groupBy(rows, (row) => row.operation)) {
      const body = all
        .toSorted((one, other) => one.subject.localeCompare(other.subject))
        .map(({ subject, sessions, server, stores, growth, overLimit }) => [
          subject,
          sessions.toLocaleString("en-US"),
          shown(server),
          stores > 0 ? shown(stores) : "",
          shown(growth),
          ...(subject === "the limit"
            ? []
            : [shown(overLimit), `≤ ${growthBar}`, overLimit <= growthBar ? "met" : "NOT met"]),
        ]);
      const head = ["", "sessions", "server, µs", "database, µs", "growth", "over the limit's", "bar", ""];
      console.log(`\n${operations[operation]}\n${table(head, body)}`);
    }
  }
} finally {
  await Promise.all(live.map(({ server }) => server.stop()));
  await scratch.end();
}
