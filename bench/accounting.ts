/** What processes have had of the processor and of the memory, as Linux tells it. */
import { readdirSync, readFileSync } from "node:fs";

/** Seconds of the processor: counted in hundredths; and to the nanosecond, but without threads that have ended. */
export type Spent = { readonly ticks: number; readonly exact: number };

/** `undefined` where the process or the thread has ended meanwhile. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
}

/** What stands in `/proc/PID/stat` behind the name, in which there may be anything. */
const fieldsOf = (pid: number): string[] =>
  read(`/proc/${pid}/stat`)
    ?.replace(/^.*\) /s, "")
    .split(" ") ?? [];

export const parentOf = (pid: number): number => Number(fieldsOf(pid)[1]);

/** The processes and all that they have begun. */
export function familyOf(pids: readonly number[]): number[] {
  const everybody = readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
  const children = Map.groupBy(everybody, parentOf);
  const withChildren = (pid: number): number[] => [pid, ...(children.get(pid) ?? []).flatMap(withChildren)];
  return pids.flatMap(withChildren);
}

export function spentBy(pids: readonly number[]): Spent {
  let [ticks, exact] = [0, 0];
  for (const pid of familyOf(pids)) {
    const fields = fieldsOf(pid);
    // Its own time in user and system mode, and that of its children that have ended.
    ticks += fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) / 100;
    for (const thread of threadsOf(pid)) {
      exact += Number(read(`/proc/${pid}/task/${thread}/schedstat`)?.split(" ")[0] ?? 0) / 1e9;
    }
  }
  return { ticks, exact };
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** Seconds between two counts. The exact ones where no thread has ended in between. */
export function secondsBetween(before: Spent, after: Spent): number {
  const ticks = after.ticks - before.ticks;
  const exact = after.exact - before.exact;
  return Math.abs(exact - ticks) <= 0.03 ? exact : ticks;
}

/** Memory in MiB: now, or the most that there has been. */
export function memoryOf(pids: readonly number[], which: "VmRSS" | "VmHWM"): number {
  const line = new RegExp(`${which}:\\s+(\\d+)`);
  return familyOf(pids).reduce(
    (sum, pid) => sum + Number(line.exec(read(`/proc/${pid}/status`) ?? "")?.[1] ?? 0) / 1024,
    0,
  );
}
