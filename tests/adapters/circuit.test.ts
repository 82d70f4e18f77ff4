import { beforeEach, describe, expect, test } from "bun:test";
import { createCircuit, Unanswered } from "../../src/adapters/circuit.ts";
import { createTestClock, type TestClock } from "../support/clock.ts";

const patience = 16;
const pause = 1_000;

let clock: TestClock;
let told: string[];
let circuit: ReturnType<typeof createCircuit>;
let asked: number;

beforeEach(() => {
  clock = createTestClock();
  told = [];
  asked = 0;
  const onDown = (why: string) => void told.push(`down: ${why}`);
  circuit = createCircuit({ clock, tolerance: 3, pause, onDown, onBack: () => void told.push("back") });
});

const silence = () => {
  asked++;
  return new Promise<string>(() => {});
};
const answer = () => {
  asked++;
  return Promise.resolve("answer");
};
const ask = (question: () => Promise<string>) => circuit.ask(question, { patience });
/** How it ends: with the answer, or with the reason why there is none. */
const outcome = (work: Promise<string>): Promise<string> =>
  work.catch((error: unknown) => (error instanceof Unanswered ? error.code : String(error)));
/** Asks what is never answered, and lets the time pass for it. */
const askInVain = async (): Promise<string> => {
  const ended = outcome(ask(silence));
  clock.advance(patience);
  return await ended;
};
const goDown = async () => {
  for (let failures = 0; failures < 3; failures++) await askInVain();
};

describe("a question", () => {
  test("waits for its answer to the end of its patience, and leaves no timer behind", async () => {
    const late = Promise.withResolvers<string>();
    const ended = outcome(ask(() => late.promise));
    clock.advance(patience - 1);
    late.resolve("late");
    expect(await ended).toBe("late");
    expect(clock.pending).toBe(0);
  });

  test("has failed after that, and what comes later is not heard", async () => {
    expect(await askInVain()).toBe("too_slow");
    expect(clock.pending).toBe(0);
  });

  test("that fails fails with its own error", async () => {
    const error = new Error("broken");
    expect(await outcome(ask(() => Promise.reject(error)))).toBe("Error: broken");
  });
});

describe("an outage", () => {
  test("costs three questions their patience, and the others nothing, for a second at a time", async () => {
    await goDown();
    for (let more = 0; more < 1000; more++) expect(await outcome(ask(silence))).toBe("resting");
    expect(asked).toBe(3);

    clock.advance(pause);
    // One finds out that nothing has changed; whoever comes meanwhile does not wait with it.
    const probe = outcome(ask(silence));
    expect(await outcome(ask(silence))).toBe("resting");
    clock.advance(patience);
    expect(await probe).toBe("too_slow");
    expect(await outcome(ask(silence))).toBe("resting");
    expect(asked).toBe(4);
    expect(told).toEqual(["down: too_slow"]);
  });

  test("is over with the first answer", async () => {
    await goDown();
    clock.advance(pause);
    expect(await ask(answer)).toBe("answer");
    expect(await ask(answer)).toBe("answer");
    expect(told).toEqual(["down: too_slow", "back"]);
  });

  test("does not begin with failures that are not in a row", async () => {
    for (let round = 0; round < 10; round++) {
      await askInVain();
      await askInVain();
      await ask(answer);
    }
    expect(told).toEqual([]);
  });

  test("does not begin with many failures at the same moment", async () => {
    const all = Array.from({ length: 50 }, () => outcome(ask(silence)));
    clock.advance(patience);
    expect(new Set(await Promise.all(all))).toEqual(new Set(["too_slow"]));
    expect(await ask(answer)).toBe("answer");
    expect(told).toEqual([]);
  });

  test("does not keep from asking what has to be asked", async () => {
    await goDown();
    expect(await circuit.ask(answer, { patience, insist: true })).toBe("answer");
    expect(told).toEqual(["down: too_slow", "back"]);
  });

  test("that is known of begins and ends at once, and is told once", async () => {
    circuit.trip(new Unanswered("closed"));
    circuit.trip(new Unanswered("closed"));
    expect(await outcome(ask(answer))).toBe("resting");
    circuit.mend();
    circuit.mend();
    expect(await ask(answer)).toBe("answer");
    expect(told).toEqual(["down: closed", "back"]);
    expect(clock.pending).toBe(0);
  });
});
