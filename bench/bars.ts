/** What each figure is held to. A run prints it beside the figure, and whether it is met. */

const onSqlite = (most: number) => ({ "authctl-sqlite": most });

/**
 * The most that a ratio to the limit may be, by operation and subject; of a start in milliseconds, of memory in MiB. A
 * forged credential may cost what a good one may, a list twice and a sign-out three times as much.
 */
export const bars: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  "check-token": onSqlite(1.8),
  "check-cookie": onSqlite(1.8),
  "check-access": onSqlite(2),
  "check-new-access": onSqlite(6),
  forged: onSqlite(1.8),
  list: onSqlite(2 * 1.8),
  "sign-out": onSqlite(3 * 1.8),
  "sign-in": onSqlite(1.05),
  start: onSqlite(150),
  idle: onSqlite(70),
  peak: onSqlite(160),
};

/** How much more an operation may cost with a hundred or a thousand times as many rows than the limit does: the ratio of their ratios. */
export const growthBar = 1.1;

/** How many times as many answers two workers on two cores give as one on one. */
export const workersBar = 1.6;
