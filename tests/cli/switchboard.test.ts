import { describe, expect, jest, test } from "bun:test";
import { createSwitchboard } from "../../cli/switchboard.ts";
import type { ToWorker } from "../../src/adapters/workers.ts";

/** Workers on one switchboard, each with what it has been told. */
function stage(number: number) {
  const board = createSwitchboard();
  const workers = Array.from({ length: number }, () => {
    const heard: ToWorker[] = [];
    const line = (message: ToWorker): void => void heard.push(message);
    board.hear(line, "listening");
    const questionOf = (): number => {
      const last = heard.findLast((message) => "question" in message);
      return last && "question" in last ? last.question : -1;
    };
    return {
      heard,
      ask: (ask: number) => board.hear(line, { ask }),
      answer: (answer: unknown) => board.hear(line, { answer, to: questionOf() }),
      leave: () => board.leave(line),
    };
  });
  return workers as [(typeof workers)[number], ...typeof workers];
}

describe("the switchboard", () => {
  test("asks all the others, and brings back what they say", () => {
    const [asker, ...others] = stage(4);
    asker.ask(7);
    for (const [at, one] of others.entries()) {
      expect(asker.heard).toEqual([]);
      one.answer(`of ${at}`);
    }
    expect(asker.heard).toEqual([{ ask: 7, answers: ["of 0", "of 1", "of 2"] }]);
  });

  test("answers one who is alone at once", () => {
    const [alone] = stage(1);
    alone.ask(1);
    expect(alone.heard).toEqual([{ ask: 1, answers: [] }]);
  });

  test("waits for nobody who has ended", () => {
    const [asker, dying, living] = stage(3);
    asker.ask(1);
    living!.answer("here");
    dying!.leave();
    expect(asker.heard).toEqual([{ ask: 1, answers: ["here"] }]);
  });

  test("leaves out who does not answer in time, and overhears what comes later", () => {
    jest.useFakeTimers();
    const [asker, stuck, living] = stage(3);
    asker.ask(1);
    living!.answer("here");
    jest.advanceTimersByTime(999);
    expect(asker.heard).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(asker.heard).toEqual([{ ask: 1, answers: ["here"] }]);
    stuck!.answer("late");
    expect(asker.heard).toHaveLength(1);
    jest.useRealTimers();
  });

  test("says nothing to an asker who has ended meanwhile", () => {
    const [asker, other] = stage(2);
    asker.ask(1);
    asker.leave();
    other!.answer("here");
    expect(asker.heard).toEqual([]);
  });

  test("keeps the questions of several apart", () => {
    const [one, other] = stage(2);
    one.ask(1);
    other!.ask(1);
    one.answer("of one");
    other!.answer("of other");
    expect(one.heard.at(-1)).toEqual({ ask: 1, answers: ["of other"] });
    expect(other!.heard.at(-1)).toEqual({ ask: 1, answers: ["of one"] });
  });
});
