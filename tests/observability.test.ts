/** What is written elsewhere about our metrics: alert rules, the dashboard, the page of the documentation. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { databaseMetrics, type Metric, workerMetrics } from "../src/adapters/metrics.ts";

const root = join(import.meta.dir, "..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");
const metrics: Readonly<Record<string, Metric>> = { ...workerMetrics, ...databaseMetrics };

type Rule = { readonly alert: string; readonly expr: string; readonly annotations: { readonly summary: string } };
const rules = (Bun.YAML.parse(read("deploy/alerts.yaml")) as { groups: Array<{ rules: Rule[] }> }).groups.flatMap(
  (group) => group.rules,
);

type Panel = {
  readonly title: string;
  readonly targets?: ReadonlyArray<{ readonly expr: string; readonly legendFormat: string }>;
};
const dashboard = JSON.parse(read("deploy/grafana-dashboard.json")) as { panels: Panel[] };
const targets = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map((one) => ({ title, ...one })));

const expressions = [
  ...rules.map(({ alert, expr }) => [alert, expr] as const),
  ...targets.map(({ title, expr }) => [title, expr] as const),
];

/** Names of series in an expression, as the metrics that they belong to. */
const metricsIn = (expression: string): string[] =>
  [...expression.matchAll(/\b(?:authctl|process)_[a-z_]+\b/g)].map(([name]) => {
    const [, histogram = name] = /^(.+)_(?:bucket|sum|count)$/.exec(name) ?? [];
    return metrics[histogram]?.kind === "histogram"
      ? name === histogram
        ? `${name} without _bucket`
        : histogram
      : name;
  });

/** What Prometheus adds to whatever it reads. */
const added = ["instance", "job", "worker", "exported_job", "le"];

describe.each(expressions)("%s", (_, expression) => {
  test("asks for metrics that there are", () => {
    const named = metricsIn(expression);
    expect(named.filter((name) => !(name in metrics))).toEqual([]);
    expect(named.length + Number(/\bup\{/.test(expression))).toBeGreaterThan(0);
  });

  test("by labels that they have", () => {
    const known = new Set([...added, ...metricsIn(expression).flatMap((name) => metrics[name]?.labels ?? [])]);
    const matched = [...expression.matchAll(/([a-z_]+)\s*(?:=~|!~|!=|=)\s*"/g)].map((one) => one[1]!);
    const grouped = [...expression.matchAll(/\bby \(([^)]*)\)/g)].flatMap((one) =>
      one[1]!.split(",").map((label) => label.trim()),
    );
    expect([...matched, ...grouped].filter((label) => !known.has(label))).toEqual([]);
  });
});

test("every metric is explained by a sentence", () => {
  for (const { help } of Object.values(metrics)) expect(help).toMatch(/^[A-Z].*\.$/);
});

test("every metric stands on the dashboard or in a rule", () => {
  const shown = new Set(expressions.flatMap(([, expression]) => metricsIn(expression)));
  expect(Object.keys(metrics).filter((name) => !shown.has(name))).toEqual([]);
});

test("the words of labels that rules ask for are words that we write", () => {
  const source = ["src/adapters/meter.ts", "src/core/meter.ts", "src/store/tables.ts", "src/core/upkeep.ts"]
    .map(read)
    .join();
  const words = expressions
    .flatMap(([, expression]) => [...expression.matchAll(/(?:result|outcome|state|exported_job|reason)=~?"([^"]+)"/g)])
    .flatMap((one) => one[1]!.split("|"));
  expect(words.length).toBeGreaterThan(5);
  expect(words.filter((word) => !source.includes(`"${word}"`) && !new RegExp(`\\b${word}: true`).test(source))).toEqual(
    [],
  );
});

test("the rules pass `promtool check rules`", async () => {
  for (const { alert, annotations } of rules)
    expect([alert, annotations.summary]).toEqual([expect.any(String), expect.any(String)]);
  const promtool = Bun.which("promtool");
  if (promtool === null) return;
  const child = Bun.spawn([promtool, "check", "rules", join(root, "deploy/alerts.yaml")], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const said = (await child.stdout.text()) + (await child.stderr.text());
  expect({ said, code: await child.exited }).toMatchObject({ code: 0 });
});
