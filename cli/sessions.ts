import { formatDuration } from "../src/config/durations.ts";
import type { Actor } from "../src/core/actors.ts";
import { explainSession } from "../src/core/audit/explanation.ts";
import type { Core } from "../src/core/core.ts";
import { DomainError, fail, type InputError } from "../src/core/errors.ts";
import { type Answered, callServers } from "../src/core/servers.ts";
import { countSelected, type Extent, pagesOfSelected, type Selection } from "../src/core/session-selection.ts";
import { getSession, revokeSessions, signOutEverywhere } from "../src/core/sessions.ts";
import { isAlive } from "../src/core/standings.ts";
import { findUser } from "../src/core/users.ts";
import { answeredView, explanationView, ownedSessionView } from "../src/core/views.ts";
import type { Session } from "../src/store/tables.ts";
import { counted } from "./arguments.ts";
import { command, group } from "./command.ts";
import type { Desk } from "./desk.ts";
import { duration, number, positional, text, toggle } from "./options.ts";
import type { Column } from "./table.ts";

type View = ReturnType<typeof ownedSessionView>;

const columns: readonly Column<View>[] = [
  "id",
  { title: "user", of: ({ user }) => user.email },
  {
    title: "client",
    of: ({ device }) => [device.browser, device.os].filter((name) => name !== null).join(" / "),
    spare: true,
  },
  { title: "ip", of: ({ ip }) => ip, spare: true },
  { title: "created_at", of: ({ created_at }) => created_at, spare: true },
  { title: "last_seen_at", of: ({ last_seen_at }) => last_seen_at, spare: true },
  { title: "expires_at", of: ({ expires_at }) => expires_at, spare: true },
  "state",
];

const filters = {
  user: text("only those of this user: id, address or user name", { hint: "USER" }),
  ip: text("only those last seen from this address or network", { hint: "ADDRESS|CIDR" }),
  olderThan: duration("only those that began longer ago than this", { hint: "30d" }),
};

type Filters = {
  readonly user: string | undefined;
  readonly ip: string | undefined;
  readonly olderThan: number | undefined;
};

const list = command({
  description: "List sessions in the order of their making, to the end.",
  effect: "read",
  args: {
    ...filters,
    active: toggle("only those that are alive; --no-active lists ended ones too", { negatable: true, default: true }),
  },
  examples: [
    "authctl session list --user ada@example.com",
    "authctl session list --ip 2001:db8::/48",
    "authctl session list --older-than 30d --output id",
  ],
  async run({ active, ...wanted }, desk) {
    await desk.withCore(async (core) => {
      const selection = await selectionOf(core, wanted, active, desk.now());
      await desk.print(views(core, selection, desk), columns);
    });
  },
});

async function* views(core: Core, selection: Selection, desk: Pick<Desk, "now">) {
  for await (const page of pagesOfSelected(core, selection))
    yield page.map((owned) => ownedSessionView(owned, desk.now()));
}

const get = command({
  description: "Show one session: whose it is, and whether it is alive or why not.",
  effect: "read",
  args: { id: positional("ID", "the session", { required: true }) },
  async run({ id }, desk) {
    await desk.withCore(async (core) => desk.print(ownedSessionView(await getSession(core, id), desk.now())));
  },
});

const explain = command({
  description: "Say in one sentence why a session is alive or dead, since when, and by whom.",
  effect: "read",
  args: {
    id: positional("ID", "the session; also one that is gone, as long as the audit trail knows it", { required: true }),
  },
  async run({ id }, desk) {
    await desk.withCore(async (core) => {
      const explained = explanationView(await explainSession(core, id));
      await desk.print(desk.json ? explained : `The session is ${explained.why}.`);
    });
  },
});

const revoke = command({
  description: "End sessions. What they hold is refused from the next request on.",
  effect: "destructive",
  dryRun: true,
  args: {
    ids: positional("ID", "sessions", { many: true }),
    ...filters,
    all: toggle("every session of everybody"),
    maxAffected: number("do nothing where it would end more sessions than this", { hint: "N" }),
    wait: duration("wait so long until every server that runs knows that they ended", { hint: "5s" }),
  },
  examples: [
    "authctl session revoke --user ada@example.com --reason 'lost laptop'",
    "authctl session revoke --older-than 30d --dry-run",
    "authctl session revoke --ip 198.51.100.0/24 --max-affected 100 --wait 5s",
    "authctl session list --ip 192.0.2.7 --output id | authctl session revoke - --yes",
  ],
  exits: {
    3: "no session has this id: nothing was done",
    4: "it would end more than --max-affected: nothing was done",
    6: "a server has not said in time that it knows; the sessions have ended",
  },
  async run({ ids, all, maxAffected = Number.MAX_SAFE_INTEGER, wait, ...wanted }, desk) {
    checkChoice(ids, all, wanted);
    await desk.withCore(async (core, by) => {
      const doomed =
        ids.length > 0 ? await selectNamed(core, ids, desk.now()) : await selectFitting(core, by, wanted, desk.now());
      const { sessions, users } = doomed;
      const extent = `${counted(sessions, "session")} of ${counted(users, "user")}`;
      if (sessions > maxAffected) {
        const detail = `This ends ${extent}, and --max-affected allows ${counted(maxAffected, "session")}. Nothing was done.`;
        fail("too_many_affected", { detail });
      }
      if (sessions > 0) {
        if (desk.dryRun) desk.say(`would end ${extent}`);
        await desk.confirm(`ends ${extent}`);
      }
      const ended = desk.dryRun || sessions === 0 ? 0 : await end(core, by, doomed, maxAffected, desk);
      if (sessions === 0) desk.say("No session that is alive fits. Nothing to do.");
      else if (!desk.dryRun) desk.say(`ended ${counted(ended, "session")}`);
      // Also where they had ended before: of the run before this one some server may not know yet.
      const timeout = desk.dryRun ? undefined : wait;
      const answered =
        timeout === undefined ? undefined : await callServers(core, { timeout, interrupted: desk.interrupted });
      if (desk.json) await desk.print({ sessions, users, ended, ...(answered && answeredView(answered)) });
      if (answered) tellAnswers(answered, desk);
    });
  },
});

/** Fails where a server has not said that it knows. */
function tellAnswers({ heard, silent, took }: Answered, desk: Desk): void {
  if (silent.length > 0) {
    const names = silent.map(({ host, id }) => `${host} (${id})`).join(", ");
    const known = heard.length > 0 ? `; ${counted(heard.length, "server")} ${heard.length === 1 ? "does" : "do"}` : "";
    fail("partly_done", {
      detail: `The sessions have ended, but after ${formatDuration(took)} ${names} has not said that it knows${known}. It asks the database with each request, unless it has a session cache (SESSION_CACHE_TTL).`,
    });
  }
  desk.say(
    heard.length === 0
      ? "no server runs that would have to know"
      : `${counted(heard.length, "server")} ${heard.length === 1 ? "knows" : "know"} of it, after ${formatDuration(took)}`,
  );
}

export default group({ description: "Who is signed in.", verbs: { list, get, explain, revoke } });

/** Nothing is never everything: an empty list of ids (`… | authctl session revoke -`) must not sign out the world. */
function checkChoice(ids: readonly string[], all: boolean, { user, ip, olderThan }: Filters): void {
  const filtered = user !== undefined || ip !== undefined || olderThan !== undefined;
  const ways = [ids.length > 0, filtered, all].filter(Boolean).length;
  if (ways === 0) fail("usage", { detail: "Say which sessions: ids, --user, --older-than, --ip or --all." });
  if (ways > 1) fail("usage", { detail: "Ids, filters and --all exclude each other." });
}

async function selectionOf(
  core: Core,
  { user, ip, olderThan }: Filters,
  active: boolean,
  now: Date,
): Promise<Selection> {
  return {
    ...(user !== undefined && { userId: (await findUser(core, user)).user.id }),
    ...(ip !== undefined && { from: ip }),
    ...(olderThan !== undefined && { createdBefore: new Date(now.getTime() - olderThan) }),
    ...(active && { aliveAt: now }),
  };
}

type Ended = Pick<Session, "id" | "userId">;

/** What is to end: how much it is, and the way to end it, a batch at a time. */
type Doomed = Extent & {
  readonly batches: AsyncIterable<readonly Ended[]> | Iterable<readonly Ended[]>;
  /** Ends all of them in one row, where that is possible. */
  readonly atOnce?: () => Promise<number>;
};

const batchSize = 200;

/** Those that are named and alive. Fails where one is unknown, before anything is done. */
async function selectNamed(core: Core, ids: readonly string[], now: Date): Promise<Doomed> {
  const alive: Session[] = [];
  const errors: InputError[] = [];
  for (const id of new Set(ids)) {
    try {
      const { session, user } = await getSession(core, id);
      if (isAlive(session, user, now)) alive.push(session);
    } catch (error) {
      if (!(error instanceof DomainError && error.code === "not_found")) throw error;
      errors.push({ path: id, message: "is no session's id." });
    }
  }
  if (errors.length > 0)
    fail("not_found", { detail: "Nothing was done. `authctl session list` shows the sessions.", errors });
  const batches = Array.from({ length: Math.ceil(alive.length / batchSize) }, (_, at) =>
    alive.slice(at * batchSize, (at + 1) * batchSize),
  );
  return { sessions: alive.length, users: new Set(alive.map(({ userId }) => userId)).size, batches };
}

async function selectFitting(core: Core, by: Actor, wanted: Filters, now: Date): Promise<Doomed> {
  const selection = await selectionOf(core, wanted, true, now);
  const { userId } = selection;
  const wholeUser = userId !== undefined && wanted.ip === undefined && wanted.olderThan === undefined;
  return {
    ...(await countSelected(core, selection)),
    batches: fitting(core, selection),
    ...(wholeUser && { atOnce: () => signOutEverywhere(core, by, userId) }),
  };
}

async function* fitting(core: Core, selection: Selection) {
  for await (const page of pagesOfSelected(core, selection)) yield page.map(({ session }) => session);
}

/** Answers how many were alive until now. */
async function end(core: Core, by: Actor, { sessions, batches, atOnce }: Doomed, most: number, desk: Desk) {
  if (atOnce) return await atOnce();
  const progress = desk.progress(sessions, "ending sessions");
  let ended = 0;
  for await (const batch of batches) {
    if (desk.interrupted.aborted) {
      fail("partly_done", {
        detail: `${counted(ended, "session")} of ${sessions.toLocaleString("en-US")} ended. Run it again to go on.`,
      });
    }
    // Whoever has signed in since they were counted is not among those that were meant.
    const meant = batch.slice(0, most - ended);
    if (meant.length === 0) break;
    ended += await revokeSessions(core, by, meant);
    progress.advance(batch.length);
  }
  progress.end();
  return ended;
}
