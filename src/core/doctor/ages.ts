const units = [
  [86_400_000, "day"],
  [3_600_000, "hour"],
  [60_000, "minute"],
  [1000, "second"],
] as const;

/** `3 days`, `90 seconds`: whole units of the largest that there are two of. */
export function formatAge(milliseconds: number): string {
  const [unit, name] = units.find(([one]) => milliseconds >= 2 * one) ?? units[3];
  const number = Math.max(0, Math.floor(milliseconds / unit));
  return `${number} ${name}${number === 1 ? "" : "s"}`;
}
