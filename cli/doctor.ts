import { origin as parseOrigin, Unfit } from "../src/config/parsers.ts";
import { type Examined, outsideParts, parts } from "../src/core/doctor/finding.ts";
import { fail } from "../src/core/errors.ts";
import { counted } from "./arguments.ts";
import { command } from "./command.ts";
import type { Desk } from "./desk.ts";
import { choice, positional, toggle } from "./options.ts";

export default command({
  description:
    "Look at every part, with the server up or down, and tell each finding with its remedy. With --outside, go through the address that users have, as a browser would.",
  effect: "read",
  args: {
    url: positional("URL", "with --outside, the address to go through; without it, PUBLIC_URL"),
    only: choice("only this part", [...new Set([...parts, ...outsideParts])], { hint: "PART", many: true }),
    outside: toggle("go through the public address instead, and look at what arrives"),
    signIn: toggle("with --outside, make a user for a moment to sign in with; its traces stay in the audit trail", {
      negatable: true,
      default: true,
    }),
  },
  examples: [
    "authctl doctor",
    "authctl doctor --only mail,backup --json",
    "authctl doctor --outside",
    "authctl doctor --outside https://auth.example.com --no-sign-in",
  ],
  exits: { 5: "there is a finding" },
  async run({ only, outside, url, signIn }, desk) {
    const { examineFromOutside, examineParts } = await import("../src/open/doctor.ts");
    if (url !== undefined && !outside) fail("usage", { detail: "To go through an address, say --outside URL." });
    if (!outside) {
      const wanted = parts.filter((part) => only.length === 0 || only.some((one) => one === part));
      return await tell(await examineParts(desk.place, wanted), desk);
    }
    const by = await desk.operator();
    const examined = await examineFromOutside(desk.place, by, { origin: url && originOf(url), signsIn: signIn });
    return await tell(
      examined.filter(({ part }) => only.length === 0 || only.includes(part)),
      desk,
    );
  },
});

function originOf(url: string): string {
  try {
    return parseOrigin(url);
  } catch (error) {
    if (!(error instanceof Unfit)) throw error;
    return fail("usage", { errors: [{ path: "URL", message: `must be ${error.message}.` }] });
  }
}

/** Answers the exit code. */
async function tell(examined: readonly Examined<string>[], desk: Desk): Promise<number> {
  const found = examined.reduce((sum, { findings }) => sum + findings.length, 0);
  if (desk.json) {
    const told = examined.map(({ part, findings, skipped }) => ({
      part,
      ok: findings.length === 0 && skipped === undefined,
      ...(skipped !== undefined && { skipped }),
      findings,
    }));
    await desk.print({ ok: found === 0, parts: told });
  } else {
    const rows = examined.flatMap(({ part, findings, skipped }) =>
      findings.length > 0
        ? findings.map(({ problem, remedy }) => ({ part, state: "found", finding: problem, remedy }))
        : [{ part, state: skipped === undefined ? "ok" : "skipped", finding: skipped ?? "", remedy: "" }],
    );
    await desk.print(rows, [
      "part",
      "state",
      { title: "finding", of: (row) => row.finding, whole: true },
      { title: "remedy", of: (row) => row.remedy, whole: true },
    ]);
    desk.say(found === 0 ? "Nothing was found." : `${counted(found, "finding")}. Each has its remedy beside it.`);
  }
  return found === 0 ? 0 : 5;
}
