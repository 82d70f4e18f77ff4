/**
 * kill -9 of a command in the midst of its work. `KILLS=100` makes it a hundred kills of each command, and
 * `CRASH_SEED` other moments of it.
 */
import { expect } from "bun:test";
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { seededChance, wholeFrom } from "./chance.ts";
import { authctl, type Ran } from "./command.ts";
import { dialect } from "./database.ts";
import { program } from "./program.ts";
import type { Environment } from "./server.ts";

/** How many of each command, where somebody asks for a number. */
export const killsOr = (fewest: number): number => wholeFrom("KILLS", fewest);
export const killSeed = wholeFrom("CRASH_SEED", 20_260_101);

/** A command and where it runs, as `authctl` would be called. */
export type Call = { readonly words: readonly string[]; readonly env: Environment; readonly cwd?: string };

export type Journey = {
  readonly name: string;
  readonly rounds: number;
  /** Makes what it works on, and says what to call. */
  prepare(round: number): Promise<Call>;
  /** What has to hold after it, whether it has died or not; and after it was run again. */
  check(round: number): Promise<void>;
};

/** How long a journey of so many rounds may take on a slow machine, in milliseconds. */
export const patienceFor = (rounds: number): number => 60_000 + rounds * 20_000;

/**
 * Lets a command be once, to see how long its work takes here, and then kills it once in each round, the first time
 * early and the last time late in its work: what comes before it has the database open is the loading of a program,
 * which nobody can break. A round that it has outrun is another measure of that time, and is done again.
 */
export async function killAgainAndAgain({ name, rounds, prepare, check }: Journey): Promise<void> {
  const chance = seededChance(killSeed);
  const lengths: number[] = [];
  let died = 0;
  for (let tries = 0; died < rounds && tries <= rounds * 2 + 6; tries++) {
    const child = start(await prepare(tries));
    await untilAtWork(child);
    const begun = performance.now();
    if (tries > 0) {
      const share = (died + chance.below(1_000) / 1_000) / rounds;
      // Of the quickest of late, as the next one may be as quick.
      await Promise.race([Bun.sleep(Math.min(...lengths.slice(-3)) * share), child.exited]);
      child.kill("SIGKILL");
    }
    await child.exited;
    if (child.signalCode === "SIGKILL") died++;
    else lengths.push(performance.now() - begun);
    await check(tries);
  }
  const least = Math.round(Math.min(...lengths));
  console.log(
    `kills: ${name}: seed ${killSeed}, ${died} died at work, ${lengths.length} did not, in ${least} ms or more`,
  );
  expect(died, `kills of ${name} that found it at work`).toBe(rounds);
}

/** How long a Postgres may take to notice that whoever held a lock is dead, in milliseconds. */
const noticed = 5_000;

/** Runs it again, to its end. On SQLite the lock of whoever was killed is free at once. */
export async function again({ words, env }: Call): Promise<Ran> {
  for (const deadline = performance.now() + (dialect === "postgres" ? noticed : 0); ; ) {
    const ran = await authctl(env, words);
    if (ran.code !== 75 || performance.now() > deadline) return ran;
  }
}

const start = ({ words, env, cwd = env["DATA_DIR"] ?? "." }: Call) =>
  Bun.spawn([...program, ...words], {
    cwd,
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });

/** Until it has opened a database file or a connection; at once where the system does not tell. */
async function untilAtWork(child: Pick<ReturnType<typeof start>, "pid" | "exitCode" | "signalCode">): Promise<void> {
  const files = `/proc/${child.pid}/fd`;
  const isAtWork = (): boolean => {
    try {
      return readdirSync(files).some((file) => /^socket:|\.db(-wal)?$/.test(readlinkSync(`${files}/${file}`)));
    } catch {
      // Closed, or over, between the two looks.
      return false;
    }
  };
  if (!existsSync("/proc/self/fd")) return;
  while (child.exitCode === null && child.signalCode === null && !isAtWork()) await Bun.sleep(1);
}
