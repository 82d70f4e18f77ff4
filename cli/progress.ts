import { formatDuration } from "../src/config/durations.ts";
import type { Io } from "./io.ts";
import { visible } from "./visible.ts";

/** How far work has come. On a terminal a bar from the third second on; nowhere else anything. */
export type Progress = {
  /** So many `more` are done. */
  advance(more?: number): void;
  /** Takes the bar away. */
  end(): void;
};

/** The line of the terminal that a bar stands on. A message first clears it; the bar comes back with the next advance. */
export type BarLine = { draw(text: string): void; clear(): void };

const patience = 2000;
const betweenDrawings = 100;
const cells = 24;

/** A bar over `total` things, or a count where nobody knows how many there are. */
export function progressOn(
  line: BarLine | undefined,
  io: Pick<Io, "now" | "stderr">,
  total: number | undefined,
  label: string,
): Progress {
  const start = io.now().getTime();
  let done = 0;
  let drawn = start;
  return {
    advance(more = 1) {
      done += more;
      const now = io.now().getTime();
      if (!line || now - start < patience || now - drawn < betweenDrawings) return;
      drawn = now;
      line.draw(barText({ label, done, total, elapsed: now - start }).slice(0, io.stderr.columns - 1));
    },
    end() {
      line?.clear();
    },
  };
}

function barText({
  label,
  done,
  total,
  elapsed,
}: {
  label: string;
  done: number;
  total: number | undefined;
  elapsed: number;
}): string {
  const rate = (done / elapsed) * 1000;
  const speed = `${count(Math.round(rate))}/s`;
  if (!total) return `${visible(label)}  ${count(done)}  ${speed}`;
  const share = Math.min(1, done / total);
  const bar = "█".repeat(Math.round(share * cells)).padEnd(cells, "░");
  const left = rate > 0 ? Math.ceil(Math.max(0, total - done) / rate) * 1000 : undefined;
  const remaining = left === undefined ? "" : `  ${shortened(left)} left`;
  return `${visible(label)}  ${bar}  ${count(done)} of ${count(total)}  ${speed}${remaining}`;
}

/** `90s` rather than `1m30s`, and no seconds behind hours: a guess deserves no more. */
function shortened(milliseconds: number): string {
  const unit = milliseconds < 120_000 ? 1000 : 60_000;
  return formatDuration(Math.ceil(milliseconds / unit) * unit);
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}
