/** Asks again until the answer is yes. Fails with `what` where that takes longer than `patience` milliseconds. */
export async function until(what: string, holds: () => Promise<boolean> | boolean, patience = 10_000): Promise<void> {
  const deadline = performance.now() + patience;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${patience} ms`);
    await Bun.sleep(10);
  }
}
