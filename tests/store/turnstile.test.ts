import { expect, test } from "bun:test";
import { createTurnstile } from "../../src/store/dialects/turnstile.ts";

const late = () => new Error("too late");

test("a turnstile lets so many in at once, and the others in the order in which they came", async () => {
  const turnstile = createTurnstile(2, { patience: 60_000, late });
  const order: number[] = [];
  const all = Array.from({ length: 6 }, async (_, at) => {
    await turnstile.enter();
    order.push(at);
  });
  await all[0];
  await all[1];
  for (let left = 4; left > 0; left--) {
    expect([order.length, turnstile.waiting]).toEqual([6 - left, left]);
    turnstile.leave();
    await all[6 - left];
  }
  expect(order).toEqual([0, 1, 2, 3, 4, 5]);
  for (let time = 0; time < 2; time++) turnstile.leave();
  await turnstile.enter();
  await turnstile.enter();
  expect(turnstile.waiting).toBe(0);
});

test("whoever waits too long gets no turn, and takes none from those behind", async () => {
  const turnstile = createTurnstile(1, { patience: 1, late });
  await turnstile.enter();
  expect(await turnstile.enter().catch((error: Error) => error.message)).toBe("too late");
  expect(turnstile.waiting).toBe(0);
  turnstile.leave();
  await turnstile.enter();
});
