import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { letterOf, sampleFacts } from "../../src/core/mail/letters.ts";
import { openTestCore, type TestCore } from "../support/core.ts";
import { ada } from "../support/mailbox.ts";

let core: TestCore;
const open = async (env: Record<string, string> = {}) => {
  await core.close();
  core = await openTestCore(env);
};
beforeEach(async () => {
  core = await openTestCore();
});
afterEach(() => core.close());

const write = (to = {}, facts: Record<string, string | number> = sampleFacts.test, kind = "test") =>
  letterOf(core, { id: "0190-1", kind }, { to: { ...ada, ...to }, facts });

describe("the language of a letter", () => {
  test.each([
    ["de", "en", "de"],
    ["de-AT", "en", "de"],
    ["en-GB", "de", "en"],
    ["fr", "de", "de"],
    ["fr", "pt-BR", "en"],
    [null, "de", "de"],
    [null, "en", "en"],
    ["../../de", "en", "en"],
  ])("of a user of %s, with MAIL_LOCALE=%s, is %s", async (locale, MAIL_LOCALE, language) => {
    await open({ MAIL_LOCALE });
    expect((await write({ locale })).language).toBe(language);
  });
});

describe("how somebody is addressed", () => {
  test.each([
    "Ada",
    "Ada Lovelace",
    "Jürgen Groß",
    "John Ronald Reuel Tolkien",
    "J. R. R. Tolkien",
    "J.R.R. Tolkien",
    "Dr. Ada",
    "愛",
    "O'Neill",
  ])("by the name %s", async (name) => {
    const letter = await write({ name });
    expect(letter.to.name).toBe(name);
    expect(letter.text).toContain(`Hello ${name},`);
  });

  test.each([
    "evil.example",
    "You won, see evil.com now",
    "https://evil.example/win",
    "evil。com",
    "www.evil",
    "eve@evil",
    "a <b>",
    "x".repeat(101),
    "\u202e\u200f",
    "",
    null,
  ])("by no name that reads like a link, or is none: %j", async (name) => {
    const letter = await write({ name });
    expect(letter.to.name).toBe("");
    expect(letter.text).toStartWith("Hello,\n");
  });

  test("on one line, in one direction, whatever the name holds", async () => {
    const letter = await write({ name: "Ada\r\nBcc: x\u0000\u202eevil\u2028now" });
    // With a colon it reads like a header, too.
    expect(letter.to.name).toBe("");
    expect((await write({ name: "Ada\r\n\r\nYour account\u202e" })).to.name).toBe("Ada Your account");
  });
});

test("a fact stands on one line, so that it cannot begin another paragraph", async () => {
  const facts = { device: "Firefox\n\nCall 0900 now", ip: "192.0.2.7", at: "noon\u2029" };
  const { text } = await write({}, facts, "new-device");
  expect(text).toContain("Device: Firefox Call 0900 now\n");
  expect(text).toContain("Time: noon\n");
});

test("a subject never holds a line break, even where an operator's own words or the app's name do", async () => {
  const own = join(core.directory, "words");
  mkdirSync(join(own, "en"), { recursive: true });
  writeFileSync(join(own, "en/test.txt"), "Subject: {{ 'A%0D%0ABcc: x' | url_decode }} of {{ app_name }}\n\nHello\n");
  const changed = await core.again({ MAIL_TEMPLATES: own, APP_NAME: "Exa\r\nmple" });
  const letter = await letterOf(changed, { id: "0190-1", kind: "test" }, { to: ada, facts: sampleFacts.test });
  expect(letter.subject).toBe("A Bcc: x of Exa mple");
  await changed.store.close();
});

test("the sender's host stands in the id, whatever form the sender has", async () => {
  for (const [MAIL_FROM, host] of [
    ["no-reply@example.com", "example.com"],
    ["Example <no-reply@mail.example.com>", "mail.example.com"],
  ] as const) {
    await open({ MAIL_FROM });
    expect((await write()).messageId).toBe(`<0190-1@${host}>`);
  }
});

test("a broken template of the operator's is told in the log by its name alone, and the mail is ours", async () => {
  const own = join(core.directory, "words");
  mkdirSync(join(own, "en"), { recursive: true });
  writeFileSync(join(own, "en/test.txt"), "Subject: {{ nobody }}\n\nHello\n");
  const changed = await core.again({ MAIL_TEMPLATES: own });
  const letter = await letterOf(changed, { id: "0190-1", kind: "test" }, { to: ada, facts: sampleFacts.test });
  expect(letter.subject).toBe("A test of authctl");
  expect(changed.lines.filter(({ event }) => event === "mail_template_broken")).toEqual([
    { level: "error", event: "mail_template_broken", fields: { kind: "test", language: "en", file: "en/test.txt" } },
  ]);
  await changed.store.close();
});
