#!/usr/bin/env -S bun --no-env-file
import { hostname } from "node:os";
import { isTerminal, systemClock, systemRandom } from "../src/adapters/system.ts";
import type { Io, Output, Signal } from "./io.ts";
import { workerName } from "./ourselves.ts";
import { run } from "./run.ts";
import { failNowhere, failReading, failWriting } from "./streams.ts";
import { systemUser } from "./system-user.ts";

const signals: readonly Signal[] = ["SIGINT", "SIGTERM"];

/** Whoever sets it knows better than the terminal. */
const { COLUMNS = "" } = process.env;
const wanted = /^[1-9]\d{0,3}$/.test(COLUMNS) ? Number(COLUMNS) : undefined;

function output(file: Bun.BunFile, descriptor: 1 | 2, columns: () => number | undefined): Output {
  const sink = file.writer();
  return {
    isTTY: isTerminal(descriptor),
    get columns() {
      return wanted ?? columns() ?? 80;
    },
    async write(text) {
      try {
        await sink.write(text);
        await sink.flush();
      } catch (error) {
        failWriting(descriptor, error);
      }
    },
  };
}

let input: AsyncIterator<Uint8Array> | undefined;

const io: Io = {
  env: process.env,
  get cwd() {
    try {
      return process.cwd();
    } catch {
      return failNowhere();
    }
  },
  get user() {
    return systemUser();
  },
  get host() {
    return hostname();
  },
  stdin: {
    get isTTY() {
      return isTerminal(0);
    },
    async read() {
      input ??= process.stdin[Symbol.asyncIterator]();
      try {
        const { value, done } = await input.next();
        return done ? undefined : value;
      } catch (error) {
        return failReading(error);
      }
    },
    raw(on) {
      process.stdin.setRawMode(on);
    },
  },
  stdout: output(Bun.stdout, 1, () => process.stdout.columns),
  stderr: output(Bun.stderr, 2, () => process.stderr.columns),
  now: () => systemClock.now(),
  randomBytes: (length) => systemRandom.bytes(length),
  onSignal(listener) {
    for (const signal of signals) process.on(signal, listener);
    return () => {
      for (const signal of signals) process.off(signal, listener);
    };
  },
  quit: (code) => process.exit(code),
};

if (process.argv[2] === workerName) await (await import("../src/server.ts")).work();
// Not `process.exitCode`: a terminal that was read from, or a connection that nobody closed, would keep the process alive.
else process.exit(await run(process.argv.slice(2), io));
