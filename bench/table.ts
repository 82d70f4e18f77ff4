/** Tables for people: columns of text, numbers to the right. */
export function table(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const all = [head, ...rows];
  const widths = head.map((_, at) => Math.max(...all.map((row) => (row[at] ?? "").length)));
  const line = (row: readonly string[]) =>
    widths.map((width, at) => (at === 0 ? row[at]!.padEnd(width) : (row[at] ?? "").padStart(width))).join("  ");
  return all.map((row) => line(row).trimEnd()).join("\n");
}

/** As many digits as mean something. */
export const shown = (number: number | undefined): string => {
  if (number === undefined || Number.isNaN(number)) return "";
  return number >= 100 ? number.toFixed(0) : number >= 10 ? number.toFixed(1) : number.toFixed(2);
};
