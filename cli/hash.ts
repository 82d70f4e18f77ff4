import { formatSize } from "../src/config/sizes.ts";
import { type Cost, calibrate, floor } from "../src/core/passwords/calibration.ts";
import { countHashes } from "../src/core/passwords/census.ts";
import { settle } from "../src/open.ts";
import { command, group } from "./command.ts";
import type { Desk } from "./desk.ts";
import { duration, number } from "./options.ts";

const calibrateCommand = command({
  description:
    "Measure argon2id on this machine, and print the settings that make a hash as dear as the target allows; never below the floor of OWASP.",
  effect: "read",
  args: {
    target: duration("how long a sign-in may spend on its hash", { default: 100 }),
    maxMemory: number("KiB that one hash may occupy; HASH_CONCURRENCY of them run at once", {
      min: floor.memory,
      max: 1_048_576,
      default: 131_072,
    }),
  },
  examples: ["authctl hash calibrate", "authctl hash calibrate --target 250ms >> .env"],
  async run({ target, maxMemory }, desk) {
    const { recommended, measured } = await calibrate({ target, mostMemory: maxMemory }, async (cost) => {
      desk.interrupted.throwIfAborted();
      const milliseconds = await median(cost, desk);
      desk.say(`${cost.memory} KiB, ${cost.passes} passes: ${milliseconds} ms`);
      return milliseconds;
    });
    if (recommended.milliseconds > target) {
      desk.warn(`A hash takes longer than the target, and nothing cheaper is safe: ${recommended.milliseconds} ms.`);
    }
    const { HASH_CONCURRENCY } = settle(desk.place);
    const most = formatSize(recommended.memory * HASH_CONCURRENCY * 1024);
    desk.say(`At most ${most} for ${HASH_CONCURRENCY} at once (HASH_CONCURRENCY).`);
    if (!desk.json) {
      return await desk.print(`ARGON2_MEMORY_KIB=${recommended.memory}\nARGON2_TIME_COST=${recommended.passes}`);
    }
    return await desk.print({ recommended, measured });
  },
});

/** Of three, as another program may have had the processor for one. In whole milliseconds. */
async function median(cost: Cost, desk: Desk): Promise<number> {
  const times: number[] = [];
  for (let done = 0; done < 3; done++) {
    const start = desk.now().getTime();
    await Bun.password.hash("correct horse battery staple", {
      algorithm: "argon2id",
      memoryCost: cost.memory,
      timeCost: cost.passes,
    });
    times.push(desk.now().getTime() - start);
  }
  return times.toSorted((one, other) => one - other)[1]!;
}

const report = command({
  description:
    "Count the stored hashes by algorithm and parameters. Those that are not current are made anew when their owner signs in.",
  effect: "read",
  async run(_, desk) {
    await desk.withCore(async (core) => {
      const progress = desk.progress(await core.store.userBatches.count({}), "reading");
      const kinds = await countHashes(core, (users) => {
        desk.interrupted.throwIfAborted();
        progress.advance(users);
      });
      progress.end();
      await desk.print(kinds, ["scheme", "parameters", "users", "current"]);
    });
  },
});

export default group({
  description: "How passwords are hashed: what this machine can afford, and what is stored.",
  verbs: { calibrate: calibrateCommand, report },
});
