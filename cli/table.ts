import { visible, visibleJson } from "./visible.ts";

/** A column of a list: a member of the row, or something made from it. */
export type Column<T> =
  | (keyof T & string)
  | {
      readonly title: string;
      readonly of: (row: T) => unknown;
      /** Never shortened, because people copy it. Columns named `id` are whole anyway. */
      readonly whole?: boolean;
    };

/** A column as the writers use it, whatever the type of its rows. */
export type AnyColumn = { readonly title: string; readonly whole: boolean; readonly of: (row: object) => unknown };

const gap = "  ";
const narrowest = 8;

/** What a member looks like in a cell of text. */
export function cellText(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(cellText).join(", ");
  return typeof value === "string" ? value : visibleJson(value);
}

/** Widths of the columns so that the rows fit into `available` cells, taken from the rows that are already there. */
export function layOut(columns: readonly AnyColumn[], rows: readonly object[], available: number): readonly number[] {
  const widths = columns.map((column) =>
    Math.max(
      Bun.stringWidth(headerOf(column)),
      ...rows.map((row) => Bun.stringWidth(visible(cellText(column.of(row))))),
    ),
  );
  const space = available - gap.length * (columns.length - 1);
  for (let over = sum(widths) - space; over > 0; over--) {
    const widest = Math.max(...widths.map((width, at) => (columns[at]!.whole ? 0 : width)));
    // Then the lines wrap, which is better than to hide what they say.
    if (widest <= narrowest) break;
    widths[widths.findLastIndex((width, at) => width === widest && !columns[at]!.whole)]! -= 1;
  }
  return widths;
}

/** The line above the rows. */
export function headerLine(columns: readonly AnyColumn[], widths: readonly number[]): string {
  return columns
    .map((column, at) => fitted(headerOf(column), widths[at]!))
    .join(gap)
    .trimEnd();
}

export function rowLine(columns: readonly AnyColumn[], widths: readonly number[], row: object): string {
  const cells = columns.map((column, at) => {
    const value = column.of(row);
    const cell = visible(cellText(value));
    const shown = column.whole ? cell : shortened(cell, widths[at]!);
    return typeof value === "number" ? padStart(shown, widths[at]!) : fitted(shown, widths[at]!);
  });
  return cells.join(gap).trimEnd();
}

/** One object, a line for each member. */
export function recordLines(columns: readonly AnyColumn[], row: object): string {
  const titles = columns.map((column) => words(column.title));
  const width = Math.max(0, ...titles.map((title) => Bun.stringWidth(title)));
  return columns
    .map((column, at) => `${fitted(titles[at]!, width)}${gap}${visible(cellText(column.of(row)))}`.trimEnd())
    .join("\n");
}

/** `createdAt` → `created at`. */
function words(title: string): string {
  return visible(title.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase());
}

function headerOf(column: AnyColumn): string {
  return words(column.title).toUpperCase();
}

function fitted(cell: string, width: number): string {
  return cell + " ".repeat(Math.max(0, width - Bun.stringWidth(cell)));
}

function padStart(cell: string, width: number): string {
  return " ".repeat(Math.max(0, width - Bun.stringWidth(cell))) + cell;
}

function shortened(cell: string, width: number): string {
  if (Bun.stringWidth(cell) <= width) return cell;
  let kept = "";
  for (const { segment } of new Intl.Segmenter().segment(cell)) {
    if (Bun.stringWidth(kept + segment) > width - 1) break;
    kept += segment;
  }
  return `${kept}…`;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
