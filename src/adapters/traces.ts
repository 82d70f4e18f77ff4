/**
 * Traces, sent by OTLP over HTTP in its JSON form. Made of what the meter is told anyway: a request is a span, and so is
 * a run of a job; what is measured meanwhile are the spans beneath it. They hold names of routes and of parts, and nothing of a
 * request. Loaded where TRACES_URL is set.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Config } from "../config.ts";
import type { Log, Random } from "../core/core.ts";
import type { Meter } from "../core/meter.ts";
import { unixNanoseconds } from "./system.ts";

type Context = { readonly traceId: string; readonly spanId: string; readonly isSampled: boolean };
type Trace = Context & { readonly parentId: string | undefined };

/** What the conventions of OpenTelemetry call these kinds. */
const kinds = { internal: 1, server: 2, client: 3 } as const;
const failedStatus = { code: 2 };

type Attributes = Readonly<Record<string, string | number>>;
type Done = {
  readonly name: string;
  readonly kind: keyof typeof kinds;
  /** When it began, on the stopwatch. */
  readonly since: number;
  readonly failed?: boolean;
  readonly attributes?: Attributes;
};

/** Spans that wait to be sent: more than that, and what comes is lost. */
const mostWaiting = 4_096;
/** How often they are sent, and how long that may take, in milliseconds. */
const sendEvery = 2_000;
const patience = 2_000;

type Settings = Pick<Config, "TRACES_URL" | "TRACES_TOKEN" | "TRACES_RATIO">;
type World = { readonly version: string; readonly random: Random; readonly log: Log };

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** The context of a caller (W3C Trace Context, section 3.2); `undefined` where it cannot be read. */
function readParent(traceparent: string | undefined): Context | undefined {
  const [, traceId, spanId, flags] = /^00-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})$/.exec(traceparent ?? "") ?? [];
  const isValid = traceId && spanId && flags && !/^0+$/.test(traceId) && !/^0+$/.test(spanId);
  return isValid ? { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 } : undefined;
}

/** The same meter, from which traces are made. `stop` sends what is left. */
export function createTraces(meter: Meter, { TRACES_URL = "", TRACES_TOKEN, TRACES_RATIO }: Settings, world: World) {
  const { random, log, version } = world;
  const current = new AsyncLocalStorage<Trace>();
  let waiting: object[] = [];
  let lost = 0;

  const begin = (traceparent: string | undefined): Trace => {
    const parent = readParent(traceparent);
    const [chance = 0] = new Uint32Array(random.bytes(4).slice().buffer);
    return {
      traceId: parent?.traceId ?? hex(random.bytes(16)),
      spanId: hex(random.bytes(8)),
      parentId: parent?.spanId,
      isSampled: parent?.isSampled ?? chance < TRACES_RATIO * 2 ** 32,
    };
  };

  const keep = ({ traceId, spanId, parentId }: Omit<Trace, "isSampled">, done: Done): void => {
    if (waiting.length >= mostWaiting) {
      lost++;
      return;
    }
    waiting.push({
      traceId,
      spanId,
      ...(parentId && { parentSpanId: parentId }),
      name: done.name,
      kind: kinds[done.kind],
      startTimeUnixNano: unixNanoseconds(done.since),
      endTimeUnixNano: unixNanoseconds(meter.now()),
      attributes: attributesOf(done.attributes ?? {}),
      ...(done.failed && { status: failedStatus }),
    });
  };
  /** What is over by now, and was done for the current request or job. */
  const beneath = (done: Done): void => {
    const trace = current.getStore();
    if (!trace?.isSampled) return;
    keep({ traceId: trace.traceId, spanId: hex(random.bytes(8)), parentId: trace.spanId }, done);
  };

  const resource = { attributes: attributesOf({ "service.name": "authctl", "service.version": version }) };
  const send = async (): Promise<void> => {
    if (waiting.length === 0) return;
    const spans = waiting;
    waiting = [];
    const body = JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "authctl" }, spans }] }] });
    const headers = {
      "content-type": "application/json",
      ...(TRACES_TOKEN !== undefined && { authorization: `Bearer ${TRACES_TOKEN}` }),
    };
    const status = await fetch(TRACES_URL, {
      method: "POST",
      headers,
      body,
      redirect: "error",
      signal: AbortSignal.timeout(patience),
    }).then(
      (answer) => answer.status,
      () => 0,
    );
    // Not tried again: what comes meanwhile is worth more.
    if (status < 200 || status > 299) log.warn("traces_not_sent", { spans: spans.length, status });
    if (lost > 0) log.warn("traces_lost", { spans: lost });
    lost = 0;
  };
  let sending = Promise.resolve();
  const timer = setInterval(() => {
    sending = sending.then(send);
  }, sendEvery);
  timer.unref();

  const traced: Meter = {
    ...meter,
    during: (traceparent, work) => current.run(begin(traceparent), () => meter.during(traceparent, work)),
    async job(name, work) {
      const trace = begin(undefined);
      const since = meter.now();
      let failed = true;
      try {
        const answer = await current.run(trace, () => meter.job(name, work));
        failed = false;
        return answer;
      } finally {
        if (trace.isSampled) keep(trace, { name: `job ${name}`, kind: "internal", since, failed });
      }
    },
    request(method, route, status, since) {
      const took = meter.request(method, route, status, since);
      const trace = current.getStore();
      if (!trace?.isSampled) return took;
      const attributes = { "http.request.method": method, "http.route": route, "http.response.status_code": status };
      keep(trace, { name: `${method} ${route}`, kind: "server", since, failed: status >= 500, attributes });
      return took;
    },
    hashWaited(since) {
      meter.hashWaited(since);
      beneath({ name: "wait to hash", kind: "internal", since });
    },
    hashed(since) {
      meter.hashed(since);
      beneath({ name: "hash", kind: "internal", since });
    },
    database(kind, since, failed) {
      meter.database(kind, since, failed);
      beneath({ name: `database ${kind}`, kind: "client", since, failed });
    },
    redis(errand, since, failed) {
      meter.redis(errand, since, failed);
      beneath({ name: `redis ${errand}`, kind: "client", since, failed });
    },
    mail(since, failed) {
      meter.mail(since, failed);
      beneath({ name: "mail", kind: "client", since, failed });
    },
  };
  return {
    meter: traced,
    stop: async (): Promise<void> => {
      clearInterval(timer);
      await sending;
      await send();
    },
  };
}

const attributesOf = (attributes: Attributes) =>
  Object.entries(attributes).map(([key, value]) => ({
    key,
    value: typeof value === "number" ? { intValue: String(value) } : { stringValue: value },
  }));
