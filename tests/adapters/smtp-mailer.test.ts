import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createSmtpMailer } from "../../src/adapters/smtp-mailer.ts";
import type { Letter } from "../../src/core/core.ts";
import { freePort } from "../support/free-port.ts";
import { type MailServer, makeCertificate, startMailServer } from "../support/mail-server.ts";

const letter: Letter = {
  messageId: "<0190-1@auth.example.com>",
  at: new Date("2026-01-31T09:00:00Z"),
  to: { name: "Ada Lovelace", address: "ada@example.com" },
  language: "de",
  subject: "Wählen Sie ein neues Passwort",
  text: "Guten Tag, „Ada“\n",
  html: "<p>Guten Tag, „Ada“</p>",
};
const settings = {
  SMTP_PASSWORD: undefined,
  SMTP_REQUIRE_TLS: false,
  MAIL_FROM: "Example <no-reply@example.com>",
};

let server: MailServer;
const open: Array<() => void> = [];
beforeEach(async () => {
  server = await startMailServer();
});
afterEach(async () => {
  for (const close of open.splice(0)) close();
  await server.stop();
});

const mailer = (changed: Partial<Parameters<typeof createSmtpMailer>[0]> = {}, patience?: number) => {
  const made = createSmtpMailer({ ...settings, SMTP_URL: server.url, ...changed }, patience);
  open.push(made.close);
  return made;
};
const arrived = () => server.arrived[0]!;

describe("a letter", () => {
  test("arrives with its words, and with the headers that say what it is", async () => {
    expect(await mailer().send(letter)).toBeUndefined();
    const { headers, text, html, from, recipients } = arrived();
    expect({ from, recipients, text, html }).toEqual({
      from: "no-reply@example.com",
      recipients: ["ada@example.com"],
      text: letter.text.trimEnd(),
      html: letter.html!,
    });
    expect(Object.fromEntries(headers)).toMatchObject({
      from: "Example <no-reply@example.com>",
      to: "Ada Lovelace <ada@example.com>",
      subject: letter.subject,
      date: "Sat, 31 Jan 2026 09:00:00 +0000",
      "message-id": letter.messageId,
      "auto-submitted": "auto-generated",
      "content-language": "de",
    });
    expect(headers.get("content-type")).toStartWith("multipart/alternative");
  });

  test("may be a text alone", async () => {
    await mailer().send({ ...letter, html: undefined });
    expect(arrived().headers.get("content-type")).toStartWith("text/plain");
  });

  test.each([
    ["a name", { to: { name: "Ada\r\nBcc: eve@example.com", address: "ada@example.com" } }],
    ["a name", { to: { name: 'Ada" <eve@example.com>, "x', address: "ada@example.com" } }],
    ["an address", { to: { name: "", address: "ada@example.com, eve@example.com" } }],
    ["an address", { to: { name: "", address: "ada@example.com\r\nBcc: eve@example.com" } }],
    ["an address", { to: { name: "", address: "ada@example.com>\r\nRCPT TO:<eve@example.com" } }],
    ["a subject", { subject: "Hello\r\nBcc: eve@example.com\r\n\r\nanother text" }],
    ["a language", { language: "de\r\nBcc: eve@example.com" }],
    ["an id", { messageId: "<x@example.com>\r\nBcc: eve@example.com" }],
  ])("IO-2 is not turned into another one by %s", async (what, changed) => {
    const trouble = await mailer().send({ ...letter, ...changed });
    if (what !== "an address") expect([trouble, server.arrived.length]).toEqual([undefined, 1]);
    for (const mail of server.arrived) {
      expect(mail.recipients).toHaveLength(1);
      expect(mail.recipients).not.toContain("eve@example.com");
      expect(mail.headers.has("bcc")).toBe(false);
      expect(mail.text).toBe(letter.text.trimEnd());
    }
  });

  test("reads no file and fetches nothing, whatever it holds", async () => {
    const path = "/etc/passwd";
    const odd = { ...letter, text: { path } as unknown as string };
    expect(await mailer().send(odd)).toMatchObject({ code: "EFILEACCESS" });
    expect(server.arrived).toEqual([]);
  });
});

describe("connections", () => {
  test("are kept, and few", async () => {
    const sending = mailer();
    await Promise.all(Array.from({ length: 50 }, () => sending.send(letter)));
    expect(server.arrived).toHaveLength(50);
    expect(server.connections).toBeLessThanOrEqual(5);
  });
});

describe("what is in the way", () => {
  test.each([
    ["recipient", 550, { scope: "mail", permanent: true, code: "550" }],
    ["recipient", 450, { scope: "mail", permanent: false, code: "450" }],
    ["content", 554, { scope: "mail", permanent: true, code: "554" }],
    ["content", 451, { scope: "mail", permanent: false, code: "451" }],
    ["content", 421, { scope: "server", permanent: false, code: "421" }],
    ["content", 503, { scope: "mail", permanent: false, code: "503" }],
  ] as const)("of the %s, told with %d, is told without its words", async (part, code, trouble) => {
    server.answers = { [part]: { code, words: "go away, ada@example.com" } };
    const sending = mailer();
    expect(await sending.send(letter)).toEqual(trouble);
    // The next one is not held up by it.
    server.answers = {};
    expect(await sending.send(letter)).toBeUndefined();
  });

  test("is the server's trouble where nobody listens, and is over once somebody does", async () => {
    const port = await freePort();
    const sending = mailer({ SMTP_URL: `smtp://127.0.0.1:${port}` });
    expect(await sending.send(letter)).toEqual({ scope: "server", permanent: false, code: "ECONNREFUSED" });
    const back = await startMailServer({ port });
    expect(await sending.send(letter)).toBeUndefined();
    expect(back.arrived).toHaveLength(1);
    await back.stop();
  });

  test("is the server's trouble where there is no such name, or no TLS though it is wanted", async () => {
    expect(await mailer({ SMTP_URL: "smtp://nobody.invalid" }).send(letter)).toMatchObject({ scope: "server" });
    expect(await mailer({ SMTP_REQUIRE_TLS: true }).send(letter)).toMatchObject({ scope: "server" });
    expect(server.arrived).toEqual([]);
  });

  test("is told in time where the mail server says nothing more", async () => {
    server.beforeTaking = () => new Promise(() => {});
    const sending = mailer({}, 200);
    const began = performance.now();
    expect(await sending.send(letter)).toEqual({ scope: "server", permanent: false, code: "EABORT" });
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});

describe("a mail server that wants to know who sends", () => {
  const password = "s3cret/with:odd@signs";

  beforeEach(async () => {
    await server.stop();
    const certificate = makeCertificate();
    server = await startMailServer({ password, certificate });
    certificate.remove();
  });

  test("is given the password of SMTP_PASSWORD, or of the URL", async () => {
    const named = server.url.replace("//", "//mailer@");
    const whole = server.url.replace("//", `//mailer:${encodeURIComponent(password)}@`);
    expect(await mailer({ SMTP_URL: named, SMTP_PASSWORD: password }).send(letter)).toBeUndefined();
    expect(await mailer({ SMTP_URL: whole }).send(letter)).toBeUndefined();
    expect(server.arrived.map(({ user, secure }) => ({ user, secure }))).toEqual([
      { user: "mailer", secure: true },
      { user: "mailer", secure: true },
    ]);
  });

  test("that does not know the password is in trouble, and so are all mails", async () => {
    const wrong = { SMTP_URL: server.url.replace("//", "//mailer@"), SMTP_PASSWORD: "wrong" };
    expect(await mailer(wrong).send(letter)).toEqual({ scope: "server", permanent: false, code: "535" });
    expect(await mailer().send(letter)).toEqual({ scope: "server", permanent: false, code: "530" });
  });

  test("and cannot prove who it is gets nothing where TLS is wanted", async () => {
    const strict = { SMTP_URL: server.url.replace("//", "//mailer@"), SMTP_PASSWORD: password, SMTP_REQUIRE_TLS: true };
    expect(await mailer(strict).send(letter)).toMatchObject({ scope: "server", code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
    expect(server.arrived).toEqual([]);
  });
});
