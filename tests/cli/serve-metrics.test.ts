/** One server of several processes, as a monitor sees it. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Shell } from "../support/cli.ts";
import { createClient } from "../support/client.ts";
import { freePort } from "../support/free-port.ts";
import { type Metrics, metricsToken, readMetrics } from "../support/metrics.ts";
import { until } from "../support/until.ts";

const requests = "authctl_http_requests_total";
const answered = { route: "/livez", status: "200" };

const childrenOf = ({ pid }: { readonly pid: number }): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);

test("whichever worker is asked tells of all of them, and one that died begins again alone", async () => {
  using shell = new Shell({ METRICS_TOKEN: metricsToken });
  const port = await freePort();
  const child = shell.start(["serve", "--port", String(port), "--workers", "3"]);
  // Each request is a connection of its own, and so for whichever worker the system chooses.
  const client = createClient(() => `http://127.0.0.1:${port}`);
  const isThere = (metrics: Metrics, number: number) =>
    metrics.value("authctl_build_info", { worker: String(number) }) === 1;
  const allThere = async () => {
    const metrics = await readMetrics(client).catch(() => undefined);
    return metrics !== undefined && [1, 2, 3].every((number) => isThere(metrics, number));
  };
  await until("three workers", allThere, 20_000);

  for (let times = 0; times < 60; times++) await client.get("/livez");
  for (let times = 0; times < 20; times++) {
    const metrics = await readMetrics(client);
    expect(metrics.value(requests, answered)).toBe(60);
    expect(metrics.samples.filter(({ name }) => name === "authctl_sessions_alive")).toHaveLength(1);
    expect(metrics.value("authctl_build_info")).toBe(3);
  }

  const before = await readMetrics(client);
  const ofWorker = (metrics: Metrics, number: number) =>
    metrics.value(requests, { ...answered, worker: String(number) }) ?? 0;
  expect([1, 2, 3].filter((number) => ofWorker(before, number) > 0).length).toBeGreaterThan(1);
  const started = (metrics: Metrics, number: number) =>
    metrics.value("process_start_time_seconds", { worker: String(number) })!;
  process.kill(childrenOf(child)[0]!, "SIGKILL");
  await until("two workers", async () => !(await allThere()));
  await until("three workers again", allThere, 20_000);

  const after = await readMetrics(client);
  const [replaced, ...more] = [1, 2, 3].filter((number) => started(after, number) !== started(before, number));
  expect(more).toEqual([]);
  for (const number of [1, 2, 3]) {
    expect(ofWorker(after, number)).toBe(number === replaced ? 0 : ofWorker(before, number));
  }
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});

test("a door for monitors that is taken is named", async () => {
  using shell = new Shell();
  const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  for (const workers of ["1", "2"]) {
    const words = ["serve", "--port", String(await freePort()), "--workers", workers, "--json"];
    const ran = await shell.run(words, { env: { METRICS_PORT: String(taken.port) } });
    expect(ran.code).toBe(69);
    expect(JSON.parse(ran.stderr.trim().split("\n").at(-1)!)).toMatchObject({
      code: "address_in_use",
      detail: expect.stringContaining(String(taken.port)),
    });
  }
  taken.stop();
});
