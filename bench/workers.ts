/**
 * `bun run bench workers`: how many more sign-ins two workers on two cores answer in a second than one on one core. The
 * load has one of the two cores to share, and hardly needs it: a sign-in is a hash.
 */
import { workersBar } from "./bars.ts";
import { drive } from "./client.ts";
import { fill } from "./fill.ts";
import { median } from "./measuring.ts";
import { askAuthctl } from "./operations.ts";
import { readOptions } from "./options.ts";
import { openScratch, type Running, startAuthctl, takeOwnCore } from "./server.ts";
import { shown, table } from "./table.ts";

const { json, postgres, rounds, seconds, connections } = readOptions({
  json: false,
  postgres: false,
  rounds: 5,
  seconds: 3,
  connections: 16,
});

const cores = takeOwnCore();
const scratch = openScratch();
const servers: Running[] = [];
try {
  const env = {
    DATA_DIR: scratch.directory("data"),
    ...(postgres && { DATABASE_URL: await (await scratch.postgres()).database("authctl_bench_workers") }),
  };
  const none = { spare: 0, families: 0, accessTokens: 0, freshAccessTokens: 0 };
  const ask = askAuthctl(await fill(env, { name: "bench", users: 200, sessions: 200, ...none }));
  for (const workers of [1, 2]) {
    const more = { WORKERS: String(workers), HASH_CONCURRENCY: String(workers) };
    servers.push(await startAuthctl({ ...env, ...more }, workers === 2 ? "both" : undefined));
  }
  const rates: number[][] = [[], []];
  for (let turn = 0; turn < rounds; turn++) {
    for (const [at, { port }] of servers.entries()) {
      const { work } = ask("sign-in", { port, seconds })!;
      const driven = await drive(port, work, { connections, seconds });
      if (driven.wrong > 0) throw new Error(`${driven.wrong} sign-ins were wrong, the first one: ${driven.firstWrong}`);
      rates[at]!.push(driven.answered / driven.seconds);
    }
  }
  const [one = [], two = []] = rates;
  const ratio = median(two.map((rate, turn) => rate / one[turn]!));
  if (json) console.log(JSON.stringify({ cores, one, two, ratio, bar: workersBar }, null, 2));
  else {
    const body = [
      ["one worker on one core", shown(median(one)), "1.00"],
      [
        "two workers on two cores",
        shown(median(two)),
        shown(ratio),
        `≥ ${workersBar}`,
        ratio >= workersBar ? "met" : "NOT met",
      ],
    ];
    console.log(`${cores}\n\n${table(["", "sign-ins/s", "ratio", "bar", ""], body)}`);
  }
} finally {
  await Promise.all(servers.map((server) => server.stop()));
  await scratch.end();
}
