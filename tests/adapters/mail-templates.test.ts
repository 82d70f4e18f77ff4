import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createMailTemplates } from "../../src/adapters/mail-templates.ts";
import type { Words } from "../../src/core/core.ts";
import { mailKinds, sampleFacts } from "../../src/core/mail/letters.ts";
import type { MailKind } from "../../src/core/mail.ts";

const common = {
  app_name: "Example",
  public_url: "https://auth.example.com",
  email: "ada@example.com",
  name: "Ada Lovelace",
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "authctl-templates-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const put = (file: string, text: string) => {
  mkdirSync(dirname(join(directory, file)), { recursive: true });
  writeFileSync(join(directory, file), text);
};
const render = (kind: MailKind, languages: string[], changed = {}): Promise<Words> =>
  createMailTemplates(directory).render(kind, languages, { ...common, ...sampleFacts[kind], ...changed });

const folder = join(import.meta.dir, "../../src/adapters/mail-templates");

describe.each(["en", "de"])("our words in %s", (language) => {
  test("are there for every kind, and for nothing else", () => {
    const files = mailKinds.flatMap((kind) => [`${kind}.html`, `${kind}.txt`]);
    expect(readdirSync(join(folder, language)).toSorted()).toEqual(files.toSorted());
  });

  test.each(mailKinds)("say in both forms all that there is to say: %s", async (kind) => {
    const words = await render(kind, [language]);
    expect(words).toMatchObject({ language, broken: [] });
    expect(words.subject).toContain("Example");
    const page = words.html!.replaceAll("&#39;", "'");
    for (const [name, value] of Object.entries(sampleFacts[kind])) {
      if (name === "minutes") continue;
      expect(words.text).toContain(String(value));
      expect(page).toContain(String(value));
    }
    expect(words.text).toContain("Ada Lovelace");
    expect(words.text).not.toMatch(/[{}<>]|undefined|null/);
  });

  test.each(mailKinds)("stand in a page that needs nothing from elsewhere: %s", async (kind) => {
    const { html } = await render(kind, [language]);
    expect(html).toContain(`<html lang="${language}">`);
    expect(html).not.toMatch(/<(img|script|link|iframe|style|object)|url\(|\ssrc=|@import|background=/i);
    const links = [...html!.matchAll(/href="([^"]*)"/g)].map(([, link]) => link);
    const { link } = sampleFacts[kind] as { link?: string };
    expect(links).toEqual(link === undefined ? [] : [link]);
  });

  test.each(mailKinds)("greet somebody without a name: %s", async (kind) => {
    const words = await render(kind, [language], { name: null });
    expect(words.text).toMatch(/^(Hello|Guten Tag),$/m);
  });
});

test("our words in German are not those in English", async () => {
  for (const kind of mailKinds) {
    const [english, german] = await Promise.all([render(kind, ["en"]), render(kind, ["de"])]);
    expect(german.subject).not.toBe(english.subject);
    expect(german.text).not.toBe(english.text);
  }
});

test.each([
  ["en", 5, "5 minutes"],
  ["en", 90, "90 minutes"],
  ["en", 60, "60 minutes"],
  ["en", 1440, "24 hours"],
  ["en", 43_200, "30 days"],
  ["de", 1440, "24 Stunden"],
] as const)("a link in %s that lives %d minutes is said to live %s", async (language, minutes, said) => {
  expect((await render("verify-email", [language], { minutes })).text).toContain(said);
});

describe("BR-5 what is filled in", () => {
  const hostile = `<script>alert(1)</script>"'&{{ link }}{% raw %}`;

  test.each(mailKinds)("is escaped in HTML and never read as a template: %s", async (kind) => {
    const facts = Object.fromEntries(
      Object.entries(sampleFacts[kind]).map(([name, value]) => [name, typeof value === "string" ? hostile : value]),
    );
    const words = await render(kind, ["en"], { ...facts, name: hostile, email: hostile, app_name: hostile });
    expect(words.html).not.toContain("<script");
    expect(words.html).not.toMatch(/href="[^"]*['<>]/);
    expect(words.html).toContain("&lt;script&gt;");
    expect(words.text).toContain(hostile);
  });

  test("does not part the subject from the text elsewhere", async () => {
    put("en/test.txt", "Subject: {{ at }}\n\nText of {{ email }}\n");
    const { subject, text } = await render("test", ["en"], { at: "one\n\ntwo" });
    expect([subject, text]).toEqual(["one\n\ntwo", "Text of ada@example.com\n"]);
  });
});

describe("an operator's own words", () => {
  test("take the place of ours, file by file", async () => {
    put("de/test.txt", "Subject: Hallo von {{ app_name }}\n\nEs geht, {{ name }}.\n");
    const words = await render("test", ["de"]);
    expect(words).toMatchObject({ subject: "Hallo von Example", text: "Es geht, Ada Lovelace.\n", broken: [] });
    expect(words.html).toContain("Dies ist ein Test");
    put("de/test.html", "<p>{{ name }}</p>");
    expect((await render("test", ["de"])).html).toBe("<p>Ada Lovelace</p>");
  });

  test("may be in a language of their own, with or without HTML", async () => {
    put("fr-CA/test.txt", "Subject: Bonjour\n\nCa va.\n");
    expect(await render("test", ["fr-CA", "fr", "en"])).toMatchObject({
      language: "fr-CA",
      subject: "Bonjour",
      html: undefined,
    });
    put("fr-CA/test.html", '{% layout "letter" %}{% block content %}<p>Ca va.</p>{% endblock %}');
    expect((await render("test", ["fr-CA"])).html).toMatch(/<html lang="fr-CA">[^]*<p>Ca va.<\/p>/);
  });

  test("are chosen by the first language that there is", async () => {
    for (const [languages, chosen] of [
      [["de-AT", "de", "en"], "de"],
      [["fr", "de"], "de"],
      [["../en", "en"], "en"],
      [["xx", "en"], "en"],
    ] as const) {
      expect((await render("test", [...languages])).language).toBe(chosen);
    }
  });

  test("are read from nowhere but their directory", async () => {
    put("outside/test.txt", "Subject: outside\n\nx\n");
    mkdirSync(join(directory, "inside"));
    const templates = createMailTemplates(join(directory, "inside"));
    for (const language of ["../outside", "..\\outside", "/", ".", "..", ""]) {
      const words = await templates.render("test", [language, "en"], { ...common, ...sampleFacts.test });
      expect(words.subject).not.toContain("outside");
    }
  });

  test.each([
    ["names what there is not", "Subject: x\n\n{{ nobody }}\n", "undefined variable"],
    ["names a filter that there is not", "Subject: x\n\n{{ name | shout }}\n", "undefined filter"],
    ["is not closed", "Subject: x\n\n{% if name %}\n", "not closed"],
    ["has no subject", "Hello\n", "Subject"],
    ["has an empty subject", "Subject:  \n\nHello\n", "Subject"],
    ["includes a file", "Subject: x\n\n{% include '/etc/passwd' %}\n", "ENOENT"],
    ["reaches into what is no fact", "Subject: x\n\n{{ name.constructor.name }}\n", "undefined variable"],
    ["never ends", "Subject: x\n\n{% for i in (1..1000000000) %}{{ i }}{% endfor %}\n", "limit"],
  ])("lose no mail where a text %s: ours goes out", async (_, text, message) => {
    put("de/test.txt", text);
    const words = await render("test", ["de", "en"]);
    expect(words).toMatchObject({ language: "de", subject: "Ein Test von Example" });
    expect(words.broken).toEqual([{ file: "de/test.txt", message: expect.stringContaining(message) }]);
  });

  test("lose no mail where the HTML is broken, or a file cannot be read", async () => {
    put("de/test.html", "{{ nobody }}");
    mkdirSync(join(directory, "de/test.txt"));
    const words = await render("test", ["de"]);
    expect(words.html).toContain("Dies ist ein Test");
    expect(words.broken.map(({ file }) => file)).toEqual(["de/test.txt", "de/test.html"]);
  });

  test("in a language without ours give way to the next language where they are broken", async () => {
    put("fr/test.txt", "{{ nobody }}");
    expect(await render("test", ["fr", "en"])).toMatchObject({ language: "en", broken: [{ file: "fr/test.txt" }] });
  });
});

test("every template that a page of the docs would copy is a plain file", () => {
  expect(readFileSync(join(folder, "en/test.txt"), "utf8")).toStartWith("Subject: ");
});
