import { describe, expect, test } from "bun:test";
import { systemRandom } from "../../src/adapters/system.ts";
import { type Code, DomainError } from "../../src/core/errors.ts";
import { createBrake } from "../../src/http/brake.ts";
import { createTestClock } from "../support/clock.ts";

function setUp() {
  const clock = createTestClock();
  const braked = createBrake({ clock, random: systemRandom });
  let answered = 0;
  const refuse = async (code: Code): Promise<void> => {
    await braked(() => Promise.reject(new DomainError(code))).catch((error: unknown) => {
      if (!(error instanceof DomainError) || error.code !== code) throw error;
    });
    answered++;
  };
  /** Lets whatever can be answered be answered. */
  const settled = async (): Promise<number> => {
    await new Promise((turn) => setImmediate(turn));
    return answered;
  };
  return { clock, braked, refuse, settled };
}

describe("PW-5 a flood of sign-ins", () => {
  test.each(["overloaded", "rate_limited"] as const)(
    "is answered late from the 21st refusal of a second on: %s",
    async (code) => {
      const { clock, refuse, settled } = setUp();
      for (let one = 0; one < 50; one++) void refuse(code);
      expect(await settled()).toBe(20);
      clock.advance(499);
      expect(await settled()).toBe(20);
      clock.advance(1001);
      expect(await settled()).toBe(50);
      expect(clock.pending).toBe(0);
    },
  );

  test("holds up nobody who is refused now and then, nor an answer to what was looked at", async () => {
    const { clock, braked, refuse, settled } = setUp();
    for (let second = 0; second < 5; second++) {
      for (let one = 0; one < 20; one++) void refuse("rate_limited");
      for (let one = 0; one < 50; one++) void refuse("invalid_credentials");
      expect(await settled()).toBe(70 * (second + 1));
      clock.advance(1000);
    }
    for (let one = 0; one < 30; one++) void refuse("overloaded");
    expect(await braked(() => Promise.resolve("signed in"))).toBe("signed in");
  });

  test("holds a thousand answers back and no more, so that memory is bounded", async () => {
    const { clock, refuse, settled } = setUp();
    for (let one = 0; one < 1500; one++) void refuse("overloaded");
    expect(await settled()).toBe(500);
    clock.advance(1500);
    expect(await settled()).toBe(1500);
  });
});
