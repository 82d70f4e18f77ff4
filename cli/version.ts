import { version } from "../package.json";
import { command } from "./command.ts";

export default command({
  description: "Show the version of authctl and of what runs it.",
  effect: "read",
  examples: ["authctl version --json"],
  async run(_, desk) {
    await desk.print({ version, bun: Bun.version });
  },
});
