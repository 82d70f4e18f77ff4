/**
 * The same reading for many keys at once: whatever is asked for in one turn of the event loop shares a statement.
 * Where each question is a round trip, that is most of what an answer costs. Nobody is told what was read before
 * they asked.
 */
export function gathered<Found>(
  most: number,
  readAll: (keys: readonly string[]) => Promise<ReadonlyMap<string, Found>>,
): (key: string) => Promise<Found | undefined> {
  let asked = new Set<string>();
  let answers: Promise<ReadonlyMap<string, Found>> | undefined;

  const afterThisTurn = async () => {
    await new Promise((turn) => setImmediate(turn));
    const keys = [...asked];
    asked = new Set();
    answers = undefined;
    if (keys.length <= most) return await readAll(keys);
    const parts: Array<readonly string[]> = [];
    for (let at = 0; at < keys.length; at += most) parts.push(keys.slice(at, at + most));
    return new Map((await Promise.all(parts.map(readAll))).flatMap((found) => [...found]));
  };

  return async (key) => {
    asked.add(key);
    answers ??= afterThisTurn();
    return (await answers).get(key);
  };
}
