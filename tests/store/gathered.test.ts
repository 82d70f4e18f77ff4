import { expect, test } from "bun:test";
import { gathered } from "../../src/store/gathered.ts";

/** A reader of letters that knows no `x`, and what it was asked for. */
function letters() {
  const asked: string[][] = [];
  const read = gathered(4, async (keys) => {
    asked.push([...keys]);
    if (keys.includes("!")) throw new Error("cut off");
    return new Map(keys.filter((key) => key !== "x").map((key) => [key, key.toUpperCase()]));
  });
  return { asked, read };
}

test("what is asked for in one turn is read at once, each key once, and everybody gets their own", async () => {
  const { asked, read } = letters();
  expect(await Promise.all([read("a"), read("x"), read("b"), read("a")])).toEqual(["A", undefined, "B", "A"]);
  expect(asked).toEqual([["a", "x", "b"]]);
});

test("more than fit are read by several statements", async () => {
  const { asked, read } = letters();
  const keys = "abcdefghij".split("");
  expect(await Promise.all(keys.map(read))).toEqual(keys.map((key) => key.toUpperCase()));
  expect(asked.map((some) => some.length)).toEqual([4, 4, 2]);
});

test("whoever asks while a reading is under way gets one of their own", async () => {
  const { promise: underWay, resolve: begin } = Promise.withResolvers<void>();
  let value = "before";
  const read = gathered(4, async (keys) => {
    const seen = value;
    begin();
    await new Promise((turn) => setImmediate(turn));
    return new Map(keys.map((key) => [key, seen]));
  });
  const early = read("a");
  await underWay;
  value = "after";
  const late = read("a");
  expect([await early, await late]).toEqual(["before", "after"]);
});

test("a failure is told to all who shared it, and to nobody after them", async () => {
  const { read } = letters();
  const outcomes = await Promise.allSettled([read("a"), read("!")]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(await read("a")).toBe("A");
});
