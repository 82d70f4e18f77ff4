import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { exampleSettings } from "../cli/config-example.ts";
import { commands } from "../cli/run.ts";
import { currentPages } from "../docs/generate.ts";
import { settings } from "../src/config.ts";
import { actions } from "../src/core/audit.ts";
import { catalogue } from "../src/core/errors.ts";
import { sampleFacts } from "../src/core/mail/letters.ts";
import { ownPermissions } from "../src/core/permissions.ts";
import { settingsOf } from "./support/seeds.ts";

const root = join(import.meta.dir, "..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");
const prose = [
  "README.md",
  ...readdirSync(join(root, "docs"))
    .filter((one) => one.endsWith(".md"))
    .map((one) => `docs/${one}`),
];

const current = await currentPages();

describe("the documentation says what the code says", () => {
  test.each(Object.keys(current))("%s is as `bun run docs` would write it", (file) => {
    expect(read(file)).toBe(current[file]!);
  });

  test(".env.example is what `authctl config example` prints", () => {
    expect(read(".env.example").trimEnd()).toBe(exampleSettings().trimEnd());
  });

  test.each(prose)("%s names only settings that there are", (file) => {
    const names = new Set<string>(
      settings.flatMap(({ name, aliases = {} }) => [name, `${name}_FILE`, ...Object.keys(aliases)]),
    );
    const known = (name: string) =>
      names.has(name) ||
      /^(AUTHCTL_|SQLITE_|NO_COLOR$|NODE_EXTRA_CA_CERTS$|CI$|HKDF|HMAC|LD_PRELOAD$|BUN_BE_BUN$|BEGIN_|CRASH_|CROWD_)/.test(
        name,
      );
    const named = [...read(file).matchAll(/`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`/g)].map((one) => one[1]!);
    expect(named.filter((name) => !known(name))).toEqual([]);
  });

  test.each(prose)("%s names only commands that there are", async (file) => {
    const unknown: string[] = [];
    for (const [, noun, verb] of read(file).matchAll(/[`$] ?authctl ([a-z]+)(?: ([a-z-]+))?/g)) {
      const entry = commands[noun!];
      if (!entry) unknown.push(noun!);
      const loaded = entry && (await entry.load(commands)).default;
      const isVerb = loaded?.kind !== "group" || verb === undefined || verb in loaded.verbs;
      if (!isVerb) unknown.push(`${noun} ${verb}`);
    }
    expect(unknown).toEqual([]);
  });

  test.each(prose)("%s holds no trace of a merge", (file) => {
    expect(read(file)).not.toMatch(/^(?:<{7}|={7}|>{7})/m);
  });

  test.each(prose)("%s links only to pages that there are", (file) => {
    const links = [...read(file).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map((one) => one[1]!);
    const missing = links.filter(
      (link) => !Bun.file(join(root, file, "..", link)).size && !readdirSync(root).includes(link),
    );
    expect(missing).toEqual([]);
  });

  test("the page of roles lists the permissions that routes may ask for", () => {
    const listed = [...read("docs/roles.md").matchAll(/^\| `([a-z]+:[a-z]+)` \|/gm)].map((one) => one[1]);
    expect(listed).toEqual([...ownPermissions]);
  });

  test("the guide for those who come from FastAPI says of each of their variables what it is called here", () => {
    const rows = [...read("docs/from-fastapi.md").matchAll(/^\| `([A-Z_]+)` +\| `([A-Z_]+)`/gm)];
    const told = rows.map(([, theirs = "", ours = ""]) => `${theirs} ${ours}`);
    const aliases = settings.flatMap(({ name, aliases = {} }) =>
      Object.keys(aliases).map((alias) => `${alias} ${name}`),
    );
    const names = settings.map(({ name }): string => name);
    expect(aliases.filter((one) => !told.includes(one))).toEqual([]);
    const wrong = rows.filter(([, theirs = "", ours]) => theirs !== ours && !aliases.includes(`${theirs} ${ours}`));
    expect(wrong.map(([row]) => row)).toEqual([]);
    expect(rows.filter(([, , ours = ""]) => !names.includes(ours))).toEqual([]);
    const variables = new Set(["001", "002"].flatMap((seed) => Object.keys(settingsOf(seed as "001"))));
    expect([...variables].filter((one) => !rows.some(([, theirs]) => theirs === one))).toEqual([]);
  });

  test("every action of the audit trail is in its page, with its words", () => {
    for (const [action, words] of Object.entries(actions)) {
      expect(read("docs/audit.md")).toContain(`| \`${action}\` | ${words} |\n`);
    }
  });

  test("every code of the catalogue is in the page of errors, and every code has a sentence", () => {
    for (const [name, { title, detail }] of Object.entries(catalogue)) {
      expect(read("docs/errors.md")).toContain(`\`${name}\``);
      expect(title.length).toBeGreaterThan(5);
      expect(detail).toMatch(/[.]$/);
    }
  });

  test("the page of mails has every kind, with what its templates may say", () => {
    const rows = [...read("docs/mail.md").matchAll(/^\| `([a-z-]+)` \| .* \| ((?:`\w+` ?)+)\|$/gm)];
    const told = rows.map(([, kind = "", variables = ""]) => [kind, variables.match(/\w+/g)]);
    expect(Object.fromEntries(told)).toEqual(
      Object.fromEntries(Object.entries(sampleFacts).map(([kind, facts]) => [kind, Object.keys(facts)])),
    );
  });
});
