/** A real terminal with somebody before it: the real `authctl` runs in it, and is typed to. */
import type { Shell } from "./cli.ts";
import { program } from "./program.ts";
import { until } from "./until.ts";

export const keys = { enter: "\r", ctrlC: "\x03", ctrlD: "\x04", backspace: "\x7f" } as const;

/** What termios calls ECHO, which has the same number on Linux and macOS. */
const echo = 0x8;

type Setting = { readonly columns?: number; readonly env?: Readonly<Record<string, string>> };

export class Terminal implements AsyncDisposable {
  /** Everything that was sent to it, escapes and all. */
  told = "";
  readonly #child: Bun.Subprocess;

  /** `words` follow the name of the program; a text is a line of a shell, in which `$AUTHCTL` stands for it. */
  constructor(shell: Shell, words: readonly string[] | string, { columns = 80, env = {} }: Setting = {}) {
    const decoder = new TextDecoder();
    this.#child = Bun.spawn(typeof words === "string" ? ["bash", "-c", words] : [...program, ...words], {
      cwd: shell.directory,
      env: { ...shell.env, TERM: "xterm-256color", AUTHCTL: program.join(" "), ...env },
      terminal: {
        cols: columns,
        rows: 24,
        data: (_, bytes) => {
          this.told += decoder.decode(bytes, { stream: true });
        },
      },
    });
  }

  type(text: string): void {
    this.#child.terminal!.write(text);
  }

  /** Waits until `text` stands there, `times` over. */
  async sees(text: string, times = 1): Promise<void> {
    try {
      await until(text, () => this.told.split(text).length > times, 20_000);
    } catch {
      throw new Error(`${text} did not appear. What did: ${JSON.stringify(this.told)}`);
    }
  }

  /** Answers the question that ends with `question` as soon as it is asked. */
  async answer(question: string, text: string): Promise<void> {
    await this.sees(question);
    this.type(text);
  }

  /** Whether it shows what is typed. */
  get echoes(): boolean {
    return (this.#child.terminal!.localFlags & echo) !== 0;
  }

  /** The exit code, once all that was said has arrived. */
  async ended(): Promise<number> {
    const code = await this.#child.exited;
    let length = -1;
    await until("silence", async () => {
      const before = length;
      length = this.told.length;
      await Bun.sleep(20);
      return this.told.length === before;
    });
    return code;
  }

  /** What stands on it: lines that were erased or written over are gone. */
  get screen(): string[] {
    const lines = [""];
    let at = 0;
    // oxlint-disable-next-line no-control-regex -- what a terminal obeys
    for (const [part] of this.told.matchAll(/\x1b\[[0-9;]*[A-Za-z]|[\s\S]/g)) {
      const line = lines.at(-1)!;
      if (part === "\n") {
        lines.push("");
        at = 0;
      } else if (part === "\r") at = 0;
      else if (part === "\x1b[K") lines[lines.length - 1] = line.slice(0, at);
      else if (!part.startsWith("\x1b")) {
        lines[lines.length - 1] = line.slice(0, at) + part + line.slice(at + 1);
        at += 1;
      }
    }
    return lines.at(-1) === "" ? lines.slice(0, -1) : lines;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    this.#child.terminal!.close();
  }
}
