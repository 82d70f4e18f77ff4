/** Passes questions from one worker to all others, and brings back what they answer. */
import type { FromWorker, ToWorker } from "../src/adapters/workers.ts";

/** How long the answers may take, in milliseconds: a worker that is stuck must not hide what the others say. */
const patience = 1_000;

type Line = (message: ToWorker) => void;

type Question = { readonly waitingFor: Set<Line>; readonly answers: unknown[]; readonly end: () => void };

export function createSwitchboard() {
  const lines = new Set<Line>();
  const questions = new Map<number, Question>();
  let last = 0;

  const settle = ({ waitingFor, end }: Question, line: Line): void => {
    if (waitingFor.delete(line) && waitingFor.size === 0) end();
  };

  const ask = (asker: Line, number: number): void => {
    const id = ++last;
    const answers: unknown[] = [];
    const end = (): void => {
      clearTimeout(deadline);
      if (questions.delete(id) && lines.has(asker)) asker({ ask: number, answers });
    };
    const deadline = setTimeout(end, patience);
    const waitingFor = new Set([...lines].filter((line) => line !== asker));
    questions.set(id, { waitingFor, answers, end });
    if (waitingFor.size === 0) end();
    for (const line of waitingFor) line({ question: id });
  };

  return {
    /** Takes in what a worker says. It is asked nothing before it has said something. */
    hear(line: Line, message: FromWorker): void {
      lines.add(line);
      if (message === "listening") return;
      if ("ask" in message) return ask(line, message.ask);
      const question = questions.get(message.to);
      question?.answers.push(message.answer);
      if (question) settle(question, line);
    },
    /** The worker has ended: nobody waits for it any more. */
    leave(line: Line): void {
      lines.delete(line);
      for (const question of questions.values()) settle(question, line);
    },
  };
}
