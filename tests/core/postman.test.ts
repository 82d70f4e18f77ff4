import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { DomainError } from "../../src/core/errors.ts";
import { flushMail, type Postman, ringing, startPostman } from "../../src/core/mail/postman.ts";
import { codeOf, openTestCore, root, type TestCore } from "../support/core.ts";
import { createMailbox, isBusy, isDown, isRefused, type Mailbox, queueTests, sendTo } from "../support/mailbox.ts";
import { until } from "../support/until.ts";

const second = 1_000;

let core: TestCore;
let mailbox: Mailbox;
const postmen: Postman[] = [];
beforeEach(async () => {
  mailbox = createMailbox();
  core = sendTo(await openTestCore(), mailbox);
  // What opening recorded gets its place in the chain, so that from here on only the postman has anything to wait for.
  core.clock.advance(second);
  await until("the audit trail is sealed", () => core.clock.pending === 0);
});
afterEach(async () => {
  for (const postman of postmen.splice(0)) await postman.stop();
  await core.close();
});

/** A postman, and the core of a server whose commits ring his bell. */
const start = (where = core) => {
  const postman = startPostman(where);
  postmen.push(postman);
  return { postman, server: { ...where, store: ringing(where.store, postman.ring) } };
};
const isAtRest = () => until("the postman rests", () => core.clock.pending > 0);
const isDelivered = (mails: number) => until(`${mails} mails are sent`, () => mailbox.letters.length === mails);
const many = (number: number) => Array.from({ length: number }, (_, at) => `user${at}@example.com`);
const events = (name: string) => core.lines.filter(({ event }) => event === name);

describe("the postman of a server", () => {
  test("sends what lies there when he comes, to the last mail", async () => {
    await queueTests(core, ...many(25));
    start();
    await isDelivered(25);
  });

  test("is woken by a commit that put a mail into the outbox, and needs no time for it", async () => {
    const { server } = start();
    await isAtRest();
    await queueTests(server, "ada@example.com");
    await isDelivered(1);
  });

  test("is not woken by a commit that did not, nor by one that was taken back", async () => {
    const rings: string[] = [];
    const store = ringing(core.store, () => rings.push("ring"));
    await store.write((tx) => tx.jobs.recordSuccess({ name: "x", succeededAt: core.clock.now(), summary: {} }));
    const broken = {
      ...core,
      store: ringing(
        {
          ...core.store,
          write: async (work) =>
            core.store.write(async (tx) => {
              await work(tx);
              throw new Error("the disk is full");
            }),
        },
        () => rings.push("ring"),
      ),
    };
    await expect(queueTests(broken, "ada@example.com")).rejects.toThrow("the disk is full");
    expect(rings).toEqual([]);
    await queueTests({ ...core, store }, "ada@example.com");
    expect(rings).toEqual(["ring"]);
  });

  test("hears a bell that rings while he is on his way", async () => {
    const { postman } = start();
    await isAtRest();
    mailbox.trouble = async () => {
      mailbox.trouble = undefined;
      await queueTests(core, "late@example.com");
      postman.ring();
      return undefined;
    };
    await queueTests(core, "ada@example.com");
    postman.ring();
    await isDelivered(2);
  });

  test("looks every five seconds for what other processes have put there", async () => {
    start();
    await isAtRest();
    await queueTests(core, "ada@example.com");
    core.clock.advance(5 * second - 1);
    await Bun.sleep(20);
    expect(mailbox.letters).toEqual([]);
    core.clock.advance(1);
    await isDelivered(1);
  });

  test("asks a mail server that is down no more often than every minute, however often the bell rings", async () => {
    let asked = 0;
    mailbox.trouble = () => {
      asked += 1;
      return isDown;
    };
    const { server } = start();
    await isAtRest();
    for (let passed = 0; passed < 15 * 60; passed += 1) {
      if (passed % 60 === 0) await queueTests(server, `user${passed}@example.com`);
      core.clock.advance(second);
      await isAtRest();
    }
    // A batch has five at once on their way.
    expect(events("mail_delayed").length).toBeLessThan(30);
    expect(asked).toBeLessThan(30 * 5);
    mailbox.trouble = undefined;
    core.clock.advance(60 * second);
    await isDelivered(15);
  });

  test("tries a mail again when it is due, and not at his next round", async () => {
    mailbox.trouble = isBusy;
    const { server } = start();
    await queueTests(server, "ada@example.com");
    await until("it is refused", async () => (await core.store.mails.page("queued", 1))[0]?.problem === "450");
    await isAtRest();
    mailbox.trouble = undefined;
    const due = (await core.store.mails.nextDue())!;
    while (core.clock.now() < due && mailbox.letters.length === 0) {
      core.clock.advance(Math.min(second, due.getTime() - core.clock.now().getTime()));
      await isAtRest();
    }
    await isDelivered(1);
    expect(core.clock.now()).toEqual(due);
  });

  test("waits without a word for a database that is away, and tells of a defect", async () => {
    const { nextDue } = core.store.mails;
    const failures = [new DomainError("unavailable"), new TypeError("not a function")];
    Object.assign(core.store, {
      mails: {
        ...core.store.mails,
        nextDue: () => {
          const failure = failures.shift();
          return failure ? Promise.reject(failure) : nextDue();
        },
      },
    });
    await queueTests(core, "ada@example.com");
    start();
    await isAtRest();
    expect(core.lines.filter(({ level }) => level !== "debug")).toEqual([]);
    core.clock.advance(5 * second);
    await until("he tells of it", () => events("postman_failed").length === 1);
    await isAtRest();
    core.clock.advance(5 * second);
    await isDelivered(1);
  });

  test("finishes what is on its way before he goes, and begins nothing more", async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    let begun = 0;
    mailbox.trouble = () => {
      begun += 1;
      return promise;
    };
    await queueTests(core, ...many(20));
    const { postman } = start();
    await until("he is on his way", () => begun === 5);
    const going = postman.stop();
    await Bun.sleep(20);
    expect(Bun.peek.status(going)).toBe("pending");
    resolve(undefined);
    await going;
    expect(mailbox.letters).toHaveLength(5);
    const left = await core.store.mails.page("queued", 100);
    expect(left.map(({ attempts, dueAt }) => ({ attempts, dueAt }))).toEqual(
      Array.from({ length: 15 }, () => ({ attempts: 0, dueAt: core.clock.now() })),
    );
  });

  test("goes after five seconds even where a mail server does not let him", async () => {
    mailbox.trouble = () => new Promise(() => {});
    await queueTests(core, "ada@example.com");
    const { postman } = start();
    await until("he is on his way", async () => (await core.store.mails.page("queued", 1))[0]?.attempts === 1);
    const going = postman.stop();
    core.clock.advance(5 * second);
    await going;
    postmen.pop();
  });
});

describe("a flush", () => {
  const options = { maxTime: 60 * second };

  test("sends all that is due, and remembers when it succeeded", async () => {
    await queueTests(core, ...many(25));
    const batches: number[] = [];
    expect(await flushMail(core, root, { ...options, onBatch: (mails) => batches.push(mails) })).toEqual({
      sent: 25,
      moot: 0,
      postponed: 0,
      dead: 0,
      trouble: undefined,
      finished: true,
    });
    expect(batches).toEqual([10, 10, 5]);
    expect(await core.store.jobs.all()).toMatchObject([
      { name: "mail", succeededAt: core.clock.now(), summary: { sent: 25 } },
    ]);
  });

  test("ends where the mail server is in trouble, and is no success", async () => {
    await queueTests(core, ...many(25));
    mailbox.trouble = isDown;
    expect(await flushMail(core, root, options)).toMatchObject({ sent: 0, trouble: isDown, finished: false });
    expect(await core.store.jobs.all()).toEqual([]);
  });

  test("goes on past a mail that is refused", async () => {
    await queueTests(core, ...many(25));
    mailbox.trouble = ({ to }) => ({ "user1@example.com": isBusy, "user2@example.com": isRefused })[to.address];
    expect(await flushMail(core, root, options)).toMatchObject({ sent: 23, postponed: 1, dead: 1, finished: true });
  });

  test("keeps to its time, and to a wish that it end", async () => {
    await queueTests(core, ...many(25));
    const late = () => core.clock.advance(60 * second);
    expect(await flushMail(core, root, { ...options, onBatch: late })).toMatchObject({ sent: 10, finished: false });
    const stop = new AbortController();
    const wish = { ...options, interrupted: stop.signal, onBatch: () => stop.abort() };
    expect(await flushMail(core, root, wish)).toMatchObject({ sent: 10, finished: false });
    expect(await flushMail(core, root, options)).toMatchObject({ sent: 5, finished: true });
  });

  test("runs once at a time, in this process or another, beside a server that sends too", async () => {
    const other = sendTo(await core.again(), mailbox);
    const release = await core.store.lock("mail");
    for (const where of [core, other]) expect(await codeOf(flushMail(where, root, options))).toBe("lock_held");
    await release?.();
    await queueTests(core, ...many(100));
    start(other);
    await flushMail(core, root, options);
    await isDelivered(100);
    expect(new Set(mailbox.letters.map(({ to }) => to.address)).size).toBe(100);
    await postmen.pop()?.stop();
    await other.store.close();
  });
});
