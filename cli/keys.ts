import { formatDuration } from "../src/config/durations.ts";
import { DomainError, fail } from "../src/core/errors.ts";
import type { Answered } from "../src/core/servers.ts";
import { exportSigningKeys, exportSigningPems, listSigningKeys } from "../src/core/signing-keys/listing.ts";
import { previewRetirement, replaceLeakedKeys, retireSigningKey } from "../src/core/signing-keys/retirement.ts";
import { namesOf, rotateIfDue, rotateSigningKey, type Waiting } from "../src/core/signing-keys/rotation.ts";
import { answeredView, retirementPreviewView, rotationView, signingKeyView } from "../src/core/views.ts";
import { counted } from "./arguments.ts";
import { command, group } from "./command.ts";
import type { Desk } from "./desk.ts";
import { choice, positional, text, toggle } from "./options.ts";
import type { Progress } from "./progress.ts";

const algorithms = ["ES256", "EdDSA", "RS256"] as const;

/** How long servers are waited for, in milliseconds: each looks once a second whether it is called. */
const patience = 10_000;

const list = command({
  description:
    "List the signing keys, oldest first. The next one is published before it signs, so that clients know it. A token is stored nowhere: how many of a key are alive can only be said as the number of sessions that may hold one, at most.",
  effect: "read",
  async run(_, desk) {
    const now = desk.now();
    await desk.withCore(async (core) => {
      const keys = (await listSigningKeys(core)).map(signingKeyView);
      await desk.print(keys, [
        "kid",
        "algorithm",
        "state",
        { title: "age", of: (key) => age(now.getTime() - Date.parse(key.published_at)) },
        { title: "activated_at", of: (key) => key.activated_at, spare: true },
        { title: "held by at most", of: (key) => key.held_by_at_most },
        { title: "may go", of: (key) => mayGo(key, now), whole: true },
      ]);
    });
  },
});

/** Whole units of the largest that fits: `3d` rather than `76h`. */
function age(milliseconds: number): string {
  const unit = [86_400_000, 3_600_000, 60_000].find((one) => milliseconds >= 2 * one) ?? 1000;
  return formatDuration(Math.max(0, Math.floor(milliseconds / unit) * unit));
}

/** When a key can be retired without a token dying. */
function mayGo({ state, retires_at }: ReturnType<typeof signingKeyView>, now: Date): string {
  if (state === "next") return "any time";
  if (state === "active") return "after the next signs";
  if (state === "retired") return "gone";
  return retires_at === null || Date.parse(retires_at) <= now.getTime() ? "now" : retires_at;
}

const rotate = command({
  description:
    "Let the next key sign, as soon as every server serves it and every client can know it; the one before verifies until the last token that it signed has expired. Waits where there is something to wait for; interrupted, it goes on when it is run again.",
  effect: "write",
  args: {
    alg: choice("the algorithm; without it, that of TOKEN_ALGORITHM, or with --now of the key that signs", algorithms),
    now: toggle(
      "a key has leaked: make new ones that sign at once, retire all that there were, and wait until every server has let go of them; sessions stay, their access tokens die",
    ),
    ifDue: toggle("for cron: take the step that is due by KEY_ROTATION, if any, and never wait; silent"),
    lock: choice(
      "where another run with --if-due is under way: fail with exit code 75, or skip this one",
      ["fail", "skip"],
      {
        default: "fail",
      },
    ),
  },
  examples: [
    "authctl key rotate",
    "authctl key rotate --alg EdDSA --timeout 10m",
    "authctl key rotate --now --reason 'the disk was stolen'",
    "17 * * * * authctl key rotate --if-due --lock skip",
  ],
  exits: {
    6: "its time ended before the next key could sign, or with --now a server has not answered",
    75: "another run with --if-due is under way",
  },
  async run({ alg, now, ifDue, lock }, desk) {
    if (ifDue && (now || alg !== undefined)) {
      fail("usage", { detail: "--if-due goes by KEY_ROTATION and TOKEN_ALGORITHM: leave out --now and --alg." });
    }
    const algorithm = alg === undefined ? {} : { algorithm: alg };
    if (ifDue) return await rotateWhereDue(desk, lock);
    if (now) return await replaceLeaked(desk, algorithm);
    await desk.withCore(async (core, by) => {
      const waiting = waitingOn(desk);
      const { interrupted } = desk;
      const rotation = await rotateSigningKey(core, by, { ...algorithm, interrupted, onWait: waiting.show }).finally(
        waiting.end,
      );
      await desk.print(rotationView(rotation));
      if (rotation.isEarlier) {
        desk.say("It was rotated so recently that clients may not know another key yet: that rotation stands.");
      }
    });
  },
});

type Algorithm = { readonly algorithm?: (typeof algorithms)[number] };

async function rotateWhereDue(desk: Desk, lock: "fail" | "skip"): Promise<void> {
  await desk.withCore(async (core, by) => {
    try {
      const done = await rotateIfDue(core, by);
      if (desk.json || desk.verbose) await desk.print(done);
    } catch (error) {
      if (lock !== "skip" || !(error instanceof DomainError) || error.code !== "lock_held") throw error;
      desk.detail("Another run takes care of the keys. Nothing to do.");
    }
  });
}

async function replaceLeaked(desk: Desk, algorithm: Algorithm): Promise<void> {
  await desk.confirm("lets every access token signed by the old keys die at once; sessions stay, and refresh theirs");
  await desk.withCore(async (core, by) => {
    const { answered, ...done } = await replaceLeakedKeys(core, by, {
      ...algorithm,
      timeout: patience,
      interrupted: desk.interrupted,
    });
    await desk.print({ ...rotationView(done), retired: done.retired, ...answeredView(answered) });
    tellAnswered(desk, answered);
  });
}

/** Fails where a server has not said that it goes by the new keys. */
function tellAnswered(desk: Desk, { heard, silent, took }: Answered): void {
  const within = `${(took / 1000).toFixed(1)} s`;
  if (silent.length === 0) {
    return desk.say(
      heard.length === 0 ? "No server runs." : `${counted(heard.length, "server")} let go of it within ${within}.`,
    );
  }
  fail("partly_done", {
    detail: `${counted(heard.length, "server")} let go of it within ${within}. Not heard of: ${namesOf(silent)}. A server that reaches the database lets go within 5 seconds without being asked; stop one that does not.`,
  });
}

/** What is waited for, as a bar on a terminal: in seconds. */
function waitingOn(desk: Desk): { readonly show: (waiting: Waiting) => void; readonly end: () => void } {
  let bar: { readonly kid: string; readonly end: number; readonly progress: Progress } | undefined;
  let shown = 0;
  return {
    show({ kid, until, lacking }) {
      const now = desk.now().getTime();
      if (bar?.kid !== kid) {
        bar?.progress.end();
        desk.detail(`The next key ${kid} is published. Clients know it from ${until.toISOString()} on.`);
        const total = Math.max(0, Math.ceil((until.getTime() - now) / 1000));
        bar = { kid, end: until.getTime(), progress: desk.progress(total, "until clients know the next key") };
        shown = now;
      }
      const seconds = Math.floor((now - shown) / 1000);
      bar.progress.advance(seconds);
      shown += seconds * 1000;
      if (now >= bar.end && lacking.length > 0) desk.detail(`Waiting for ${namesOf(lacking)} to serve it.`);
    },
    end: () => bar?.progress.end(),
  };
}

const retire = command({
  description:
    "Retire a key whose tokens are over, or one that is still to come, in whose place another one is published. Servers let go of it at once. For a key that has leaked there is `authctl key rotate --now`.",
  effect: "destructive",
  dryRun: true,
  args: {
    kid: positional("KID", "the id of the key", { required: true }),
    force: toggle("even where a token that it signed could still be alive: such tokens die. Wants --confirm"),
    confirm: text("the id of the key once more, for --force", { hint: "KID" }),
  },
  examples: [
    "authctl key retire 019a4f0c-…",
    "authctl key retire 019a4f0c-… --force --dry-run",
    "authctl key retire 019a4f0c-… --force --confirm 019a4f0c-…",
  ],
  exits: {
    3: "there is no such key",
    4: "a token that it signed could still be alive, or no other key could sign in its place",
    6: "a server has not answered",
  },
  async run({ kid, force, confirm }, desk) {
    if (force && confirm !== kid && !desk.dryRun) {
      fail("confirmation_required", {
        detail: `--force kills the tokens that the key has signed. To do it: authctl key retire ${kid} --force --confirm ${kid}`,
      });
    }
    await desk.withCore(async (core, by) => {
      if (desk.dryRun) return await desk.print(retirementPreviewView(await previewRetirement(core, kid, force)));
      const { answered, ...done } = await retireSigningKey(core, by, kid, {
        force,
        timeout: patience,
        interrupted: desk.interrupted,
      });
      if (done.retired === null) desk.say("It was retired before. Nothing to do.");
      await desk.print({ ...done, ...answeredView(answered) });
      tellAnswered(desk, answered);
    });
  },
});

const exportPublic = command({
  description: "Print the public keys as the server publishes them: a JWKS (RFC 7517).",
  effect: "read",
  args: {
    kid: text("only this one, even where it is retired", { hint: "KID" }),
    pem: toggle("as PEM (RFC 7468), for programs that know no JWKS"),
  },
  examples: ["authctl key export-public > jwks.json", "authctl key export-public --kid 019a4f0c-… --pem"],
  exits: { 3: "there is no such key" },
  async run({ kid, pem }, desk) {
    await desk.withCore(async (core) =>
      pem
        ? await desk.print(await exportSigningPems(core, kid))
        : await desk.print(await exportSigningKeys(core, kid), undefined, "json"),
    );
  },
});

export default group({
  description: "The keys that sign access tokens.",
  verbs: { list, rotate, retire, "export-public": exportPublic },
});
