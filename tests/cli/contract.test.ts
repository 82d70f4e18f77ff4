import { expect, test } from "bun:test";
import { describe as describeTree } from "../../cli/help.ts";
import { commands } from "../../cli/run.ts";

/** The contract's list of commands. */
const contract: Readonly<Record<string, readonly string[]>> = {
  init: [],
  serve: [],
  doctor: [],
  stats: [],
  version: [],
  help: [],
  completion: ["bash", "zsh", "fish"],
  config: ["check", "show", "explain", "example"],
  migrate: ["status", "up", "down", "create", "history"],
  admin: ["seed", "list", "grant", "revoke", "recover"],
  user: [
    "list",
    "get",
    "create",
    "update",
    "disable",
    "enable",
    "delete",
    "set-password",
    "send-reset",
    "verify-email",
    "role add",
    "role remove",
    "import",
    "export",
    "restore",
    "timeline",
  ],
  role: ["list", "get", "create", "update", "delete", "permission add", "permission remove"],
  session: ["list", "get", "explain", "revoke"],
  token: ["purge", "inspect", "stats"],
  key: ["list", "rotate", "retire", "export-public"],
  secret: ["status", "rotate", "verify", "generate"],
  audit: ["list", "tail", "export", "verify", "purge"],
  mail: ["test", "queue list", "queue retry", "queue drop", "flush"],
  backup: ["create", "verify", "restore"],
  limit: ["show", "reset"],
  ban: ["add", "list", "remove"],
  check: ["authz"],
  db: ["copy"],
  job: ["list", "run", "print-cron", "print-systemd", "print-k8s"],
  hash: ["calibrate", "report"],
};

const all = (await describeTree(commands, [], commands)).commands.map(({ command }) => command);
const promised = Object.entries(contract).flatMap(([noun, verbs]) =>
  verbs.length > 0 ? verbs.map((verb) => `authctl ${noun} ${verb}`) : [`authctl ${noun}`],
);

test.each(promised)("%s is there", (command) => {
  expect(all).toContain(command);
});

test("nouns are singular, and every verb is one that reads as an order", () => {
  for (const noun of Object.keys(commands)) expect(noun).toMatch(/^[a-z]+$/);
  for (const command of all) expect(command).toMatch(/^authctl( [a-z]+(-[a-z0-9]+)*)+$/);
});
