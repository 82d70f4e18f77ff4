const units = ["KiB", "MiB", "GiB", "TiB"] as const;

/** A number of bytes as people read it: `12.3 MiB`. */
export function formatSize(bytes: number): string {
  // A number that rounds to 1024 is one of the next unit.
  const power = units.findLastIndex((_, at) => Math.abs(bytes) >= 1024 ** (at + 1) - 0.05 * 1024 ** at);
  return power < 0 ? `${bytes} B` : `${(bytes / 1024 ** (power + 1)).toFixed(1)} ${units[power]}`;
}
