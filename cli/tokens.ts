import { formatSize } from "../src/config/sizes.ts";
import { fail } from "../src/core/errors.ts";
import { countIssued, inspectToken } from "../src/core/inspection.ts";
import { previewPurge, purge, purgeKinds } from "../src/core/purging.ts";
import { inspectionView, issuedView } from "../src/core/views.ts";
import { command, group } from "./command.ts";
import { choice, duration, number } from "./options.ts";
import { unlessLocked } from "./unless-locked.ts";

const purgeCommand = command({
  description: "Remove what has expired, in short batches. For cron: silent unless there is trouble.",
  effect: "write",
  dryRun: true,
  args: {
    kind: choice("what to remove; without any, everything", purgeKinds, { many: true }),
    olderThan: duration("spare what ended less than so long ago", { default: 0 }),
    batchSize: number("rows of one kind in one transaction", { min: 1, max: 10_000, default: 500 }),
    pause: duration(
      "the time between two batches, for live traffic; batches get smaller and pauses longer by themselves where they take long, but not with 0s: for when no server runs",
      { default: 20 },
    ),
    maxTime: duration("end after this time", { default: 300_000 }),
    maxRows: number("end after so many rows of each kind", { min: 1 }),
    lock: choice("where another purge runs: fail with exit code 75, or skip this one", ["fail", "skip"], {
      default: "fail",
    }),
  },
  examples: ["authctl token purge --dry-run", "*/15 * * * * authctl token purge --lock skip"],
  exits: { 6: "the time or the rows of the budget ended with work left", 75: "another purge is running" },
  async run({ kind, lock, maxRows = Number.MAX_SAFE_INTEGER, ...options }, desk) {
    const kinds = kind.length > 0 ? [...new Set(kind)] : purgeKinds;
    await desk.withCore(async (core, by) => {
      if (desk.dryRun) return await desk.print(await previewPurge(core, { kinds, olderThan: options.olderThan }));
      const progress = desk.progress(undefined, "purging");
      const onBatch = (rows: number) => progress.advance(rows);
      const purged = await unlessLocked(lock, () =>
        purge(core, by, { ...options, kinds, maxRows, interrupted: desk.interrupted, onBatch }),
      );
      progress.end();
      if (!purged) return desk.detail("Another run is on its way. Nothing to do.");
      const removed = kinds.map((one) => ({ kind: one, removed: purged.removed[one] }));
      if (desk.json || desk.verbose) await desk.print(removed);
      const slack = await core.store.slack();
      if (slack && !slack.returnable && slack.free > 0) {
        desk.detail(
          "The file keeps its size, as it was made without auto_vacuum. To change that, stop the servers and run: sqlite3 FILE 'PRAGMA auto_vacuum = INCREMENTAL; VACUUM'",
        );
      }
      if (!purged.finished) fail("partly_done", { detail: "There is more to remove. Run it again to go on." });
    });
  },
});

const inspect = command({
  description: "Tell what a token is, whether it is genuine and alive, and what it says. Reads it from standard input.",
  effect: "read",
  examples: ["authctl token inspect < token.txt", "wl-paste | authctl token inspect --json"],
  async run(_, desk) {
    const token = (await desk.input()).trim();
    if (token === "") fail("usage", { detail: "There is no token on standard input: `authctl token inspect < FILE`." });
    await desk.withCore(async (core) => desk.print(inspectionView(await inspectToken(core, token))));
  },
});

const stats = command({
  description: "Count what was issued: sessions, refresh families, signing keys, and the size of the database.",
  effect: "read",
  async run(_, desk) {
    await desk.withCore(async (core) => {
      const view = issuedView(await countIssued(core));
      if (desk.json) return await desk.print(view);
      const { database_bytes: size, ...counts } = view;
      return await desk.print({ ...counts, database_size: formatSize(size) });
    });
  },
});

export default group({ description: "What was issued.", verbs: { purge: purgeCommand, inspect, stats } });
