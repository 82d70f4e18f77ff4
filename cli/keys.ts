import { formatDuration } from "../src/config/durations.ts";
import { listSigningKeys, rotateSigningKey } from "../src/core/signing-keys.ts";
import { signingKeyView } from "../src/core/views.ts";
import { command, group } from "./command.ts";
import { choice, toggle } from "./options.ts";

const list = command({
  description:
    "List the signing keys, oldest first. The next one is published before it signs, so that clients know it.",
  effect: "read",
  async run(_, desk) {
    const now = desk.now().getTime();
    await desk.withCore(async (core) => {
      const keys = (await listSigningKeys(core)).map(signingKeyView);
      await desk.print(keys, [
        "kid",
        "algorithm",
        "state",
        { title: "age", of: (key) => age(now - Date.parse(key.published_at)) },
        "published_at",
        "activated_at",
        "retires_at",
      ]);
    });
  },
});

/** Whole units of the largest that fits: `3d` rather than `76h`. */
function age(milliseconds: number): string {
  const unit = [86_400_000, 3_600_000, 60_000].find((one) => milliseconds >= 2 * one) ?? 1000;
  return formatDuration(Math.max(0, Math.floor(milliseconds / unit) * unit));
}

const rotate = command({
  description: "Let the next key sign. The old one verifies until the last token that it signed has expired.",
  effect: "write",
  args: {
    alg: choice("the algorithm; without it, that of TOKEN_ALGORITHM", ["ES256", "EdDSA", "RS256"]),
    now: toggle(
      "a key has leaked: wait for nobody, and let the tokens of the old key die; running servers follow within 5 seconds",
    ),
  },
  examples: ["authctl key rotate", "authctl key rotate --now --reason 'the disk was stolen'"],
  exits: { 4: "the next key has not been published for long enough" },
  async run({ alg, now }, desk) {
    if (now)
      await desk.confirm(
        "lets every access token signed by the old key die at once, and within 5 seconds at servers that run",
      );
    await desk.withCore(async (core, by) => {
      const options = { immediately: now, ...(alg !== undefined && { algorithm: alg }) };
      await desk.print(await rotateSigningKey(core, by, options));
    });
  },
});

export default group({ description: "The keys that sign access tokens.", verbs: { list, rotate } });
