/** The other workers of this server: reached through the supervisor, which passes on what it does not look into. */

/** From a worker: that it listens; a question to all others; an answer to one of theirs. */
export type FromWorker = "listening" | { readonly ask: number } | { readonly answer: unknown; readonly to: number };

/** To a worker: somebody's question; what the others have answered to its own. */
export type ToWorker = { readonly question: number } | { readonly ask: number; readonly answers: readonly unknown[] };

export type Supervisor = {
  send(message: FromWorker): void;
  onMessage(hear: (message: ToWorker) => void): void;
};

/**
 * Lets this worker ask the others for what `answer` gives, and answers them.
 * Whoever does not answer in time is left out: the supervisor sees to that.
 */
export function amongWorkers<T>(supervisor: Supervisor, answer: () => T): () => Promise<readonly T[]> {
  const asked = new Map<number, (answers: readonly T[]) => void>();
  let last = 0;
  supervisor.onMessage((message) => {
    if ("question" in message) {
      supervisor.send({ answer: answer(), to: message.question });
      return;
    }
    asked.get(message.ask)?.(message.answers as readonly T[]);
    asked.delete(message.ask);
  });
  return () => {
    const { promise, resolve } = Promise.withResolvers<readonly T[]>();
    asked.set(++last, resolve);
    supervisor.send({ ask: last });
    return promise;
  };
}
