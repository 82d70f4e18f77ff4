import { visible, visibleJson } from "./visible.ts";

/** A column of a list: a member of the row, or something made from it. */
export type Column<T> =
  | (keyof T & string)
  | {
      readonly title: string;
      readonly of: (row: T) => unknown;
      /** Never shortened, but broken at spaces: what people copy, and sentences. Columns named `id` are whole anyway. */
      readonly whole?: boolean;
      /** Left out of a table that has no room for it. */
      readonly spare?: boolean;
    };

/** A column as the writers use it, whatever the type of its rows. */
export type AnyColumn = {
  readonly title: string;
  readonly whole: boolean;
  readonly spare: boolean;
  readonly of: (row: object) => unknown;
};

/** The columns of a table for which there is room, how wide each is, and whether it holds numbers. */
export type Layout = ReadonlyArray<{ readonly column: AnyColumn; readonly width: number; readonly counts: boolean }>;

const gap = "  ";
/** A text is not shortened to less than this. */
const narrowest = 8;
/** Nor is it to more than this, as long as that makes room for another column. */
const comfortable = 24;

/** What a member looks like in a cell of text. */
export function cellText(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(cellText).join(", ");
  return typeof value === "string" ? value : visibleJson(value);
}

const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

/** The same for people: times to the second, and words in the place of punctuation. */
function shown(value: unknown): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(shown).join(", ");
  if (typeof value === "object" && value !== null && !(value instanceof Date)) {
    const told = Object.entries(value).filter(([, member]) => member !== null && member !== undefined);
    return told.map(([name, member]) => `${words(name)} ${shown(member)}`).join(", ");
  }
  const text = visible(cellText(value));
  return time.test(text) ? text.replace(/\.\d+Z$/, "Z") : text;
}

/** A part of a time or of a number would be another one. */
const isRigid = (value: unknown, text: string): boolean => typeof value === "number" || time.test(text);

/**
 * What fits of `columns` into `available` cells, measured by the rows that are already there; undefined where not
 * even what has to be there does.
 */
export function layOut(columns: readonly AnyColumn[], rows: readonly object[], available: number): Layout | undefined {
  const all = columns.map((column) => measured(column, rows));
  const room = (some: typeof all, width: (one: (typeof all)[number]) => number): number =>
    available - gap.length * (some.length - 1) - some.reduce((sum, one) => sum + width(one), 0);
  let chosen = all.filter(({ column }) => !column.spare);
  for (const one of all.filter(({ column }) => column.spare)) {
    const more = all.filter((each) => each === one || chosen.includes(each));
    if (room(more, ({ natural, least }) => Math.max(least, Math.min(natural, comfortable))) >= 0) chosen = more;
  }
  if (room(chosen, ({ least }) => least) < 0) return undefined;
  const widths = chosen.map(({ natural }) => natural);
  for (let over = -room(chosen, ({ natural }) => natural); over > 0; over--) {
    const widest = Math.max(...widths.filter((width, at) => width > chosen[at]!.least));
    widths[widths.findLastIndex((width, at) => width === widest && width > chosen[at]!.least)]! -= 1;
  }
  return chosen.map(({ column, counts }, at) => ({ column, counts, width: widths[at]! }));
}

function measured(column: AnyColumn, rows: readonly object[]) {
  const cells = rows.map((row) => {
    const value = column.of(row);
    const text = shown(value);
    const width = Bun.stringWidth(text);
    const least = isRigid(value, text) ? width : column.whole ? longestWord(text) : Math.min(width, narrowest);
    return { width, least, counts: typeof value === "number" };
  });
  const header = headerOf(column);
  return {
    column,
    counts: cells.some(({ counts }) => counts),
    natural: Math.max(Bun.stringWidth(header), ...cells.map(({ width }) => width)),
    least: Math.max(Math.min(longestWord(header), narrowest), ...cells.map(({ least }) => least)),
  };
}

const longestWord = (text: string): number => Math.max(...text.split(" ").map((word) => Bun.stringWidth(word)));

/** What stands above the rows. */
export function headerLines(layout: Layout): string {
  return inLines(
    layout.map(({ column, width, counts }) => ({ lines: broken(headerOf(column), width, true), width, atEnd: counts })),
  );
}

export function rowLines(layout: Layout, row: object): string {
  return inLines(
    layout.map(({ column, width }) => {
      const value = column.of(row);
      const text = shown(value);
      const isWhole = column.whole || isRigid(value, text);
      const lines = isWhole ? broken(text, width) : [shortened(text, width)];
      return { lines, width, atEnd: typeof value === "number" };
    }),
  );
}

type Cell = { readonly lines: readonly string[]; readonly width: number; readonly atEnd: boolean };

function inLines(cells: readonly Cell[]): string {
  const height = Math.max(...cells.map(({ lines }) => lines.length));
  return Array.from({ length: height }, (_, at) =>
    cells
      .map(({ lines, width, atEnd }) => {
        const text = lines[at] ?? "";
        const padding = " ".repeat(Math.max(0, width - Bun.stringWidth(text)));
        return atEnd ? padding + text : text + padding;
      })
      .join(gap)
      .trimEnd(),
  ).join("\n");
}

/** One object, a line for each member; what is too long goes on below. */
export function recordLines(columns: readonly AnyColumn[], row: object, available: number): string {
  const titles = columns.map((column) => words(column.title));
  const width = Math.max(0, ...titles.map((title) => Bun.stringWidth(title)));
  const room = Math.max(comfortable, available - width - gap.length);
  return columns
    .map((column, at) =>
      inLines([
        { lines: [titles[at]!], width, atEnd: false },
        { lines: broken(shown(column.of(row)), room), width: room, atEnd: false },
      ]),
    )
    .join("\n");
}

/** `createdAt` and `created_at` → `created at`. */
function words(title: string): string {
  return visible(
    title
      .replace(/([a-z])([A-Z])/g, "$1 $2")
      .replaceAll("_", " ")
      .toLowerCase(),
  );
}

function headerOf(column: AnyColumn): string {
  return words(column.title).toUpperCase();
}

/** At spaces; a word that is too long stays whole unless it is to be broken, too. */
function broken(text: string, width: number, hard = false): readonly string[] {
  return Bun.stringWidth(text) <= width ? [text] : Bun.wrapAnsi(text, width, { hard }).split("\n");
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
