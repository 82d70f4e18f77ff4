import { exportUsers } from "../src/core/exporting.ts";
import { exportedUserView } from "../src/core/views.ts";
import { either } from "./arguments.ts";
import { command } from "./command.ts";
import { text, toggle } from "./options.ts";

export default command({
  description: "Write all users out as they come: as NDJSON, or with --output csv. `user import` takes both back.",
  effect: "read",
  args: {
    withHashes: toggle("with the hashes of the passwords: whoever has them can try to guess the passwords"),
    role: text("only those who hold this role", { hint: "ROLE" }),
    active: either("only those who may sign in, or may not"),
  },
  examples: [
    "authctl user export > users.ndjson",
    "authctl user export --with-hashes > users-with-hashes.ndjson",
    "authctl user export --role admin --output csv",
  ],
  async run({ withHashes, role, active }, desk) {
    if (withHashes) {
      desk.warn("The output holds the hashes of passwords, unsealed. Keep it as you would keep the passwords.");
    }
    await desk.withCore(async (core, by) => {
      const filter = { ...(role !== undefined && { role }), ...(active !== undefined && { active }) };
      await desk.print(views(exportUsers(core, by, { ...filter, withHashes })), undefined, "ndjson");
    });
  },
});

async function* views(pages: ReturnType<typeof exportUsers>) {
  for await (const page of pages) yield page.map(({ user, roles, hash }) => exportedUserView(user, roles, hash));
}
