import { afterAll, describe, expect, test } from "bun:test";
import { words } from "../../src/http/pages/words.ts";
import { languageOf } from "../../src/http/pages.ts";
import { mailOf } from "../support/challenge-mail.ts";
import { dump } from "../support/database.ts";
import { expectProblem, signUp } from "../support/people.ts";
import { startServer } from "../support/server.ts";
import { bare, sendRaw } from "../support/wire.ts";

const server = await startServer({ APP_NAME: `Ada's <b>"Shop"</b> & Co`, PASSWORD_MIN_LENGTH: "20" });
afterAll(server.end);

const paths = ["/verify-email", "/reset-password", "/recover"] as const;
const fieldsOf = {
  "/verify-email": ["email"],
  "/reset-password": ["password", "again", "show", "email"],
  "/recover": ["password", "again", "show"],
};

const page = (path: string, headers: Record<string, string> = {}) => server.get<undefined>(path, { headers });

describe.each(paths)("GET %s", (path) => {
  test("is a page for people, that no other origin has a say in", async () => {
    const { status, headers, text } = await page(path);
    expect(status).toBe(200);
    expect(headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("content-security-policy")).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    );
    expect(text).toStartWith("<!doctype html>");
    expect(text).not.toMatch(/<script>|<style|\sstyle=|\son\w+=|https?:|href="\/\//);
  });

  test("loads nothing but what this server has, and every file of it once", async () => {
    const { text } = await page(path);
    const loaded = [...text.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map((found) => found[1]!);
    expect(loaded).toEqual(["/pages/style.css", "/pages/script.js"]);
    for (const file of loaded) {
      const { status, headers } = await page(file);
      expect([status, headers.get("cache-control")]).toEqual([200, "no-cache"]);
      expect(headers.get("content-type")).toBe(
        file.endsWith("css") ? "text/css; charset=utf-8" : "text/javascript; charset=utf-8",
      );
      expect((await page(file, { "if-none-match": headers.get("etag")! })).status).toBe(304);
    }
  });

  test("BR-5 is titled with the name of the app, which is no markup", async () => {
    const { text } = await page(path);
    expect(text).toContain(" – Ada&#39;s &#60;b&#62;&#34;Shop&#34;&#60;/b&#62; &#38; Co</title>");
    expect(text).not.toContain("<b>");
  });

  test("speaks the language of the browser", async () => {
    const name = path.slice(1) as keyof typeof words.de;
    if (name === "common") throw new Error("no page");
    for (const language of ["en", "de"] as const) {
      const { text, headers } = await page(path, { "accept-language": `${language}-AT,fr;q=0.5` });
      expect(text).toContain(`<html lang="${language}">`);
      expect(text).toContain(`<h1>${words[language][name].title}</h1>`);
      expect(headers.get("vary")).toBe("accept-language");
    }
  });

  test("answers other methods 405, other spellings 404", async () => {
    const answer = await server.post(path, {});
    expectProblem(answer, 405, "method_not_allowed");
    expect(answer.headers.get("allow")).toBe("GET, HEAD");
    for (const other of [`${path}/`, `/${path}`, path.toUpperCase(), "/pages", "/pages/words.ts"])
      expect(await sendRaw(server.url, bare(`GET ${other}`)), other).toStartWith("HTTP/1.1 404 ");
  });

  test("TK-4 changes nothing when it is fetched, by a person or by whatever follows links", async () => {
    const { email } = await signUp(server);
    const { token } = await mailOf(server, email);
    const state = async () => {
      const { challenges, users, mails, audit_events: events } = await dump(server);
      // The outbox is worked off and the trail sealed meanwhile: what counts is that nothing is added.
      return JSON.stringify([challenges, users, mails!.map(({ id }) => id), events!.map(({ id }) => id)]);
    };
    const before = await state();
    for (const method of ["GET", "HEAD"]) {
      const { status } = await server.send(method, `${path}?token=${token}`);
      expect(status).toBe(200);
    }
    expect(await state()).toBe(before);
  });

  test("labels every field, and lets programs fill them in", async () => {
    const { text } = await page(path);
    const fields = [...text.matchAll(/<input id="(\w+)"/g)].map((found) => found[1]!);
    expect(fields).toEqual(fieldsOf[path]);
    for (const field of fields.filter((one) => one !== "show")) expect(text).toContain(`<label for="${field}">`);
    if (path !== "/verify-email") {
      expect(text.match(/autocomplete="new-password"/g)).toHaveLength(2);
      expect(text).toContain("At least 20 characters");
    }
  });
});

describe("the language of a page", () => {
  test.each([
    ["", "en"],
    ["de", "de"],
    ["DE-ch", "de"],
    ["fr", "en"],
    ["fr, de;q=0.3", "de"],
    ["de;q=0.3, en;q=0.9", "en"],
    ["en;q=0.3,de-DE;q=0.31", "de"],
    ["de;q=0, en;q=0.1", "en"],
    ["*", "en"],
    ["<script>", "en"],
    [`${"x,".repeat(9000)}de`, "en"],
    ["toString, constructor", "en"],
  ])("of %p is %s", (header, language) => {
    expect(languageOf(header)).toBe(language as "en" | "de");
  });

  test("has the same words to say in each", () => {
    const { en, de } = words;
    for (const [one, other] of [
      [en.common.failures, de.common.failures],
      [en["verify-email"], de["verify-email"]],
      [en.recover, de.recover],
    ] as const)
      expect(Object.keys(one)).toEqual(Object.keys(other));
  });
});
