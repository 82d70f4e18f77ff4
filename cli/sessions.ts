import type { Actor } from "../src/core/actors.ts";
import { explainSession } from "../src/core/audit/explanation.ts";
import type { Core } from "../src/core/core.ts";
import { DomainError, fail, type InputError } from "../src/core/errors.ts";
import { countSessions, getSession, pagesOfSessions, revokeSessions, signOutEverywhere } from "../src/core/sessions.ts";
import { isAlive } from "../src/core/standings.ts";
import { findUser } from "../src/core/users.ts";
import { explanationView, ownedSessionView } from "../src/core/views.ts";
import type { SessionFilter } from "../src/store/sessions.ts";
import type { Session } from "../src/store/tables.ts";
import { counted } from "./arguments.ts";
import { command, group } from "./command.ts";
import type { Desk } from "./desk.ts";
import { duration, positional, text, toggle } from "./options.ts";
import type { Column } from "./table.ts";

type View = ReturnType<typeof ownedSessionView>;

const columns: readonly Column<View>[] = [
  "id",
  { title: "user", of: ({ user }) => user.email },
  { title: "client", of: ({ device }) => [device.browser, device.os].filter((name) => name !== null).join(" / ") },
  "ip",
  "created_at",
  "last_seen_at",
  "expires_at",
  "state",
];

const filters = {
  user: text("only those of this user: id, address or user name", { hint: "USER" }),
  ip: text("only those last seen from this address", { hint: "ADDRESS" }),
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
  examples: ["authctl session list --user ada@example.com", "authctl session list --older-than 30d --output id"],
  async run({ active, ...wanted }, desk) {
    await desk.withCore(async (core) => {
      const filter = await filterOf(core, wanted, active, desk.now());
      await desk.print(views(core, filter, desk), columns);
    });
  },
});

async function* views(core: Core, filter: SessionFilter, desk: Pick<Desk, "now">) {
  for await (const page of pagesOfSessions(core, filter))
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
      await desk.print(desk.json ? explained : explained.why);
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
  },
  examples: [
    "authctl session revoke --user ada@example.com --reason 'lost laptop'",
    "authctl session revoke --older-than 30d --dry-run",
    "authctl session list --ip 192.0.2.7 --output id | authctl session revoke - --yes",
  ],
  exits: { 3: "no session has this id: nothing was done" },
  async run({ ids, all, ...wanted }, desk) {
    checkChoice(ids, all, wanted);
    await desk.withCore(async (core, by) => {
      const selection =
        ids.length > 0 ? await selectNamed(core, ids, desk.now()) : await selectFitting(core, by, wanted, desk.now());
      const { sessions, users } = selection;
      const extent = `${counted(sessions, "session")} of ${counted(users, "user")}`;
      if (sessions > 0) {
        if (desk.dryRun) desk.say(`would end ${extent}`);
        await desk.confirm(`ends ${extent}`);
      }
      const ended = desk.dryRun || sessions === 0 ? 0 : await end(core, by, selection, desk);
      if (desk.json) await desk.print({ sessions, users, ended });
      if (sessions === 0) desk.say("No session that is alive fits. Nothing to do.");
      else if (!desk.dryRun) desk.say(`ended ${counted(ended, "session")}`);
    });
  },
});

export default group({ description: "Who is signed in.", verbs: { list, get, explain, revoke } });

/** Nothing is never everything: an empty list of ids (`… | authctl session revoke -`) must not sign out the world. */
function checkChoice(ids: readonly string[], all: boolean, { user, ip, olderThan }: Filters): void {
  const filtered = user !== undefined || ip !== undefined || olderThan !== undefined;
  const ways = [ids.length > 0, filtered, all].filter(Boolean).length;
  if (ways === 0) fail("usage", { detail: "Say which sessions: ids, --user, --older-than, --ip or --all." });
  if (ways > 1) fail("usage", { detail: "Ids, filters and --all exclude each other." });
}

async function filterOf(
  core: Core,
  { user, ip, olderThan }: Filters,
  active: boolean,
  now: Date,
): Promise<SessionFilter> {
  return {
    ...(user !== undefined && { userId: (await findUser(core, user)).user.id }),
    ...(ip !== undefined && { ip }),
    ...(olderThan !== undefined && { createdBefore: new Date(now.getTime() - olderThan) }),
    ...(active && { aliveAt: now }),
  };
}

type Ended = Pick<Session, "id" | "userId">;

/** What is to end: how much it is, and the way to end it, a batch at a time. */
type Selection = {
  readonly sessions: number;
  readonly users: number;
  readonly batches: AsyncIterable<readonly Ended[]> | Iterable<readonly Ended[]>;
  /** Ends all of them in one row, where that is possible. */
  readonly atOnce?: () => Promise<number>;
};

const batchSize = 200;

/** Those that are named and alive. Fails where one is unknown, before anything is done. */
async function selectNamed(core: Core, ids: readonly string[], now: Date): Promise<Selection> {
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

async function selectFitting(core: Core, by: Actor, wanted: Filters, now: Date): Promise<Selection> {
  const filter = await filterOf(core, wanted, true, now);
  const { userId } = filter;
  const wholeUser = userId !== undefined && wanted.ip === undefined && wanted.olderThan === undefined;
  return {
    ...(await countSessions(core, filter)),
    batches: fitting(core, filter),
    ...(wholeUser && { atOnce: () => signOutEverywhere(core, by, userId) }),
  };
}

async function* fitting(core: Core, filter: SessionFilter) {
  for await (const page of pagesOfSessions(core, filter)) yield page.map(({ session }) => session);
}

/** Answers how many were alive until now. */
async function end(core: Core, by: Actor, { sessions, batches, atOnce }: Selection, desk: Desk): Promise<number> {
  if (atOnce) return await atOnce();
  const progress = desk.progress(sessions, "ending sessions");
  let ended = 0;
  for await (const batch of batches) {
    if (desk.interrupted.aborted) {
      fail("partly_done", {
        detail: `${counted(ended, "session")} of ${sessions.toLocaleString("en-US")} ended. Run it again to go on.`,
      });
    }
    ended += await revokeSessions(core, by, batch);
    progress.advance(batch.length);
  }
  progress.end();
  return ended;
}
