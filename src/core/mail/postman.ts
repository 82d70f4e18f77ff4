/** Who carries the mails out of the outbox: the postman of a running server, and a round that cron asks for. */
import type { Store } from "../../store/store.ts";
import type { Actor } from "../actors.ts";
import type { Core, MailTrouble } from "../core.ts";
import { DomainError, fail } from "../errors.ts";
import { serverJob, soleRun } from "../upkeep.ts";
import { type Delivery, deliverMail, pauseAfter } from "./outbox.ts";

/** How often the postman looks for mails that another process has put into the outbox, in milliseconds. */
const lookEvery = 5_000;
/** How long a stopping server waits for mails that are on their way, in milliseconds. */
const lastPost = 3_000;

export type Postman = {
  /** Says that there is a mail to be sent. */
  readonly ring: () => void;
  /** Begins no more mails, and waits a little for those that are on their way. */
  stop(): Promise<void>;
};

/** Sends mails as they come, for as long as the server runs. Nothing ends it but `stop`. */
export function startPostman(core: Core): Postman {
  const stopping = new AbortController();
  let rung = false;
  let resting: { readonly deaf: boolean; readonly end: () => void } | undefined;
  /** @param deaf to the bell: the mail server is in trouble, and no mail makes that better. */
  const rest = async (milliseconds: number, { deaf }: { deaf: boolean }): Promise<void> => {
    if (stopping.signal.aborted || (rung && !deaf)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    resting = { deaf, end: resolve };
    const cancel = core.clock.after(milliseconds, resolve);
    await promise;
    cancel();
    resting = undefined;
  };
  const work = async (): Promise<void> => {
    let troubles = 0;
    while (!stopping.signal.aborted) {
      rung = false;
      const { trouble, wait } = await goRound(core, stopping.signal);
      // A look that found nothing due says nothing of the mail server.
      if (trouble) troubles += 1;
      else if (wait === 0) troubles = 0;
      if (trouble) {
        const pause = pauseAfter(core, "server", troubles);
        core.log.warn("mail_delayed", { problem: trouble.code, milliseconds: Math.round(pause) });
        await rest(pause, { deaf: true });
      } else if (wait > 0) {
        await rest(wait, { deaf: false });
      }
    }
  };
  const working = work();
  return {
    ring: () => {
      rung = true;
      if (!resting?.deaf) resting?.end();
    },
    stop: async () => {
      stopping.abort();
      resting?.end();
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const cancel = core.clock.after(lastPost, resolve);
      await Promise.race([working, late]);
      cancel();
    },
  };
}

/** One batch, where something is due. Answers how long there is nothing to do then. Never fails. */
async function goRound(core: Core, interrupted: AbortSignal): Promise<{ wait: number; trouble?: MailTrouble }> {
  try {
    const wait = await untilDue(core);
    if (wait > 0) return { wait: Math.min(wait, lookEvery) };
    const { trouble } = await core.meter.job("mail-delivery", () => deliverMail(core, serverJob, { interrupted }));
    return trouble ? { wait: 0, trouble } : { wait: 0 };
  } catch (error) {
    // A database that is away has told everybody already.
    if (error instanceof DomainError) core.log.debug("postman_waits", { code: error.code });
    else core.log.error("postman_failed", {}, error);
    return { wait: lookEvery };
  }
}

async function untilDue(core: Core): Promise<number> {
  const due = await core.store.mails.nextDue();
  return due ? due.getTime() - core.clock.now().getTime() : Number.POSITIVE_INFINITY;
}

/** The same store, which rings once a mail that it put into the outbox is committed. */
export function ringing(store: Store, ring: () => void): Store {
  return {
    ...store,
    async write(work) {
      let isMailed = false;
      const answer = await store.write((tx) => {
        const insert: typeof tx.mails.insert = async (mail) => {
          isMailed = true;
          await tx.mails.insert(mail);
        };
        return work({ ...tx, mails: { ...tx.mails, insert } });
      });
      if (isMailed) ring();
      return answer;
    },
  };
}

export type FlushOptions = {
  readonly maxTime: number;
  readonly interrupted?: AbortSignal;
  readonly onBatch?: (mails: number) => void;
};

export type Flushed = Omit<Delivery, "left"> & {
  /** Whether all that was due has been tried. */
  readonly finished: boolean;
};

/**
 * Sends all that is due, as the server would: for cron, and for when no server runs. One run at a time over all
 * machines; servers may be sending meanwhile. Fails with `lock_held` where another run is on its way.
 */
export async function flushMail(core: Core, by: Actor, options: FlushOptions): Promise<Flushed> {
  if (!core.mailer) return fail("mail_not_configured");
  return await soleRun(core, "mail", async () => {
    const answer = await flushBatches(core, by, options);
    const { trouble, finished, ...counts } = answer;
    return { answer, success: finished ? counts : undefined, problem: trouble?.code };
  });
}

async function flushBatches(core: Core, by: Actor, { maxTime, interrupted, onBatch }: FlushOptions): Promise<Flushed> {
  const startedAt = core.clock.now().getTime();
  const total = { sent: 0, moot: 0, postponed: 0, dead: 0 };
  let trouble: MailTrouble | undefined;
  let isOver = false;
  while (!trouble && !isOver && (await untilDue(core)) <= 0) {
    const delivery = await deliverMail(core, by, interrupted ? { interrupted } : {});
    for (const outcome of ["sent", "moot", "postponed", "dead"] as const) total[outcome] += delivery[outcome];
    trouble = delivery.trouble;
    onBatch?.(delivery.sent + delivery.moot + delivery.postponed + delivery.dead);
    isOver = interrupted?.aborted === true || core.clock.now().getTime() - startedAt >= maxTime;
  }
  const finished = !trouble && (await untilDue(core)) > 0;
  return { ...total, trouble, finished };
}

/** What a flush has left undone, as a sentence; `undefined` where all went well. */
export function leftOf({ trouble, finished, postponed, dead }: Flushed): string | undefined {
  if (trouble) return `The mail server takes no mails (${trouble.code}). They stay in the outbox, and are tried again.`;
  const given = dead > 0 ? `${counted(dead)} given up` : undefined;
  const later = postponed > 0 ? `${counted(postponed)} to be tried again later` : undefined;
  const parts = [given, later].filter((one) => one !== undefined);
  if (parts.length > 0) return `${parts.join(", ")}. See \`authctl mail queue list\`.`;
  return finished ? undefined : "There are more mails to send. Run it again to go on.";
}

const counted = (mails: number): string => (mails === 1 ? "1 mail" : `${mails.toLocaleString("en-US")} mails`);
