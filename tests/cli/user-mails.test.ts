import { describe, expect, test } from "bun:test";
import { proveAddress } from "../../src/core/users/addresses.ts";
import { resetPassword } from "../../src/core/users/new-passwords.ts";
import { findUser } from "../../src/core/users.ts";
import { newestMail, queuedMails } from "../support/challenge-mail.ts";
import { person, Shell } from "../support/cli.ts";
import { visitor } from "../support/core.ts";

const ada = "ada@example.com";
const time = expect.stringMatching(/^\d{4}-.*Z$/);

/** A shell with ada, and a look into its outbox. */
async function peopled() {
  const shell = new Shell();
  const { user } = await shell.core((core) => person(core, ada));
  const place = { env: { DATA_DIR: shell.file("data") } };
  const mails = () => shell.core((core) => queuedMails({ ...core, ...place }));
  const token = () => shell.core(async (core) => (await newestMail({ ...core, ...place }, ada)).token);
  return { shell, id: user.id, mails, token, [Symbol.dispose]: () => shell[Symbol.dispose]() };
}

describe.concurrent("user send-reset", () => {
  test("queues a mail with a link that sets a new password, and prints no link", async () => {
    using here = await peopled();
    const { code, stdout, stderr } = await here.shell.run(`user send-reset ${ada} --json`);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ id: here.id, email: ada, mail: "reset-password", expires_at: time });
    const token = await here.token();
    expect(stdout + stderr).not.toContain(token);
    await here.shell.core((core) => resetPassword(core, visitor, token, "another good long phrase"));
  });

  test("is refused for who is disabled or unknown, and where there is no mail server", async () => {
    using here = await peopled();
    await here.shell.run(`user disable ${ada}`);
    const { code, stderr } = await here.shell.run(`user send-reset ${ada} --json`);
    expect([code, JSON.parse(stderr)]).toMatchObject([4, { code: "user_disabled" }]);
    expect((await here.shell.run("user send-reset nobody")).code).toBe(3);
    await here.shell.run(`user enable ${ada}`);
    const production = {
      NODE_ENV: "production",
      PUBLIC_URL: "https://auth.example.com",
      ARGON2_MEMORY_KIB: "19456",
      ARGON2_TIME_COST: "2",
      SECRET_KEY_FILE: here.shell.file("data/secret.key"),
    };
    const mailless = await here.shell.run(`user send-reset ${ada}`, { env: production });
    expect([mailless.code, mailless.stderr]).toEqual([78, expect.stringContaining("SMTP_URL")]);
    expect(await here.mails()).toEqual([]);
  });
});

describe.concurrent("user verify-email", () => {
  test("vouches for an address, however often", async () => {
    using here = await peopled();
    for (let again = 0; again < 2; again++)
      expect(await here.shell.json(`user verify-email ${ada}`)).toMatchObject({ id: here.id, email_verified: true });
    expect(await here.mails()).toEqual([]);
  });

  test("with --send has the user prove it, unless that was done", async () => {
    using here = await peopled();
    const sent = await here.shell.json(`user verify-email ${ada} --send`);
    expect(sent).toEqual({ id: here.id, email: ada, mail: "verify-email", expires_at: time });
    const token = await here.token();
    await here.shell.core((core) => proveAddress(core, visitor, token));
    expect((await here.shell.core((core) => findUser(core, ada))).user.emailVerifiedAt).not.toBeNull();
    const again = await here.shell.json(`user verify-email ${ada} --send`);
    expect(again).toEqual({ id: here.id, email: ada, mail: null, expires_at: null });
    expect(await here.mails()).toHaveLength(1);
  });

  test("is refused for who is disabled", async () => {
    using here = await peopled();
    await here.shell.run(`user disable ${ada}`);
    for (const flags of ["", " --send"]) {
      const { code, stderr } = await here.shell.run(`user verify-email ${ada}${flags}`);
      expect([code, stderr]).toEqual([4, expect.stringContaining(`authctl user enable`)]);
    }
  });
});
