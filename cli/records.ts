/** Files of records, read as they come: lines of JSON, CSV, and one JSON document. One record at a time is in memory. */
import { type Incoming, recogniseSource } from "../src/core/importing/candidates.ts";

export const containers = ["ndjson", "csv", "json"] as const;
export type Container = (typeof containers)[number];

type Bytes = AsyncIterable<Uint8Array>;

/** The longest record that is read, in bytes. */
const longest = 1024 * 1024;
/** How far one user may be from the next in a JSON document, which may hold other things before and behind them. */
const farthest = 16 * longest;
const newline = 0x0a;

/** What a file begins with tells how it is to be read. Answers that, and the bytes from their beginning. */
export async function guessContainer(bytes: Bytes): Promise<{ container: Container; bytes: Bytes }> {
  const source = bytes[Symbol.asyncIterator]();
  const pieces: Uint8Array[] = [];
  let start = "";
  // The first line says all; where there is none that is not too long, its beginning does.
  while (start.length < longest && !start.trimStart().includes("\n")) {
    const next = await source.next();
    if (next.done) break;
    pieces.push(next.value);
    start += Buffer.from(next.value).toString("latin1");
  }
  async function* again(): AsyncGenerator<Uint8Array> {
    try {
      yield* pieces;
      for (let next = await source.next(); !next.done; next = await source.next()) yield next.value;
    } finally {
      await source.return?.();
    }
  }
  return { container: containerOf(start.replace(/^\u00ef\u00bb\u00bf/, "").trimStart()), bytes: again() };
}

function containerOf(start: string): Container {
  if (start.startsWith("[")) return "json";
  if (!start.startsWith("{")) return "csv";
  const [line = ""] = start.split("\n");
  const first = parseJson(line);
  const isUser = typeof first === "object" && first !== null && !("users" in first);
  return isUser ? "ndjson" : "json";
}

const readers = { ndjson: ndjsonRecords, csv: csvRecords, json: jsonRecords };

export const readRecords = (container: Container, bytes: Bytes): AsyncGenerator<Incoming> => readers[container](bytes);

async function* ndjsonRecords(bytes: Bytes): AsyncGenerator<Incoming> {
  let line = 0;
  for await (const text of linesOf(bytes)) {
    line++;
    if (text === undefined) yield { line, problem: "too_large" };
    else if (text.trim() !== "") {
      const value = parseJson(text);
      yield value === undefined ? { line, problem: "unreadable" } : { line, value };
    }
  }
}

/** The lines, and `undefined` in the place of one that is too long: of that nothing is kept. */
async function* linesOf(bytes: Bytes): AsyncGenerator<string | undefined> {
  let pieces: Uint8Array[] = [];
  let length = 0;
  let first = true;
  const take = (): string | undefined => {
    const text = length > longest ? undefined : Buffer.concat(pieces).toString("utf8");
    [pieces, length] = [[], 0];
    const whole = first ? text?.replace(/^\ufeff/, "") : text;
    first = false;
    return whole;
  };
  for await (const chunk of bytes) {
    let from = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, from)) {
      keep(chunk.subarray(from, end));
      from = end + 1;
      yield take();
    }
    keep(chunk.subarray(from));
  }
  if (length > 0) yield take();

  function keep(piece: Uint8Array): void {
    length += piece.length;
    if (length > longest) pieces = [];
    else pieces.push(piece);
  }
}

/** Records under the names of the first one; an empty cell is null. */
async function* csvRecords(bytes: Bytes): AsyncGenerator<Incoming> {
  const { parse } = await import("csv-parse");
  let found: Incoming[] = [];
  let header: readonly string[] | undefined;
  let isOurs = false;
  const take = (cells: readonly string[], line: number): void => {
    if (header === undefined) {
      header = cells.map((name) => name.trim());
      isOurs = recogniseSource(recordOf(header, header, false)) === "authctl";
    } else if (cells.length !== header.length) found.push({ line, problem: "unreadable" });
    else found.push({ line, value: recordOf(header, cells, isOurs) });
  };
  const parser = parse({
    bom: true,
    skip_empty_lines: true,
    relax_column_count: true,
    max_record_size: longest,
    // Taken here, because the stream forgets at an error what it had read before it.
    on_record: (cells: string[], { lines }) => {
      take(cells, lines);
      return null;
    },
  });
  const { promise: over, resolve } = Promise.withResolvers<boolean>();
  parser.on("error", () => resolve(true)).on("end", () => resolve(false));
  parser.resume();

  for await (const chunk of bytes) {
    const { promise: written, resolve: next } = Promise.withResolvers<unknown>();
    parser.write(chunk, next);
    const failed = await written;
    yield* found;
    found = [];
    if (failed) break;
  }
  parser.end();
  const isBroken = await over;
  yield* found;
  if (isBroken) yield { line: parser.info.lines, problem: "broken" };
}

/** @param isOurs whether a `'` is taken away that our own export has put before what a spreadsheet would run */
function recordOf(header: readonly string[], cells: readonly string[], isOurs: boolean): object {
  const record: Record<string, string | null> = Object.create(null);
  for (const [at, name] of header.entries()) {
    const cell = cells[at] ?? "";
    record[name] = cell === "" ? null : isOurs ? cell.replace(/^'(?=[=+\-@\t\r\n＝＋－＠])/, "") : cell;
  }
  return record;
}

/** The members of an array, or of the member `users` of an object. */
async function* jsonRecords(bytes: Bytes): AsyncGenerator<Incoming> {
  const { JSONParser } = await import("@streamparser/json");
  let found: unknown[] = [];
  let broken = false;
  let since = 0;
  let line = 0;
  const open = (start: string) => {
    const parser = new JSONParser({ paths: [start === "[" ? "$.*" : "$.users.*"], keepStack: false });
    parser.onValue = ({ value }) => void found.push(value);
    parser.onError = () => {
      broken = true;
    };
    return parser;
  };
  let parser: ReturnType<typeof open> | undefined;
  for await (const chunk of bytes) {
    const text = Buffer.from(chunk);
    const piece = parser ? text : withoutMark(text);
    parser ??= open(piece.toString("latin1").trimStart().charAt(0));
    parser.write(piece);
    since = found.length > 0 ? 0 : since + piece.length;
    for (const value of found) yield { line: ++line, value };
    found = [];
    if (broken || since > farthest) break;
  }
  if (broken || !parser?.isEnded) yield { line: line + 1, problem: "broken" };
}

const withoutMark = (text: Buffer): Buffer => (text.toString("hex", 0, 3) === "efbbbf" ? text.subarray(3) : text);

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
