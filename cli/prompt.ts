import { type Interruption, unlessAborted } from "./interruption.ts";
import type { Io } from "./io.ts";
import { visible } from "./visible.ts";

export type Prompt = {
  /** One line from the terminal, as the terminal edits it; undefined at the end of input. */
  ask(question: string): Promise<string | undefined>;
  /** One line that nobody sees. */
  askHidden(question: string): Promise<string | undefined>;
};

const controlC = "\x03";
const controlD = "\x04";
const controlU = "\x15";
const erasers: ReadonlySet<string> = new Set(["\x7f", "\b"]);

/** Reads lines from a terminal. What is typed or pasted ahead waits for the next question. */
export function promptOn(io: Io, interruption: Interruption): Prompt {
  const decoder = new TextDecoder();
  let ahead: string[] = [];

  async function key(): Promise<string | undefined> {
    while (ahead.length === 0) {
      const bytes = await unlessAborted(io.stdin.read(), interruption.signal);
      if (bytes === undefined) return undefined;
      // An arrow key sends several characters, which would otherwise end up in a password.
      // oxlint-disable-next-line no-control-regex -- the escape that begins them
      ahead = Array.from(decoder.decode(bytes, { stream: true }).replace(/\x1b(\[[0-9;]*[A-Za-z~]|O[A-Z])/g, ""));
    }
    return ahead.shift();
  }

  async function line(): Promise<string | undefined> {
    let typed: string[] = [];
    for (let next = await key(); next !== "\r" && next !== "\n"; next = await key()) {
      if (next === undefined || (next === controlD && typed.length === 0))
        return typed.length > 0 ? typed.join("") : undefined;
      if (next === controlC) {
        interruption.raise("SIGINT");
        interruption.signal.throwIfAborted();
      } else if (next === controlU) typed = [];
      else if (erasers.has(next)) typed.pop();
      else if (next >= " ") typed.push(next);
    }
    return typed.join("");
  }

  return {
    async ask(question) {
      await io.stderr.write(visible(question));
      let answer: string | undefined;
      try {
        answer = await line();
        return answer;
      } finally {
        // Without an answer nobody has pressed Enter.
        if (answer === undefined) await io.stderr.write("\n");
      }
    },
    async askHidden(question) {
      await io.stderr.write(visible(question));
      io.stdin.raw(true);
      try {
        return await line();
      } finally {
        io.stdin.raw(false);
        await io.stderr.write("\n");
      }
    },
  };
}

/** All of standard input as text. */
export async function readInput(io: Io, signal: AbortSignal): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for (let bytes = await next(); bytes !== undefined; bytes = await next())
    text += decoder.decode(bytes, { stream: true });
  return text + decoder.decode();

  function next(): Promise<Uint8Array | undefined> {
    return unlessAborted(io.stdin.read(), signal);
  }
}

/** Standard input in pieces; ends where `signal` aborts, so that whoever works on it can finish. */
export async function* inputAsItComes(io: Io, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  while (!signal.aborted) {
    const bytes = await unlessAborted(io.stdin.read(), signal).catch((error: unknown) => {
      if (signal.aborted) return undefined;
      throw error;
    });
    if (bytes === undefined) return;
    yield bytes;
  }
}
