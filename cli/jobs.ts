import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { version } from "../package.json";
import { formatDuration } from "../src/config/durations.ts";
import { loadConfig } from "../src/config.ts";
import { fail } from "../src/core/errors.ts";
import { jobs, listJobs } from "../src/core/jobs.ts";
import { type JobName, jobNames } from "../src/core/upkeep.ts";
import { jobView } from "../src/core/views.ts";
import { databaseFile } from "../src/open/secrets.ts";
import { command, group } from "./command.ts";
import type { Desk } from "./desk.ts";
import { didYouMean } from "./nearest.ts";
import { choice, duration, positional, text } from "./options.ts";
import { cronJobs, crontab, type Setup, systemdUnits } from "./schedules.ts";
import { unlessLocked } from "./unless-locked.ts";

const list = command({
  description: "List the jobs of upkeep: what each does, when it last succeeded, and whether it has failed since.",
  effect: "read",
  async run(_, desk) {
    await desk.withCore(async (core) => {
      const now = desk.now();
      await desk.print(
        (await listJobs(core)).map((job) => jobView(job, now)),
        [
          { title: "job", of: ({ name }) => name },
          { title: "every", of: ({ every_seconds }) => formatDuration(every_seconds * 1000) },
          "last_success",
          { title: "due", of: ({ overdue, due_at }) => (overdue ? "now" : due_at) },
          {
            title: "failed",
            of: ({ failed_at, problem }) => (failed_at ? `${failed_at} ${problem}` : null),
            whole: true,
          },
          { title: "does", of: ({ does }) => does, whole: true, spare: true },
        ],
      );
    });
  },
});

const run = command({
  description: "Do a job of upkeep once, as the server or cron does. Silent unless there is trouble.",
  effect: "write",
  args: {
    name: positional("NAME", `the job: ${jobNames.join(", ")}`, { required: true }),
    maxTime: duration("end after this time", { default: 300_000 }),
    lock: choice("where another run is on its way: fail with exit code 75, or skip this one", ["fail", "skip"], {
      default: "fail",
    }),
  },
  examples: ["authctl job run purge --verbose", "authctl job run key-rotation --lock skip"],
  exits: { 6: "the time ended with work left, or some mails could not be delivered", 75: "another run is on its way" },
  async run({ name, maxTime, lock }, desk) {
    const job = jobs[known(name)];
    await desk.withCore(async (core, by) => {
      const progress = desk.progress(undefined, name);
      const budget = { batchSize: 500, pause: 20, maxRows: Number.MAX_SAFE_INTEGER, maxTime };
      const ran = await unlessLocked(lock, () =>
        job.run(core, by, { ...budget, interrupted: desk.interrupted, onBatch: (rows) => progress.advance(rows) }),
      );
      progress.end();
      if (!ran) return desk.detail("Another run is on its way. Nothing to do.");
      if (desk.json || desk.verbose) await desk.print({ job: name, ...ran.counts, finished: ran.left === undefined });
      if (ran.left !== undefined) fail("partly_done", { detail: ran.left });
    });
  },
});

const which = positional("NAME", "the jobs; without any, those that a server with JOBS=on does", { many: true });

const place = {
  program: text("how the command is called", { hint: "COMMAND", default: "authctl" }),
  directory: text("where it is run; without it, here", { hint: "DIR" }),
};

const printCron = command({
  description: "Print the lines of a crontab that do the upkeep.",
  effect: "read",
  args: { names: which, ...place },
  examples: ["authctl job print-cron", "authctl job print-cron purge key-rotation >> crontab"],
  async run({ names, ...where }, desk) {
    await desk.print(crontab(chosen(names), setupOf(where, desk)));
  },
});

const printSystemd = command({
  description: "Print the units of systemd that do the upkeep: a hardened service, and a timer for each job.",
  effect: "read",
  args: {
    names: which,
    ...place,
    user: text("who runs it", { hint: "USER", default: "authctl" }),
    out: text("write the units into this directory instead of printing them", { hint: "DIR" }),
  },
  examples: ["authctl job print-systemd", "authctl job print-systemd --out /etc/systemd/system"],
  async run({ names, user, out, ...where }, desk) {
    if (!/^[a-z_][a-z0-9_-]*\$?$/i.test(user)) fail("usage", { detail: "--user takes the name of a user." });
    const setup = setupOf(where, desk);
    const { config } = loadConfig(desk.place.env, desk.place);
    const file = databaseFile(config, setup.directory);
    const writable = [resolve(setup.directory, config.DATA_DIR), ...(file === undefined ? [] : [dirname(file)])];
    const units = systemdUnits(chosen(names), { ...setup, user, writable });
    if (out === undefined) {
      await desk.print(units.map(({ file, text }) => `# /etc/systemd/system/${file}\n${text}`).join("\n"));
      return;
    }
    const directory = resolve(desk.place.cwd, out);
    mkdirSync(directory, { recursive: true });
    for (const unit of units) writeFileSync(resolve(directory, unit.file), unit.text);
    await desk.print(units.map((unit) => ({ file: resolve(directory, unit.file) })));
    const timers = units.map((unit) => unit.file).filter((name) => name.endsWith(".timer"));
    desk.say(`Next: systemctl daemon-reload && systemctl enable --now ${timers.join(" ")}`);
  },
});

const printK8s = command({
  description: "Print the CronJobs of Kubernetes that do the upkeep. For Postgres: a file has no place in two pods.",
  effect: "read",
  args: {
    names: which,
    image: text("the image", { hint: "IMAGE", default: `authctl:${version}` }),
    secret: text("the Secret of the cluster that holds the settings", { hint: "NAME", default: "authctl" }),
    namespace: text("the namespace", { hint: "NAME" }),
  },
  examples: ["authctl job print-k8s --image registry.example.com/authctl:1.0 | kubectl apply -f -"],
  async run({ names, image, secret, namespace }, desk) {
    for (const [flag, word] of Object.entries({ secret, namespace })) {
      if (word !== undefined && !/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(word))
        fail("usage", { detail: `--${flag} takes a name of small letters, digits, dots and dashes.` });
    }
    await desk.print(cronJobs(chosen(names), { image, secret, namespace }));
  },
});

export default group({
  description: "The upkeep: what is done again and again, by the server itself or by cron.",
  verbs: { list, run, "print-cron": printCron, "print-systemd": printSystemd, "print-k8s": printK8s },
});

function known(word: string): JobName {
  const name = jobNames.find((one) => one === word);
  return (
    name ??
    fail("usage", { detail: `There is no such job.${didYouMean(word, jobNames)} There are ${jobNames.join(", ")}.` })
  );
}

const chosen = (words: readonly string[]): JobName[] =>
  words.length > 0 ? [...new Set(words.map(known))] : jobNames.filter((name) => jobs[name].isServers);

/** PATH_MAX of Linux. */
const longestPath = 4096;

function setupOf({ program, directory }: { program: string; directory: string | undefined }, desk: Desk): Setup {
  const { cwd, env, envFile } = desk.place;
  const searchPath = [...new Set((env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin").split(":"))].join(":");
  for (const [flag, word] of Object.entries({ program, directory, PATH: searchPath })) {
    if (word !== undefined && /[\n\r\0]/.test(word)) fail("usage", { detail: `${flag} holds a line break.` });
    if (word !== undefined && word.length > longestPath) fail("usage", { detail: `${flag} is longer than any path.` });
  }
  if (!Bun.which(program.split(" ")[0]!, { PATH: searchPath, cwd }))
    desk.warn(`There is no ${program} on the PATH. Name the command with --program.`);
  return {
    program,
    searchPath,
    directory: resolve(cwd, directory ?? "."),
    envFile: envFile === undefined ? undefined : resolve(cwd, envFile),
  };
}
