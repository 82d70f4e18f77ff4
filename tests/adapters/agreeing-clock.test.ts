import { describe, expect, test } from "bun:test";
import { agreeingClock } from "../../src/adapters/agreeing-clock.ts";
import { createTestClock } from "../support/clock.ts";

const second = 1_000;

/** Two clocks, of which the other is `ahead` by so many milliseconds. */
async function apart(ahead: number) {
  const own = createTestClock();
  const told: number[] = [];
  const other = { ahead, away: false, takes: 0 };
  const clock = await agreeingClock(
    own,
    async () => {
      if (other.away) throw new Error("away");
      await Promise.resolve();
      own.advance(other.takes);
      return new Date(own.now().getTime() + other.ahead);
    },
    (milliseconds) => told.push(milliseconds),
  );
  /** Lets time pass until the clocks are compared again. */
  const compareAgain = async (): Promise<void> => {
    own.advance(30 * second);
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  };
  const moved = (): number => clock.now().getTime() - own.now().getTime();
  return { clock, own, other, told, moved, compareAgain };
}

describe("a clock that agrees with another one", () => {
  test.each([0, 2 * second, -2 * second])("is left alone where it is off by no more than %d ms", async (ahead) => {
    const { moved, told } = await apart(ahead);
    expect([moved(), told]).toEqual([0, []]);
  });

  test.each([90 * second, -90 * second, 3 * second])("is moved by %d ms, and says so once", async (ahead) => {
    const { moved, told, compareAgain } = await apart(ahead);
    await compareAgain();
    expect([moved(), told]).toEqual([ahead, [ahead]]);
  });

  test("follows when either clock is set, and stands still while they drift by little", async () => {
    const { other, told, moved, compareAgain } = await apart(90 * second);
    other.ahead += second;
    await compareAgain();
    expect(moved()).toBe(90 * second);
    other.ahead = 0;
    await compareAgain();
    expect([moved(), told]).toEqual([0, [90 * second, 0]]);
  });

  test("goes on as it was while the other one cannot be asked, or takes too long to answer", async () => {
    const { other, moved, compareAgain } = await apart(90 * second);
    other.away = true;
    await compareAgain();
    expect(moved()).toBe(90 * second);
    Object.assign(other, { away: false, takes: 3 * second, ahead: 0 });
    await compareAgain();
    expect(moved()).toBe(90 * second);
    other.takes = 0;
    await compareAgain();
    expect(moved()).toBe(0);
  });

  test("leaves no timer behind", async () => {
    const { clock, own, compareAgain } = await apart(0);
    await compareAgain();
    expect(own.pending).toBe(1);
    clock.stop();
    expect(own.pending).toBe(0);
  });
});
