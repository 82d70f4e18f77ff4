import { describe, expect, test } from "bun:test";
import { type Description, describe as describeTree } from "../../cli/help.ts";
import { commands } from "../../cli/run.ts";
import { parseLine } from "../../cli/words.ts";
import { Shell } from "../support/cli.ts";
import { type } from "./toy.ts";

const all = (await describeTree(commands, [], commands)).commands;
const named = all.map((one) => [one.command, one] as const);

/** The words of every `authctl …` in a line of shell. */
const callsIn = (line: string): string[][] =>
  [...line.matchAll(/\bauthctl ([^|<>]*)/g)].map(([, words = ""]) =>
    [...words.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? ""),
  );

describe("every command", () => {
  test.each(named)(
    "%s is described in whole sentences, and its examples are understood",
    async (_, one: Description) => {
      expect(one.description).toMatch(/^[A-Z].*\.$/);
      for (const example of one.examples) {
        const calls = callsIn(example);
        expect(calls).not.toBeEmpty();
        for (const words of calls) expect((await parseLine(words, commands)).node).toBeDefined();
      }
    },
  );

  test.each(named.filter(([, { effect }]) => effect === "destructive"))(
    "%s takes data away, so it can be rehearsed",
    (_, one) => {
      expect(one.dryRun).toBeTrue();
    },
  );
});

describe("a word that nobody expects", () => {
  const hostile = ["\u001b[31m\u202e", "' OR 1=1; DROP TABLE users --", "x".repeat(20_000)];
  const lines = [
    "user get",
    "user update --full-name=x",
    "user disable",
    "user enable",
    "user delete --yes",
    "user set-password --generate",
    "user import",
    "user import --from supabase --refused refused.ndjson",
    "user export --role admin --active --output",
    "user list --role admin --query",
    "user create --passwordless --email",
    "session get",
    "session revoke --yes",
    "session list --user",
    "session list --ip",
    "admin grant",
    "admin revoke",
    "admin seed --generate --email",
    "user role add ada@example.com",
    "user role remove",
    "role get",
    "role create",
    "role update --description=x",
    "role delete --yes",
    "role permission add support",
    "role permission remove",
    "check authz --permission users:read --user",
    "check authz --user ada@example.com --permission",
    "config explain",
    "migrate create",
    "migrate up --to",
    "token purge --kind",
    "key rotate --alg",
    "serve --migrate",
    "serve --port",
  ];

  test.each(lines)("does no harm to %s", async (line) => {
    using shell = new Shell();
    for (const word of hostile) {
      const { directory: cwd, env } = shell;
      const { code, stdout, stderr } = await type([...line.split(" "), word], { tree: commands, cwd, env });
      // A list may be empty; everything else is refused, and nothing is a defect.
      expect(line.includes(" list --") && !/--(user|ip)$/.test(line) ? [0] : [2, 3]).toContain(code);
      expect(stdout).toBe("");
      for (const sign of ["\u001b", "\u202e"]) expect(stderr).not.toContain(sign);
    }
  });
});
