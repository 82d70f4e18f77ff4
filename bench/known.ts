/**
 * `bun --no-env-file bench/known.ts [--samples=N]`: whether the time of an answer tells if an address is known
 * (rule PW-4). Asks in turn for a known and an unknown one, and prints the medians and what lies between them, for
 * each route on each database; beside it the same for another unknown one, which is noise. Hashing is cheap here:
 * a real hash costs both the same 30 ms, and its own noise hides what there is to see.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../tests/support/free-port.ts";
import { startPostgres } from "../tests/support/services.ts";

const samples = Number(/^--samples=(\d+)$/.exec(process.argv[2] ?? "")?.[1] ?? 400);
const root = join(import.meta.dir, "..");
const bun = [process.execPath, "--no-env-file"];
const password = "correct horse battery staple";

const scratch = mkdtempSync(join(tmpdir(), "authctl-known-"));
const postgres = await startPostgres();
const cheapHashing = { ARGON2_MEMORY_KIB: "8", ARGON2_TIME_COST: "1" };
const plain = {
  ...cheapHashing,
  REQUIRE_EMAIL_VERIFICATION: "true",
  RATE_LIMITS: "on",
  RATE_LIMIT_REQUESTS: "1000000/1m",
};
// Counted like everywhere, but never reached.
const unreached = { RATE_LIMIT_MAIL_ACCOUNT: "1000000/1h", RATE_LIMIT_MAIL_ADDRESS: "1000000/1h" };
const setups = { SQLite: {}, Postgres: { DATABASE_URL: postgres.url } };

const median = (times: readonly number[]): number => times.toSorted((one, other) => one - other)[times.length >> 1]!;
const routes = ["forgot-password", "verify-email/resend", "register"] as const;

for (const [name, more] of Object.entries(setups)) {
  const port = await freePort();
  const env = { PATH: process.env["PATH"] ?? "", ...plain, ...unreached, ...more, DATA_DIR: join(scratch, name) };
  if (name === "Postgres") Bun.spawnSync([...bun, "cli/authctl.ts", "migrate", "up"], { cwd: root, env });
  const server = Bun.spawn([...bun, "src/server.ts"], {
    cwd: root,
    env: { ...env, PORT: String(port), LOG_LEVEL: "warn" },
    stdout: "ignore",
  });
  const url = `http://127.0.0.1:${port}`;
  while (!(await fetch(`${url}/livez`).catch(() => undefined))) await Bun.sleep(10);

  const ask = async (route: string, email: string): Promise<number> => {
    const body = JSON.stringify({ email, ...(route === "register" && { password }) });
    const began = performance.now();
    const answer = await fetch(`${url}/api/v1/auth/${route}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    await answer.text();
    if (answer.status !== (route === "register" ? 201 : 202)) throw new Error(`${route} answered ${answer.status}`);
    return performance.now() - began;
  };

  let people = 0;
  const newcomer = () => `person-${String(++people).padStart(7, "0")}@example.com`;
  const [ada, bob, eve] = [newcomer(), newcomer(), newcomer()];
  await ask("register", ada);
  for (const route of routes) {
    // Whoever registers is known from then on.
    const stranger = (name: string) => (route === "register" ? newcomer() : name);
    const groups = { known: () => ada, unknown: () => stranger(bob), noise: () => stranger(eve) };
    const times = { known: [] as number[], unknown: [] as number[], noise: [] as number[] };
    const names = ["known", "unknown", "noise"] as const;
    for (let sample = -20; sample < samples; sample++) {
      // Each comes first, second and third as often as the others.
      for (let turn = 0; turn < 3; turn++) {
        const group = names[(sample + 20 + turn) % 3]!;
        const time = await ask(route, groups[group]());
        if (sample >= 0) times[group].push(time);
      }
    }
    const [here, there, again] = [median(times.known), median(times.unknown), median(times.noise)];
    const apart = (one: number) => `${(((one - there) / there) * 100).toFixed(1)} %`;
    console.log(
      `${name.padEnd(9)} ${route.padEnd(20)} known ${here.toFixed(2)} ms, unknown ${there.toFixed(2)} ms: ${apart(here)} apart; noise ${apart(again)}`,
    );
  }
  server.kill("SIGKILL");
  await server.exited;
}
await postgres.stop();
rmSync(scratch, { recursive: true, force: true });
