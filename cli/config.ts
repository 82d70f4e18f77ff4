import { Unfit } from "../src/config/parsers.ts";
import { type Config, type Loaded, loadConfig, type Problem, settings } from "../src/config.ts";
import { DomainError, fail, type InputError } from "../src/core/errors.ts";
import { createKeyring } from "../src/core/secrets.ts";
import { counted } from "./arguments.ts";
import { command, group } from "./command.ts";
import { exampleSettings } from "./config-example.ts";
import { nearest } from "./nearest.ts";
import { positional, toggle } from "./options.ts";

type Setting = (typeof settings)[number];

const check = command({
  description: "Check every setting. Tells all problems at once, each with its remedy.",
  effect: "read",
  args: { production: toggle("check as strictly as NODE_ENV=production would") },
  examples: ["authctl config check --production"],
  exits: { 5: "a setting is wrong, or unsafe in production" },
  async run({ production }, desk) {
    const env = production ? { ...desk.place.env, NODE_ENV: "production" } : desk.place.env;
    const { config, problems, notices } = loadConfig(env, desk.place);
    if (!desk.json) for (const { name, message } of notices) desk.warn(`${name} ${message}`);
    const errors = [...problems.map(pointed), ...(await schemaProblems(config))];
    if (errors.length > 0) fail("config_findings", { errors });
    if (desk.json) await desk.print({ ok: true, ...(notices.length > 0 && { notices: notices.map(pointed) }) });
    else desk.say("The settings are fine.");
  },
});

const pointed = ({ name, message }: Problem) => ({ path: name, message });
/** What is wrong with PROFILE_SCHEMA, which is read by more than a look. */
async function schemaProblems(config: Config): Promise<readonly InputError[]> {
  try {
    const { profileFormOf } = await import("../src/open.ts");
    await profileFormOf(config);
    return [];
  } catch (error) {
    if (error instanceof DomainError && error.errors) return error.errors;
    throw error;
  }
}

const show = command({
  description: "Show every setting with its value and where that comes from. Secrets are never shown.",
  effect: "read",
  examples: ["authctl config show", "authctl config show --json"],
  async run(_, desk) {
    const loaded = loadConfig(desk.place.env, desk.place);
    const rows = settings.map((setting) => ({
      name: setting.name,
      group: setting.group,
      value: shownValue(setting, loaded),
      source: sourceOf(setting, loaded),
    }));
    await desk.print(rows, ["name", "value", "source"]);
    const { length } = loaded.problems;
    if (length > 0) {
      desk.warn(`There ${length === 1 ? "is" : "are"} ${counted(length, "problem")}: see \`authctl config check\`.`);
    }
  },
});

const explain = command({
  description: "Tell what a setting means, what it takes, its default, and its value here.",
  effect: "read",
  args: { key: positional("KEY", "the name of the setting", { required: true }) },
  examples: ["authctl config explain REFRESH_GRACE"],
  async run({ key }, desk) {
    const setting = settingNamed(key);
    const loaded = loadConfig(desk.place.env, desk.place);
    await desk.print({
      name: setting.name,
      group: setting.group,
      doc: setting.doc,
      takes: taken(setting),
      aliases: Object.entries(setting.aliases ?? {}).map(([name, { takes }]) => (takes ? `${name} (${takes})` : name)),
      file: setting.secret ? `${setting.name}_FILE may name a file of mode 0600 that holds it` : null,
      default: defaultOf(setting),
      value: shownValue(setting, loaded),
      source: sourceOf(setting, loaded),
    });
  },
});

const example = command({
  description: "Print a settings file that has every setting at its default, commented out.",
  effect: "read",
  examples: ["authctl config example > .env"],
  run: async (_, desk) => desk.print(exampleSettings()),
});

export default group({ description: "The settings of the server.", verbs: { check, show, explain, example } });

function settingNamed(key: string): Setting {
  const name = key.toUpperCase();
  const found = settings.find(
    (setting) =>
      setting.name === name ||
      (setting.secret && `${setting.name}_FILE` === name) ||
      Object.hasOwn(setting.aliases ?? {}, name),
  );
  if (found) return found;
  const spelled = (setting: Setting): string => setting.name.toLowerCase().replaceAll("_", "-");
  const meant = nearest(key, settings.map(spelled));
  const hint = settings.find((setting) => spelled(setting) === meant);
  return fail("not_found", {
    detail: `There is no setting of this name.${hint ? ` Did you mean ${hint.name}?` : ""} \`authctl config show\` lists them.`,
  });
}

function shownValue({ name, secret, shown }: Setting, { texts, config }: Loaded): string | null {
  if (!secret) return texts[name] ?? null;
  const value = config[name];
  if (value !== undefined && shown) return shown(value);
  if (value === undefined || !config.SECRET_KEY) return null;
  const { secrets } = createKeyring(config.SECRET_KEY);
  const versions = secrets.map(({ version }) => version).join(", ");
  return `set (${counted(secrets.length, "secret")}, version ${versions})`;
}

/** A secret whose file cannot be read has no source. */
function sourceOf({ name }: Setting, { sources }: Loaded): string {
  return sources[name] ?? "nowhere";
}

function defaultOf({ fallback, fallbackDoc }: Setting): string | null {
  return fallbackDoc ?? (typeof fallback === "string" ? fallback : null);
}

/** The parser's own words for what it takes: what it says of a text that no setting can be. */
function taken({ parse }: Setting): string {
  try {
    parse("\0");
    return "any text";
  } catch (error) {
    if (error instanceof Unfit) return error.message;
    throw error;
  }
}
