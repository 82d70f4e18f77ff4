/** Chance that comes the same way for the same seed, so that a failure can be had again. */
export type Chance = {
  /** From 0 to below `bound`. */
  below(bound: number): number;
  pick<T>(choices: readonly T[]): T;
};

/** mulberry32: small, and even enough for choosing moments. */
export function seededChance(seed: number): Chance {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (bound: number): number => Math.floor(next() * bound);
  return {
    below,
    pick: <T>(choices: readonly T[]): T => {
      if (choices.length === 0) throw new RangeError("there is nothing to choose from");
      return choices[below(choices.length)]!;
    },
  };
}

/** A whole number from the environment, for runs that are longer than those of every day. */
export const wholeFrom = (name: string, fallback: number): number => Number(process.env[name] ?? fallback);
