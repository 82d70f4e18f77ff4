import { fail } from "../src/core/errors.ts";
import { listSecrets, type Need, verifySecrets } from "../src/core/secrets/needs.ts";
import { nextSecrets, previewRetirement, retireSecret, rotateSecret } from "../src/core/secrets/rotation.ts";
import { secretNeedView, secretView, verifiedSecretsView } from "../src/core/views.ts";
import { freshSecret } from "../src/open/secrets.ts";
import { counted } from "./arguments.ts";
import { command, group } from "./command.ts";
import type { Desk } from "./desk.ts";
import { duration, number, positional, toggle } from "./options.ts";

const status = command({
  description:
    "Show the server secrets by their versions, oldest first: which one writes, what each of them is needed for, and which servers accept it.",
  effect: "read",
  examples: ["authctl secret status", "authctl secret status --json"],
  async run(_, desk) {
    await desk.withCore(async (core) => {
      await desk.print((await listSecrets(core)).map(secretView), [
        "version",
        "state",
        { title: "here", of: ({ accepted }) => (accepted ? "accepted" : "no") },
        { title: "sealed", of: ({ sealed }) => Object.values(sealed).reduce((sum, rows) => sum + rows, 0) },
        "sessions",
        "refresh_families",
        { title: "servers", of: ({ servers }) => `${servers.accepting.length} of ${serversIn(servers)}` },
        { title: "activated_at", of: ({ activated_at }) => activated_at, spare: true },
      ]);
    });
  },
});

const serversIn = (servers: { readonly accepting: readonly unknown[]; readonly refusing: readonly unknown[] }) =>
  servers.accepting.length + servers.refusing.length;

const rotate = command({
  description:
    "Have a new server secret take over: kept durably first, then accepted by every server, then written by, and what the old one has sealed is sealed anew. Nobody is signed out. A run that was ended is gone on with by the next one.",
  effect: "write",
  args: {
    resume: toggle("only go on with a rotation that has begun, by a run that ended or by a secret that you have set"),
    print: toggle(
      "change nothing: print what SECRET_KEY or its file has to be set to, where this command may not write it",
    ),
    wait: duration("how long servers may take to accept the new secret", { default: 40_000 }),
    batchSize: number("rows in one transaction", { min: 1, max: 10_000, default: 200 }),
    pause: duration("the time between two batches, for live traffic", { default: 20 }),
  },
  examples: [
    "authctl secret rotate",
    "authctl secret rotate --print | secret-store put authctl/server-secret",
    "authctl secret rotate --resume",
  ],
  exits: {
    6: "a server does not accept the new secret yet, or the run was interrupted: go on with --resume",
    75: "another rotation is running",
    78: "the secret is set where this command cannot write: see --print",
  },
  async run({ print, resume, ...options }, desk) {
    if (print && resume) fail("usage", { detail: "--print changes nothing, and --resume does: use one of them." });
    await desk.withCore(async (core, by) => {
      if (print) return await desk.print(nextSecrets(core).join("\n"));
      const progress = desk.progress(undefined, "sealing anew");
      const rotation = await rotateSecret(core, by, {
        ...options,
        resume,
        interrupted: desk.interrupted,
        onRows: (rows) => progress.advance(rows),
      }).finally(() => progress.end());
      const { version, replaced, resealed, finished } = rotation;
      if (desk.json) await desk.print(rotation);
      if (replaced !== null) desk.say(`the secret of version ${version} writes now, instead of ${replaced}`);
      if (resealed > 0) desk.say(`sealed ${counted(resealed, "text")} anew`);
      if (!finished)
        fail("partly_done", {
          detail: "Some is still sealed by the old secret. Go on with `authctl secret rotate --resume`.",
        });
      if (replaced === null && resealed === 0) return desk.say("Nothing to do: no rotation has begun.");
      return desk.say("Next: `authctl secret verify` tells when the old secret can go.");
    });
  },
});

const verify = command({
  description:
    "Prove that nothing needs an older server secret any more: opens everything that is sealed with the one that writes alone, and counts the live sessions that an older one has signed.",
  effect: "read",
  examples: ["authctl secret verify", "authctl secret verify --json"],
  exits: { 5: "an older secret is still needed, or something does not open" },
  async run(_, desk) {
    await desk.withCore(async (core) => {
      const progress = desk.progress(undefined, "opening");
      const verified = await verifySecrets(core, {
        interrupted: desk.interrupted,
        onRows: (rows) => progress.advance(rows),
      }).finally(() => progress.end());
      const { examined, needs, droppable } = verified;
      const broken = examined.some(({ unopened }) => unopened > 0);
      if (desk.json) await desk.print(verifiedSecretsView(verified));
      else if (needs.length > 0) await desk.print(needs.map(secretNeedView));
      else await desk.print(examined);
      if (broken) fail("secret_findings", { detail: brokenDetail });
      if (needs.length > 0) fail("secret_findings", { detail: sentenceOf(needs) });
      for (const version of droppable) {
        desk.say(`Nothing needs the secret of version ${version} any more. Drop it: \`${retireCommand(version)}\`.`);
      }
      if (droppable.length === 0) desk.say(`Everything is sealed and signed by ${verified.writing}.`);
    });
  },
});

/** A version may begin like a flag. */
const retireCommand = (version: string): string =>
  `authctl secret retire ${version.startsWith("-") ? "-- " : ""}${version}`;

const brokenDetail =
  "Some of what is sealed opens with no secret that is given here: it was sealed by another secret, or was changed in the database. `--json` tells in which column.";

function sentenceOf(needs: readonly Need[]): string {
  const versions = [...new Set(needs.map(({ version }) => version))].join(", ");
  const ends = needs.flatMap(({ until }) => (until ? [until.getTime()] : []));
  const end = ends.length === 0 ? "" : `, until ${new Date(Math.max(...ends)).toISOString()} at the latest`;
  const sealed = needs.some(({ what }) => what.includes("."));
  const remedy = sealed
    ? "Seal the rest anew with `authctl secret rotate --resume`."
    : "Sessions move on as they are used.";
  return `${versions} is still needed${end}. ${remedy}`;
}

const retire = command({
  description:
    "Drop an older server secret: no server accepts it from then on. Refused while anything needs it; --force ends the sessions that do.",
  effect: "destructive",
  dryRun: true,
  args: {
    secret: positional("VERSION", "as `authctl secret status` shows it", { required: true }),
    force: toggle("end the sessions that need it; for a secret that has leaked"),
  },
  examples: ["authctl secret retire 9SFVGa3m", "authctl secret retire 9SFVGa3m --force --reason 'it has leaked'"],
  exits: { 3: "no secret has this version", 4: "something needs it", 75: "another rotation is running" },
  async run({ secret: version, force }, desk) {
    await desk.withCore(async (core, by) => {
      if (desk.dryRun) {
        const sessions = await previewRetirement(core, version, force);
        if (desk.json) await desk.print({ version, ended: sessions, removed: false });
        const end = sessions > 0 ? `, and end ${counted(sessions, "session")} for good` : "";
        return desk.say(`would drop the secret of version ${version}${end}`);
      }
      if (force) await confirmEnds(desk, version, await listSecrets(core));
      const retirement = await retireSecret(core, by, version, { force, interrupted: desk.interrupted });
      if (desk.json) await desk.print(retirement);
      desk.say(`the secret of version ${version} is accepted no more`);
      if (retirement.ended > 0) desk.say(`ended ${counted(retirement.ended, "session")}`);
      if (!retirement.removed)
        desk.say(`Next: take it out of ${core.secretShelf.name}, where it counts for nothing now.`);
    });
  },
});

async function confirmEnds(desk: Desk, version: string, all: Awaited<ReturnType<typeof listSecrets>>): Promise<void> {
  const one = all.find((secret) => secret.version === version);
  const sessions = (one?.sessions ?? 0) + (one?.refreshFamilies ?? 0);
  if (sessions > 0) await desk.confirm(`ends ${counted(sessions, "session")} for good, and drops the secret`);
}

const generate = command({
  description: "Print a fresh secret of 384 random bits, for a secret store. Changes nothing.",
  effect: "read",
  examples: ["authctl secret generate", "authctl secret generate | secret-store put authctl/server-secret"],
  async run(_, desk) {
    await desk.print(desk.json ? { secret: freshSecret() } : freshSecret());
  },
});

export default group({
  description: "The server secrets: what is stored is sealed by them, and what is issued is signed.",
  verbs: { status, rotate, verify, retire, generate },
});
