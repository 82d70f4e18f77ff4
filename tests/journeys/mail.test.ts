/** Mails on their way, with real servers on either side: a mail that is written is sent, and not twice. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { openCore } from "../../src/open.ts";
import { authctl } from "../support/command.ts";
import { rawSql } from "../support/database.ts";
import { freePort } from "../support/free-port.ts";
import { type MailServer, startMailServer } from "../support/mail-server.ts";
import { queueTests } from "../support/mailbox.ts";
import { besides } from "../support/people.ts";
import { spawnServer, startServer, type TestServer } from "../support/server.ts";
import { until } from "../support/until.ts";

const patience = 60_000;
const SECRET_KEY = "Zk3vQ0b7uXy1sT5wR9pL2mN8cJ4hG6fD";
const many = (number: number) => Array.from({ length: number }, (_, at) => `user${at}@example.com`);

let mail: MailServer;
let server: TestServer;
let env: Readonly<Record<string, string>>;
const others: Array<{ kill(signal: "SIGKILL"): void; readonly exited: Promise<number> }> = [];
beforeEach(async () => {
  mail = await startMailServer();
  env = { SMTP_URL: mail.url, SECRET_KEY, MAIL_FROM: "no-reply@auth.example.com" };
});
afterEach(async () => {
  for (const one of others.splice(0)) {
    one.kill("SIGKILL");
    await one.exited;
  }
  await server.end();
  await mail.stop();
});

const recipients = () => mail.arrived.map((one) => one.recipients.join());
const ids = () => mail.arrived.map(({ headers }) => headers.get("message-id") ?? "");
const states = async () => {
  const rows = await rawSql(server, "SELECT state, count(*) AS number FROM mails GROUP BY state");
  return Object.fromEntries(rows.map(({ state, number }) => [String(state), Number(number)]));
};
const outbox = () => besides(server, (core) => core.store.mails.page(undefined, 500));
/** The same database, in three minutes: whoever died has no lease any more. */
const later = () => {
  const now = () => new Date(performance.timeOrigin + performance.now() + 180_000);
  const after = (milliseconds: number, then: () => void) => {
    const timer = setTimeout(then, milliseconds);
    return () => clearTimeout(timer);
  };
  return openCore({ env: server.env, cwd: server.directory, purpose: "command", clock: { now, after } });
};

describe("two servers on one database", () => {
  test(
    "send each of 200 mails once, and keep nothing of them",
    async () => {
      server = await startServer(env);
      others.push(spawnServer(server.directory, { ...server.env, PORT: "0" }));
      await besides(server, (core) => queueTests(core, ...many(200)));
      await until("all are sent", async () => (await states())["sent"] === 200, patience);
      expect(recipients().toSorted()).toEqual(many(200).toSorted());
      expect(new Set(ids()).size).toBe(200);
      for (const one of await outbox()) expect([one.state, one.content, one.attempts]).toEqual(["sent", null, 1]);
    },
    patience,
  );

  test(
    "killed in the midst lose nothing, and what comes twice can be recognised",
    async () => {
      server = await startServer(env);
      const other = spawnServer(server.directory, { ...server.env, PORT: "0" });
      others.push(other);
      mail.beforeTaking = () => Bun.sleep(5);
      await besides(server, (core) => queueTests(core, ...many(200)));
      await until("a part is sent", () => mail.arrived.length >= 40, patience);
      other.kill("SIGKILL");
      await server.kill();
      await other.exited;
      const { sent = 0 } = await states();
      expect(sent).toBeLessThan(200);

      mail.beforeTaking = () => {};
      const core = await later();
      const { flushMail } = await import("../../src/core/mail/postman.ts");
      const { root } = await import("../support/core.ts");
      await flushMail(core, root, { maxTime: patience });
      await core.close();
      expect(await states()).toEqual({ sent: 200 });
      expect([...new Set(recipients())].toSorted()).toEqual(many(200).toSorted());
      // Only what the two had on their way when they died: five each.
      expect(mail.arrived.length).toBeLessThanOrEqual(210);
      expect(new Set(ids()).size).toBe(200);
    },
    patience,
  );
});

describe("a server", () => {
  test(
    "sends a mail as soon as its cause is committed, and finishes it when it is stopped",
    async () => {
      server = await startServer(env);
      mail.beforeTaking = () => Bun.sleep(500);
      await besides(server, (core) => queueTests(core, "ada@example.com"));
      await until("it is on its way", async () => (await outbox())[0]?.attempts === 1, patience);
      await until("it connects", () => mail.connections > 0, patience);
      expect(await server.stop()).toBe(0);
      expect(await states()).toEqual({ sent: 1 });
      expect(mail.arrived).toHaveLength(1);
    },
    patience,
  );

  test(
    "works while the mail server is down, and delivers when it is back",
    async () => {
      await mail.stop();
      const port = await freePort();
      server = await startServer({ ...env, SMTP_URL: `smtp://127.0.0.1:${port}` });
      await besides(server, (core) => queueTests(core, ...many(3)));
      await until("it has tried", () => server.log.some(({ event }) => event === "mail_delayed"), patience);
      expect((await server.get("/readyz")).status).toBe(200);
      mail = await startMailServer({ port });
      await until("all have arrived", () => mail.arrived.length === 3, patience);
      await until("all are written down", async () => (await states())["sent"] === 3, patience);
    },
    patience,
  );

  test(
    "in production without a mail server says so once, and writes no mails",
    async () => {
      const production = {
        NODE_ENV: "production",
        PUBLIC_URL: "https://auth.example.com",
        SECRET_KEY,
        ARGON2_MEMORY_KIB: "19456",
        ARGON2_TIME_COST: "2",
      };
      server = await startServer(production);
      await until("it says so", () => server.log.some(({ event }) => event === "mail_not_configured"), patience);
      await besides(server, (core) => queueTests(core, "ada@example.com"));
      expect(await outbox()).toEqual([]);
      const { code, stderr } = await authctl(server.env, ["mail", "test", "ada@example.com", "--json"]);
      expect([code, JSON.parse(stderr).code]).toEqual([78, "mail_not_configured"]);
    },
    patience,
  );

  test(
    "in development prints a mail on standard error, and keeps it for a script to read",
    async () => {
      server = await startServer({ SECRET_KEY });
      await besides(server, (core) => queueTests(core, "ada@example.com"));
      await until("it is printed", () => server.printed().includes("└─"), patience);
      expect(server.printed()).toContain("│ To: ada@example.com\n│ Subject: A test of authctl\n");
      await until("it is written down", async () => (await states())["sent"] === 1, patience);
      const printed = () => server.log.filter(({ event }) => event === "mail_printed");
      await until("it is logged", () => printed().length > 0);
      expect(printed()).toMatchObject([{ kind: "test" }]);
      expect(JSON.stringify(server.log)).not.toContain("ada@");
      const { stdout } = await authctl(server.env, ["mail", "queue", "list", "--json"]);
      expect(JSON.parse(stdout)).toMatchObject([
        { state: "sent", to: "ada@example.com", subject: "A test of authctl" },
      ]);
    },
    patience,
  );
});
