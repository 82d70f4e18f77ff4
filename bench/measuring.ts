/** One round of work, and what it cost. */
import { secondsBetween, spentBy } from "./accounting.ts";
import { drive } from "./client.ts";
import type { Round } from "./operations.ts";
import type { Running } from "./server.ts";

/** Microseconds of the processor for each answer, and answers a second. */
export type Figures = { readonly server: number; readonly stores: number; readonly rate: number };

export type Load = { readonly connections: number; readonly seconds: number };

/** Fails where one answer is not what it should be. */
export async function measure(
  server: Pick<Running, "port" | "pid">,
  stores: readonly number[],
  round: Round,
  { connections, seconds }: Load,
): Promise<Figures> {
  if (round.warmUp) await drive(server.port, round.warmUp, { connections });
  const before = { server: spentBy([server.pid]), stores: spentBy(stores) };
  const load = { connections, ...(round.endless && { seconds }) };
  const beside = round.beside && everySoOften(round.beside);
  const driven = await drive(server.port, round.work, load);
  await beside?.();
  const spent = {
    server: secondsBetween(before.server, spentBy([server.pid])),
    stores: secondsBetween(before.stores, spentBy(stores)),
  };
  const { answered, wrong, firstWrong } = driven;
  if (wrong > 0) throw new Error(`${wrong} of ${answered + wrong} answers were wrong, the first one: ${firstWrong}`);
  if (answered === 0) throw new Error("nothing was answered");
  if (round.proof && !(await round.proof())) throw new Error("what was answered was not done");
  return {
    server: (spent.server / answered) * 1e6,
    stores: (spent.stores / answered) * 1e6,
    rate: answered / driven.seconds,
  };
}

/** Begins again twenty times a second, as soon as it has ended. The answer ends that. */
function everySoOften(act: () => Promise<unknown>): () => Promise<void> {
  const over = new AbortController();
  const acting = (async () => {
    while (!over.signal.aborted) await Promise.all([act(), Bun.sleep(50)]);
  })();
  return async () => {
    over.abort();
    await acting;
  };
}

export const median = (numbers: readonly number[]): number =>
  numbers.toSorted((one, other) => one - other)[Math.floor(numbers.length / 2)] ?? Number.NaN;
