/** Lets so many through at a time; the others wait for their turn, in the order in which they came. */
export type Turnstile = {
  /** Resolves when it is one's turn. Rejects with what `late` makes, once that has taken `patience` milliseconds. */
  enter(): Promise<void>;
  leave(): void;
  readonly waiting: number;
};

type Patience = { readonly patience: number; readonly late: () => Error };

export function createTurnstile(places: number, { patience, late }: Patience): Turnstile {
  const queue = new Set<() => void>();
  let inside = 0;
  return {
    async enter() {
      if (inside < places) {
        inside++;
        return;
      }
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const timer = setTimeout(() => {
        queue.delete(resolve);
        reject(late());
      }, patience);
      queue.add(resolve);
      await promise;
      clearTimeout(timer);
    },
    leave() {
      const [next] = queue;
      if (next) {
        queue.delete(next);
        next();
      } else inside--;
    },
    get waiting() {
      return queue.size;
    },
  };
}
