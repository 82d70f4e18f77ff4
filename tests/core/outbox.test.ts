import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { MailTrouble } from "../../src/core/core.ts";
import { DomainError } from "../../src/core/errors.ts";
import { dropMails, getMails, lookInto, pagesOfMails, retryMails } from "../../src/core/mail/mail-queue.ts";
import { deliverMail } from "../../src/core/mail/outbox.ts";
import { addresseeOf, askForMail, queueMail } from "../../src/core/mail.ts";
import { codeOf, openTestCore, registerAda, root, type TestCore } from "../support/core.ts";
import { dump, textsOf } from "../support/database.ts";
import { ada, createMailbox, isBusy, isDown, isRefused, type Mailbox, queueTests, sendTo } from "../support/mailbox.ts";

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;

let core: TestCore;
let mailbox: Mailbox;
beforeEach(async () => {
  mailbox = createMailbox();
  core = sendTo(await openTestCore(), mailbox);
});
afterEach(() => core.close());

/** A user, and an outbox without the mail that signing up puts into it. */
const signUpAda = async (email?: string) => {
  const member = await registerAda(core, email);
  await core.store.write(async (tx) => {
    await tx.mails.forget(member.user.id);
    await tx.challenges.spendAll(member.user.id);
  });
  return member;
};
const mails = async () => (await Array.fromAsync(pagesOfMails(core))).flat();
const onlyMail = async () => {
  const [mail, ...more] = await mails();
  expect(more).toEqual([]);
  return mail!;
};
const recipients = () => mailbox.letters.map(({ to }) => to.address);
const deliver = (where = core) => deliverMail(where, root);
/** Runs until nothing is due. Answers how many were sent. */
const deliverAll = async (where = core): Promise<number> => {
  let sent = 0;
  for (let due = await core.store.mails.nextDue(); due && due <= core.clock.now(); ) {
    sent += (await deliver(where)).sent;
    due = await core.store.mails.nextDue();
  }
  return sent;
};
const failures = async () =>
  (await core.store.auditEvents.page({}, 500)).filter(({ action }) => action.startsWith("mail."));
const ask = (kind: "reset-password" | "verify-email", email = "ada@example.com") =>
  core.store.write((tx) => askForMail(core, tx, kind, email));

describe("a mail in the outbox", () => {
  test("goes out once, to one person, and nothing of it is kept", async () => {
    await queueTests(core, "ada@example.com");
    expect(await deliver()).toMatchObject({ sent: 1, postponed: 0, dead: 0, trouble: undefined });
    expect(await deliver()).toMatchObject({ sent: 0 });
    const mail = await onlyMail();
    expect(mail).toMatchObject({ state: "sent", content: null, sentAt: core.clock.now(), problem: null, attempts: 1 });
    expect(mailbox.letters).toMatchObject([
      {
        to: { address: "ada@example.com", name: "Ada" },
        subject: "A test of authctl",
        language: "en",
        at: core.clock.now(),
      },
    ]);
    expect(mailbox.letters[0]?.messageId).toBe(`<${mail.id}@localhost>`);
  });

  test("is kept where a terminal is all that shows it", async () => {
    sendTo(core, createMailbox({ keeps: true }));
    await signUpAda();
    await ask("reset-password");
    await deliver();
    const mail = await onlyMail();
    expect(mail.state).toBe("sent");
    expect((await lookInto(core, mail)).link).toMatch(/^http:\/\/localhost:8000\/reset-password#token=rp_[\w-]{43}$/);
    expect(core.lines).toContainEqual({
      level: "info",
      event: "mail_printed",
      fields: { mail: mail.id, kind: mail.kind },
    });
  });

  test("is not there where its cause was taken back", async () => {
    const broken = core.store.write(async (tx) => {
      await queueMail(core, tx, ada, "test", { at: "noon" });
      throw new Error("and then");
    });
    await expect(broken).rejects.toThrow("and then");
    expect(await mails()).toEqual([]);
  });

  test("is not written where mails go nowhere", async () => {
    Object.assign(core, { mailer: undefined });
    await queueTests(core, "ada@example.com");
    await ask("reset-password");
    expect(await mails()).toEqual([]);
    expect(await codeOf(deliver())).toBe("mail_not_configured");
  });

  test("cannot be read in the database, before it is sent or after", async () => {
    await signUpAda();
    await ask("reset-password");
    mailbox.trouble = isBusy;
    await deliver();
    const { link } = await lookInto(core, await onlyMail());
    const token = link!.split("#token=")[1]!;
    const readable = async () =>
      (await textsOf(core)).filter((text) => text.includes(token) || text.includes("#token="));
    expect(await readable()).toEqual([]);
    mailbox.trouble = undefined;
    core.clock.advance(15 * minute);
    await deliver();
    expect(mailbox.letters[0]?.text).toContain(token);
    expect(await readable()).toEqual([]);
  });

  test("that another secret has sealed is given up, and the others go out", async () => {
    await queueTests(core, "ada@example.com");
    const [mail] = await mails();
    await core.store.write((tx) =>
      tx.mails.insert({ ...mail!, id: `${mail!.id.slice(0, -1)}x`, content: mail!.content }),
    );
    expect(await deliver()).toMatchObject({ sent: 1, dead: 1 });
    expect((await mails()).map(({ problem }) => problem)).toContain("unreadable");
  });

  test("of a kind that only a newer version knows waits for that one", async () => {
    await queueTests(core, "ada@example.com");
    const { id } = await onlyMail();
    const { sealContent } = await import("../../src/core/mail.ts");
    const content = sealContent(core, `${id}x`, { to: ada, facts: {} });
    const now = core.clock.now();
    await core.store.write((tx) =>
      tx.mails.insert({ id: `${id}x`, kind: "brand-new", state: "queued", content, dueAt: now, createdAt: now }),
    );
    expect(await deliver()).toMatchObject({ sent: 1, postponed: 1 });
    expect(await core.store.mails.byId(`${id}x`)).toMatchObject({ state: "queued", problem: "defect" });
  });
});

describe("a mail that somebody asked for", () => {
  test("is deleted without a word where nobody has the address", async () => {
    await ask("reset-password", "nobody@example.com");
    expect(await deliver()).toMatchObject({ sent: 0, moot: 1 });
    expect([await mails(), mailbox.letters, await failures()]).toEqual([[], [], []]);
  });

  test("is deleted where its owner is disabled, or verified already", async () => {
    const { user } = await signUpAda();
    await core.store.write((tx) => tx.users.update(user.id, { emailVerifiedAt: core.clock.now() }));
    await ask("verify-email");
    await core.store.write((tx) => tx.users.disable(user.id, core.clock.now()));
    await ask("reset-password");
    expect(await deliver()).toMatchObject({ moot: 2 });
    expect([await mails(), (await dump(core))["challenges"]]).toEqual([[], []]);
  });

  test("gets its link when it is sent, which then lives its whole life", async () => {
    const { user } = await signUpAda();
    await ask("reset-password");
    expect(await onlyMail()).toMatchObject({ state: "asked", userId: null });
    core.clock.advance(hour);
    await deliver();
    expect(await onlyMail()).toMatchObject({ state: "sent", userId: user.id });
    expect(mailbox.letters[0]?.text).toMatch(/#token=rp_[\w-]{43}\n[^]*for 30 minutes/);
  });

  test("shows only what was asked for until it is settled", async () => {
    const { user } = await signUpAda("Ada@Example.com");
    await ask("reset-password");
    const asked = await onlyMail();
    expect(await lookInto(core, asked)).toEqual({ to: "ada@example.com", subject: null, link: null });
    mailbox.trouble = isBusy;
    await deliver();
    const settled = await onlyMail();
    expect(settled).toMatchObject({ state: "queued", userId: user.id });
    expect(await lookInto(core, settled)).toMatchObject({
      to: "Ada@Example.com",
      subject: "Choose a new password for authctl",
    });
  });

  test("keeps its link over a retry, so that the first one that arrives works too", async () => {
    await signUpAda();
    await ask("reset-password");
    mailbox.trouble = isBusy;
    await deliver();
    const { link } = await lookInto(core, await onlyMail());
    mailbox.trouble = undefined;
    core.clock.advance(minute);
    await deliver();
    expect(mailbox.letters[0]?.text).toContain(link!);
  });

  test("is given up once its link has expired", async () => {
    await signUpAda();
    await ask("reset-password");
    mailbox.trouble = isBusy;
    for (let passed = 0; passed < 30; passed += 15) {
      await deliver();
      core.clock.advance(15 * minute);
    }
    mailbox.trouble = undefined;
    expect(await deliver()).toMatchObject({ sent: 0, dead: 1 });
    expect(await onlyMail()).toMatchObject({ state: "dead", problem: "expired" });
  });

  test("is put down to its owner where it is refused, though nobody knew who that was before", async () => {
    const { user } = await signUpAda();
    await ask("reset-password");
    mailbox.trouble = isRefused;
    await deliver();
    expect(await failures()).toMatchObject([{ action: "mail.failed", userId: user.id }]);
  });
});

describe("a mail that was queued with a link", () => {
  test.each([
    [30 * minute - 1, 1],
    [30 * minute, 0],
  ])("after %d ms is sent %d times", async (passed, sent) => {
    const { user } = await signUpAda();
    const facts = { link: "https://app.example.com/#token=x", minutes: 30 };
    await core.store.write((tx) => queueMail(core, tx, addresseeOf(user), "confirm-email", facts));
    core.clock.advance(passed);
    expect((await deliver()).sent).toBe(sent);
  });
});

/** When each attempt took place, in seconds from the first, until the mail is sent or given up. */
async function attemptsOf(patience: number, where = core): Promise<number[]> {
  const start = core.clock.now().getTime();
  const times: number[] = [];
  while (core.clock.now().getTime() - start <= patience) {
    const due = await core.store.mails.nextDue();
    if (!due) break;
    core.clock.advance(Math.max(0, due.getTime() - core.clock.now().getTime()));
    await deliver(where);
    times.push((core.clock.now().getTime() - start) / second);
  }
  return times;
}

/** Each at most as long as the one before allows, and not much shorter. */
function expectPauses(times: readonly number[], longest: readonly number[]): void {
  for (const [at, most] of longest.entries()) {
    const pause = times[at + 1]! - times[at]!;
    expect(pause).toBeLessThanOrEqual(most);
    expect(pause).toBeGreaterThan(most * 0.74);
  }
}

describe("a mail that cannot be handed over", () => {
  beforeEach(() => queueTests(core, "ada@example.com"));

  test("is tried again at most a minute after the mail server is back", async () => {
    mailbox.trouble = isDown;
    const times = await attemptsOf(10 * minute);
    expectPauses(times, [5, 10, 20, 40, 60, 60, 60, 60]);
    expect(await onlyMail()).toMatchObject({ state: "queued", problem: "ECONNREFUSED" });
  });

  test("is tried again more and more slowly where it is refused for now", async () => {
    mailbox.trouble = isBusy;
    const times = await attemptsOf(3 * hour);
    expectPauses(times, [30, 60, 120, 240, 480, 900, 900, 900]);
  });

  test("is given up at once where it is refused for good, and the audit trail says so without an address", async () => {
    mailbox.trouble = isRefused;
    expect(await deliver()).toMatchObject({ dead: 1, trouble: undefined });
    const mail = await onlyMail();
    expect(mail).toMatchObject({ state: "dead", problem: "550" });
    const events = await failures();
    expect(events).toMatchObject([
      { action: "mail.failed", particulars: { mail_id: mail.id, kind: "test", problem: "550" } },
    ]);
    expect(JSON.stringify(events)).not.toContain("ada@");
    expect(await core.store.mails.nextDue()).toBeUndefined();
  });

  test.each([
    ["the mail server is down", isDown],
    ["it is refused for now", isBusy],
  ])("is given up after MAIL_RETRY_FOR where %s", async (_, trouble) => {
    const impatient = sendTo(await core.again({ MAIL_RETRY_FOR: "1h" }), mailbox);
    mailbox.trouble = trouble;
    const times = await attemptsOf(3 * hour, impatient);
    await impatient.store.close();
    expect(times.at(-1)).toBeGreaterThanOrEqual(hour / second);
    expect(times.at(-1)).toBeLessThan((hour + 15 * minute) / second);
    expect(await onlyMail()).toMatchObject({ state: "dead", problem: trouble.code });
  });

  test("is tried once even where nobody has looked for longer than that", async () => {
    core.clock.advance(48 * hour);
    expect(await deliver()).toMatchObject({ sent: 1 });
  });

  test("is tried again after a defect, which the log hears of", async () => {
    mailbox.trouble = () => {
      throw new TypeError("not a function");
    };
    expect(await deliver()).toMatchObject({ postponed: 1 });
    expect(await onlyMail()).toMatchObject({ state: "queued", problem: "defect" });
    expect(core.lines.map(({ event }) => event)).toContain("mail_broken");
  });
});

describe("a mail server in trouble", () => {
  const many = Array.from({ length: 10 }, (_, at) => `user${at}@example.com`);

  test("is asked by no more of the batch, and what was not tried has lost no attempt", async () => {
    await queueTests(core, ...many);
    let asked = 0;
    mailbox.trouble = () => {
      asked += 1;
      return isDown;
    };
    expect(await deliver()).toMatchObject({ sent: 0, trouble: isDown });
    expect(asked).toBeLessThanOrEqual(5);
    const attempts = (await mails()).map((mail) => mail.attempts);
    expect(attempts.filter((one) => one === 1)).toHaveLength(asked);
    expect(attempts.filter((one) => one === 0)).toHaveLength(10 - asked);
  });

  test("that refuses one of them keeps none of the others from going out", async () => {
    await queueTests(core, ...many);
    mailbox.trouble = ({ to }) => (to.address === "user3@example.com" ? isRefused : undefined);
    expect(await deliver()).toMatchObject({ sent: 9, dead: 1, trouble: undefined });
  });

  test("lets an old mail die that was never tried", async () => {
    await queueTests(core, ...many);
    core.clock.advance(24 * hour);
    mailbox.trouble = isDown;
    expect(await deliver()).toMatchObject({ dead: 10, left: 0 });
  });
});

describe("two servers", () => {
  const many = Array.from({ length: 200 }, (_, at) => `user${at}@example.com`);

  test("send each of 200 mails once between them", async () => {
    await queueTests(core, ...many);
    mailbox.trouble = async () => {
      await Bun.sleep(1);
      return undefined;
    };
    const other = sendTo(await core.again(), mailbox);
    const each = await Promise.all([deliverAll(), deliverAll(other)]);
    expect(each[0] + each[1]).toBe(200);
    expect(recipients().toSorted()).toEqual(many.toSorted());
    for (const one of each) expect(one).toBeGreaterThan(0);
    await other.store.close();
  });

  test("of 20 that come at once, one gets each mail", async () => {
    await queueTests(core, ...many.slice(0, 5));
    const others = await Promise.all([core.again(), core.again()]);
    const cores = [core, ...others.map((one) => sendTo(one, mailbox))];
    await Promise.all(Array.from({ length: 20 }, (_, at) => deliver(cores[at % 3])));
    expect(recipients().toSorted()).toEqual(many.slice(0, 5).toSorted());
    for (const one of others) await one.store.close();
  });

  test("take over what one that died had begun, once its lease has ended", async () => {
    await queueTests(core, "ada@example.com");
    const begun = Promise.withResolvers<void>();
    const send = (): Promise<never> => {
      begun.resolve();
      return new Promise(() => {});
    };
    const dying = sendTo(await core.again(), { keeps: false, send });
    void deliver(dying).catch(() => {});
    await begun.promise;
    expect(await onlyMail()).toMatchObject({ attempts: 1 });
    core.clock.advance(2 * minute - 1);
    expect(await deliver()).toMatchObject({ sent: 0 });
    core.clock.advance(1);
    expect(await deliver()).toMatchObject({ sent: 1 });
    expect(await onlyMail()).toMatchObject({ state: "sent", attempts: 2 });
    await dying.store.close();
  });

  test("leave alone what has become of a mail while one of them was too slow", async () => {
    await queueTests(core, "ada@example.com");
    const { promise, resolve } = Promise.withResolvers<MailTrouble>();
    const slow = sendTo(await core.again(), { keeps: false, send: () => promise });
    const delivering = deliver(slow);
    while ((await onlyMail()).attempts === 0) await Bun.sleep(1);
    core.clock.advance(2 * minute);
    await deliver();
    const sent = await onlyMail();
    resolve(isRefused);
    await delivering;
    expect(await onlyMail()).toEqual(sent);
    expect(await failures()).toEqual([]);
    expect(slow.lines.map(({ event }) => event)).toContain("mail_lease_lost");
    await slow.store.close();
  });

  test("begin nothing that the lease leaves no time for", async () => {
    await signUpAda();
    await ask("reset-password");
    const slow = sendTo(await core.again(), mailbox);
    const { write } = slow.store;
    // It stands still after it has taken the mail.
    const standing: typeof write = async (work) => {
      const answer = await write(work);
      if ((await onlyMail()).state === "asked") core.clock.advance(100 * second);
      return answer;
    };
    Object.assign(slow.store, { write: standing });
    expect(await deliver(slow)).toMatchObject({ sent: 0, left: 1 });
    expect(mailbox.letters).toEqual([]);
    await slow.store.close();
  });
});

describe("a database that goes away after the mail server has taken a mail", () => {
  const away = new DomainError("unavailable");

  test("is waited for, so that the mail is not sent twice", async () => {
    await queueTests(core, "ada@example.com");
    const { write } = core.store;
    let writes = 0;
    const flaky: typeof write = (work) => {
      writes += 1;
      const isAway = writes > 1 && writes < 5;
      if (isAway) setImmediate(() => core.clock.advance(second));
      return isAway ? Promise.reject(away) : write(work);
    };
    Object.assign(core.store, { write: flaky });
    expect(await deliver()).toMatchObject({ sent: 1 });
    expect(await onlyMail()).toMatchObject({ state: "sent" });
    expect(mailbox.letters).toHaveLength(1);
  });

  test("is not made up for by sending again what was taken, whatever else breaks", async () => {
    await queueTests(core, "ada@example.com");
    const { write } = core.store;
    let writes = 0;
    const broken: typeof write = (work) => {
      writes += 1;
      return writes === 2 ? Promise.reject(new TypeError("not a function")) : write(work);
    };
    Object.assign(core.store, { write: broken });
    await expect(deliver()).rejects.toThrow("not a function");
    expect(await onlyMail()).toMatchObject({
      state: "queued",
      problem: null,
      dueAt: new Date(core.clock.now().getTime() + 2 * minute),
    });
  });

  test("for longer than the lease ends the run, and nothing else is sent meanwhile", async () => {
    await queueTests(core, ...Array.from({ length: 10 }, (_, at) => `user${at}@example.com`));
    const { write } = core.store;
    let writes = 0;
    const gone: typeof write = (work) => {
      writes += 1;
      if (writes > 1) setImmediate(() => core.clock.advance(30 * second));
      return writes > 1 ? Promise.reject(away) : write(work);
    };
    Object.assign(core.store, { write: gone });
    expect(await codeOf(deliver())).toBe("unavailable");
    expect(mailbox.letters.length).toBeLessThanOrEqual(5);
  });
});

test("whoever is asked to stop finishes what is on its way, and gives the rest back untouched", async () => {
  await queueTests(core, ...Array.from({ length: 10 }, (_, at) => `user${at}@example.com`));
  const stop = new AbortController();
  mailbox.trouble = () => {
    stop.abort();
    return undefined;
  };
  const delivery = await deliverMail(core, root, { interrupted: stop.signal });
  expect(delivery.sent + delivery.left).toBe(10);
  expect(delivery.left).toBeGreaterThanOrEqual(5);
  const left = (await mails()).filter(({ state }) => state === "queued");
  expect(left).toHaveLength(delivery.left);
  for (const mail of left) expect(mail).toMatchObject({ attempts: 0, problem: null, dueAt: core.clock.now() });
});

describe("an operator", () => {
  beforeEach(() => queueTests(core, "ada@example.com"));

  test("has a dead mail tried again, and one that waits", async () => {
    mailbox.trouble = isRefused;
    await deliver();
    expect(await retryMails(core, root, await mails())).toBe(1);
    mailbox.trouble = isBusy;
    await deliver();
    expect(await retryMails(core, root, await mails())).toBe(1);
    mailbox.trouble = undefined;
    expect(await deliver()).toMatchObject({ sent: 1 });
    expect((await failures()).map(({ action }) => action).toSorted()).toEqual([
      "mail.failed",
      "mail.retried",
      "mail.retried",
    ]);
  });

  test("does not have a mail sent twice that is on its way, or was sent", async () => {
    let retried: number | undefined;
    mailbox.trouble = async () => {
      retried = await retryMails(core, root, await mails());
      return undefined;
    };
    await deliver();
    expect(retried).toBe(0);
    expect(await retryMails(core, root, await mails())).toBe(0);
    expect(mailbox.letters).toHaveLength(1);
  });

  test("has what nobody was settled for yet tried again as it was asked for", async () => {
    await dropMails(core, root, await mails());
    await signUpAda();
    await ask("reset-password");
    const { id, dueAt } = await onlyMail();
    await core.store.write((tx) => tx.mails.bury({ id, dueAt }, core.clock.now(), "ECONNREFUSED"));
    await retryMails(core, root, await mails());
    expect(await deliver()).toMatchObject({ sent: 1 });
  });

  test("drops a mail, which leaves a trace without an address", async () => {
    const { id } = await onlyMail();
    expect(await dropMails(core, root, await getMails(core, [id]))).toBe(1);
    expect(await mails()).toEqual([]);
    const events = await failures();
    expect(events).toMatchObject([
      { action: "mail.dropped", actor: "root@test", particulars: { mail_id: id, kind: "test" } },
    ]);
    expect(JSON.stringify(events)).not.toContain("ada@");
  });

  test("drops a mail for good, even while it is on its way", async () => {
    mailbox.trouble = async () => {
      await dropMails(core, root, await mails());
      return isBusy;
    };
    await deliver();
    expect(await mails()).toEqual([]);
  });

  test("is told of an id that there is not, before anything is done", async () => {
    const { id } = await onlyMail();
    expect(await codeOf(getMails(core, [id, "nothing"]))).toBe("not_found");
  });

  test("sees no link in production, where only its addressee may hold it", async () => {
    await signUpAda();
    await ask("reset-password");
    mailbox.trouble = isBusy;
    await deliver();
    const [, mail] = await mails();
    const production = { ...core, settings: { ...core.settings, NODE_ENV: "production" as const } };
    expect((await lookInto(core, mail!)).link).toContain("#token=");
    expect(await lookInto(production, mail!)).toMatchObject({ to: "ada@example.com", link: null });
  });
});
