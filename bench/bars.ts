/** What each figure is held to. A run prints it beside the figure, and whether it is met. */

/** The most that a ratio to the limit may be, by operation and subject. */
export const bars: Readonly<Record<string, Readonly<Record<string, number>>>> = {};

/** How much more an operation may cost with a hundred or a thousand times as many rows than the limit does: the ratio of their ratios. */
export const growthBar = 1.1;

/** How many times as many answers two workers on two cores give as one on one. */
export const workersBar = 1.6;
