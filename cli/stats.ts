import { formatSize } from "../src/config/sizes.ts";
import { gatherStatistics } from "../src/core/statistics.ts";
import { statisticsView } from "../src/core/views.ts";
import { command } from "./command.ts";

export default command({
  description:
    "Show how things stand: users, sessions, sign-ins and failures of the last day, what a purge would remove, and the size of the database.",
  effect: "read",
  examples: ["authctl stats", "authctl stats --json | jq .purgeable.sessions"],
  async run(_, desk) {
    await desk.withCore(async (core) => {
      const view = statisticsView(await gatherStatistics(core));
      if (desk.json) return await desk.print(view);
      const { purgeable, database_bytes: size, database_free_bytes: free, ...stats } = view;
      const sizes = { database_size: formatSize(size), database_free: free === null ? null : formatSize(free) };
      const kinds = Object.entries(purgeable).map(([kind, rows]) => [`purgeable_${kind}`, rows]);
      return await desk.print({ ...stats, ...sizes, ...Object.fromEntries(kinds) });
    });
  },
});
