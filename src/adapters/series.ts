/**
 * Numbers for Prometheus, as cheap as a number can be: a library that does this costs a session check a tenth of
 * its time.
 */

/** What grows, or is set. */
export class Level {
  value = 0;
  add(more = 1): void {
    this.value += more;
  }
  /** The lines of the text format (version 0.0.4). */
  lines(name: string, labels: string): string {
    return `${name}${braced(labels)} ${this.value}\n`;
  }
}

/** How many measurements were at most as large as each bound, and their sum. */
export class Histogram {
  readonly #bounds: readonly number[];
  /** One for each bound, and one for what is larger than all of them. */
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }
  observe(measured: number): void {
    let at = 0;
    while (at < this.#bounds.length && measured > this.#bounds[at]!) at++;
    this.#counts[at]!++;
    this.#sum += measured;
  }
  lines(name: string, labels: string): string {
    let total = 0;
    let lines = "";
    const more = labels === "" ? "" : `,${labels}`;
    for (const [at, count] of this.#counts.entries()) {
      total += count;
      lines += `${name}_bucket{le="${this.#bounds[at] ?? "+Inf"}"${more}} ${total}\n`;
    }
    return `${lines}${name}_sum${braced(labels)} ${this.#sum}\n${name}_count${braced(labels)} ${total}\n`;
  }
}

const braced = (labels: string): string => (labels === "" ? "" : `{${labels}}`);

/** One level or histogram for each combination of the values of its labels. */
export class Family<S extends Level | Histogram> {
  readonly #name: string;
  readonly #labels: readonly string[];
  readonly #make: () => S;
  readonly #members: Array<{ readonly values: readonly string[]; readonly series: S }> = [];
  /** The same, by one label after the other: to find one costs no new text. */
  readonly #found = new Map<string, Map<string, Map<string, S>>>();

  constructor(name: string, labels: readonly string[], make: () => S) {
    this.#name = name;
    this.#labels = labels;
    this.#make = make;
  }
  /** No value but a few words of our own: each one is kept for good. */
  of(one = "", two = "", three = ""): S {
    return this.#found.get(one)?.get(two)?.get(three) ?? this.#add(one, two, three);
  }
  #add(one: string, two: string, three: string): S {
    const series = this.#make();
    this.#members.push({ values: [one, two, three], series });
    const byTwo = this.#found.get(one) ?? new Map<string, Map<string, S>>();
    const byThree = byTwo.get(two) ?? new Map<string, S>();
    this.#found.set(one, byTwo.set(two, byThree.set(three, series)));
    return series;
  }
  /** @param more a label that is added to all of them */
  lines(more = ""): string {
    return this.#members
      .map(({ values, series }) => {
        const own = this.#labels.map((label, at) => `${label}="${escaped(values[at] ?? "")}"`);
        return series.lines(this.#name, [...own, ...(more === "" ? [] : [more])].join(","));
      })
      .join("");
  }
}

const escaped = (text: string): string =>
  text.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));
