/** How mails leave the outbox: each by one process at a time, and again until the mail server has taken it. */
import type { Tx } from "../../store/store.ts";
import type { Mail } from "../../store/tables.ts";
import type { Actor } from "../actors.ts";
import { record } from "../audit.ts";
import type { Core, Mailer, MailTrouble } from "../core.ts";
import { DomainError, fail } from "../errors.ts";
import { type Addressed, type AskedKind, addressed, openContent, sealContent } from "../mail.ts";
import { followSecrets } from "../secrets/keyrings.ts";
import { settleAsked } from "./asked-mails.ts";
import { letterOf } from "./letters.ts";

/** How many mails are taken at once, and how many of them are on their way at one time. */
const batchSize = 10;
const lanes = 5;
/** The longest that handing over one mail takes: what a `Mailer` promises, in milliseconds. */
const sendLimit = 30_000;
/** How long a batch belongs to whoever took it, in milliseconds: longer than all of it takes when every mail takes longest. */
const leaseTime = 120_000;

/** `moot`: nobody has any use for it. `left`: to whoever comes next, as though nobody had touched it. */
type Outcome = "sent" | "moot" | "postponed" | "dead" | "left";

export type Delivery = Readonly<Record<Outcome, number>> & {
  /** What is wrong with the mail server, where something is: the next batch would fare no better. */
  readonly trouble: MailTrouble | undefined;
};

export type DeliveryOptions = { readonly limit?: number; readonly interrupted?: AbortSignal };

/**
 * Sends what is due, one batch of it. Several servers can do so at once: each mail belongs to one of them until its
 * lease ends. A mail whose sender died between the mail server's answer and our commit is sent again, under the same
 * Message-ID. Fails with `mail_not_configured` where mails go nowhere.
 */
export async function deliverMail(
  core: Core,
  by: Actor,
  { limit = batchSize, interrupted }: DeliveryOptions = {},
): Promise<Delivery> {
  const mailer = core.mailer ?? fail("mail_not_configured");
  const now = core.clock.now();
  const leaseEnd = new Date(now.getTime() + leaseTime);
  const batch = await core.store.write((tx) => tx.mails.claim(now, leaseEnd, limit));

  const counts: Record<Outcome, number> = { sent: 0, moot: 0, postponed: 0, dead: 0, left: 0 };
  let trouble: MailTrouble | undefined;
  const lane = async (): Promise<void> => {
    for (let mail = batch.shift(); mail; mail = batch.shift()) {
      const left = trouble !== undefined || interrupted?.aborted === true;
      const fate = left ? await leave(core, by, mail, trouble) : await carry(core, by, mailer, mail);
      counts[fate.outcome] += 1;
      if (fate.trouble?.scope === "server") trouble = fate.trouble;
    }
  };
  const ended = await Promise.allSettled(
    Array.from({ length: lanes }, () =>
      lane().catch((error: unknown) => {
        // Without the database nobody could be told what was sent: the rest waits for its lease to end.
        batch.length = 0;
        throw error;
      }),
    ),
  );
  for (const one of ended) if (one.status === "rejected") throw one.reason;
  return { ...counts, trouble };
}

type Fate = { readonly outcome: Outcome; readonly trouble?: MailTrouble };

/** Sends one mail, and writes down what became of it. Fails only where the database does. */
async function carry(core: Core, by: Actor, mailer: Mailer, mail: Mail): Promise<Fate> {
  const about = { mail: mail.id, kind: mail.kind };
  const result = await attempt(core, mailer, mail).catch((error: unknown): MailTrouble => {
    if (error instanceof DomainError) throw error;
    core.log.error("mail_broken", about, error);
    return { scope: "mail", permanent: false, code: "defect" };
  });
  if (result === "moot") return { outcome: "moot" };
  if (result === "left") return await leave(core, by, mail);
  if (result !== "sent") return await miss(core, by, mail, result);
  await note(core, mail, (tx) => tx.mails.markSent(mail, core.clock.now(), { kept: mailer.keeps }));
  if (mailer.keeps) core.log.info("mail_printed", about);
  else core.log.debug("mail_sent", about);
  return { outcome: "sent" };
}

/** What came of handing it over, or why it was not even tried. */
async function attempt(core: Core, mailer: Mailer, mail: Mail): Promise<"sent" | "moot" | "left" | MailTrouble> {
  const content = openContent(core, mail) ?? (await readAnew(core, mail));
  if (!content) return refusal("unreadable");
  const settled = "asked" in content ? await settle(core, mail, content.asked) : content;
  if (settled === "moot" || settled === "left") return settled;
  if (isOver(core, settled)) return refusal("expired");
  const letter = await letterOf(core, mail, settled);
  // A process that stood still for long has lost it: whoever has it now may be sending it.
  if (core.clock.now().getTime() + sendLimit > mail.dueAt.getTime()) return "left";
  const began = core.meter.now();
  const trouble = await mailer.send(letter);
  core.meter.mail(began, trouble !== undefined);
  return trouble ?? "sent";
}

/** A rotation of the server secret may have sealed it since this process last read which secrets there are. */
async function readAnew(core: Core, mail: Mail) {
  await followSecrets(core);
  return openContent(core, mail);
}

const refusal = (code: string): MailTrouble => ({ scope: "mail", permanent: true, code });

const isOver = (core: Core, { goodUntil }: Addressed): boolean =>
  goodUntil !== undefined && new Date(goodUntil) <= core.clock.now();

/** Finds out who gets what somebody asked for, and mints the link: nobody waits for this, so its time tells nothing. */
async function settle(core: Core, mail: Mail, emailKey: string): Promise<Addressed | "moot" | "left"> {
  return await core.store.write(async (tx) => {
    if (!(await tx.mails.hold(mail))) return "left";
    // Of the kinds there are, only these are asked for.
    const settled = await settleAsked(core, tx, mail.kind as AskedKind, emailKey);
    if (!settled) {
      await tx.mails.withdraw(mail);
      return "moot";
    }
    const content = addressed(core, settled.to, settled.facts);
    await tx.mails.settle(mail, settled.to.userId, sealContent(core, mail.id, content));
    return content;
  });
}

/** Writes down that an attempt failed: the mail is tried again later, or given up. */
async function miss(core: Core, by: Actor, mail: Mail, trouble: MailTrouble): Promise<Fate> {
  if ((trouble.scope === "mail" && trouble.permanent) || isTooOld(core, mail)) {
    return await bury(core, by, mail, trouble);
  }
  const dueAt = new Date(core.clock.now().getTime() + pauseAfter(core, trouble.scope, mail.attempts));
  await note(core, mail, (tx) => tx.mails.postpone(mail, dueAt, trouble.code, { counted: true }));
  return { outcome: "postponed", trouble };
}

/** Gives a mail back that was not tried, because of `trouble` with another one or because there is no time. */
async function leave(core: Core, by: Actor, mail: Mail, trouble?: MailTrouble): Promise<Fate> {
  if (trouble && isTooOld(core, mail)) return await bury(core, by, mail, trouble);
  const now = core.clock.now();
  await note(core, mail, (tx) => tx.mails.postpone(mail, now, trouble?.code ?? null, { counted: false }));
  return { outcome: "left" };
}

async function bury(core: Core, by: Actor, mail: Mail, trouble: MailTrouble): Promise<Fate> {
  const about = { kind: mail.kind, problem: trouble.code };
  await note(core, mail, async (tx) => {
    const buried = await tx.mails.bury(mail, core.clock.now(), trouble.code);
    if (!buried) return false;
    const whose = buried.userId === null ? {} : { userId: buried.userId };
    await record(core, tx, by, { action: "mail.failed", ...whose, particulars: { mail_id: mail.id, ...about } });
    return true;
  });
  core.log.warn("mail_failed", { mail: mail.id, ...about });
  return { outcome: "dead", trouble };
}

const isTooOld = (core: Core, { createdAt }: Mail): boolean =>
  core.clock.now().getTime() - createdAt.getTime() >= core.settings.MAIL_RETRY_FOR;

/** The first pause and the longest one, in milliseconds: each is twice as long as the one before. */
const pauses = {
  // A mail goes out at most a minute after the mail server is back.
  server: { first: 5_000, longest: 60_000 },
  mail: { first: 30_000, longest: 15 * 60_000 },
} as const satisfies Record<MailTrouble["scope"], object>;

/** How long nobody tries again after so many attempts in a row, with a little chance, so that not all come back at once. */
export function pauseAfter({ random }: Core, scope: MailTrouble["scope"], attempts: number): number {
  const { first, longest } = pauses[scope];
  const [chance = 0] = random.bytes(1);
  return Math.min(first * 2 ** (attempts - 1), longest) * (1 - chance / 1024);
}

/** Between two tries to write down what became of a mail, in milliseconds. */
const patience = 1_000;

/** Writes down what became of a mail. Waits for a database that is away while the lease lasts, or the mail would be sent twice. */
async function note(core: Core, mail: Mail, work: (tx: Tx) => Promise<boolean>): Promise<void> {
  for (;;) {
    try {
      const isOurs = await core.store.write(work);
      if (!isOurs) core.log.warn("mail_lease_lost", { mail: mail.id });
      return;
    } catch (error) {
      const isAway = error instanceof DomainError && (error.kind === "unavailable" || error.kind === "busy");
      if (!isAway || core.clock.now().getTime() + patience >= mail.dueAt.getTime()) throw error;
    }
    await new Promise<void>((resolve) => core.clock.after(patience, resolve));
  }
}
