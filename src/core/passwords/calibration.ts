/** Which parameters of argon2id a machine can afford (rule PW-1). */

export type Cost = {
  /** KiB. */
  readonly memory: number;
  readonly passes: number;
};

export type Measured = Cost & { readonly milliseconds: number };

/** OWASP's first choice: nothing below it is recommended, however slow the machine is. */
export const floor: Cost = { memory: 19_456, passes: 2 };

/** More passes than these no stored hash is read with. */
const mostPasses = 10;

/**
 * The most expensive parameters whose hash takes no longer than `target` milliseconds: memory before passes, as
 * memory is what whoever guesses has to pay for. `measured` is everything that was tried; the last one that fits is
 * the recommended one, or the first where none does.
 */
export async function calibrate(
  { target, mostMemory }: { readonly target: number; readonly mostMemory: number },
  measure: (cost: Cost) => Promise<number>,
): Promise<{ readonly recommended: Measured; readonly measured: readonly Measured[] }> {
  const measured: Measured[] = [];
  let recommended: Measured | undefined;
  for (const cost of ladder(mostMemory)) {
    const one = { ...cost, milliseconds: await measure(cost) };
    measured.push(one);
    if (one.milliseconds > target) break;
    recommended = one;
  }
  return { recommended: recommended ?? measured[0]!, measured };
}

/** From the floor on, each step about a third dearer than the one before it. */
function* ladder(mostMemory: number): Generator<Cost> {
  let { memory, passes } = floor;
  yield floor;
  for (let next = memory; (next = Math.floor((next * 4) / 3 / 1024) * 1024) <= mostMemory; ) {
    memory = next;
    yield { memory, passes };
  }
  while (++passes <= mostPasses) yield { memory, passes };
}
