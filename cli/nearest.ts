/** Edits between two words: insert, delete, replace, or swap neighbours (Damerau and Levenshtein, optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      row[j] = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        row[j] = Math.min(row[j]!, before[j - 2]! + 1);
    }
    [before, above] = [above, row];
  }
  return above[b.length]!;
}

/** The one of `candidates` that `word` was probably meant to be, if any is near enough: a third of its letters may differ. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  // The distance takes time in the square of the length, and no name of ours is that long.
  if (word.length > 40) return undefined;
  const plain = word.toLowerCase().replaceAll("_", "-");
  const ranked = candidates
    .map((name) => ({
      name,
      edits: Math.min(distance(plain, name), distance(plain.replaceAll("-", ""), name.replaceAll("-", ""))),
    }))
    .filter(({ name, edits }) => edits <= Math.max(1, Math.floor(name.length / 3)))
    .toSorted((a, b) => a.edits - b.edits);
  return ranked[0]?.name;
}

/** ` Did you mean …?`, or nothing. */
export function didYouMean(word: string, candidates: readonly string[], prefix = ""): string {
  const name = nearest(word, candidates);
  return name === undefined ? "" : ` Did you mean ${prefix}${name}?`;
}
