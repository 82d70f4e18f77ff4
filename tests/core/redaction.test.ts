import { describe, expect, test } from "bun:test";
import { clientFrom } from "../../src/core/actors.ts";
import { login } from "../../src/core/login.ts";
import { holdsCredential, withoutCredentials } from "../../src/core/redaction.ts";
import { firefox, goodPassword, openTestCore, registerAda, visitor } from "../support/core.ts";

describe("IO-4 a credential in a text", () => {
  test("is found by its form, whichever of ours it is and wherever it stands", async () => {
    const core = await openTestCore();
    await registerAda(core);
    const input = { identifier: "ada@example.com", password: goodPassword };
    const tokens = await login(core, visitor, { ...input, credential: "tokens" });
    const session = await login(core, visitor, { ...input, credential: "session" });
    if (tokens.credential !== "tokens" || session.credential !== "session") throw new Error("other credentials");
    const proofs = ["ve_", "ce_", "rp_"].map((prefix) => prefix + "A".repeat(43));
    for (const text of [tokens.accessToken, tokens.refreshToken, session.sessionToken, ...proofs]) {
      expect(withoutCredentials(text)).toBe("[credential]");
      expect(withoutCredentials(`curl/8 (${text}; x=${text})`)).toBe("curl/8 ([credential]; x=[credential])");
      expect(holdsCredential(`id.${text}`)).toBeTrue();
    }
    await core.close();
  });

  test.each([
    firefox.userAgent!,
    "request-2026-11-21.4711",
    "01890a5d-ac96-774b-bcce-b302099a8057",
    "latest_version_of_something_longer",
    "st_short",
    "",
  ])("is none in %p", (text) => {
    expect(withoutCredentials(text)).toBe(text);
    expect(holdsCredential(text)).toBeFalse();
  });
});

test("a client is kept without one", () => {
  expect(clientFrom({ ...firefox, userAgent: `x st_${"a".repeat(40)}` }).userAgent).toBe("x [credential]");
  expect(clientFrom(firefox)).toEqual(firefox);
  expect(clientFrom({ ...firefox, userAgent: null }).userAgent).toBeNull();
});
