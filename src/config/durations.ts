const unitsOfTime = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A length of time such as `15m`, in milliseconds. */
export function parseDuration(value: string): number | undefined {
  const [, amount, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(value) ?? [];
  return amount && unit ? Number(amount) * unitsOfTime[unit as keyof typeof unitsOfTime] : undefined;
}

export function formatDuration(milliseconds: number): string {
  for (const unit of ["d", "h", "m", "s"] as const) {
    if (milliseconds > 0 && milliseconds % unitsOfTime[unit] === 0) return `${milliseconds / unitsOfTime[unit]}${unit}`;
  }
  return milliseconds === 0 ? "0s" : `${milliseconds}ms`;
}
