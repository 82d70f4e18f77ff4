import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { askForMail } from "../../src/core/mail.ts";
import { person, Shell } from "../support/cli.ts";
import { freePort } from "../support/free-port.ts";
import { type MailServer, makeCertificate, startMailServer } from "../support/mail-server.ts";
import { queueTests } from "../support/mailbox.ts";

type Row = Readonly<Record<string, string | number | null>>;

let server: MailServer;
let nobody: string;
beforeAll(async () => {
  server = await startMailServer();
  nobody = `smtp://127.0.0.1:${await freePort()}`;
});
afterAll(() => server.stop());

const arrivedFor = (address: string) => server.arrived.filter(({ recipients }) => recipients.includes(address));
const rowsOf = (shell: Shell, more = "") => shell.json<Row[]>(`mail queue list${more}`);
const queue = (shell: Shell, ...emails: string[]) => shell.core((core) => queueTests(core, ...emails));
const ask = (shell: Shell, email: string) =>
  shell.core((core) => core.store.write((tx) => askForMail(core, tx, "reset-password", email)));

describe("mail flush", () => {
  test("sends what is due, without a word", async () => {
    using shell = new Shell({ SMTP_URL: server.url });
    await queue(shell, "flush@example.com");
    expect(await shell.run("mail flush")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await shell.run("mail flush")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(arrivedFor("flush@example.com")).toHaveLength(1);
    expect(await shell.json("mail flush")).toEqual({
      sent: 0,
      moot: 0,
      postponed: 0,
      dead: 0,
      problem: null,
      finished: true,
    });
  });

  test("says with exit code 6 that the mail server takes none, and with which code", async () => {
    using shell = new Shell({ SMTP_URL: nobody });
    await queue(shell, "down@example.com");
    const { code, stdout, stderr } = await shell.run("mail flush --json");
    expect(code).toBe(6);
    expect(JSON.parse(stdout)).toMatchObject({ sent: 0, problem: "ECONNREFUSED", finished: false });
    expect(JSON.parse(stderr)).toMatchObject({ code: "partly_done", detail: expect.stringContaining("ECONNREFUSED") });
    expect(await rowsOf(shell)).toMatchObject([{ state: "queued", problem: "ECONNREFUSED", attempts: 1 }]);
  });

  test("is done in production without a mail server before it has begun", async () => {
    const production = { NODE_ENV: "production", PUBLIC_URL: "https://auth.example.com" };
    using shell = new Shell({
      ...production,
      SECRET_KEY: "Zk3vQ0b7uXy1sT5wR9pL2mN8cJ4hG6fD",
      ARGON2_MEMORY_KIB: "19456",
      ARGON2_TIME_COST: "2",
    });
    await shell.core(async () => {});
    expect((await shell.run("mail flush")).code).toBe(78);
    expect((await shell.run("mail test ada@example.com")).code).toBe(78);
  });

  test("runs once at a time", async () => {
    using shell = new Shell({ SMTP_URL: server.url });
    await shell.core(async (core) => {
      const release = await core.store.lock("mail");
      expect((await shell.run("mail flush")).code).toBe(75);
      expect(await shell.run("mail flush --lock skip")).toEqual({ code: 0, stdout: "", stderr: "" });
      await release?.();
    });
  });
});

describe("mail queue", () => {
  test("lists what waits with whom it goes to, and in development with its link", async () => {
    using shell = new Shell({ SMTP_URL: nobody });
    await shell.core((core) => person(core, "ada@example.com"));
    await ask(shell, "ada@example.com");
    expect(await rowsOf(shell)).toMatchObject([
      { state: "asked", to: "ada@example.com", link: null, subject: null, user_id: null },
    ]);
    await shell.run("mail flush");
    expect(await rowsOf(shell, " --state queued")).toMatchObject([
      {
        kind: "reset-password",
        to: "ada@example.com",
        subject: "Choose a new password for authctl",
        link: expect.stringMatching(/#token=rp_[\w-]{43}$/),
      },
    ]);
    expect(await rowsOf(shell, " --state dead")).toEqual([]);
    const { stdout } = await shell.run("mail queue list");
    expect(stdout.split("\t").slice(1, 5)).toEqual(["reset-password", "queued", "ada@example.com", "1"]);
    expect(stdout).not.toContain("#token=");
  });

  test("shows no link in production", async () => {
    const safe = {
      PUBLIC_URL: "https://auth.example.com",
      SECRET_KEY: "Zk3vQ0b7uXy1sT5wR9pL2mN8cJ4hG6fD",
      SMTP_URL: nobody,
    };
    using shell = new Shell({ ...safe, NODE_ENV: "production", ARGON2_MEMORY_KIB: "19456", ARGON2_TIME_COST: "2" });
    await shell.core((core) => person(core, "ada@example.com"));
    await ask(shell, "ada@example.com");
    await shell.run("mail flush");
    const { stdout } = await shell.run("mail queue list --json");
    expect(JSON.parse(stdout)).toMatchObject([{ state: "queued", to: "ada@example.com", link: null }]);
    expect(stdout).not.toContain("token");
  });

  test("lists to the last of many, in the order of their making", async () => {
    using shell = new Shell();
    const emails = Array.from({ length: 450 }, (_, at) => `user${at}@example.com`);
    await queue(shell, ...emails);
    expect((await rowsOf(shell)).map(({ to }) => to)).toEqual(emails);
  });

  test("has mails tried again, one by one or all that are dead", async () => {
    using shell = new Shell({ SMTP_URL: server.url });
    const buried = await shell.core(async (core) => {
      await queueTests(core, "again1@example.com", "again2@example.com", "again3@example.com");
      const mails = await core.store.mails.page("queued", 3);
      await core.store.write(async (tx) => {
        for (const mail of mails) await tx.mails.bury(mail, core.clock.now(), "550");
      });
      return mails.map(({ id }) => id);
    });
    expect((await shell.run("mail queue retry --all-dead --dry-run")).stderr).toContain("would try 3 mails again");
    expect(await shell.json(`mail queue retry ${buried[0]}`)).toEqual({ mails: 1, retried: 1 });
    expect(await shell.json("mail queue retry --all-dead")).toEqual({ mails: 2, retried: 2 });
    expect((await shell.run("mail flush")).code).toBe(0);
    expect(server.arrived.filter(({ raw }) => raw.includes("again"))).toHaveLength(3);
    expect(await shell.json(`mail queue retry ${buried[0]}`)).toEqual({ mails: 1, retried: 0 });
  });

  test("drops mails", async () => {
    using shell = new Shell();
    await queue(shell, "drop1@example.com", "drop2@example.com");
    const [one] = await rowsOf(shell);
    expect(await shell.json(`mail queue drop ${one?.["id"]} --yes`)).toEqual({ mails: 1, dropped: 1 });
    expect(await rowsOf(shell)).toMatchObject([{ to: "drop2@example.com" }]);
  });

  test("drops nothing unasked, nor where one of the mails is unknown", async () => {
    using shell = new Shell();
    await queue(shell, "drop@example.com");
    const [one] = await rowsOf(shell);
    expect((await shell.run(`mail queue drop ${one?.["id"]}`)).code).toBe(2);
    expect((await shell.run(`mail queue drop ${one?.["id"]} --dry-run`)).stderr).toContain("would delete 1 mail");
    expect((await shell.run(`mail queue drop ${one?.["id"]} nothing --yes`)).code).toBe(3);
    expect(await rowsOf(shell)).toHaveLength(1);
  });

  test.each(["retry", "retry x --all-dead", "list --state gone", "flush"])("refuses %s", async (words) => {
    using shell = new Shell();
    expect((await shell.run(`mail queue ${words}`.trim())).code).toBe(2);
  });
});

describe("mail preview", () => {
  test("shows a mail as a user would get it", async () => {
    using shell = new Shell({ APP_NAME: "Example" });
    const german = await shell.run("mail preview reset-password --locale de-CH");
    expect(german).toMatchObject({ code: 0, stderr: "" });
    expect(german.stdout).toStartWith(
      "Subject: Wählen Sie ein neues Passwort für Example\n\nGuten Tag Ada Lovelace,\n",
    );
    expect((await shell.run("mail preview test --html")).stdout).toStartWith('<!doctype html>\n<html lang="en">');
    expect(await shell.json("mail preview test", { env: { MAIL_LOCALE: "de" } })).toMatchObject({
      language: "de",
      kind: "test",
    });
  });

  test("shows the operator's own, and what is wrong with it", async () => {
    using shell = new Shell({ MAIL_TEMPLATES: "words" });
    mkdirSync(shell.file("words/en"), { recursive: true });
    writeFileSync(shell.file("words/en/test.txt"), "Subject: Ours\n\nHello {{ name }}\n");
    expect((await shell.run("mail preview test")).stdout).toBe("Subject: Ours\n\nHello Ada Lovelace\n\n");
    writeFileSync(shell.file("words/en/test.txt"), "Subject: Ours\n\nHello {{ nmae }}\n");
    const broken = await shell.run("mail preview test");
    expect(broken.code).toBe(5);
    expect(broken.stdout).toStartWith("Subject: A test of authctl\n");
    expect(broken.stderr).toContain("en/test.txt: undefined variable: nmae");
  });

  test("knows the kinds that there are", async () => {
    using shell = new Shell();
    const { code, stderr } = await shell.run("mail preview nonsense");
    expect(code).toBe(2);
    expect(stderr).toContain("verify-email, account-exists");
  });
});

describe("mail test", () => {
  test("sends at once, past the outbox", async () => {
    using shell = new Shell({ SMTP_URL: server.url });
    expect(await shell.json("mail test trial@example.com")).toEqual({ to: "trial@example.com" });
    expect(arrivedFor("trial@example.com")[0]?.headers.get("subject")).toBe("A test of authctl");
    expect(await rowsOf(shell)).toEqual([]);
  });

  test("tells what the mail server has against it, without its words", async () => {
    using shell = new Shell({ SMTP_URL: server.url });
    server.answers = { recipient: { code: 550, words: "nobody\u001b[31m" } };
    const { code, stderr } = await shell.run("mail test trial@example.com --json");
    server.answers = {};
    expect(code).toBe(69);
    expect(JSON.parse(stderr)).toMatchObject({ code: "mail_undeliverable", detail: expect.stringContaining("550") });
    expect(stderr).not.toContain("nobody");
    expect((await shell.run("mail test trial@example.com", { env: { SMTP_URL: nobody } })).code).toBe(69);
  });

  test.each(["ada", "ada@example.com,eve@example.com", "<ada@example.com>"])(
    "refuses the address %s",
    async (address) => {
      using shell = new Shell({ SMTP_URL: server.url });
      expect((await shell.run(["mail", "test", address])).code).toBe(2);
    },
  );

  test("goes to a mail server with a password of a file, by STARTTLS, which has to prove who it is", async () => {
    const certificate = makeCertificate();
    const password = "only in a file";
    const strict = await startMailServer({ certificate, password });
    const SMTP_URL = strict.url.replace("//", "//mailer@");
    using shell = new Shell({ SMTP_URL, SMTP_PASSWORD_FILE: "password", SMTP_REQUIRE_TLS: "on" });
    writeFileSync(shell.file("password"), `${password}\n`, { mode: 0o600 });
    const unproven = await shell.run("mail test ada@example.com");
    expect([unproven.code, unproven.stderr]).toEqual([69, expect.stringContaining("SELF_SIGNED")]);
    const proven = await shell.run("mail test ada@example.com", { env: { NODE_EXTRA_CA_CERTS: certificate.file } });
    expect(proven).toMatchObject({ code: 0 });
    expect(strict.arrived).toMatchObject([{ secure: true, user: "mailer", recipients: ["ada@example.com"] }]);
    for (const { stdout, stderr } of [unproven, proven]) expect(stdout + stderr).not.toContain(password);
    await strict.stop();
    certificate.remove();
  });
});
