/** Reads the text format of Prometheus as strictly as `promtool check metrics` does, and more so. */
import type { Answer, HttpClient } from "./client.ts";

export const metricsToken = "scrape-0123456789abcdef-Of-A-Monitor";

export type Sample = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
};
type Family = { readonly name: string; readonly help: string; readonly type: string; readonly samples: Sample[] };

export type Metrics = {
  readonly families: readonly Family[];
  readonly samples: readonly Sample[];
  /** What is wrong with the text, in words. */
  readonly problems: readonly string[];
  /** The sum of the samples of this name that have these labels; `undefined` where there is none. */
  value(name: string, labels?: Readonly<Record<string, string>>): number | undefined;
};

const samplePattern = /^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (-?[0-9.]+(?:e[+-]?\d+)?|\+Inf|NaN)$/;

export function parseMetrics(text: string): Metrics {
  const problems: string[] = [];
  const families: Family[] = [];
  const seen = new Set<string>();
  let help: { name: string; text: string } | undefined;
  if (!text.endsWith("\n")) problems.push("the last line does not end");
  for (const line of text.split("\n").filter((one) => one !== "")) {
    const [, helped, words] = /^# HELP (\S+) (.+)$/.exec(line) ?? [];
    const [, typed, type] = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line) ?? [];
    if (helped && words) help = { name: helped, text: words };
    else if (typed && type) {
      if (help?.name !== typed) problems.push(`${typed} has no help`);
      if (families.some(({ name }) => name === typed)) problems.push(`${typed} is there twice`);
      families.push({ name: typed, type, help: help?.text ?? "", samples: [] });
    } else {
      const sample = readSample(line);
      const family = families.at(-1);
      if (!sample || !family) problems.push(`cannot be read: ${line}`);
      else {
        const series = line.slice(0, line.lastIndexOf(" "));
        if (seen.has(series)) problems.push(`${series} is there twice`);
        seen.add(series);
        const own = family.type === "histogram" ? /^(.+)_(?:bucket|sum|count)$/.exec(sample.name)?.[1] : sample.name;
        if (own !== family.name) problems.push(`${sample.name} stands under ${family.name}`);
        family.samples.push(sample);
      }
    }
  }
  const samples = families.flatMap((family) => family.samples);
  return {
    families,
    samples,
    problems: [...problems, ...families.flatMap(misnamed), ...families.flatMap(misshapen)],
    value: (name, labels = {}) => {
      const found = samples.filter(
        (one) => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value),
      );
      return found.length === 0 ? undefined : found.reduce((sum, one) => sum + one.value, 0);
    },
  };
}

function readSample(line: string): Sample | undefined {
  const [, name, inside = "", value] = samplePattern.exec(line) ?? [];
  if (!name || value === undefined) return undefined;
  const labels: Record<string, string> = {};
  const rest = inside.replace(
    /([a-z_][a-z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/g,
    (_, label: string, text: string) => {
      labels[label] = text;
      return "";
    },
  );
  return rest === "" ? { name, labels, value: value === "+Inf" ? Number.POSITIVE_INFINITY : Number(value) } : undefined;
}

/** The conventions of Prometheus for names: base units, `_total` for counters alone. */
function misnamed({ name, type, help }: Family): string[] {
  const found: string[] = [];
  if ((type === "counter") !== name.endsWith("_total")) found.push(`${name}: a ${type} by this name`);
  if (/_(milliseconds|ms|us|minutes|kb|mb|kib|percent|duration|time|size|info_total)$/.test(name)) {
    found.push(`${name}: no base unit`);
  }
  if (/_(bucket|sum|count|gauge|counter|histogram)$/.test(name)) found.push(`${name}: an ending that is taken`);
  if (!/^[A-Z].*\.$/.test(help)) found.push(`${name}: the help is no sentence`);
  return found;
}

/** Buckets grow up to `+Inf`, which is the count; nothing counts down from below zero. */
function misshapen({ name, type, samples }: Family): string[] {
  if (type === "counter") return samples.some(({ value }) => !(value >= 0)) ? [`${name}: no count`] : [];
  if (type !== "histogram") return [];
  const others = (labels: Sample["labels"]) => Object.entries(labels).filter(([label]) => label !== "le");
  const groups = Object.groupBy(samples, ({ labels }) => JSON.stringify(others(labels)));
  return Object.entries(groups).flatMap(([labels, group = []]) => {
    const buckets = group.filter((one) => one.name.endsWith("_bucket"));
    const bounds = buckets.map((one) =>
      one.labels["le"] === "+Inf" ? Number.POSITIVE_INFINITY : Number(one.labels["le"]),
    );
    const isSorted = bounds.every((bound, at) => at === 0 || bound > bounds[at - 1]!);
    const isGrowing = buckets.every(({ value }, at) => at === 0 || value >= buckets[at - 1]!.value);
    const count = group.find((one) => one.name.endsWith("_count"))?.value;
    const isWhole = bounds.at(-1) === Number.POSITIVE_INFINITY && buckets.at(-1)?.value === count;
    return isSorted && isGrowing && isWhole ? [] : [`${name}${labels}: the buckets do not add up`];
  });
}

export const scrape = (client: HttpClient, bearer = metricsToken): Promise<Answer<unknown>> =>
  client.get<unknown>("/metrics", { bearer });

/** What a server has counted by now; fails where a monitor could not read it. */
export async function readMetrics(client: HttpClient): Promise<Metrics> {
  const { status, text } = await scrape(client);
  if (status !== 200) throw new Error(`${status}: ${text}`);
  const metrics = parseMetrics(text);
  if (metrics.problems.length > 0) throw new Error(metrics.problems.join("\n"));
  return metrics;
}
