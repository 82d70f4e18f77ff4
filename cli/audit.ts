import { whatOf, whereOf, whoOf } from "../src/core/audit/narration.ts";
import { previewAuditPurge, purgeAudit } from "../src/core/audit/retention.ts";
import { chainAfter, followAudit, pagesOfAudit } from "../src/core/audit/trail.ts";
import { type Mark, parseMark, verifyAudit } from "../src/core/audit/verification.ts";
import { type Action, actionNames } from "../src/core/audit.ts";
import type { Core } from "../src/core/core.ts";
import { DomainError, fail } from "../src/core/errors.ts";
import { findUser } from "../src/core/users.ts";
import { auditEventView, chainedEventView, verifiedView } from "../src/core/views.ts";
import type { AuditFilter } from "../src/store/audit-events.ts";
import type { AuditEvent } from "../src/store/tables.ts";
import { counted } from "./arguments.ts";
import { command, group } from "./command.ts";
import { choice, duration, number, positional, text, time, toggle } from "./options.ts";
import type { Column } from "./table.ts";
import { unlessLocked } from "./unless-locked.ts";

type View = ReturnType<typeof auditEventView>;

const columns: readonly Column<View>[] = [
  "at",
  "action",
  { title: "actor", of: ({ actor }) => actor.id ?? actor.kind },
  { title: "subject", of: ({ subject }) => subject, whole: true, spare: true },
  { title: "ip", of: ({ ip }) => ip, spare: true },
  { title: "about", of: ({ reason, particulars }) => about(reason, particulars), spare: true },
];

const about = (reason: string | null, particulars: View["particulars"]): string =>
  [
    ...(reason === null ? [] : [reason]),
    ...Object.entries(particulars).map(([name, value]) => `${name}=${value}`),
  ].join(" ");

const filters = {
  actor: text("only what was done by: a user, an operator `<os user>@<host>`, or a job", { hint: "ACTOR" }),
  action: choice("only this", actionNames, { hint: "ACTION" }),
  user: text("only what was done by or to this user", { hint: "USER" }),
  subject: text("only what was done to this user", { hint: "USER" }),
  ip: text("only what came from this address", { hint: "ADDRESS" }),
};

type Filters = {
  readonly actor: string | undefined;
  readonly action: Action | undefined;
  readonly user: string | undefined;
  readonly subject: string | undefined;
  readonly ip: string | undefined;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
};

async function filterOf(core: Core, { actor, action, user, subject, ip, since, until }: Filters): Promise<AuditFilter> {
  return {
    ...(actor !== undefined && { actor: (await userIdOf(core, actor)) ?? actor }),
    ...(action !== undefined && { action }),
    ...(user !== undefined && { involved: await knownId(core, user) }),
    ...(subject !== undefined && { userId: await knownId(core, subject) }),
    ...(ip !== undefined && { ip }),
    ...(since && { since }),
    ...(until && { until }),
  };
}

async function userIdOf(core: Core, reference: string): Promise<string | undefined> {
  try {
    return (await findUser(core, reference)).user.id;
  } catch (error) {
    if (error instanceof DomainError && error.code === "not_found") return undefined;
    throw error;
  }
}

/** The id of a user; also of one who is gone, where the trail knows the id. */
async function knownId(core: Core, reference: string): Promise<string> {
  const id = await userIdOf(core, reference);
  if (id !== undefined) return id;
  if ((await core.store.auditEvents.page({ involved: reference }, 1)).length > 0) return reference;
  const detail =
    "No user has this id, address or user name, and the audit trail knows no such id. Name a user who was deleted by id.";
  return fail("not_found", { detail });
}

async function* views(pages: AsyncIterable<readonly AuditEvent[]>): AsyncGenerator<View[]> {
  for await (const page of pages) yield page.map(auditEventView);
}

const list = command({
  description: "List the audit trail, oldest first, to its end.",
  effect: "read",
  args: {
    ...filters,
    since: time("only from then on"),
    until: time("only before then"),
    limit: number("only the newest so many", { min: 1 }),
  },
  examples: [
    "authctl audit list --since -1h",
    "authctl audit list --user ada@example.com --action login.failed --json",
  ],
  async run({ limit, ...wanted }, desk) {
    await desk.withCore(async (core) => {
      const filter = await filterOf(core, wanted);
      await desk.print(views(pagesOfAudit(core, filter, limit)), columns);
    });
  },
});

const tail = command({
  description: "Show the newest entries; with --follow also each new one, once, until it is interrupted.",
  effect: "read",
  args: {
    ...filters,
    limit: number("the newest so many", { min: 0, default: 10 }),
    follow: toggle("go on with what is new, in the order of the chain", { short: "f" }),
  },
  examples: ["authctl audit tail --follow --action login.failed", "authctl audit tail -f --output ndjson | jq .ip"],
  async run({ limit, follow, ...wanted }, desk) {
    await desk.withCore(async (core) => {
      const filter = await filterOf(core, wanted);
      const pages = follow ? followAudit(core, filter, limit, desk.interrupted) : pagesOfAudit(core, filter, limit);
      await desk.print(views(pages), columns);
    });
  },
});

const exportCommand = command({
  description:
    "Write the chain as one JSON object a line, with all that it takes to follow it without the server secret.",
  effect: "read",
  args: { after: number("only what comes after this place in the chain", { hint: "SEQ", default: 0 }) },
  examples: ["authctl audit export > audit.ndjson", "authctl audit export --after 120400 >> audit.ndjson"],
  async run({ after }, desk) {
    await desk.withCore(async (core) => {
      let [exported, seq] = [0, after];
      async function* lines() {
        for await (const page of chainAfter(core, after)) {
          exported += page.length;
          seq = page.at(-1)?.seq ?? seq;
          yield page.map(chainedEventView);
        }
      }
      await desk.print(lines(), undefined, "ndjson");
      desk.say(`exported ${entries(exported)}, up to place ${seq}`);
    });
  },
});

const verify = command({
  description:
    "Tell every entry of the audit trail that was changed, moved, put there or taken away behind the server's back.",
  effect: "read",
  args: { mark: text("a head that was kept elsewhere: the chain must hold it", { hint: "SEQ:HASH" }) },
  examples: ["authctl audit verify", "authctl audit verify --mark 1204:9SFVGa3mpuJO3e4AhnSS8pTpxZdvDr1KzjUWsDT51jM"],
  exits: { 5: "an entry is not as it was written, or is missing" },
  async run({ mark }, desk) {
    await desk.withCore(async (core) => {
      const progress = desk.progress(await core.store.auditEvents.count(), "verifying");
      const verified = await verifyAudit(core, {
        ...(mark !== undefined && { mark: readMark(mark) }),
        interrupted: desk.interrupted,
        onEntries: (read) => progress.advance(read),
      });
      progress.end();
      const { findings, ...counts } = verifiedView(verified);
      if (desk.json) await desk.print({ ...counts, findings });
      else if (findings.length > 0) await desk.print(findings);
      else await desk.print(counts);
      if (verified.found > 0) {
        const extent = `${counted(verified.found, "finding")} in ${entries(verified.sealed + verified.unsealed)}`;
        fail("audit_broken", { detail: `${extent}. ${advice}` });
      }
    });
  },
});

const advice = "Somebody has written to the database behind the server's back. Keep it as it is; see docs/audit.md.";

const entries = (number: number): string => (number === 1 ? "1 entry" : `${number.toLocaleString("en-US")} entries`);

const readMark = (word: string): Mark =>
  parseMark(word) ?? fail("usage", { detail: "--mark takes SEQ:HASH, as `authctl audit verify` shows its head." });

const purge = command({
  description: "Remove the beginning of the audit trail, in short batches. For cron: silent unless there is trouble.",
  effect: "write",
  dryRun: true,
  args: {
    keep: duration("what is younger stays, instead of AUDIT_KEEP", { hint: "400d" }),
    batchSize: number("entries in one transaction", { min: 1, max: 10_000, default: 500 }),
    pause: duration("the time between two batches, for live traffic", { default: 20 }),
    maxTime: duration("end after this time", { default: 300_000 }),
    maxRows: number("end after so many entries", { min: 1 }),
    lock: choice("where another purge runs: fail with exit code 75, or skip this one", ["fail", "skip"], {
      default: "fail",
    }),
  },
  examples: ["authctl audit purge --dry-run", "41 4 * * * authctl audit purge --keep 400d --lock skip"],
  exits: { 6: "the time or the rows of the budget ended with work left", 75: "another purge is running" },
  async run({ keep: wanted, lock, maxRows = Number.MAX_SAFE_INTEGER, ...options }, desk) {
    await desk.withCore(async (core, by) => {
      const keep = wanted ?? core.settings.AUDIT_KEEP;
      if (keep === "forever") return desk.say("AUDIT_KEEP is forever: every entry is kept. Nothing to do.");
      if (desk.dryRun) return await desk.print(await previewAuditPurge(core, keep));
      const progress = desk.progress(undefined, "purging");
      const onBatch = (rows: number) => progress.advance(rows);
      const purged = await unlessLocked(lock, () =>
        purgeAudit(core, by, { ...options, keep, maxRows, interrupted: desk.interrupted, onBatch }),
      );
      progress.end();
      if (!purged) return desk.detail("Another run is on its way. Nothing to do.");
      if (desk.json || desk.verbose) await desk.print({ removed: purged.removed });
      if (!purged.finished) fail("partly_done", { detail: "There is more to remove. Run it again to go on." });
    });
  },
});

/** A verb of `user`, which has the trail as its matter. */
export const timeline = command({
  description:
    "Tell what a user did, and what was done to the user: every sign-in, failure, revocation and change, oldest first.",
  effect: "read",
  args: {
    user: positional("USER", "id, address or user name; of a deleted user the id", { required: true }),
    since: time("only from then on"),
    until: time("only before then"),
    limit: number("only the newest so many", { min: 1 }),
  },
  examples: ["authctl user timeline ada@example.com --since -30d"],
  async run({ user, limit, since, until }, desk) {
    await desk.withCore(async (core) => {
      const range = { ...(since && { since }), ...(until && { until }) };
      const filter = { involved: await knownId(core, user), ...range };
      async function* told() {
        for await (const page of pagesOfAudit(core, filter, limit)) {
          yield page.map((event) => ({
            ...auditEventView(event),
            what: whatOf(event),
            by: whoOf(event),
            where: whereOf(event),
          }));
        }
      }
      await desk.print(told(), [
        "at",
        { title: "what", of: ({ what }) => what, whole: true },
        { title: "by", of: ({ by }) => by, whole: true },
        { title: "where", of: ({ where }) => where, whole: true },
      ]);
    });
  },
});

export default group({
  description: "What was done, by whom and from where.",
  verbs: { list, tail, export: exportCommand, verify, purge },
});
