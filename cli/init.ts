import { existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Config, type Loaded, loadConfig, settings } from "../src/config.ts";
import { fail } from "../src/core/errors.ts";
import { readySecrets } from "../src/open/secrets.ts";
import { openCore } from "../src/open.ts";
import { command } from "./command.ts";
import { exampleSettings } from "./config-example.ts";
import type { Desk } from "./desk.ts";
import { askFor } from "./init-questions.ts";

/**
 * Safe to repeat, and to interrupt: the secret comes before the settings that name it and before the database
 * that is sealed with it, and what is there stays as it is.
 */
export default command({
  description:
    "Write a settings file with a fresh secret, create the database and migrate it. Never overwrites anything; again, it does what is missing. Where it makes the settings on a terminal, it asks first for the address of the server, and for the address and the password of the first admin.",
  effect: "write",
  examples: ["authctl init", "NODE_ENV=production PUBLIC_URL=https://auth.example.com authctl init"],
  exits: { 78: "the settings do not fit: what was made until then stays, and init goes on from there" },
  async run(_, desk) {
    const { cwd, envFile = ".env" } = desk.place;
    const file = resolve(cwd, envFile);
    const isNew = !existsSync(file);
    const answers = isNew ? await askFor(settingsOf(desk.place, isNew).config, desk) : { settings: {}, admin: {} };
    const env = { ...desk.place.env, ...answers.settings };
    const loaded = settingsOf({ ...desk.place, env }, isNew);
    const { config } = loaded;
    const made: string[] = [];
    const tell = (what: string): void => {
      made.push(what);
      desk.say(what);
    };

    readySecrets(config, cwd, tell);
    if (isNew) {
      write(file, settingsText(loaded, env, desk.warn));
      tell(`wrote the settings to ${file}`);
    } else {
      desk.detail(`${file} stays as it is`);
    }
    if (!config.SECRET_KEY && !isNew && config.NODE_ENV === "production") {
      fail("config_invalid", {
        detail: `${file} stays as it is, and does not name the secret. Correct that, and run init again.`,
        errors: [{ path: "SECRET_KEY", message: `is not set: add the line SECRET_KEY_FILE=${secretPath(config)}` }],
      });
    }
    // From here on by the settings that every other command will read.
    const place = { env: { ...env, ...answers.admin }, cwd, envFile };
    const core = await openCore({ ...place, purpose: "serve", migrate: "auto", onMade: tell });
    await core.close();

    const directory = resolve(cwd, config.DATA_DIR);
    const isLoose = existsSync(directory) && (statSync(directory).mode & 0o077) !== 0;
    if (isLoose) desk.warn(`${directory} can be entered by others: \`chmod 700 ${directory}\`.`);
    if (desk.json) await desk.print({ settings: file, made });
    if (made.length === 0) desk.say("Nothing to do: everything is there already.");
    else if (config.ADMIN_EMAIL || "ADMIN_EMAIL" in answers.admin) desk.say("Next: `authctl serve`.");
    else desk.say("Next: `authctl admin seed --email you@example.com`, then `authctl serve`.");
  },
});

/**
 * The settings as they are before the file is there. What only production refuses is left to the end: a secret
 * that is missing is what this command is for, and the rest can be written into the new file.
 */
function settingsOf({ cwd, env, envFile = ".env" }: Desk["place"], isNew: boolean): Loaded {
  // No file rather than the usual one: that may be another server's.
  const place = { cwd, envFile: isNew ? "/dev/null" : envFile };
  const loaded = loadConfig(env, place);
  const { problems } =
    loaded.config.NODE_ENV === "production" ? loadConfig({ ...env, NODE_ENV: "development" }, place) : loaded;
  if (problems.length === 0) return loaded;
  return fail("config_invalid", { errors: problems.map(({ name, message }) => ({ path: name, message })) });
}

const secretPath = (config: Config): string => `${config.DATA_DIR}/secret.key`;

/**
 * Holds what this run was told by its environment, so that a server that is started without it finds the same
 * database and the same secret. A secret itself is never written down: only the file that holds it.
 */
function settingsText({ config, sources }: Loaded, env: Desk["place"]["env"], warn: Desk["warn"]): string {
  const told = settings.flatMap(({ name, secret, aliases = {} }) => {
    const file = env[`${name}_FILE`];
    if (secret && file) return [`${name}_FILE=${quoted(file)}`];
    if (name === "SECRET_KEY" && !config.SECRET_KEY) return [`SECRET_KEY_FILE=${quoted(secretPath(config))}`];
    if (!sources[name].startsWith("environment")) return [];
    const isFile = name === "DATABASE_URL" && config.DATABASE_URL.dialect === "sqlite";
    if (isFile || !secret) {
      const variables = [name, ...Object.keys(aliases)].map((one) => [one, env[one]] as const);
      return variables.flatMap(([one, text]) => (text ? [`${one}=${quoted(text)}`] : []));
    }
    warn(`${name} is not written down: set it, or ${name}_FILE, wherever the server starts.`);
    return [];
  });
  const head =
    "# Written by `authctl init`. Without the secret nothing in the database opens: keep a copy in another place.";
  return `${[head, ...told].join("\n")}\n\n${exampleSettings()}\n`;
}

/** A value as a settings file takes it. */
function quoted(value: string): string {
  if (/^[\w./:@,+-]*$/.test(value)) return value;
  const quote = ['"', "'", "`"].find((one) => !value.includes(one));
  return quote && !/[\r\n]/.test(value)
    ? `${quote}${value}${quote}`
    : fail("usage", { detail: "A setting in the environment cannot be written into a file." });
}

function write(file: string, text: string): void {
  try {
    // Fails where the file is there, also where somebody has just made it.
    writeFileSync(file, text, { flag: "wx", mode: 0o600 });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    // Half of the settings would be taken for all of them by the next run.
    if (code !== "EEXIST") rmSync(file, { force: true });
    fail("config_invalid", { errors: [{ path: "--env-file", message: `${file} cannot be written (${code}).` }] });
  }
}
