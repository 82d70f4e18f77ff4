import { resolve } from "node:path";
import { type DatabaseUrl, databaseUrl, Unfit } from "../src/config/parsers.ts";
import { fail } from "../src/core/errors.ts";
import { copyDatabase, previewCopy, refuseContents } from "../src/core/moving.ts";
import { contentsView } from "../src/core/views.ts";
import { openTarget } from "../src/open.ts";
import { counted } from "./arguments.ts";
import { command, group } from "./command.ts";
import type { Desk } from "./desk.ts";
import { type ArgsOf, text } from "./options.ts";
import type { Progress } from "./progress.ts";
import { readPrivateFile } from "./secret.ts";

const targetArgs = {
  to: text("the other database's address, without a password in it; - reads it from standard input", {
    hint: "URL",
  }),
  toFile: text("read the address, with its password, from this file", { hint: "FILE" }),
  toEnv: text("read the address, with its password, from this variable of the environment", { hint: "NAME" }),
};

const copy = command({
  description:
    "Copy everything into another, empty database, and compare every row: nobody is signed out. All or nothing. Stop the servers first.",
  effect: "write",
  dryRun: true,
  args: targetArgs,
  examples: [
    "authctl db copy --to postgres://authctl@db.example.com/authctl --dry-run",
    "authctl db copy --to-file /run/secrets/database_url",
  ],
  exits: {
    4: "the target is not empty",
    75: "another copy into the target is running",
  },
  async run(args, desk) {
    const target = await targetOf(args, desk);
    await desk.withCore(async (core, by) => {
      const { contents, servers } = await previewCopy(core);
      if (servers > 0) {
        desk.warn(
          `${counted(servers, "server")} may be running on the original. What is written there after the copy has begun is not in it: stop the servers before the copy that counts.`,
        );
      }
      const total = contents.reduce((sum, { rows }) => sum + rows, 0);
      const other = await openTarget(core.settings, desk.place.cwd, target, {
        now: desk.now(),
        rehearsal: desk.dryRun,
      });
      try {
        if (desk.dryRun || !other) {
          if (other) await refuseContents(other);
          await desk.print(contents.map(contentsView), columns);
          return desk.say(`would copy ${counted(total, "row")}`);
        }
        const progress = stages(desk, total);
        const copied = await copyDatabase(core, by, other, {
          interrupted: desk.interrupted,
          onRows: progress.advance,
        }).finally(progress.end);
        await desk.print(copied.map(contentsView), [...columns, "checksum"]);
        const rows = copied.reduce((sum, one) => sum + one.rows, 0);
        desk.say(`copied ${counted(rows, "row")}; every one of them is equal on both sides`);
        return desk.say(
          "Next: set DATABASE_URL to the new database and start the servers, with the same server secret as until now (SECRET_KEY, SECRET_KEY_FILE or secret.key in DATA_DIR). Without it nobody's session, password or key works.",
        );
      } finally {
        await other?.close();
      }
    });
  },
});

export default group({ description: "The whole database.", verbs: { copy } });

/** A bar for each stage, each with a rate of its own. */
function stages(desk: Desk, total: number) {
  let now: { readonly stage: string; readonly bar: Progress } | undefined;
  return {
    advance: (stage: "copying" | "verifying", rows: number): void => {
      if (now?.stage !== stage) now = { stage, bar: desk.progress(total, stage) };
      now.bar.advance(rows);
    },
    end: (): void => now?.bar.end(),
  };
}

const columns = ["table", "rows"] as const;

/** The address from the one source that names it. One with a password comes from where no other process can read it. */
async function targetOf({ to, toFile, toEnv }: ArgsOf<typeof targetArgs>, desk: Desk): Promise<DatabaseUrl> {
  if ([to, toFile, toEnv].filter((one) => one !== undefined).length !== 1) {
    fail("usage", { detail: "Name the target with one of --to URL, --to-file FILE and --to-env NAME." });
  }
  if (to !== undefined && to !== "-" && holdsPassword(to)) {
    fail("secret_on_command_line", {
      detail:
        "Secrets are never taken from the command line, where every process can read them. Give the address with its password by --to-file FILE, by --to-env NAME, or by --to - on standard input.",
    });
  }
  if (to === "-") return parsed(await desk.secretInput(typedTarget), "--to");
  if (to !== undefined) return parsed(to, "--to");
  if (toFile !== undefined)
    return parsed(await readPrivateFile("--to-file", resolve(desk.place.cwd, toFile), desk.warn), "--to-file");
  const { env } = desk.place;
  const name = toEnv ?? "";
  return parsed((Object.hasOwn(env, name) ? env[name] : undefined) ?? "", "--to-env");
}

const typedTarget = {
  question: "Address of the target",
  noun: "address",
  twice: false,
  ways: "--to URL, --to-file FILE or --to-env NAME",
} as const;

/** Also where the rest is no address: a password with an unescaped character in it is a password all the same. */
function holdsPassword(address: string): boolean {
  return /:\/\/[^/?#]*:[^@]*@/.test(address) || /[?&][^=&]*password=/i.test(address);
}

function parsed(address: string, path: string): DatabaseUrl {
  try {
    return address.trim() === "" ? unfit(path, "is empty.") : databaseUrl(address.trim());
  } catch (error) {
    if (!(error instanceof Unfit)) throw error;
    return unfit(path, `must be ${error.message}.`);
  }
}

function unfit(path: string, message: string): never {
  return fail("usage", { detail: "The target has no address.", errors: [{ path, message }] });
}
