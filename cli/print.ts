import { Interrupted } from "./interruption.ts";
import type { Output } from "./io.ts";
import {
  type AnyColumn,
  type Column,
  cellText,
  headerLines,
  type Layout,
  layOut,
  recordLines,
  rowLines,
} from "./table.ts";
import { visible, visibleJson, visibleLines } from "./visible.ts";

/** `table` is for eyes and `lines` for pipes: rows of cells between tabs, without a header, as cut(1) and awk(1) like them. */
export type Format = "table" | "lines" | "json" | "ndjson" | "csv" | "id";

/** A list, whole or as it comes: row by row, or page by page. */
export type Rows<T> = readonly T[] | AsyncIterable<T | readonly T[]>;

/** Rows that are looked at for the widths of a table, where they come one by one. */
const sample = 100;

/**
 * Writes `value` to `output`: a list, one object, or a bare text. A list is written as it comes, so memory holds one page of it.
 * Ends with `Interrupted` at the next page once `signal` is aborted; JSON is then left open, so that no reader takes a part for the whole.
 * Answers how many rows there were.
 */
export async function printTo<T>(
  output: Output,
  value: T | Rows<T>,
  columns: readonly Column<T>[] | undefined,
  { format, signal }: { readonly format: Format; readonly signal: AbortSignal },
): Promise<number> {
  const chosen = columns?.map(anyColumn);
  if (isRows(value)) return writeRows(output, pagesOf(value, format === "table" ? sample : 1), chosen, format, signal);
  if (!isRecord(value)) {
    const bare = cellText(value);
    const line =
      format === "json" || format === "ndjson" ? visibleJson(value) : output.isTTY ? visibleLines(bare) : bare;
    await output.write(`${line}\n`);
  } else {
    await output.write(`${recordText(value, chosen ?? columnsOf(value), format, output)}\n`);
  }
  return 1;
}

function recordText(row: object, columns: readonly AnyColumn[], format: Format, output: Output): string {
  switch (format) {
    case "table":
      return recordLines(columns, row, output.columns);
    case "lines":
      return columns.map((column) => `${visible(column.title)}\t${visible(cellText(column.of(row)))}`).join("\n");
    case "json":
      return visibleJson(row, output.isTTY ? 2 : undefined);
    case "csv":
      return `${csvHeader(columns)}\n${rowText(row, columns, format, output)}`;
    default:
      return rowText(row, columns, format, output);
  }
}

async function writeRows(
  output: Output,
  pages: AsyncIterable<readonly object[]>,
  chosen: readonly AnyColumn[] | undefined,
  format: Format,
  signal: AbortSignal,
): Promise<number> {
  const indented = format === "json" && output.isTTY;
  const [open, between, close] = indented ? ["[\n", ",\n", "\n]\n"] : ["[", ",", "]\n"];
  let columns = chosen ?? [];
  let layout: Layout | undefined;
  let count = 0;
  if (format === "csv" && chosen) await output.write(`${csvHeader(columns)}\n`);
  for await (const page of pages) {
    if (page.length === 0) continue;
    if (!chosen && count === 0) {
      columns = columnsOf(page[0]!);
      if (format === "csv") await output.write(`${csvHeader(columns)}\n`);
    }
    let text = "";
    if (format === "table" && count === 0) {
      layout = layOut(columns, page, output.columns);
      if (layout) text = `${headerLines(layout)}\n`;
    }
    for (const row of page) {
      if (format === "json") {
        const json = visibleJson(row, indented ? 2 : undefined);
        text += (count === 0 ? open : between) + (indented ? json.replace(/^/gm, "  ") : json);
      } else if (format === "table") {
        // Without room for a table, each row is shown as one object, and an empty line parts it from the one before.
        text += layout
          ? `${rowLines(layout, row)}\n`
          : `${count === 0 ? "" : "\n"}${recordText(row, columns, format, output)}\n`;
      } else {
        text += `${rowText(row, columns, format, output)}\n`;
      }
      count++;
    }
    await output.write(text);
    if (signal.aborted) throw signal.reason instanceof Error ? signal.reason : new Interrupted();
  }
  if (format === "json") await output.write(count === 0 ? "[]\n" : close);
  return count;
}

/** A row on one line of its own. */
function rowText(row: object, columns: readonly AnyColumn[], format: Format, output: Output): string {
  switch (format) {
    case "ndjson":
    case "json":
      return visibleJson(row);
    case "csv":
      return columns.map((column) => csvCell(column.of(row), output.isTTY)).join(",");
    case "id":
      return visible(cellText("id" in row ? row.id : columns[0]?.of(row)));
    default:
      return columns.map((column) => visible(cellText(column.of(row)))).join("\t");
  }
}

function csvHeader(columns: readonly AnyColumn[]): string {
  return columns.map((column) => csvCell(column.title, true)).join(",");
}

/** RFC 4180. A text that a spreadsheet would run as a formula gets a `'` before it (OWASP, CSV injection). */
function csvCell(value: unknown, forTerminal: boolean): string {
  const text = forTerminal ? visible(cellText(value)) : cellText(value);
  const harmless = typeof value !== "number" && /^[=+\-@\t\r\n＝＋－＠]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

const defaults = { whole: false, spare: false } as const;

/** The column for whatever row comes. */
export function anyColumn<T>(column: Column<T>): AnyColumn {
  if (typeof column === "string") return member(column);
  // The rows that come to it are those that `print` was typed with
  return { ...defaults, ...column, of: column.of as AnyColumn["of"] };
}

function columnsOf(row: object): AnyColumn[] {
  return Object.keys(row).map(member);
}

function member(key: string): AnyColumn {
  return { ...defaults, title: key, whole: key === "id" || key === "kid", of: (row): unknown => Reflect.get(row, key) };
}

/** One object: neither a list nor a bare value. */
export function isRecord(value: unknown): value is object {
  return typeof value === "object" && value !== null && !isRows(value) && !(value instanceof Date);
}

function isRows<T>(value: T | Rows<T>): value is Rows<T> & Rows<object> {
  return Array.isArray(value) || (typeof value === "object" && value !== null && Symbol.asyncIterator in value);
}

async function* pagesOf(rows: Rows<object>, size: number): AsyncGenerator<readonly object[]> {
  if (!(Symbol.asyncIterator in rows)) {
    yield rows;
    return;
  }
  let page: object[] = [];
  let first = true;
  for await (const each of rows) {
    if (Array.isArray(each)) {
      yield each;
      continue;
    }
    page.push(each);
    // Only the first page of a table waits for company: it gives the widths.
    if (page.length < (first ? size : 1)) continue;
    yield page;
    page = [];
    first = false;
  }
  if (page.length > 0) yield page;
}
