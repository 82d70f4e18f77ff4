/** Asks again until the answer is yes. Fails with `what` where that takes longer than `patience` milliseconds. */
export async function until(what: string, holds: () => Promise<boolean> | boolean, patience = 10_000): Promise<void> {
  const deadline = performance.now() + patience;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${patience} ms`);
    await Bun.sleep(10);
  }
}

/** What another process has done is there for a request that comes after it, with a turn of the event loop of its own. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
