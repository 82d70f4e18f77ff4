/**
 * `bun run bench known [--samples=N]`: whether the time of an answer tells if an address is known
 * (rule PW-4). Asks in turn for accounts of each kind and for unknown ones, and prints for each route on each database
 * the medians, and how well one answer tells a kind from an unknown one: the part of all pairs in which it took longer
 * (the area under the ROC curve, from the rank sum of Mann and Whitney), with what 95 % of such measures would give.
 * One half is no telling; beside it stands the same for another unknown one, which is noise. Hashing is cheap here:
 * a real hash costs both the same 30 ms, and its own noise hides what there is to see.
 */
import { operator } from "../src/core/actors.ts";
import { createUser } from "../src/core/users.ts";
import { openCore } from "../src/open.ts";
import { readOptions } from "./options.ts";
import { openScratch, password, root, startAuthctl } from "./server.ts";

const { samples } = readOptions({ samples: 400 });
const scratch = openScratch();
const postgres = await (await scratch.postgres()).database("authctl_bench_known");
const cheapHashing = { ARGON2_MEMORY_KIB: "8", ARGON2_TIME_COST: "1" };
const plain = {
  ...cheapHashing,
  REQUIRE_EMAIL_VERIFICATION: "true",
  RATE_LIMITS: "on",
  RATE_LIMIT_REQUESTS: "1000000/1m",
};
// Counted like everywhere, but never reached.
const unreached = Object.fromEntries(
  ["MAIL_ACCOUNT", "MAIL_ADDRESS", "SIGN_IN_ACCOUNT", "SIGN_IN_ADDRESS", "SIGN_IN_PAIR", "REGISTER"].map((limit) => [
    `RATE_LIMIT_${limit}`,
    "1000000/1h",
  ]),
);
const setups = { SQLite: {}, Postgres: { DATABASE_URL: postgres } };

const median = (times: readonly number[]): number => times.toSorted((one, other) => one - other)[times.length >> 1]!;
const wrong = "not the password at all";
/** What each route answers, whoever is meant. */
const statuses = { login: 401, "forgot-password": 202, "verify-email/resend": 202, register: 201 } as const;
const routes = Object.keys(statuses) as Array<keyof typeof statuses>;

/** How often a value of `ours` is above one of `theirs`, and how far chance alone moves that in 95 % of all measures. */
function telling(
  ours: readonly number[],
  theirs: readonly number[],
): { readonly part: number; readonly chance: number } {
  const sorted = theirs.toSorted((one, other) => one - other);
  let above = 0;
  for (const value of ours) {
    const below = sorted.findIndex((one) => one >= value);
    above += below === -1 ? sorted.length : below;
  }
  const pairs = ours.length * theirs.length;
  // The deviation of the rank sum where both are of one distribution.
  const deviation = Math.sqrt((ours.length + theirs.length + 1) / (12 * pairs));
  return { part: above / pairs, chance: 1.96 * deviation };
}

const percent = (part: number): string => `${(part * 100).toFixed(1)} %`;
const shown = ({ part, chance }: ReturnType<typeof telling>): string =>
  `${percent(part)} (by chance 50 ± ${percent(chance)})`;

for (const [name, more] of Object.entries(setups)) {
  const env = { ...plain, ...unreached, ...more, DATA_DIR: scratch.directory(name), LOG_LEVEL: "warn" };
  const server = await startAuthctl(env, "both");
  const { url } = server;

  const ask = async (route: string, body: Readonly<Record<string, string>>, status: number): Promise<number> => {
    const began = performance.now();
    const answer = await fetch(`${url}/api/v1/auth/${route}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    await answer.text();
    if (answer.status !== status) throw new Error(`${route} answered ${answer.status}`);
    return performance.now() - began;
  };

  let people = 0;
  const newcomer = () => `person-${String(++people).padStart(7, "0")}@example.com`;
  const accounts = { known: newcomer(), disabled: newcomer(), "without a password": newcomer() };
  const [bob, eve] = [newcomer(), newcomer()];
  const core = await openCore({ env, cwd: root, purpose: "command" });
  await createUser(core, operator("bench"), { email: accounts.known, password });
  await createUser(core, operator("bench"), { email: accounts.disabled, password, active: false });
  await createUser(core, operator("bench"), { email: accounts["without a password"] });
  await core.close();

  for (const route of routes) {
    // Whoever registers is known from then on.
    const stranger = (email: string) => (route === "register" ? newcomer() : email);
    const emails = Object.entries({
      ...accounts,
      unknown: () => stranger(bob),
      noise: () => stranger(eve),
    }).map(([group, email]) => ({
      group,
      email: typeof email === "string" ? () => email : email,
      times: [] as number[],
    }));
    for (let sample = -20; sample < samples; sample++) {
      // Each comes at each place as often as the others.
      for (let turn = 0; turn < emails.length; turn++) {
        const { email, times } = emails[(sample + 20 + turn) % emails.length]!;
        const body = {
          email: email(),
          ...(route === "register" && { password }),
          ...(route === "login" && { password: wrong }),
        };
        const time = await ask(route, body, statuses[route]);
        if (sample >= 0) times.push(time);
      }
    }
    const unknown = emails.find(({ group }) => group === "unknown")!.times;
    for (const { group, times } of emails) {
      const told =
        group === "unknown" ? "" : `, longer than an unknown one in ${shown(telling(times, unknown))} of pairs`;
      console.log(`${name.padEnd(9)} ${route.padEnd(20)} ${group.padEnd(18)} ${median(times).toFixed(2)} ms${told}`);
    }
  }
  await server.stop();
}
await scratch.end();
